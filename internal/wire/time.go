package wire

import "time"

// parseTime reads RFC 3339 with a zone, cut to milliseconds. It is false where the text is none, or
// of a year that has not four digits in UTC.
func parseTime(s []byte) (time.Time, bool) {
	if at, ok := usualTime(s); ok {
		return at, true
	}
	at, err := time.Parse(time.RFC3339Nano, string(s))
	if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 {
		return time.Time{}, false
	}
	return at.Truncate(time.Millisecond), true
}

// usualTime reads the form that nearly all piles write, 2025-03-09T11:59:57.250+08:00 with as many
// decimals as there are, in a quarter of the time that time.Parse takes. What it does not give may be
// a time all the same.
func usualTime(s []byte) (time.Time, bool) {
	const form = "2006-01-02T15:04:05"
	if len(s) < len(form)+1 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	century, year, month, day := twoDigits(s), twoDigits(s[2:]), twoDigits(s[5:]), twoDigits(s[8:])
	hour, minute, second := twoDigits(s[11:]), twoDigits(s[14:]), twoDigits(s[17:])
	if century < 19 || century > 98 || year > 99 || month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false
	}
	year += 100 * century
	if day > 28 && day > time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return time.Time{}, false
	}
	s = s[len(form):]
	ms := 0
	if s[0] == '.' {
		decimals := 1
		for weight := 100; decimals < len(s) && s[decimals]-'0' <= 9; decimals, weight = decimals+1, weight/10 {
			ms += int(s[decimals]-'0') * weight
		}
		if s = s[decimals:]; decimals == 1 {
			return time.Time{}, false
		}
	}
	offset := 0 // minutes
	switch {
	case len(s) == 1 && s[0] == 'Z':
	case len(s) == len("+08:00") && (s[0] == '+' || s[0] == '-') && s[3] == ':':
		hours, minutes := twoDigits(s[1:]), twoDigits(s[4:])
		if hours > 23 || minutes > 59 {
			return time.Time{}, false
		}
		if offset = hours*60 + minutes; s[0] == '-' {
			offset = -offset
		}
	default:
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, hour, minute-offset, second, ms*int(time.Millisecond), time.UTC), true
}

// twoDigits reads two digits; what is none gives a number beyond all that they can tell.
func twoDigits(s []byte) int {
	tens, ones := s[0]-'0', s[1]-'0'
	if tens > 9 || ones > 9 {
		return 100
	}
	return int(tens)*10 + int(ones)
}
