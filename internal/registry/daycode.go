package registry

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"pilewatch/internal/charge"
)

// A monthOfDays is the days of a connector or pile in one month, by the day of the month less one.
type monthOfDays struct {
	present, frozen uint32 // bits by day
	days            [31]charge.DayMinutes
}

// dayVersion is the first byte of a packed month.
const dayVersion = 1

// errDays says that a packed month is not one of ours.
var errDays = errors.New("packed days are damaged")

// A packed month is the version, the days that are there and those that are frozen as bits in 4 bytes
// each, and for each day a mask of its numbers that are not as expected, each as a varint; of an
// ordinary day only its energy and sessions are. A day that is as the one before it is the mask 1.
const (
	sameDay = 1 << iota
	hasEnergy
	hasSessions
	hasClosed // minutes out of service
	hasOut
	hasUnknown
	hasExcused
	hasFault
	hasHeard // against what was told: usable and out
	hasBlocked
	hasFirst // breaks, against all that is neither usable nor excused
	hasLongest
	hasLast
)

const minutesADay = 24 * 60

// columns gives a day's numbers in the order of their mask bits, as they are packed.
func dayColumns(d *charge.DayMinutes) [12]int64 {
	lost := int64(d.Out) + int64(d.Unknown)
	return [12]int64{
		int64(d.EnergyWh), int64(d.Sessions), minutesADay - int64(d.InService()), int64(d.Out), int64(d.Unknown), int64(d.Excused),
		int64(d.Fault), int64(d.Heard) - int64(d.Usable) - int64(d.Out), int64(d.Blocked),
		int64(d.BreakFirst) - lost, int64(d.BreakLongest) - lost, int64(d.BreakLast) - lost,
	}
}

func dayOfColumns(c [12]int64) (d charge.DayMinutes, err error) {
	u16 := func(v int64) uint16 {
		if v < 0 || v > math.MaxUint16 {
			err = errDays
			return 0
		}
		return uint16(v)
	}
	for _, v := range c {
		if v < -math.MaxUint32 || v > math.MaxUint32 {
			return d, errDays
		}
	}
	if c[0] < 0 || c[1] < 0 || c[1] > math.MaxUint8 {
		return d, errDays
	}
	d.EnergyWh, d.Sessions = uint32(c[0]), uint8(c[1]) //nolint:gosec // checked above
	d.Out, d.Unknown, d.Excused = u16(c[3]), u16(c[4]), u16(c[5])
	lost := c[3] + c[4]
	d.Usable = u16(minutesADay - c[2] - lost - c[5])
	d.Fault, d.Heard, d.Blocked = u16(c[6]), u16(c[7]+int64(d.Usable)+c[3]), u16(c[8])
	d.BreakFirst, d.BreakLongest, d.BreakLast = u16(c[9]+lost), u16(c[10]+lost), u16(c[11]+lost)
	return d, err
}

func (m *monthOfDays) encode() []byte {
	b := make([]byte, 9, 9+31*3)
	b[0] = dayVersion
	binary.LittleEndian.PutUint32(b[1:], m.present)
	binary.LittleEndian.PutUint32(b[5:], m.frozen)
	var before charge.DayMinutes
	for i := range m.days {
		if m.present&(1<<i) == 0 {
			continue
		}
		d := m.days[i]
		if d == before {
			b = append(b, sameDay)
			continue
		}
		before = d
		columns := dayColumns(&d)
		var mask uint64
		for bit, v := range columns {
			if v != 0 {
				mask |= hasEnergy << bit
			}
		}
		b = binary.AppendUvarint(b, mask)
		for _, v := range columns {
			if v != 0 {
				b = binary.AppendVarint(b, v)
			}
		}
	}
	return b
}

func decodeMonth(b []byte) (*monthOfDays, error) {
	if len(b) < 9 {
		return nil, errDays
	}
	if b[0] != dayVersion {
		return nil, fmt.Errorf("packed days have version %d, where we know %d: a newer program wrote them", b[0], dayVersion)
	}
	m := &monthOfDays{present: binary.LittleEndian.Uint32(b[1:]), frozen: binary.LittleEndian.Uint32(b[5:])}
	if (m.present|m.frozen)>>31 != 0 || m.frozen&^m.present != 0 {
		return nil, errDays
	}
	b = b[9:]
	var before charge.DayMinutes
	for i := range m.days {
		if m.present&(1<<i) == 0 {
			continue
		}
		mask, n := binary.Uvarint(b)
		if n <= 0 || mask >= hasLast<<1 || mask&sameDay != 0 && mask != sameDay {
			return nil, errDays
		}
		b = b[n:]
		if mask == sameDay {
			m.days[i] = before
			continue
		}
		var columns [12]int64
		for bit := range columns {
			if mask&(hasEnergy<<bit) == 0 {
				continue
			}
			if columns[bit], n = binary.Varint(b); n <= 0 {
				return nil, errDays
			}
			b = b[n:]
		}
		d, err := dayOfColumns(columns)
		if err != nil {
			return nil, err
		}
		m.days[i], before = d, d
	}
	if len(b) != 0 {
		return nil, errDays
	}
	return m, nil
}
