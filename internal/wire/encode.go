package wire

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"pilewatch/internal/charge"
)

// Encode appends r as one JSON object of the form that Decode reads, with the fields that r
// tells. withPile adds the pile's name, for topics whose pile level is Many.
func Encode(dst []byte, r *charge.Reading, withPile bool) []byte {
	dst = append(dst, '{')
	if withPile {
		dst = appendText(dst, "pile", r.Pile.Equipment)
	}
	if r.Connector != "" {
		dst = appendText(dst, "connector", string(r.Connector))
	}
	dst = appendKey(dst, "time")
	dst = append(dst, '"')
	dst = r.At.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	dst = append(dst, '"')
	if r.Tells(charge.HasSeq) {
		dst = strconv.AppendUint(appendKey(dst, "seq"), r.Seq, 10)
	}
	if r.Tells(charge.HasStatus) {
		dst = strconv.AppendUint(appendKey(dst, "status"), uint64(r.Status), 10)
		if r.Kind == charge.KindStatus && r.Status == charge.Faulted {
			code := r.FaultCode
			if code == "" {
				code = string(r.Fault)
			}
			dst = appendText(dst, "fault", code)
		}
	}
	for _, f := range [...]struct {
		has   charge.Fields
		key   string
		value float64
	}{
		{charge.HasVoltage, "voltage_v", r.VoltageV},
		{charge.HasCurrent, "current_a", r.CurrentA},
		{charge.HasPower, "power_kw", r.PowerKW},
		{charge.HasEnergy, "energy_kwh", r.EnergyKWh},
		{charge.HasMeter, "meter_kwh", r.MeterKWh},
		{charge.HasSoC, "soc_pct", r.SoCPct},
		{charge.HasTemp, "temp_c", r.TempC},
	} {
		if r.Tells(f.has) {
			dst = strconv.AppendFloat(appendKey(dst, f.key), f.value, 'f', -1, 64)
		}
	}
	switch r.Kind {
	case charge.KindAlarm:
		dst = appendText(dst, "level", r.Level)
		dst = appendText(dst, "code", r.Code)
		dst = appendText(dst, "text", r.Text)
	case charge.KindOrder:
		dst = appendText(dst, "order", r.Order)
		if r.Tells(charge.HasStart) {
			dst = appendText(dst, "start", r.Start.UTC().Format(time.RFC3339Nano))
		}
		if r.Tells(charge.HasEnd) {
			dst = appendText(dst, "end", r.End.UTC().Format(time.RFC3339Nano))
		}
	case charge.KindHeartbeat:
		if r.Tells(charge.HasSession) {
			dst = strconv.AppendInt(appendKey(dst, "session"), r.Session, 10)
		}
		if r.Tells(charge.HasOnline) {
			dst = strconv.AppendBool(appendKey(dst, "online"), r.Online)
		}
	}
	return append(dst, '}')
}

func appendKey(dst []byte, key string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(dst, '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

func appendText(dst []byte, key, value string) []byte {
	return jsonString(appendKey(dst, key), value)
}

func jsonString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, _ := json.Marshal(s) // of a string it cannot fail; what is no UTF-8 becomes U+FFFD
			return append(dst, text...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
