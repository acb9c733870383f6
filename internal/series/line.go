package series

import (
	"math"
	"strconv"

	"pilewatch/internal/charge"
)

// appendLine writes a reading as a line of InfluxDB's line protocol, with its time in milliseconds.
// Names of operators, piles and connectors have no signs that it escapes (unfit sees to that), nor
// have ours: so only texts are looked through, which a general encoder does with each of 14 names.
func appendLine(dst []byte, r *charge.Reading) []byte {
	dst = append(dst, Measurement+",connector="...) // tags in order of their names, as InfluxDB keeps them
	dst = append(dst, r.Connector...)
	dst = append(dst, ",kind="...)
	dst = append(dst, r.Kind.String()...)
	dst = append(dst, ",operator="...)
	dst = append(dst, r.Pile.Operator...)
	dst = append(dst, ",pile="...)
	dst = append(dst, r.Pile.Equipment...)
	fields := len(dst)
	if r.Tells(charge.HasStatus) {
		dst = appendWhole(dst, "status", int64(r.Status))
	}
	for i := range numbers {
		if v := numbers[i].of(r); r.Tells(numbers[i].has) && !math.IsNaN(v) && !math.IsInf(v, 0) {
			dst = appendDecimal(appendName(dst, numbers[i].name), v)
		}
	}
	if r.Tells(charge.HasSeq) {
		dst = appendWhole(dst, "seq", seqOf(r))
	}
	if m := moreOf(r); m != (more{}) {
		dst = appendMore(dst, m)
	}
	if len(dst) > fields {
		dst[fields] = ' ' // before the first one
	}
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, r.At.UnixMilli(), 10)
	return append(dst, '\n')
}

func appendName(dst []byte, name string) []byte {
	dst = append(dst, ',')
	dst = append(dst, name...)
	return append(dst, '=')
}

func appendWhole(dst []byte, name string, v int64) []byte {
	return append(strconv.AppendInt(appendName(dst, name), v, 10), 'i')
}

func appendMore(dst []byte, m more) []byte {
	for _, f := range moreFields {
		if s := *f.text(&m); s != "" {
			dst = appendQuoted(appendName(dst, f.name), s)
		}
	}
	if m.StartMS != 0 {
		dst = appendWhole(dst, "start_ms", m.StartMS)
	}
	if m.EndMS != 0 {
		dst = appendWhole(dst, "end_ms", m.EndMS)
	}
	return dst
}

// appendDecimal writes v so that it reads back as v. Nearly all that a meter sends has at most three
// decimals, and then whole thousandths are written in a third of the time.
func appendDecimal(dst []byte, v float64) []byte {
	n := math.Round(v * 1000)
	if math.Abs(n) >= 1e15 || n/1000 != v || n == 0 { // 15 digits tell every float64 from its neighbours; 0 may be -0
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	}
	thousandths := int64(n)
	if thousandths < 0 {
		dst, thousandths = append(dst, '-'), -thousandths
	}
	dst = strconv.AppendInt(dst, thousandths/1000, 10)
	if rest := thousandths % 1000; rest != 0 {
		dst = append(dst, '.', byte('0'+rest/100))
		if rest %= 100; rest != 0 {
			dst = append(dst, byte('0'+rest/10))
			if rest %= 10; rest != 0 {
				dst = append(dst, byte('0'+rest))
			}
		}
	}
	return dst
}

// appendQuoted writes a text, which has no line breaks: oneLine sees to that.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}
