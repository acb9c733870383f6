package charge

// A DayMinutes is how the minutes in service of one day (Asia/Shanghai) were spent, by a connector or
// by a pile as the union of its connectors (judgement.md §§1 and 2). Usable, Excused, Out and Unknown
// add up to the minutes in service, at most 1,440.
type DayMinutes struct {
	Usable  uint16
	Excused uint16
	Out     uint16 // told offline or a fault
	Unknown uint16 // silent, or a status that no longer holds

	Fault   uint16 // of Out: told a fault
	Heard   uint16 // of the minutes that are not excused: not silent
	Blocked uint16 // of Usable: occupied or reserved unbroken for over 24 hours

	// Runs of minutes that are neither usable nor excused, so that breaks across midnight add up: at the
	// day's begin, the longest, at its end. Excused minutes and those out of service do not end a run.
	BreakFirst, BreakLongest, BreakLast uint16

	EnergyWh uint32 // delivered by the meter
	Sessions uint8  // of at least 1 kWh, at most 255
}

// InService is the minutes in service.
func (d *DayMinutes) InService() int {
	return int(d.Usable) + int(d.Excused) + int(d.Out) + int(d.Unknown)
}
