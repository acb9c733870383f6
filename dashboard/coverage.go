package dashboard

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
)

// A tier is the set of township-level divisions that a figure counts.
type tier int

const (
	tierTowns   tier = iota // 乡镇, the plan's denominator
	tierStreets             // 街道
	tierAll                 // every township-level division, zones' own ones too
	tiers
)

var tierNames = [tiers]string{"towns", "streets", "all"}

var denominators = [tiers]string{"towns and townships (乡镇)", "streets (街道)", "all township-level divisions (乡级区划)"}

// parseTier knows "towns" (also ""), "streets" and "all".
func parseTier(s string) (tier, bool) {
	if s == "" {
		return tierTowns, true
	}
	i := slices.Index(tierNames[:], s)
	return tier(i), i >= 0
}

// tiersOf tells in which tiers a township counts.
func tiersOf(d charge.Division) [tiers]bool {
	return [tiers]bool{tierTowns: d.Counted(), tierStreets: d.Kind == charge.KindStreet, tierAll: true}
}

// sums are the figures of a division. They are whole numbers, power in watts too, so that adding
// and taking away never drifts and a parent is exactly the sum of its children.
type sums struct {
	total, effective, failing, unverified, starting, none, notObserved, proven int
	stations, connectors, online, usable, charging, fault                      int
	powerW                                                                     int64
}

func (s *sums) add(o *sums, sign int) {
	s.total += sign * o.total
	s.effective += sign * o.effective
	s.failing += sign * o.failing
	s.unverified += sign * o.unverified
	s.starting += sign * o.starting
	s.none += sign * o.none
	s.notObserved += sign * o.notObserved
	s.proven += sign * o.proven
	s.stations += sign * o.stations
	s.connectors += sign * o.connectors
	s.online += sign * o.online
	s.usable += sign * o.usable
	s.charging += sign * o.charging
	s.fault += sign * o.fault
	s.powerW += int64(sign) * o.powerW
}

// sumsOf is one township as figures.
func sumsOf(t *charge.TownshipState) sums {
	s := sums{
		total: 1, stations: t.Stations, connectors: t.Connectors, online: t.Online, usable: t.Usable,
		charging: t.Charging, fault: t.Fault, powerW: int64(math.Round(t.PowerKW * 1000)),
	}
	switch t.State {
	case charge.Effective:
		s.effective = 1
	case charge.Failing:
		s.failing = 1
	case charge.Unverified:
		s.unverified = 1
	case charge.Starting:
		s.starting = 1
	default:
		s.none = 1
	}
	if t.NotObserved {
		s.notObserved = 1
	}
	if t.Proven {
		s.proven = 1
	}
	return s
}

// A place is a division with its figures.
type place struct {
	division charge.Division
	parent   *place
	children []*place // by code
	sums     [tiers]sums
	state    charge.TownshipState // of a township
	version  uint64               // of the last change in it
}

// coverage is what is known of every division now. It is safe for concurrent use.
type coverage struct {
	mu            sync.RWMutex
	divisions     []charge.Division
	places        map[charge.DivisionCode]*place
	townships     []*place // by code
	states        map[charge.DivisionCode]charge.TownshipState
	divisionsAsOf string
	loaded        bool
	version       uint64    // last sequence of CHANGES that is in
	base          uint64    // deltas since a version below this one cannot be told
	edition       uint64    // grows with all that a list of townships may show
	asOf          time.Time // the log's time of the last change
}

func newCoverage() *coverage {
	return &coverage{places: map[charge.DivisionCode]*place{}, states: map[charge.DivisionCode]charge.TownshipState{}}
}

// load replaces all states by those that hold at version of CHANGES.
func (c *coverage) load(version uint64, states []charge.TownshipState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.states)
	for _, s := range states {
		c.states[s.Township] = s
	}
	c.version, c.base, c.loaded = version, version, true
	c.edition++
	c.sumUp()
}

// setDivisions builds the tree anew where it is another one than before, and tells whether it did.
// It keeps divisions and does not change them.
func (c *coverage) setDivisions(divisions []charge.Division, asOf string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.divisionsAsOf == asOf && slices.Equal(c.divisions, divisions) {
		return false
	}
	c.divisions, c.divisionsAsOf = divisions, asOf
	c.places = make(map[charge.DivisionCode]*place, len(divisions))
	c.townships = nil
	for _, d := range divisions {
		c.places[d.Code] = &place{division: d}
	}
	for _, p := range c.places {
		if p.parent = c.places[p.division.Parent]; p.parent != nil {
			p.parent.children = append(p.parent.children, p)
		}
		if p.division.Level == charge.Township {
			c.townships = append(c.townships, p)
		}
	}
	byCode := func(a, b *place) int { return cmp.Compare(a.division.Code, b.division.Code) }
	slices.SortFunc(c.townships, byCode)
	for _, p := range c.places {
		slices.SortFunc(p.children, byCode)
	}
	c.base = c.version + 1 // whoever has seen the old tree needs a snapshot
	c.edition++
	c.sumUp()
	return true
}

