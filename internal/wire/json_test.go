package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// read makes of the next value what encoding/json makes of it.
func read(s *scanner) any {
	switch s.next() {
	case objectType:
		members := make(map[string]any)
		for first := true; s.more(first, '}'); first = false {
			name := string(s.key())
			members[name] = read(s)
		}
		return members
	case arrayType:
		elements := []any{}
		for first := true; s.more(first, ']'); first = false {
			elements = append(elements, read(s))
		}
		return elements
	case stringType:
		return string(s.text())
	case numberType:
		n := s.number()
		v, _ := n.float()
		return v
	case boolType:
		return s.bool()
	default:
		s.skip()
		return nil
	}
}

// What is JSON, and what it says, is what encoding/json says too.
func FuzzScanner(f *testing.F) {
	for _, text := range []string{
		``, ` `, "\x00", `{}`, `[]`, `[`, `{`, `]`, `[1,]`, `[,1]`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{,}`, `{"a":1 "b":2}`, `[1 2]`, `{} {}`, `{}x`, `[]]`,
		`"`, `"a`, `"\`, `"\u12`, `"\u12G4"`, `"\x"`, "\"\t\"", `"\ud83d\ude00"`, `"\ud83d!"`, `"\ud83d\n"`, `"\ude00\ud83d\ud83d\ude00"`, `"\"\\\/\b\f\n\r\t\u00e9"`, `"é枪"`,
		`-`, `-0`, `0`, `00`, `01`, `-01`, `1.`, `.1`, `1.5`, `1e`, `1e+`, `1E-7`, `1e999`, `1.0e5`, `+1`, `0x1`, `1_0`, `123456789012345678901234567890.5`, `9007199254740993`, `0.1`,
		`tru`, `true`, `false`, `falsey`, `nul`, `null`, `nulll`, `[true,false,null]`, `{"a":{"a":[{"b":"c"}]},"a":2}`, "\n[ 1 ,\t2 ]\r",
		strings.Repeat("[", 9999) + strings.Repeat("]", 9999), strings.Repeat("[", 10001) + strings.Repeat("]", 10001),
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			t.Skip("Decode lets nothing else come here")
		}
		skipped := scanner{data: []byte(text)}
		skipped.skip()
		if got, want := skipped.ended(), json.Valid([]byte(text)); got != want {
			t.Fatalf("%.200q is JSON: got %t, want %t", text, got, want)
		}
		var want any
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			return // a number that no float64 holds
		}
		s := scanner{data: []byte(text)}
		if got := read(&s); !reflect.DeepEqual(got, want) || !s.ended() {
			t.Errorf("read %.200q: got %.200v, to its end %t, want %.200v", text, got, s.ended(), want)
		}
	})
}

// Whatever is a time in RFC 3339 is the same time as time.Parse reads, in the usual form and in others.
func TestTimesReadAsTheyAreWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		two := func(most int, name string) int { return rapid.IntRange(0, most).Draw(t, name) }
		text := fmt.Sprintf("%04d-%02d-%02d%s%02d:%02d:%02d%s%s", rapid.SampledFrom([]int{1, 1899, 1900, 2023, 2024, 2025, 2100, 9898, 9999}).Draw(t, "year"),
			two(13, "month"), two(32, "day"), rapid.SampledFrom([]string{"T", "T", "T", "t", " "}).Draw(t, "between"), two(25, "hour"), two(61, "minute"), two(61, "second"),
			rapid.SampledFrom([]string{"", ".0", ".25", ".250", ".999999999", ".1234567891234", ".", ",5"}).Draw(t, "fraction"),
			rapid.SampledFrom([]string{"Z", "+08:00", "-11:30", "+00:00", "-00:00", "+23:59", "+24:00", "+08:60", "+0800", "+8", "z", ""}).Draw(t, "zone"))
		want, err := time.Parse(time.RFC3339Nano, text)
		want = want.UTC()
		got, ok := parseTime([]byte(text))
		if wantOK := err == nil && want.Year() >= 1 && want.Year() <= 9999; ok != wantOK {
			t.Fatalf("parseTime(%q): got %t, want %t (%v)", text, ok, wantOK, err)
		}
		if ok && got != want.Truncate(time.Millisecond) {
			t.Errorf("parseTime(%q): got %s, want %s cut to milliseconds", text, got, want)
		}
	})
}
