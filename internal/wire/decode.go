package wire

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"pilewatch/internal/charge"
)

// Limits of what a payload may say.
const (
	MaxPayloadBytes = 1 << 20
	maxAhead        = 10 * time.Minute // of the gateway's clock
	maxTextRunes    = 200
	maxOrderBytes   = 64
	maxSession      = 30 * 24 * time.Hour // of an order: as long as its readings are kept
	maxCodeBytes    = 64                  // of a fault code; what is longer is cut, since the fault itself matters more
	maxRejectsTold  = 64                  // of one payload, each by itself; the rest is told as one a reason
)

// oldest is the earliest time that a message may bear: what is before is a clock that never was set.
var oldest = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)

// A Reject tells which object of a payload could not be used, and why.
type Reject struct {
	Index     int // of the object in the array; -1 for the whole payload
	Count     int // of objects refused for this reason, where several are told as one; 0 is one
	Pile      string
	Connector string
	Reason    Reason
	Detail    string // one clear line: the field, what it held, what is allowed
}

// Counts tells what was left out without refusing anything.
type Counts struct {
	UnknownFields int
	Unnamed       []string // piles of refused objects that are told as one with others and so not named in a Reject; a name may come again
}

// Decode reads one payload that came on the topic of address at received: a JSON object, or an
// array of objects. What an object says that is outside its range (design: "South") refuses that
// object and not the others. A time more than 10 minutes ahead, or of a clock that never was set, is
// refused as bad_time for history; its status or presence is kept, at received, marked charge.ClockWrong.
func Decode(address Address, payload []byte, received time.Time) ([]charge.Reading, []Reject, Counts) {
	return Append(nil, address, payload, received)
}

// Append is Decode to behind the readings of dst.
func Append(dst []charge.Reading, address Address, payload []byte, received time.Time) ([]charge.Reading, []Reject, Counts) {
	p := parser{address: address, received: received.UTC().Truncate(time.Millisecond), readings: dst}
	size := len(payload)
	payload = bytes.TrimPrefix(payload, byteOrderMark) // some libraries write one; RFC 8259, section 8.1, lets us ignore it
	switch {
	case size > MaxPayloadBytes:
		p.reject(-1, nil, TooLarge, fmt.Sprintf("payload of %d bytes: at most %d", size, MaxPayloadBytes))
	case !utf8.Valid(payload):
		p.reject(-1, nil, BadJSON, "payload is not UTF-8")
	default:
		p.payload(payload)
	}
	return p.readings, p.rejects, p.counts
}

var byteOrderMark = []byte("\xef\xbb\xbf")

type parser struct {
	address  Address
	received time.Time
	scanner

	readings []charge.Reading
	rejects  []Reject
	counts   Counts
}

func (p *parser) reject(index int, o *object, reason Reason, detail string) {
	r := Reject{Index: index, Reason: reason, Detail: detail}
	if o != nil {
		r.Pile, r.Connector = o.reading.Pile.Equipment, string(o.reading.Connector)
	}
	// A payload of nothing but brackets would otherwise fill memory with complaints about it.
	if len(p.rejects) >= maxRejectsTold {
		if r.Pile != "" {
			p.counts.Unnamed = append(p.counts.Unnamed, r.Pile)
		}
		for i := range p.rejects {
			if same := &p.rejects[i]; same.Reason == reason && same.Count > 0 {
				same.Count++
				return
			}
		}
		r.Count = 1
	}
	p.rejects = append(p.rejects, r)
}

// payload reads and checks the text in one pass: only at its end is it known to be JSON, and what was
// found on the way to count.
func (p *parser) payload(payload []byte) {
	p.data = payload
	before := len(p.readings)
	switch p.next() {
	case objectType:
		p.object(0)
	case arrayType:
		index := 0
		for ; p.more(index == 0, ']'); index++ {
			if p.next() == objectType {
				p.object(index)
			} else {
				p.skip()
				p.reject(index, nil, BadJSON, "an element of the array is not an object")
			}
		}
		if index == 0 {
			p.reject(-1, nil, BadJSON, "the array is empty")
		}
	default:
		p.skip()
		p.reject(-1, nil, BadJSON, "payload is neither an object nor an array of objects")
	}
	if !p.ended() {
		p.readings, p.rejects, p.counts = p.readings[:before], nil, Counts{}
		p.reject(-1, nil, BadJSON, "payload is not JSON")
	}
}

// An object is one JSON object on its way to a reading; of several faults the first is told.
type object struct {
	reading charge.Reading
	hasTime bool
	clock   string // what is wrong with the device's clock
	reason  Reason
	detail  string
}

func (o *object) fail(reason Reason, format string, v ...any) {
	if o.reason == "" {
		o.reason, o.detail = reason, fmt.Sprintf(format, v...)
	}
}

