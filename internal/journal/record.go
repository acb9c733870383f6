package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// The first byte of every message of READINGS is its version. A reader knows all versions up to its
// own; a newer one is refused by name rather than misread. A backfill's layout is that of version 1.
const (
	liveVersion     = 1
	backfillVersion = 2 // of a story, not heard at any door
	movedVersion    = 3 // what a judge hands over to another partition's
	recordVersion   = movedVersion
)

// laterVersions is the last first byte that is believed to be a later version's. What begins with
// another one, such as a 0 or a "{", is nobody's record.
const laterVersions = 31

// A Batch is one message of READINGS. One without readings is a tick: it only tells the time.
type Batch struct {
	Seq      uint64    // of the stream
	At       time.Time // the log's time: when the gateway wrote it; of a backfill, the story's time behind its readings
	Backfill bool      // written by Log.Backfill: a told state holds until the next one, and the time is a tick as well
	Readings []charge.Reading
	Moved    []byte // without readings: what another partition's judge knows of piles that are this one's now
}

var errTorn = errors.New("record ends too early")

// A newerRecord was written by a later version of this program: it is whole, and skipping it would
// lose what that version can read.
type newerRecord byte

// Error implements error.
func (v newerRecord) Error() string {
	return fmt.Sprintf("record of version %d: this program reads version %d; upgrade it", byte(v), recordVersion)
}

// appendHeader starts a record: version, then the time in Unix milliseconds.
func appendHeader(dst []byte, at time.Time) []byte {
	dst = append(dst, liveVersion)
	return binary.AppendVarint(dst, at.UnixMilli())
}

// Strings and numbers of a reading in the order they stand in a record; optional ones only
// where Has tells them. Numbers of up to three decimals, which is nearly all that a meter sends,
// take two to four bytes; every other one takes nine, and none is rounded.
func appendReading(dst []byte, r *charge.Reading) []byte {
	dst = append(dst, byte(r.Kind))
	dst = binary.AppendUvarint(dst, uint64(r.Has))
	dst = appendString(dst, string(r.Pile.Operator))
	dst = appendString(dst, r.Pile.Equipment)
	dst = appendString(dst, string(r.Connector))
	received := r.Received.UnixMilli()
	dst = binary.AppendVarint(dst, received)
	dst = binary.AppendVarint(dst, received-r.At.UnixMilli())
	if r.Tells(charge.HasSeq) {
		dst = binary.AppendUvarint(dst, r.Seq)
	}
	if r.Tells(charge.HasStatus) {
		dst = append(dst, byte(r.Status))
		dst = appendString(dst, string(r.Fault))
		dst = appendString(dst, r.FaultCode)
	}
	for _, f := range numbers(r) {
		if r.Tells(f.has) {
			dst = appendNumber(dst, *f.value)
		}
	}
	if r.Tells(charge.HasSession) {
		dst = binary.AppendVarint(dst, r.Session)
	}
	if r.Tells(charge.HasOnline) {
		online := byte(0)
		if r.Online {
			online = 1
		}
		dst = append(dst, online)
	}
	switch r.Kind {
	case charge.KindAlarm:
		dst = appendString(dst, r.Level)
		dst = appendString(dst, r.Code)
		dst = appendString(dst, r.Text)
	case charge.KindOrder:
		dst = appendString(dst, r.Order)
		if r.Tells(charge.HasStart) {
			dst = binary.AppendVarint(dst, r.Start.UnixMilli())
		}
		if r.Tells(charge.HasEnd) {
			dst = binary.AppendVarint(dst, r.End.UnixMilli())
		}
	}
	return dst
}

type number struct {
	has   charge.Fields
	value *float64
}

