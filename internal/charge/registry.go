package charge

import "time"

// An Operator runs piles (运营商).
type Operator struct {
	ID      OperatorID
	Name    string
	Contact string
	Email   string
	Webhook string
}

// A StationKind tells whom a station serves.
type StationKind string

// Public stations are open to everyone (公共), dedicated ones to a fleet (专用), residential ones to a household or estate (居民).
const (
	Public      StationKind = "public"
	Dedicated   StationKind = "dedicated"
	Residential StationKind = "residential"
)

// A Station is a charging station in one township. Zero times and empty texts are "not known".
type Station struct {
	Operator OperatorID
	ID       StationID
	Name     string
	Township DivisionCode
	Kind     StationKind
	Area     string // urban or rural
	Site     string // expressway service area, township office, scenic area, ...
	Access   string // public, limited or inner; "" counts as public
	Hours    string // as ParseSchedule reads them, like "Mo-Fr 18:00-08:00"; "" is always
	Seasons  string // likewise, like "05-01..10-15"; "" is all year
	Mobile   bool
	HasPoint bool
	Lng, Lat float64 // WGS84 degrees, where HasPoint
	Address  string
	Opened   time.Time // first day in service, 00:00 Asia/Shanghai
	Closed   time.Time // first day out of service; zero while open

	FirstOpened time.Time // under another operator, where the station passed to this one on Opened; else zero

	Past *StationPast // nil where what the fields say has always held
}

// A Connector is one gun of a pile: the unit that is usable or not.
type Connector struct {
	Pile          PileID
	ID            ConnectorID
	Station       StationID
	Serial        string // the maker's number (出厂编号)
	EquipmentType int    // T/CEC 102: 1 DC, 2 AC, 3 AC/DC, 4 wireless, 5 charge and discharge, 255 other; 0 not known
	ConnectorType int    // T/CEC 102: 1 household socket, 2 AC socket, 3 AC plug, 4 DC gun, 5 wireless; 0 not known
	PowerKW       float64
	ReportEvery   time.Duration // declared interval between two messages; 0 not declared
	Opened        time.Time
	Closed        time.Time
	FirstOpened   time.Time // as of Station
}

// Since is when the station was opened, under whatever name.
func (s *Station) Since() time.Time { return firstOf(s.FirstOpened, s.Opened) }

// Since is when the connector was opened, under whatever name.
func (c *Connector) Since() time.Time { return firstOf(c.FirstOpened, c.Opened) }

func firstOf(first, opened time.Time) time.Time {
	if first.IsZero() {
		return opened
	}
	return first
}

// InService tells whether day lies between opened and closed (zero closed: still open).
func InService(opened, closed, at time.Time) bool {
	return !at.Before(opened) && (closed.IsZero() || at.Before(closed))
}