func (p *parser) object(index int) {
	o := object{reading: charge.Reading{
		Pile:     charge.PileID{Operator: p.address.Operator},
		Kind:     p.address.Kind,
		Received: p.received,
	}}
	if p.address.Pile != Many {
		o.reading.Pile.Equipment = p.address.Pile
	}
	for first := true; p.more(first, '}'); first = false {
		p.field(&o, p.key())
	}
	if p.bad {
		return
	}
	p.check(&o)
	if o.reason != "" {
		p.reject(index, &o, o.reason, o.detail)
		return
	}
	if o.clock != "" {
		p.reject(index, &o, BadTime, o.clock)
		if !o.vouched() {
			return
		}
	}
	p.readings = append(p.readings, o.reading)
}

// vouched makes of a reading with an impossible time what the gateway's own time can vouch for: that
// the connector has told its status, that the pile is there or has left. It is false where that is nothing.
func (o *object) vouched() bool {
	r := o.reading
	kept := charge.Reading{
		Pile: r.Pile, Connector: r.Connector, Has: charge.ClockWrong, At: r.Received, Received: r.Received,
	}
	switch {
	case r.Kind == charge.KindHeartbeat:
		kept.Kind, kept.Session, kept.Online = r.Kind, r.Session, r.Online
		kept.Has |= r.Has & (charge.HasSession | charge.HasOnline)
	case r.Tells(charge.HasStatus):
		kept.Kind, kept.Status, kept.Fault, kept.FaultCode = charge.KindStatus, r.Status, r.Fault, r.FaultCode
		kept.Has |= charge.HasStatus
	default:
		return false
	}
	o.reading = kept
	return true
}

// kinds is a set of kinds.
type kinds uint8

const (
	inStatus    kinds = 1 << charge.KindStatus
	inTelemetry kinds = 1 << charge.KindTelemetry
	inAlarm     kinds = 1 << charge.KindAlarm
	inOrder     kinds = 1 << charge.KindOrder
	inHeartbeat kinds = 1 << charge.KindHeartbeat
)

// field reads the value of one member of an object; what objects of its kind do not have is left out
// and counted. Ranges: design, "South"; a session's energy and a meter's total are bounded by what no
// pile can reach.
func (p *parser) field(o *object, key []byte) {
	r := &o.reading
	switch string(key) {
	case "pile":
		p.pile(o)
	case "connector":
		p.connector(o)
	case "time":
		p.time(o)
	case "seq":
		p.seq(o)
	case "status":
		if p.has(o, inStatus|inTelemetry) {
			p.status(o)
		}
	case "fault":
		if p.has(o, inStatus) {
			p.fault(o)
		}
	case "voltage_v":
		p.measured(o, inTelemetry, &r.VoltageV, bound{"voltage_v", charge.HasVoltage, 0, 1500})
	case "current_a":
		p.measured(o, inTelemetry, &r.CurrentA, bound{"current_a", charge.HasCurrent, -1000, 1000})
	case "power_kw":
		p.measured(o, inTelemetry, &r.PowerKW, bound{"power_kw", charge.HasPower, -1000, 1000})
	case "energy_kwh":
		p.measured(o, inTelemetry|inOrder, &r.EnergyKWh, bound{"energy_kwh", charge.HasEnergy, -10_000, 10_000})
	case "meter_kwh":
		p.measured(o, inTelemetry|inOrder, &r.MeterKWh, bound{"meter_kwh", charge.HasMeter, 0, 1e9})
	case "soc_pct":
		p.measured(o, inTelemetry, &r.SoCPct, bound{"soc_pct", charge.HasSoC, 0, 100})
	case "temp_c":
		p.measured(o, inTelemetry, &r.TempC, bound{"temp_c", charge.HasTemp, -50, 150})
	case "level":
		if p.has(o, inAlarm) {
			p.level(o)
		}
	case "code":
		if p.has(o, inAlarm) {
			if s, ok := p.string(o, "code"); ok {
				r.Code = shorten(s, maxCodeBytes)
			}
		}
	case "text":
		if p.has(o, inAlarm) {
			p.alarmText(o)
		}
	case "order":
		if p.has(o, inOrder) {
			p.order(o)
		}
	case "start":
		if p.has(o, inOrder) {
			if at, ok := p.instant(o, "start"); ok {
				r.Start, r.Has = at, r.Has|charge.HasStart
			}
		}
	case "end":
		if p.has(o, inOrder) {
			if at, ok := p.instant(o, "end"); ok {
				r.End, r.Has = at, r.Has|charge.HasEnd
			}
		}
	case "session":
		if p.has(o, inHeartbeat) {
			if v, ok := p.integer(o, "session"); ok {
				r.Session, r.Has = v, r.Has|charge.HasSession
			}
		}
	case "online":
		if p.has(o, inHeartbeat) {
			p.online(o)
		}
	default:
		p.leaveOut()
	}
}

