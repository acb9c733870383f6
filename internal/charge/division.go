package charge

import "fmt"

// A DivisionCode is the statistical code of a division: 2 digits for a province, 4 for a city,
// 6 for a county (GB/T 2260), 9 for a town, township or street (GB/T 10114). A child's code
// starts with its parent's.
type DivisionCode string

// A Level is the administrative level of a division.
type Level string

// The four levels.
const (
	Province Level = "province"
	City     Level = "city"
	County   Level = "county"
	Township Level = "township"
)

// Level tells the level by the length of the code; it is "" for a code of no valid length.
func (d DivisionCode) Level() Level {
	switch len(d) {
	case 2:
		return Province
	case 4:
		return City
	case 6:
		return County
	case 9:
		return Township
	}
	return ""
}

// Parent gives the code one level up, "" for a province.
func (d DivisionCode) Parent() DivisionCode {
	switch len(d) {
	case 4:
		return d[:2]
	case 6:
		return d[:4]
	case 9:
		return d[:6]
	}
	return ""
}

// Within tells whether d is outer or lies inside it.
func (d DivisionCode) Within(outer DivisionCode) bool {
	return len(d) >= len(outer) && d[:len(outer)] == outer
}

// ParseDivisionCode refuses anything but 2, 4, 6 or 9 digits.
func ParseDivisionCode(s string) (DivisionCode, error) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return "", fmt.Errorf("division %q: want 2, 4, 6 or 9 digits", s)
		}
	}
	d := DivisionCode(s)
	if d.Level() == "" {
		return "", fmt.Errorf("division %q: want 2, 4, 6 or 9 digits", s)
	}
	return d, nil
}

// A DivisionKind tells what a county-level or township-level division is. It is "" above counties.
type DivisionKind string

// Kinds of township-level divisions by the last three digits of their code (GB/T 10114: 001-099 street,
// 100-199 town, 200-399 township, 400-599 quasi-township), and of county-level ones.
const (
	KindStreet       DivisionKind = "street"   // 街道
	KindTown         DivisionKind = "town"     // 镇
	KindTownship     DivisionKind = "township" // 乡
	KindQuasi        DivisionKind = "quasi"    // development zones, farms and the like
	KindCounty       DivisionKind = "county"   // statutory county, county-level city or district
	KindZone         DivisionKind = "zone"     // functional zone (功能区), without an outline on the map
	KindUnclassified DivisionKind = ""
)

// A Division is a province, city, county or township-level unit.
type Division struct {
	Code   DivisionCode
	Name   string
	Level  Level
	Parent DivisionCode
	Kind   DivisionKind
}

// Counted tells whether the division is one of the towns and townships (乡镇) that the plan's
// "every township" goal counts: towns and townships, not streets nor quasi-townships.
func (d Division) Counted() bool {
	return d.Level == Township && (d.Kind == KindTown || d.Kind == KindTownship)
}
