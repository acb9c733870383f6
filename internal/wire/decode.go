package wire

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-faster/jx"

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
	p := parser{address: address, received: received.UTC().Truncate(time.Millisecond)}
	size := len(payload)
	payload = bytes.TrimPrefix(payload, byteOrderMark) // some libraries write one; RFC 8259, section 8.1, lets us ignore it
	switch {
	case size > MaxPayloadBytes:
		p.reject(-1, nil, TooLarge, fmt.Sprintf("payload of %d bytes: at most %d", size, MaxPayloadBytes))
	case !utf8.Valid(payload):
		p.reject(-1, nil, BadJSON, "payload is not UTF-8")
	case jx.Valid(payload):
		p.payload(payload)
	default:
		p.reject(-1, nil, BadJSON, "payload is not JSON")
	}
	return p.readings, p.rejects, p.counts
}

var byteOrderMark = []byte("\xef\xbb\xbf")

type parser struct {
	address  Address
	received time.Time
	d        jx.Decoder

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

func (p *parser) payload(payload []byte) {
	p.d.ResetBytes(payload)
	switch p.d.Next() {
	case jx.Object:
		p.object(0)
	case jx.Array:
		index := 0
		// The payload is known to be JSON, so the decoder has no reason to fail.
		_ = p.d.Arr(func(d *jx.Decoder) error {
			if d.Next() == jx.Object {
				p.object(index)
			} else {
				_ = d.Skip()
				p.reject(index, nil, BadJSON, "an element of the array is not an object")
			}
			index++
			return nil
		})
		if index == 0 {
			p.reject(-1, nil, BadJSON, "the array is empty")
		}
	default:
		p.reject(-1, nil, BadJSON, "payload is neither an object nor an array of objects")
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
	_ = p.d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		p.field(&o, d, key)
		return nil
	})
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

// A bound is the range of a number; both ends are allowed.
type bound struct {
	has      charge.Fields
	low, top float64
	kinds    [6]bool // by charge.Kind
}

var (
	inTelemetry = [6]bool{charge.KindTelemetry: true}
	inBoth      = [6]bool{charge.KindTelemetry: true, charge.KindOrder: true}
)

// numberField gives where a numeric field goes and what it may be. Ranges: design, "South"; a session's
// energy and a meter's total are bounded by what no pile can reach.
func numberField(r *charge.Reading, key string) (*float64, bound, bool) {
	switch key {
	case "voltage_v":
		return &r.VoltageV, bound{charge.HasVoltage, 0, 1500, inTelemetry}, true
	case "current_a":
		return &r.CurrentA, bound{charge.HasCurrent, -1000, 1000, inTelemetry}, true
	case "power_kw":
		return &r.PowerKW, bound{charge.HasPower, -1000, 1000, inTelemetry}, true
	case "energy_kwh":
		return &r.EnergyKWh, bound{charge.HasEnergy, -10_000, 10_000, inBoth}, true
	case "meter_kwh":
		return &r.MeterKWh, bound{charge.HasMeter, 0, 1e9, inBoth}, true
	case "soc_pct":
		return &r.SoCPct, bound{charge.HasSoC, 0, 100, inTelemetry}, true
	case "temp_c":
		return &r.TempC, bound{charge.HasTemp, -50, 150, inTelemetry}, true
	}
	return nil, bound{}, false
}

func (p *parser) field(o *object, d *jx.Decoder, key []byte) {
	r := &o.reading
	if value, b, ok := numberField(r, string(key)); ok && b.kinds[r.Kind] {
		if v, ok := p.number(o, d, string(key)); ok {
			if v < b.low || v > b.top {
				o.fail(OutOfRange, "%s is %v: allowed %v to %v", key, v, b.low, b.top)
			}
			*value = v
			r.Has |= b.has
		}
		return
	}
	switch string(key) {
	case "pile":
		if s, ok := p.text(o, d, "pile"); ok {
			if !charge.ValidID(s) {
				o.fail(BadID, "pile %q: want 1 to 64 of [A-Za-z0-9._-]", clip(s))
				return
			}
			if p.address.Pile != Many && s != p.address.Pile {
				o.fail(BadID, "pile %q is not the topic's %q", s, p.address.Pile)
				return
			}
			r.Pile.Equipment = s
		}
	case "connector":
		if s, ok := p.text(o, d, "connector"); ok {
			if !charge.ValidID(s) {
				o.fail(BadID, "connector %q: want 1 to 64 of [A-Za-z0-9._-]", clip(s))
				return
			}
			r.Connector = charge.ConnectorID(s)
		}
	case "time":
		p.time(o, d)
	case "seq":
		if v, ok := p.integer(o, d, "seq"); ok {
			if v < 0 {
				o.fail(OutOfRange, "seq is %d: must not be negative", v)
			}
			r.Seq = uint64(v) //nolint:gosec // refused above when negative
			r.Has |= charge.HasSeq
		}
	default:
		if !p.kindField(o, d, string(key)) {
			p.counts.UnknownFields++
			_ = d.Skip()
		}
	}
}

// kindField reads a field that only some kinds have.
func (p *parser) kindField(o *object, d *jx.Decoder, key string) bool {
	r := &o.reading
	switch {
	case key == "status" && (r.Kind == charge.KindStatus || r.Kind == charge.KindTelemetry):
		p.status(o, d)
	case key == "fault" && r.Kind == charge.KindStatus:
		if s, ok := p.text(o, d, key); ok {
			r.Fault, r.FaultCode = charge.ParseFault(s), ""
			if r.Fault == charge.OtherFault && s != string(charge.OtherFault) {
				r.FaultCode = shorten(s, maxCodeBytes)
			}
		}
	case key == "level" && r.Kind == charge.KindAlarm:
		if s, ok := p.text(o, d, key); ok {
			if s != "notice" && s != "warning" && s != "danger" {
				o.fail(BadField, "level %q: want notice, warning or danger", clip(s))
			}
			r.Level = s
		}
	case key == "code" && r.Kind == charge.KindAlarm:
		if s, ok := p.text(o, d, key); ok {
			r.Code = shorten(s, maxCodeBytes)
		}
	case key == "text" && r.Kind == charge.KindAlarm:
		if s, ok := p.text(o, d, key); ok {
			if utf8.RuneCountInString(s) > maxTextRunes {
				o.fail(OutOfRange, "text has %d characters: at most %d", utf8.RuneCountInString(s), maxTextRunes)
			}
			r.Text = s
		}
	case key == "order" && r.Kind == charge.KindOrder:
		if s, ok := p.text(o, d, key); ok {
			if s == "" || len(s) > maxOrderBytes {
				o.fail(OutOfRange, "order has %d bytes: want 1 to %d", len(s), maxOrderBytes)
			}
			r.Order = s
		}
	case key == "start" && r.Kind == charge.KindOrder:
		if at, ok := p.instant(o, d, key); ok {
			r.Start, r.Has = at, r.Has|charge.HasStart
		}
	case key == "end" && r.Kind == charge.KindOrder:
		if at, ok := p.instant(o, d, key); ok {
			r.End, r.Has = at, r.Has|charge.HasEnd
		}
	case key == "session" && r.Kind == charge.KindHeartbeat:
		if v, ok := p.integer(o, d, key); ok {
			r.Session, r.Has = v, r.Has|charge.HasSession
		}
	case key == "online" && r.Kind == charge.KindHeartbeat:
		if d.Next() != jx.Bool {
			o.fail(BadField, "online: want true or false")
			_ = d.Skip()
			break
		}
		r.Online, _ = d.Bool()
		r.Has |= charge.HasOnline
	default:
		return false
	}
	return true
}

func (p *parser) status(o *object, d *jx.Decoder) {
	first := o.reason == ""
	code, ok := p.integer(o, d, "status")
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

func (p *parser) time(o *object, d *jx.Decoder) {
	first := o.reason == ""
	at, ok := p.instant(o, d, "time")
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

func (p *parser) number(o *object, d *jx.Decoder, key string) (float64, bool) {
	if d.Next() != jx.Number {
		return p.wrongType(o, d, key, "a number")
	}
	// Not the decoder's own Float64: it reads 1844674407370955162.0 as 0.4.
	num, err := d.Raw()
	if err != nil {
		o.fail(BadField, "%s: want a number", key)
		return 0, false
	}
	v, err := strconv.ParseFloat(string(num), 64)
	if err != nil {
		o.fail(OutOfRange, "%s is %s: no number that can be held", key, clip(string(num)))
		return 0, false
	}
	return v, true
}

func (p *parser) integer(o *object, d *jx.Decoder, key string) (int64, bool) {
	if d.Next() != jx.Number {
		_, ok := p.wrongType(o, d, key, "a whole number")
		return 0, ok
	}
	num, err := d.Num()
	if err != nil {
		o.fail(BadField, "%s: want a whole number", key)
		return 0, false
	}
	v, err := num.Int64()
	if err != nil {
		o.fail(BadField, "%s is %s: want a whole number of at most 63 bits", key, clip(num.String()))
		return 0, false
	}
	return v, true
}

func (p *parser) text(o *object, d *jx.Decoder, key string) (string, bool) {
	if d.Next() != jx.String {
		_, ok := p.wrongType(o, d, key, "a string")
		return "", ok
	}
	s, err := d.Str()
	return s, err == nil
}

func (p *parser) wrongType(o *object, d *jx.Decoder, key, want string) (float64, bool) {
	o.fail(BadField, "%s is of JSON type %s: want %s", key, d.Next(), want)
	_ = d.Skip()
	return 0, false
}

// instant reads RFC 3339 with a zone, or Unix milliseconds.
func (p *parser) instant(o *object, d *jx.Decoder, key string) (time.Time, bool) {
	if d.Next() == jx.String {
		s, _ := d.Str()
		at, err := time.Parse(time.RFC3339Nano, s)
		if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 {
			o.fail(BadTime, "%s %q: want RFC 3339 with zone, or Unix milliseconds", key, clip(s))
			return time.Time{}, false
		}
		return at.Truncate(time.Millisecond), true
	}
	ms, ok := p.integer(o, d, key)
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