// has tells whether the object is of one of these kinds. If not, it leaves the value out.
func (p *parser) has(o *object, in kinds) bool {
	if in>>o.reading.Kind&1 != 0 {
		return true
	}
	p.leaveOut()
	return false
}

func (p *parser) leaveOut() {
	p.counts.UnknownFields++
	p.skip()
}

func (p *parser) pile(o *object) {
	s, ok := p.string(o, "pile")
	switch {
	case !ok:
	case !charge.ValidID(s):
		o.fail(BadID, "pile %q: want 1 to 64 of [A-Za-z0-9._-]", clip(s))
	case p.address.Pile != Many && s != p.address.Pile:
		o.fail(BadID, "pile %q is not the topic's %q", s, p.address.Pile)
	default:
		o.reading.Pile.Equipment = s
	}
}

func (p *parser) connector(o *object) {
	s, ok := p.string(o, "connector")
	switch {
	case !ok:
	case !charge.ValidID(s):
		o.fail(BadID, "connector %q: want 1 to 64 of [A-Za-z0-9._-]", clip(s))
	default:
		o.reading.Connector = charge.ConnectorID(s)
	}
}

func (p *parser) seq(o *object) {
	v, ok := p.integer(o, "seq")
	if !ok {
		return
	}
	if v < 0 {
		o.fail(OutOfRange, "seq is %d: must not be negative", v)
	}
	o.reading.Seq = uint64(v) //nolint:gosec // refused above when negative
	o.reading.Has |= charge.HasSeq
}

func (p *parser) fault(o *object) {
	s, ok := p.string(o, "fault")
	if !ok {
		return
	}
	r := &o.reading
	r.Fault, r.FaultCode = charge.ParseFault(s), ""
	if s != string(r.Fault) {
		r.FaultCode = shorten(s, maxCodeBytes)
	}
}

func (p *parser) level(o *object) {
	s, ok := p.string(o, "level")
	if !ok {
		return
	}
	if s != "notice" && s != "warning" && s != "danger" {
		o.fail(BadField, "level %q: want notice, warning or danger", clip(s))
	}
	o.reading.Level = s
}

func (p *parser) alarmText(o *object) {
	s, ok := p.string(o, "text")
	if !ok {
		return
	}
	if utf8.RuneCountInString(s) > maxTextRunes {
		o.fail(OutOfRange, "text has %d characters: at most %d", utf8.RuneCountInString(s), maxTextRunes)
	}
	o.reading.Text = s
}

func (p *parser) order(o *object) {
	s, ok := p.string(o, "order")
	if !ok {
		return
	}
	if s == "" || len(s) > maxOrderBytes {
		o.fail(OutOfRange, "order has %d bytes: want 1 to %d", len(s), maxOrderBytes)
	}
	o.reading.Order = s
}

func (p *parser) online(o *object) {
	if p.next() != boolType {
		o.fail(BadField, "online: want true or false")
		p.skip()
		return
	}
	o.reading.Online = p.bool()
	o.reading.Has |= charge.HasOnline
}

func (p *parser) status(o *object) {
	first := o.reason == ""
	code, ok := p.integer(o, "status")
	if !ok {
		if first {
			o.reason = BadStatus
		}
		return
	}
	status, ok := charge.ParseStatus(code)
	if !ok {
		o.fail(BadStatus, "status %d: want 0, 1, 2, 3, 4 or 255 (T/CEC 102)", code)
		return
	}
	o.reading.Status = status
	o.reading.Has |= charge.HasStatus
}

func (p *parser) time(o *object) {
	first := o.reason == ""
	at, ok := p.instant(o, "time")
	if !ok {
		if first {
			o.reason = BadTime
		}
		return
	}
	o.hasTime = true
	o.reading.At = at
	o.clock = ""
	switch {
	case at.Before(oldest):
		o.clock = fmt.Sprintf("time %s is before 2015: is the clock set?", at.Format(time.RFC3339))
	case at.Sub(p.received) > maxAhead:
		o.clock = fmt.Sprintf("time %s is more than 10 minutes ahead of ours (%s)", at.Format(time.RFC3339), p.received.Format(time.RFC3339))
	}
}