// sumUp computes every place's figures from the states.
func (c *coverage) sumUp() {
	for _, p := range c.places {
		p.sums = [tiers]sums{}
	}
	for _, p := range c.townships {
		p.state = c.stateOf(p.division.Code)
		c.count(p, 1)
	}
}

// stateOf gives what health has told of a township; of one that it has not told of, that nothing is there.
func (c *coverage) stateOf(code charge.DivisionCode) charge.TownshipState {
	if s, ok := c.states[code]; ok {
		return s
	}
	return charge.TownshipState{Township: code, State: charge.None, Reason: "no_station"}
}

func (c *coverage) count(township *place, sign int) {
	s := sumsOf(&township.state)
	in := tiersOf(township.division)
	for p := township; p != nil; p = p.parent {
		for t := range tiers {
			if in[t] {
				p.sums[t].add(&s, sign)
			}
		}
	}
}

// apply takes one message of CHANGES in and tells which townships are different from before.
func (c *coverage) apply(seq uint64, change *journal.Change) (changed []charge.DivisionCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq <= c.version {
		return nil
	}
	c.version = seq
	if change.At.After(c.asOf) {
		c.asOf = change.At
	}
	for _, s := range change.Townships {
		before, known := c.states[s.Township]
		if known && same(&before, &s) {
			continue
		}
		c.states[s.Township] = s
		p := c.places[s.Township]
		if p == nil || p.division.Level != charge.Township {
			continue // a division that has not been loaded yet
		}
		c.count(p, -1)
		p.state = s
		c.count(p, 1)
		for at := p; at != nil; at = at.parent {
			at.version = seq
		}
		changed = append(changed, s.Township)
	}
	if len(changed) > 0 {
		c.edition++
	}
	return changed
}

// same compares two states; times by the moment, not by how they are kept.
func same(a, b *charge.TownshipState) bool {
	x, y := *a, *b
	if !x.Since.Equal(y.Since) || !x.LastUsable.Equal(y.LastUsable) {
		return false
	}
	x.Since, x.LastUsable = y.Since, y.LastUsable
	return x == y
}

// seen takes note of a change that load has already brought in.
func (c *coverage) seen(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.After(c.asOf) {
		c.asOf = at
	}
}

// now tells the version, the log's time and whether there is anything to show yet.
func (c *coverage) now() (version uint64, asOf time.Time, loaded bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.version, c.asOf, c.loaded
}

// editionNow is the same as long as every list of townships is.
func (c *coverage) editionNow() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.edition
}

type connectorCounts struct {
	Public   int     `json:"public"`
	Online   int     `json:"online"`
	Usable   int     `json:"usable"`
	Charging int     `json:"charging"`
	Fault    int     `json:"fault"`
	PowerKW  float64 `json:"power_kw"`
}

type counts struct {
	Total       int             `json:"total"`
	Nominal     int             `json:"nominal"`
	Effective   int             `json:"effective"`
	Failing     int             `json:"failing"`
	Unverified  int             `json:"unverified"`
	Starting    int             `json:"starting"`
	None        int             `json:"none"`
	Paper       int             `json:"paper"`
	NotObserved int             `json:"not_observed"`
	Proven      int             `json:"proven"`
	Stations    int             `json:"stations"`
	Connectors  connectorCounts `json:"connectors"`
}

func (s *sums) view() counts {
	return counts{
		Total: s.total, Nominal: s.total - s.none, Effective: s.effective, Failing: s.failing, Unverified: s.unverified,
		Starting: s.starting, None: s.none, Paper: s.failing + s.unverified, NotObserved: s.notObserved, Proven: s.proven, Stations: s.stations,
		Connectors: connectorCounts{
			Public: s.connectors, Online: s.online, Usable: s.usable, Charging: s.charging, Fault: s.fault,
			PowerKW: float64(s.powerW) / 1000,
		},
	}
}

// A coverageChild is one of a division's children; of a township also why it counts as it does.
type coverageChild struct {
	Division charge.DivisionCode `json:"division"`
	Name     string              `json:"name"`
	Level    charge.Level        `json:"level"`
	Kind     charge.DivisionKind `json:"kind"`
	counts
	State  charge.CoverageState `json:"state,omitempty"`
	Since  *time.Time           `json:"since,omitempty"`
	Reason string               `json:"reason,omitempty"`
}

// A coverageView is the answer of /coverage, and a topic's data; in a delta children are only those
// that changed, each whole.
type coverageView struct {
	Division    charge.DivisionCode `json:"division"`
	Name        string              `json:"name"`
	Level       charge.Level        `json:"level"`
	Denominator string              `json:"denominator"`
	Tier        string              `json:"tier"`
	counts
	AsOf          *time.Time      `json:"as_of"`
	DivisionsAsOf string          `json:"divisions_as_of"`
	Version       uint64          `json:"version"`
	Children      []coverageChild `json:"children"`
}

