package wire

import (
	"bytes"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// mostNested bounds how deep objects and arrays lie in each other (RFC 8259, section 9, allows a limit).
const mostNested = 10_000

// A scanner walks once over a JSON text (RFC 8259) and checks it on the way: what it gives is right
// only when all of the text turns out to be JSON, which it tells at the end. The text must be UTF-8.
// After the first fault it is at the end of the text and gives zeros.
type scanner struct {
	data   []byte
	at     int
	nested int
	bad    bool
	plain  []byte // the last string that had escapes, without them
}

// A jsonType is what a value is, by its first byte; its text is for people.
type jsonType string

const (
	invalidType jsonType = "invalid"
	stringType  jsonType = "string"
	numberType  jsonType = "number"
	nullType    jsonType = "null"
	boolType    jsonType = "bool"
	arrayType   jsonType = "array"
	objectType  jsonType = "object"
)

func (s *scanner) fail() { s.bad, s.at = true, len(s.data) }

// ended tells, when the value has been read, whether all of the text was JSON.
func (s *scanner) ended() bool { return s.peek() == 0 && s.at == len(s.data) && !s.bad }

// peek gives the next byte that is no white space, 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// eat takes one byte that has to come next.
func (s *scanner) eat(want byte) bool {
	if s.peek() != want {
		s.fail()
		return false
	}
	s.at++
	return true
}

// next tells of which type the value is that comes next.
func (s *scanner) next() jsonType {
	switch c := s.peek(); c {
	case '"':
		return stringType
	case '{':
		return objectType
	case '[':
		return arrayType
	case 't', 'f':
		return boolType
	case 'n':
		return nullType
	default:
		if c == '-' || c >= '0' && c <= '9' {
			return numberType
		}
		return invalidType
	}
}

// more begins (first) or goes on with an object or array that ends with this bracket, and tells
// whether something comes in it.
func (s *scanner) more(first bool, end byte) bool {
	c := s.peek()
	switch {
	case first:
		if s.nested++; s.nested > mostNested {
			s.fail()
			return false
		}
		s.at++ // the opening bracket
		if s.peek() != end {
			return true // at the end of the text, what is asked for next fails
		}
	case c == ',':
		s.at++
		return true
	case c != end:
		s.fail()
		return false
	}
	s.at++
	s.nested--
	return false
}

// key reads the name of an object's member, up to its value.
func (s *scanner) key() []byte {
	name := s.text()
	s.eat(':')
	return name
}

// text reads a string. It gives bytes that the next string overwrites.
func (s *scanner) text() []byte {
	if !s.eat('"') {
		return nil
	}
	start := s.at
	for i, c := range s.data[start:] {
		switch {
		case c == '"':
			s.at = start + i + 1
			return s.data[start : start+i]
		case c == '\\':
			s.at = start + i
			s.plain = append(s.plain[:0], s.data[start:s.at]...)
			return s.escaped()
		case c < ' ':
			s.fail()
			return nil
		}
	}
	s.fail()
	return nil
}

// escaped reads the rest of a string that has escapes.
func (s *scanner) escaped() []byte {
	for s.at < len(s.data) {
		c := s.data[s.at]
		s.at++
		switch {
		case c == '"':
			return s.plain
		case c < ' ':
			s.fail()
		case c == '\\':
			s.escape()
		default:
			s.plain = append(s.plain, c)
		}
	}
	s.fail()
	return nil
}

// What may follow a backslash, and what it stands for.
const escapes, escapeds = `"\/bfnrt`, "\"\\/\b\f\n\r\t"

// escape reads what follows a backslash. Half a surrogate pair is U+FFFD.
func (s *scanner) escape() {
	if s.at == len(s.data) {
		s.fail()
		return
	}
	c := s.data[s.at]
	s.at++
	if i := bytes.IndexByte([]byte(escapes), c); i >= 0 {
		s.plain = append(s.plain, escapeds[i])
		return
	}
	if c != 'u' {
		s.fail()
		return
	}
	r := s.hex()
	for utf16.IsSurrogate(r) {
		if !bytes.HasPrefix(s.data[s.at:], []byte(`\u`)) {
			break
		}
		s.at += 2
		low := s.hex()
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			r = pair
			break
		}
		s.plain = utf8.AppendRune(s.plain, utf8.RuneError)
		r = low
	}
	s.plain = utf8.AppendRune(s.plain, r)
}