// check tells what is missing once all fields are read.
func (p *parser) check(o *object) {
	r := &o.reading
	switch {
	case r.Pile.Equipment == "":
		o.fail(BadField, "pile is missing: the topic's pile level is %q, so each object names its pile", Many)
	case r.Connector == "" && r.Kind != charge.KindHeartbeat:
		o.fail(BadField, "connector is missing")
	case !o.hasTime:
		o.fail(BadTime, "time is missing: want RFC 3339 with zone, or Unix milliseconds")
	case r.Kind == charge.KindStatus && !r.Tells(charge.HasStatus):
		o.fail(BadStatus, "status is missing")
	case r.Kind == charge.KindAlarm && r.Level == "":
		o.fail(BadField, "level is missing: want notice, warning or danger")
	case r.Kind == charge.KindOrder && r.Order == "":
		o.fail(BadField, "order is missing")
	}
	p.session(o)
	if r.Tells(charge.HasStatus) && r.Status != charge.Faulted {
		r.Fault, r.FaultCode = "", ""
	} else if r.Kind == charge.KindStatus && r.Tells(charge.HasStatus) && r.Fault == "" {
		r.Fault = charge.OtherFault
	}
}

// session refuses an order that cannot have been: its times are evidence of a session later.
func (p *parser) session(o *object) {
	r := &o.reading
	for _, one := range []struct {
		has  charge.Fields
		name string
		at   time.Time
	}{{charge.HasStart, "start", r.Start}, {charge.HasEnd, "end", r.End}} {
		switch {
		case !r.Tells(one.has):
		case one.at.Before(oldest):
			o.fail(BadTime, "%s %s is before 2015", one.name, one.at.Format(time.RFC3339))
		case one.at.Sub(p.received) > maxAhead:
			o.fail(BadTime, "%s %s is more than 10 minutes ahead of our clock (%s)", one.name, one.at.Format(time.RFC3339), p.received.Format(time.RFC3339))
		}
	}
	switch long := r.End.Sub(r.Start); {
	case !r.Tells(charge.HasStart) || !r.Tells(charge.HasEnd): // one that goes on, or of which no more is known
	case long < 0:
		o.fail(OutOfRange, "end %s is before start %s", r.End.Format(time.RFC3339), r.Start.Format(time.RFC3339))
	case long > maxSession:
		o.fail(OutOfRange, "start %s to end %s is %d days: at most 30", r.Start.Format(time.RFC3339), r.End.Format(time.RFC3339), int(long.Hours()/24))
	}
}

// A bound is the range of a number; both ends are allowed.
type bound struct {
	key      string
	has      charge.Fields
	low, top float64
}

// measured reads a number that objects of these kinds have.
func (p *parser) measured(o *object, in kinds, value *float64, b bound) {
	if !p.has(o, in) {
		return
	}
	if p.next() != numberType {
		p.wrongType(o, b.key, "a number")
		return
	}
	n := p.number()
	v, ok := n.float()
	switch {
	case !ok:
		o.fail(OutOfRange, "%s is %s: no number that can be held", b.key, clip(string(n.text)))
		return
	case v < b.low || v > b.top:
		o.fail(OutOfRange, "%s is %v: allowed %v to %v", b.key, v, b.low, b.top)
	}
	*value = v
	o.reading.Has |= b.has
}

func (p *parser) integer(o *object, key string) (int64, bool) {
	if p.next() != numberType {
		p.wrongType(o, key, "a whole number")
		return 0, false
	}
	n := p.number()
	v, ok := n.integer()
	if !ok {
		o.fail(BadField, "%s is %s: want a whole number of at most 63 bits", key, clip(string(n.text)))
	}
	return v, ok
}

func (p *parser) string(o *object, key string) (string, bool) {
	if p.next() != stringType {
		p.wrongType(o, key, "a string")
		return "", false
	}
	return string(p.text()), true
}

func (p *parser) wrongType(o *object, key, want string) {
	o.fail(BadField, "%s is of JSON type %s: want %s", key, p.next(), want)
	p.skip()
}

// instant reads RFC 3339 with a zone, or Unix milliseconds.
func (p *parser) instant(o *object, key string) (time.Time, bool) {
	if p.next() == stringType {
		s := p.text()
		at, ok := parseTime(s)
		if !ok {
			o.fail(BadTime, "%s %q: want RFC 3339 with zone, or Unix milliseconds", key, clip(string(s)))
		}
		return at, ok
	}
	ms, ok := p.integer(o, key)
	if !ok {
		return time.Time{}, false
	}
	const year9999 = 253402300799999
	if ms < 0 || ms > year9999 {
		o.fail(BadTime, "%s %d: want Unix milliseconds", key, ms)
		return time.Time{}, false
	}
	return time.UnixMilli(ms).UTC(), true
}

// clip shortens a stranger's text for a line that people read.
func clip(s string) string {
	const most = 40
	if len(s) <= most {
		return s
	}
	return shorten(s, most) + "…(" + strconv.Itoa(len(s)) + " bytes)"
}

// shorten cuts s after at most the given number of bytes, between two characters.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}
