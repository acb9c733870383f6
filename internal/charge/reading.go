package charge

import "time"

// A Kind is the last level of the topic that a message came on, or a record of the gateway's own.
type Kind uint8

// The kinds that piles send, then those that only the gateway writes. The numbers are part of
// the log's format.
const (
	KindStatus       Kind = 1 // a change or a repetition of the status
	KindTelemetry    Kind = 2 // what is measured during a session
	KindAlarm        Kind = 3 // an alarm with level and code
	KindOrder        Kind = 4 // a finished session
	KindHeartbeat    Kind = 5 // presence; also the last will
	KindConnected    Kind = 6 // the listener's: a pile's own connection opened
	KindDisconnected Kind = 7 // the listener's: a pile's own connection ended
	KindHeard        Kind = 8 // the gateway's: a message of a registered pile that was rejected
)

var kindNames = [...]string{
	KindStatus: "status", KindTelemetry: "telemetry", KindAlarm: "alarm", KindOrder: "order",
	KindHeartbeat: "heartbeat", KindConnected: "connected", KindDisconnected: "disconnected", KindHeard: "heard",
}

// String gives the word that topics and tags use.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "invalid"
}

// ParseKind knows the five kinds that piles send.
func ParseKind(s string) (Kind, bool) {
	for k := KindStatus; k <= KindHeartbeat; k++ {
		if kindNames[k] == s {
			return k, true
		}
	}
	return 0, false
}

// Fields tells which of a reading's optional fields were sent: a missing value is not a zero.
type Fields uint32

// One bit for each optional field of a Reading.
const (
	HasSeq Fields = 1 << iota
	HasStatus
	HasVoltage
	HasCurrent
	HasPower
	HasEnergy
	HasMeter
	HasSoC
	HasTemp
	HasSession
	HasOnline
	HasStart
	HasEnd
	// ClockWrong marks a status whose own time was more than 10 minutes ahead: At is then
	// the gateway's time, and the reading is for presence and status only, never for history.
	ClockWrong
)

// A Reading is one message of a connector: its status and what it measured, at a time.
type Reading struct {
	Pile      PileID
	Connector ConnectorID // "" where a heartbeat speaks for the whole pile
	Kind      Kind
	Has       Fields
	Status    Status
	At        time.Time // UTC, millisecond precision, by the pile's own clock
	Received  time.Time // UTC, millisecond precision, by the gateway's clock
	Seq       uint64    // rises by one a message of a connector, wraps

	VoltageV  float64 // 0 to 1500
	CurrentA  float64 // -1000 to 1000; negative when the vehicle feeds back
	PowerKW   float64 // -1000 to 1000; negative when the vehicle feeds back
	EnergyKWh float64 // this session's energy
	MeterKWh  float64 // the meter's running total
	SoCPct    float64 // 0 to 100
	TempC     float64 // hottest contact, -50 to 150

	Fault     Fault  // set when Status is Faulted
	FaultCode string // the sender's own code, where that is not Fault's name
	Level     string // of an alarm: notice, warning, danger
	Code      string // of an alarm: a fault code
	Text      string // of an alarm, up to 200 characters

	Order      string    // order number
	Start, End time.Time // of the session that an order tells

	Session int64 // heartbeat: Unix ms of the device's own CONNECT; Connected, Disconnected: gateway's, ns
	Online  bool  // heartbeat: false in the last will
}

// Tells reports whether the field was sent.
func (r *Reading) Tells(f Fields) bool { return r.Has&f != 0 }