// view shows a division with those of its children for which want is true.
func (c *coverage) view(code charge.DivisionCode, t tier, want func(*place) bool) (coverageView, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.viewLocked(code, t, want)
}

func (c *coverage) viewLocked(code charge.DivisionCode, t tier, want func(*place) bool) (coverageView, bool) {
	p := c.places[code]
	if p == nil {
		return coverageView{}, false
	}
	v := coverageView{
		Division: code, Name: p.division.Name, Level: p.division.Level, Denominator: denominators[t], Tier: tierNames[t],
		counts: p.sums[t].view(), AsOf: orNull(c.asOf), DivisionsAsOf: c.divisionsAsOf, Version: c.version,
		Children: []coverageChild{},
	}
	for _, child := range p.children {
		if child.division.Level == charge.Township && !tiersOf(child.division)[t] || !want(child) {
			continue
		}
		d := child.division
		row := coverageChild{Division: d.Code, Name: d.Name, Level: d.Level, Kind: d.Kind, counts: child.sums[t].view()}
		if d.Level == charge.Township {
			row.State, row.Since, row.Reason = child.state.State, orNull(child.state.Since), child.state.Reason
		}
		v.Children = append(v.Children, row)
	}
	return v, true
}

func every(*place) bool { return true }

// since shows what changed after version; ok is false where that cannot be told.
func (c *coverage) since(code charge.DivisionCode, t tier, version uint64) (v coverageView, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if version < c.base || version > c.version {
		return coverageView{}, false
	}
	return c.viewLocked(code, t, func(p *place) bool { return p.version > version })
}

// has tells whether a division is known.
func (c *coverage) has(code charge.DivisionCode) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.places[code] != nil
}

// A townshipView is one row of /townships.
type townshipView struct {
	Division    charge.DivisionCode  `json:"division"`
	Name        string               `json:"name"`
	County      string               `json:"county"`
	City        string               `json:"city"`
	Kind        charge.DivisionKind  `json:"kind"`
	Counted     bool                 `json:"counted"` // one of the 乡镇
	State       charge.CoverageState `json:"state"`
	Since       *time.Time           `json:"since"`
	Reason      string               `json:"reason"`
	NotObserved bool                 `json:"not_observed"`
	Proven      bool                 `json:"proven"`
	Stations    int                  `json:"stations"`
	Connectors  int                  `json:"connectors"`
	Usable      int                  `json:"usable"`
	Online      int                  `json:"online"`
	Charging    int                  `json:"charging"`
	Fault       int                  `json:"fault"`
	PowerKW     float64              `json:"power_kw"`
	LastUsable  *time.Time           `json:"last_usable"`
	Priority    *priorityView        `json:"priority,omitempty"` // of a list by priority
}

// list shows the townships within a division that want lets pass, by code.
func (c *coverage) list(within charge.DivisionCode, t tier, want func(charge.CoverageState) bool) []townshipView {
	c.mu.RLock()
	defer c.mu.RUnlock()
	rows := []townshipView{}
	from, _ := slices.BinarySearchFunc(c.townships, within, func(p *place, code charge.DivisionCode) int {
		return cmp.Compare(p.division.Code, code)
	})
	for _, p := range c.townships[from:] {
		if !p.division.Code.Within(within) {
			break
		}
		if !tiersOf(p.division)[t] || !want(p.state.State) {
			continue
		}
		s := &p.state
		row := townshipView{
			Division: p.division.Code, Name: p.division.Name, Kind: p.division.Kind, Counted: p.division.Counted(),
			State: s.State, Since: orNull(s.Since), Reason: s.Reason, NotObserved: s.NotObserved, Proven: s.Proven, Stations: s.Stations,
			Connectors: s.Connectors, Usable: s.Usable, Online: s.Online, Charging: s.Charging, Fault: s.Fault,
			PowerKW: s.PowerKW, LastUsable: orNull(s.LastUsable),
		}
		if p.parent != nil {
			row.County = p.parent.division.Name
			if p.parent.parent != nil {
				row.City = p.parent.parent.division.Name
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// An eventView is an event with the names of its place.
type eventView struct {
	charge.Event
	TownshipName string `json:"township_name"`
	CountyName   string `json:"county_name"`
	CityName     string `json:"city_name"`
}

// named puts the names of places to events.
func (c *coverage) named(events []charge.Event) []eventView {
	c.mu.RLock()
	defer c.mu.RUnlock()
	name := func(code charge.DivisionCode) string {
		if p := c.places[code]; p != nil {
			return p.division.Name
		}
		return ""
	}
	views := make([]eventView, len(events))
	for i, e := range events {
		county := e.Township.Parent()
		views[i] = eventView{Event: e, TownshipName: name(e.Township), CountyName: name(county), CityName: name(county.Parent())}
	}
	return views
}

// name gives a division's name, "" of one that is not there.
func (c *coverage) name(code charge.DivisionCode) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if p := c.places[code]; p != nil {
		return p.division.Name
	}
	return ""
}

// orNull is null in JSON for a time that is not known.
func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