// hex reads the four digits of a \u.
func (s *scanner) hex() rune {
	if len(s.data)-s.at < 4 {
		s.fail()
		return 0
	}
	v, err := strconv.ParseUint(string(s.data[s.at:s.at+4]), 16, 16)
	if err != nil {
		s.fail()
		return 0
	}
	s.at += 4
	return rune(v)
}

// A number is one of JSON (RFC 8259, section 6), of any size.
type number struct {
	text     []byte // as it was written
	negative bool
	digits   uint64 // its digits as one whole number, of which the last decimals stand after the point
	decimals int
	simple   bool // digits and decimals tell all of it: it has 18 digits at most, and no exponent
}

const mostDigits = 18 // that any uint64 holds, and any int64

func (s *scanner) number() number {
	s.peek()
	start := s.at
	n := number{negative: s.sign('-')}
	first := s.at
	whole := s.digits(&n)
	if whole > 1 && s.data[first] == '0' {
		s.fail() // no number begins so
	}
	if s.sign('.') {
		n.decimals = s.digits(&n)
	}
	n.simple = whole+n.decimals <= mostDigits
	if s.sign('e') || s.sign('E') {
		if !s.sign('+') {
			s.sign('-')
		}
		s.digits(&n)
		n.simple = false
	}
	if s.bad {
		return number{}
	}
	n.text = s.data[start:s.at]
	return n
}

// digits takes one digit or more, adds them to the number and tells how many they are.
func (s *scanner) digits(n *number) int {
	start, at, value := s.at, s.at, n.digits
	for ; at < len(s.data); at++ {
		d := s.data[at] - '0'
		if d > 9 {
			break
		}
		value = value*10 + uint64(d)
	}
	if at == start {
		s.fail()
		return 0
	}
	s.at, n.digits = at, value
	return at - start
}

// sign takes the byte c if it comes next, at once.
func (s *scanner) sign(c byte) bool {
	if s.at < len(s.data) && s.data[s.at] == c {
		s.at++
		return true
	}
	return false
}

// Powers of ten that a float64 holds exactly, as far as they are needed.
var tens = [mostDigits + 1]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// float gives the nearest float64, and whether there is one.
func (n *number) float() (float64, bool) {
	if n.simple && n.digits < 1<<53 { // both are exact then, and their quotient is rounded once
		v := float64(n.digits) / tens[n.decimals]
		if n.negative {
			v = -v
		}
		return v, true
	}
	v, err := strconv.ParseFloat(string(n.text), 64)
	return v, err == nil
}

// integer gives a whole number, which may be written with a fraction of zeros but not with an
// exponent, and whether it is one that has at most 63 bits.
func (n *number) integer() (int64, bool) {
	if n.simple && n.decimals == 0 {
		v := int64(n.digits) //nolint:gosec // of 18 digits
		if n.negative {
			v = -v
		}
		return v, true
	}
	whole, fraction, _ := bytes.Cut(n.text, []byte("."))
	if slices.ContainsFunc(fraction, func(c byte) bool { return c != '0' }) {
		return 0, false
	}
	v, err := strconv.ParseInt(string(whole), 10, 64)
	return v, err == nil
}

// word takes a literal that has to come next.
func (s *scanner) word(want string) {
	if !bytes.HasPrefix(s.data[s.at:], []byte(want)) {
		s.fail()
		return
	}
	s.at += len(want)
}

// bool reads true or false.
func (s *scanner) bool() bool {
	if s.peek() == 't' {
		s.word("true")
		return !s.bad
	}
	s.word("false")
	return false
}

// skip leaves a value out.
func (s *scanner) skip() {
	switch s.next() {
	case stringType:
		s.text()
	case numberType:
		s.number()
	case boolType:
		s.bool()
	case nullType:
		s.word("null")
	case arrayType:
		for first := true; s.more(first, ']'); first = false {
			s.skip()
		}
	case objectType:
		for first := true; s.more(first, '}'); first = false {
			s.key()
			s.skip()
		}
	default:
		s.fail()
	}
}
