package charge

import "time"

// A CoverageState is what a township is counted as (judgement.md §6). Every township is exactly one.
type CoverageState string

// The five states. Nominal coverage is all but None; paper coverage is Failing and Unverified.
const (
	Effective  CoverageState = "effective"  // 有效覆盖
	Failing    CoverageState = "failing"    // connected, and no connector was usable
	Unverified CoverageState = "unverified" // never connected, or not observed for over 72 hours
	Starting   CoverageState = "starting"   // first 7 days after the station opened
	None       CoverageState = "none"       // no public station in service
)

// A TownshipState is what is known of one township-level division at the log's now: absolute,
// so that a repeat is harmless and divisions add up.
type TownshipState struct {
	Township    DivisionCode  `json:"township"`
	State       CoverageState `json:"state"`
	Since       time.Time     `json:"since"`
	Reason      string        `json:"reason"`       // a code; package coverage has them all
	NotObserved bool          `json:"not_observed"` // the last state stands without evidence
	Proven      bool          `json:"proven"`       // a session of at least 1 kWh within 90 days
	LastUsable  time.Time     `json:"last_usable,omitzero"`
	Stations    int           `json:"stations"`   // public, in service
	Connectors  int           `json:"connectors"` // public, in service
	Online      int           `json:"online"`     // of them, not silent and not told offline
	Usable      int           `json:"usable"`     // of them, usable now
	Charging    int           `json:"charging"`
	Fault       int           `json:"fault"`
	PowerKW     float64       `json:"power_kw"` // drawn now by the public connectors
}

// A ConnectorState is what is known of one connector at the log's now.
type ConnectorState struct {
	Key        ConnectorKey `json:"-"`
	Told       bool         `json:"told"` // false: never told a status
	Status     Status       `json:"status_code"`
	Fault      Fault        `json:"fault,omitempty"`
	Silent     bool         `json:"silent"`
	Since      time.Time    `json:"since,omitzero"`       // of the status
	LastHeard  time.Time    `json:"last_heard,omitzero"`  // to a minute
	LastUsable time.Time    `json:"last_usable,omitzero"` // to a minute
}

// A LiveConnector is a connector's newest values, for whoever watches its pile.
type LiveConnector struct {
	Connector  ConnectorID `json:"connector"`
	At         time.Time   `json:"at"`
	Received   time.Time   `json:"received"`
	Status     string      `json:"status"`
	StatusCode Status      `json:"status_code"`
	Silent     bool        `json:"silent"`
	Fault      Fault       `json:"fault,omitempty"`
	VoltageV   *float64    `json:"voltage_v,omitempty"`
	CurrentA   *float64    `json:"current_a,omitempty"`
	PowerKW    *float64    `json:"power_kw,omitempty"`
	EnergyKWh  *float64    `json:"energy_kwh,omitempty"`
	MeterKWh   *float64    `json:"meter_kwh,omitempty"`
	SoCPct     *float64    `json:"soc_pct,omitempty"`
	TempC      *float64    `json:"temp_c,omitempty"`
}

// An EventKind tells what an event says.
type EventKind string

// The kinds of events.
const (
	CoverageGained    EventKind = "coverage_gained"    // a township has become effective
	CoverageLost      EventKind = "coverage_lost"      // a township is no longer effective
	CoverageUnsteady  EventKind = "coverage_unsteady"  // a township changes too often for each change to be told
	ConnectorFault    EventKind = "connector_fault"    // a public connector told a fault
	ConnectorRestored EventKind = "connector_restored" // a public connector is usable again after a fault or silence
	ConnectorOffline  EventKind = "connector_offline"  // a public connector told offline
	ConnectorSilent   EventKind = "connector_silent"   // a public connector has gone silent
	DangerAlarm       EventKind = "danger_alarm"       // an alarm of level danger
)

// An Event is something that an officer would want to see happen.
type Event struct {
	ID       string       `json:"id"` // "{partition}-{log sequence}-{n}", the same on every replay
	At       time.Time    `json:"at"` // by the gateway's clock
	Kind     EventKind    `json:"kind"`
	Township DivisionCode `json:"township"`
	Operator OperatorID   `json:"operator,omitempty"`
	Station  string       `json:"station,omitempty"` // its name
	Pile     string       `json:"pile,omitempty"`    // "{operator}:{pile}"
	Conn     ConnectorID  `json:"connector,omitempty"`
	Fault    Fault        `json:"fault,omitempty"`
	Before   string       `json:"before,omitempty"` // state or status before
	After    string       `json:"after,omitempty"`
	Reason   string       `json:"reason,omitempty"`          // of a township's state after it
	Case     string       `json:"case,omitempty"`            // by which the township's last station left (长期失效)
	Share    *float64     `json:"share_effective,omitempty"` // of the last 7 days, 0 to 1, where a township is unsteady
}