func numbers(r *charge.Reading) [7]number {
	return [7]number{
		{charge.HasVoltage, &r.VoltageV},
		{charge.HasCurrent, &r.CurrentA},
		{charge.HasPower, &r.PowerKW},
		{charge.HasEnergy, &r.EnergyKWh},
		{charge.HasMeter, &r.MeterKWh},
		{charge.HasSoC, &r.SoCPct},
		{charge.HasTemp, &r.TempC},
	}
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// thousandths in a varint with a 0 in its lowest bit, or a 1 and the eight bytes of the float64.
func appendNumber(dst []byte, v float64) []byte {
	if n := math.Round(v * 1000); math.Abs(n) < 1<<52 && n/1000 == v && !(n == 0 && math.Signbit(v)) {
		return binary.AppendVarint(dst, int64(n)<<1)
	}
	dst = binary.AppendVarint(dst, 1)
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
}

// decodeBatch reads what appendHeader and appendReading wrote. It never panics and never
// allocates more than the record is long times a constant.
func decodeBatch(data []byte) (Batch, error) {
	if len(data) == 0 {
		return Batch{}, errTorn
	}
	if data[0] < liveVersion || data[0] > recordVersion {
		if data[0] > recordVersion && data[0] <= laterVersions {
			return Batch{}, newerRecord(data[0])
		}
		return Batch{}, fmt.Errorf("record of version %d, which nobody writes", data[0])
	}
	d := decoder{data: data[1:], text: string(data[1:]), ids: make(map[string]string, 8)}
	b := Batch{At: d.time(0), Backfill: data[0] == backfillVersion}
	if data[0] == movedVersion && d.err == nil {
		b.Moved = append([]byte{}, d.data...)
		return b, nil
	}
	for first := len(d.data); len(d.data) > 0 && d.err == nil; {
		b.Readings = append(b.Readings, charge.Reading{})
		d.reading(&b.Readings[len(b.Readings)-1])
		if len(b.Readings) == 1 { // the others will be about as long
			b.Readings = slices.Grow(b.Readings, min(len(d.data)/(first-len(d.data)), maxGuessed))
		}
	}
	if d.err != nil {
		return Batch{}, fmt.Errorf("decode reading %d: %w", len(b.Readings), d.err)
	}
	return b, nil
}

// maxGuessed bounds how many readings room is made for by a guess.
const maxGuessed = 512

// A decoder reads from data and keeps the first error; after one it only gives zeros.
type decoder struct {
	data []byte
	text string // of all of the record: one allocation for the names of all its piles
	err  error
	ids  map[string]string // one copy of each operator and code of the batch
}

func (d *decoder) reading(r *charge.Reading) {
	r.Kind = charge.Kind(d.byte())
	r.Has = charge.Fields(d.uvarint()) //nolint:gosec // bits beyond are of later versions
	r.Pile.Operator = charge.OperatorID(d.interned())
	r.Pile.Equipment = d.name()
	r.Connector = charge.ConnectorID(d.interned())
	received := d.varint()
	r.Received = time.UnixMilli(received).UTC()
	r.At = time.UnixMilli(received - d.varint()).UTC()
	if r.Tells(charge.HasSeq) {
		r.Seq = d.uvarint()
	}
	if r.Tells(charge.HasStatus) {
		r.Status = charge.Status(d.byte())
		r.Fault = charge.Fault(d.interned())
		r.FaultCode = d.string()
	}
	for _, f := range numbers(r) {
		if r.Tells(f.has) {
			*f.value = d.number()
		}
	}
	if r.Tells(charge.HasSession) {
		r.Session = d.varint()
	}
	if r.Tells(charge.HasOnline) {
		r.Online = d.byte() == 1
	}
	switch r.Kind {
	case charge.KindAlarm:
		r.Level, r.Code, r.Text = d.interned(), d.interned(), d.string()
	case charge.KindOrder:
		r.Order = d.string()
		if r.Tells(charge.HasStart) {
			r.Start = d.time(0)
		}
		if r.Tells(charge.HasEnd) {
			r.End = d.time(0)
		}
	}
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.fail(errTorn)
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.fail(errTorn)
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.data)
	if n <= 0 {
		d.fail(errTorn)
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) time(offset int64) time.Time { return time.UnixMilli(offset + d.varint()).UTC() }

func (d *decoder) number() float64 {
	n := d.varint()
	if n&1 == 0 {
		return float64(n>>1) / 1000
	}
	if len(d.data) < 8 {
		d.fail(errTorn)
		return 0
	}
	v := math.Float64frombits(binary.BigEndian.Uint64(d.data))
	d.data = d.data[8:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.data)) {
		d.fail(errTorn)
		return nil
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) string() string { return string(d.bytes()) }

// name is a string that nobody keeps for longer than its reading: it keeps the record's text.
func (d *decoder) name() string {
	b := d.bytes()
	end := len(d.text) - len(d.data)
	return d.text[end-len(b) : end]
}

func (d *decoder) interned() string {
	b := d.bytes()
	if len(b) == 0 {
		return ""
	}
	if s, ok := d.ids[string(b)]; ok {
		return s
	}
	s := string(b)
	d.ids[s] = s
	return s
}

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.data = err, nil
	}
}
