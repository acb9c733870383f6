package longfailed_test

import (
	"slices"
	"testing"
	"time"

	"pilewatch/ingest/longfailed"
	"pilewatch/internal/charge"
)

var first = time.Date(2025, 1, 1, 0, 0, 0, 0, charge.Zone)

// Kinds of days of one gun or of a pile with one.
var (
	up       = charge.DayMinutes{Usable: 1440, Heard: 1440, Sessions: 3, EnergyWh: 60_000}
	idle     = charge.DayMinutes{Usable: 1440, Heard: 1440}
	offline  = charge.DayMinutes{Out: 1440, Heard: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
	faulted  = charge.DayMinutes{Out: 1440, Fault: 1440, Heard: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
	silent   = charge.DayMinutes{Unknown: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
	excused  = charge.DayMinutes{Excused: 1440}
	halfOpen = charge.DayMinutes{Unknown: 720, BreakFirst: 720, BreakLongest: 720, BreakLast: 720} // open 8-20, silent
	anHour   = charge.DayMinutes{Usable: 60, Unknown: 1380, Heard: 60, BreakFirst: 700, BreakLongest: 700, BreakLast: 680}
	lost16   = charge.DayMinutes{Usable: 1424, Unknown: 16, Heard: 1424, BreakLongest: 16}
)

func repeat(n int, of ...charge.DayMinutes) []charge.DayMinutes {
	var days []charge.DayMinutes
	for len(days) < n {
		days = append(days, of...)
	}
	return days[:n]
}

func days(parts ...[]charge.DayMinutes) []longfailed.Day {
	var all []longfailed.Day
	for i, m := range slices.Concat(parts...) {
		all = append(all, longfailed.Day{Date: first.AddDate(0, 0, i), Pile: m, Connectors: []charge.DayMinutes{m}})
	}
	return all
}

func pile(parts ...[]charge.DayMinutes) *longfailed.Pile {
	return &longfailed.Pile{Days: days(parts...), Since: first, EnergyReported: true, StationKWh: 900}
}

func found(p *longfailed.Pile, versions ...longfailed.Policy) []longfailed.Rule {
	if versions == nil {
		versions = []longfailed.Policy{longfailed.Defaults()}
	}
	var rules []longfailed.Rule
	for _, s := range longfailed.Suspect(p, versions) {
		rules = append(rules, s.Rule)
	}
	return rules
}

func with(p *longfailed.Pile, change func(*longfailed.Pile)) *longfailed.Pile {
	change(p)
	return p
}

// guns makes a pile of two guns; the union is usable where either is, and out where neither is.
func guns(n int, a, b charge.DayMinutes, union charge.DayMinutes) *longfailed.Pile {
	p := pile(repeat(n, union))
	for i := range p.Days {
		p.Days[i].Connectors = []charge.DayMinutes{a, b}
	}
	return p
}

func TestRulesAsAnOfficerKnowsThem(t *testing.T) {
	type rules = []longfailed.Rule
	halfFault := charge.DayMinutes{Out: 1440, Fault: 1440, Heard: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
	for _, tt := range []struct {
		name string
		pile *longfailed.Pile
		want rules
	}{
		{"usable 99 % with 16 minutes lost every other day", pile(repeat(200, lost16, up)), nil},
		{"silent for 30 days", pile(repeat(30, silent)), rules{"silent", "not_usable"}},
		{"silent for 29 days", pile(repeat(29, silent)), nil},
		{"silent for 30 days, but heard for an hour a day by its heartbeat", pile(repeat(30, charge.DayMinutes{Unknown: 1440, Heard: 60})), rules{"not_usable"}},
		{"silent for 60 days of half a day's opening", pile(repeat(60, halfOpen)), rules{"silent", "not_usable"}},
		{"silent for 30 days of half a day's opening", pile(repeat(30, halfOpen)), nil},
		{"told 0 for 31 days", pile(repeat(31, offline)), rules{"not_usable"}},
		{"ten days each of 255, 0 and silence, repeated", pile(repeat(10, faulted), repeat(10, offline), repeat(10, silent), repeat(10, faulted)), rules{"not_usable"}},
		{"told 255 for 15 days", pile(repeat(15, up), repeat(15, faulted)), rules{"faulted"}},
		{"told 255 for 14 days", pile(repeat(15, up), repeat(14, faulted)), nil},
		{"gun A 255 and gun B 0", guns(30, faulted, offline, offline), rules{"not_usable"}},
		{"one of two guns faulted for 15 days", guns(15, faulted, up, up), nil},
		{"both guns faulted for 15 days", guns(15, faulted, faulted, halfFault), rules{"faulted"}},
		{"up for an hour a week", pile(repeat(35, anHour, offline, offline, offline, offline, offline, offline)), rules{"not_usable"}},
		{"usable for exactly 3 % of 30 days", pile(repeat(29, offline), repeat(1, charge.DayMinutes{Usable: 1296, Out: 144})), rules{"not_usable"}},
		{"usable for a minute more", pile(repeat(29, offline), repeat(1, charge.DayMinutes{Usable: 1297, Out: 143})), nil},
		{"told 255 for exactly 97 % of 15 days", pile(repeat(14, faulted), repeat(1, charge.DayMinutes{Out: 1440, Fault: 792})), rules{"faulted"}},
		{"told 255 for a minute less", pile(repeat(14, faulted), repeat(1, charge.DayMinutes{Out: 1440, Fault: 791})), nil},
		{"a second gun that came yesterday, faulted too", with(pile(repeat(15, faulted)), func(p *longfailed.Pile) { p.Days[14].Connectors = []charge.DayMinutes{faulted, faulted} }), rules{"faulted"}},
		{"a second gun that came yesterday and works", with(pile(repeat(15, faulted)), func(p *longfailed.Pile) { p.Days[14].Connectors = []charge.DayMinutes{faulted, up} }), nil},
		{"up for an hour a day is above 3 %, but nothing to rely on", pile(repeat(90, charge.DayMinutes{Usable: 60, Out: 1380, Heard: 1440})), rules{"unreliable"}},
		{"usable 49 % of 90 days", pile(repeat(90, charge.DayMinutes{Usable: 705, Out: 735, Heard: 1440})), rules{"unreliable"}},
		{"usable half of 90 days", pile(repeat(90, charge.DayMinutes{Usable: 720, Out: 720, Heard: 1440})), nil},
		{"usable 30 % and unknown 60 % of 90 days reports too seldom", pile(repeat(90, charge.DayMinutes{Usable: 432, Out: 144, Unknown: 864})), nil},
		{"usable and never a kilowatt-hour in 180 days", pile(repeat(180, idle)), rules{"no_energy"}},
		{"the same for 179 days", pile(repeat(179, idle)), nil},
		{"a remote pile that nobody visits, and nobody visits its neighbours", with(pile(repeat(180, idle)), func(p *longfailed.Pile) { p.StationKWh, p.AreaKWh = 0, 49 }), nil},
		{"alone in its station, but the township charges", with(pile(repeat(180, idle)), func(p *longfailed.Pile) { p.StationKWh, p.AreaKWh = 0, 50 }), rules{"no_energy"}},
		{"an operator that sends no energy", with(pile(repeat(180, idle)), func(p *longfailed.Pile) { p.EnergyReported = false }), nil},
		{"180 days idle and charged once", pile(repeat(100, idle), repeat(1, up), repeat(79, idle)), nil},
		{"a power cut in the middle makes the window longer, not shorter", pile(repeat(15, silent), repeat(10, excused), repeat(14, silent)), nil},
		{"and 30 days of silence around it are 30", pile(repeat(15, silent), repeat(10, excused), repeat(15, silent)), rules{"silent", "not_usable"}},
		{"no day at all", pile(), nil},
		{"closed all the time", pile(repeat(200, charge.DayMinutes{})), nil},
		{"excused all the time", pile(repeat(200, excused)), nil},
	} {
		if got := found(tt.pile); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestNoEnergyOpensACheckAndNothingElseDoes(t *testing.T) {
	for _, p := range []*longfailed.Pile{pile(repeat(180, idle)), pile(repeat(180, silent)), pile(repeat(20, faulted))} {
		for _, s := range longfailed.Suspect(p, []longfailed.Policy{longfailed.Defaults()}) {
			if s.Check != (s.Rule == longfailed.NoEnergy) {
				t.Errorf("%s: check is %v", s.Rule, s.Check)
			}
		}
	}
}

func TestReportsTooSeldomIsForDataQuality(t *testing.T) {
	policies := []longfailed.Policy{longfailed.Defaults()}
	if _, seldom := longfailed.SeldomReports(pile(repeat(90, charge.DayMinutes{Usable: 432, Out: 144, Unknown: 864})), policies); !seldom {
		t.Error("known for 40 % of the time and not told")
	}
	if _, seldom := longfailed.SeldomReports(pile(repeat(90, charge.DayMinutes{Usable: 432, Out: 1008})), policies); seldom {
		t.Error("known all the time and told")
	}
	if _, seldom := longfailed.SeldomReports(pile(repeat(90, silent)), nil); seldom {
		t.Error("told without a policy")
	}
}

func TestSoldToASisterCompanyOnDay29TheClockGoesOn(t *testing.T) {
	p := pile(repeat(29, silent), repeat(1, silent)) // 29 days under the old number, the 30th under the new
	if got := found(p); !slices.Contains(got, longfailed.Silent) {
		t.Errorf("got %v, want silent", got)
	}
	p.Days = p.Days[29:] // what a re-import as a new pile would give
	if got := found(p); got != nil {
		t.Errorf("one day alone: got %v", got)
	}
}

func TestWindowsStartAnewAfterARepair(t *testing.T) {
	broken := repeat(80, charge.DayMinutes{Usable: 144, Out: 1296, Heard: 1440, BreakFirst: 1296, BreakLongest: 1296})
	p := pile(repeat(10, up), broken)
	if got := found(p); !slices.Equal(got, []longfailed.Rule{"unreliable"}) {
		t.Fatalf("before: got %v, want unreliable", got)
	}
	p = pile(repeat(10, up), broken, repeat(4, up))
	if got := found(p); !slices.Equal(got, []longfailed.Rule{"unreliable"}) {
		t.Errorf("four good days alone are no proof: got %v, want unreliable", got)
	}
	p.Since = first.AddDate(0, 0, 91)
	if got := found(p); got != nil {
		t.Errorf("repaired on day 1, looked at on day 4: got %v, want none", got)
	}
	if got := found(pile(repeat(76, broken...), repeat(14, up))); got != nil {
		t.Errorf("good for the 14 days that prove a repair: got %v, want none", got)
	}
}

func TestADismissalHoldsAndRunsOut(t *testing.T) {
	p := pile(repeat(40, silent))
	now := first.AddDate(0, 0, 40)
	p.Dismissed = map[longfailed.Rule]time.Time{longfailed.Silent: now.Add(time.Hour), longfailed.NotUsable: now}
	got := longfailed.Suspect(p, []longfailed.Policy{longfailed.Defaults()})
	if len(got) != 1 || got[0].Rule != longfailed.NotUsable || !got[0].Asked.Equal(now) {
		t.Errorf("got %+v, want not_usable alone, naming the dismissal until %v", got, now)
	}
	periods := longfailed.Defaults().Periods
	if got := periods.DismissedUntil(first, time.Time{}); !got.Equal(first.AddDate(0, 0, 90)) {
		t.Errorf("without a date: got %v", got)
	}
	if got := periods.DismissedUntil(first, now); !got.Equal(now) {
		t.Errorf("with a date: got %v", got)
	}
}

func TestWhoMayHaveACase(t *testing.T) {
	with, without, nobody := longfailed.Defaults(), longfailed.Defaults(), longfailed.Defaults()
	with.ResidentialAsAService, nobody.Public, nobody.Dedicated = true, false, false
	for _, tt := range []struct {
		name      string
		kind      charge.StationKind
		asService bool
		policy    *longfailed.Policy
		want      bool
	}{
		{"public", charge.Public, false, &without, true},
		{"dedicated", charge.Dedicated, false, &without, true},
		{"public, switched off", charge.Public, false, &nobody, false},
		{"dedicated, switched off", charge.Dedicated, false, &nobody, false},
		{"residential, run as a service, the policy says so", charge.Residential, true, &with, true},
		{"residential, run as a service", charge.Residential, true, &without, false},
		{"a household's own, whatever the policy says", charge.Residential, false, &with, false},
		{"unknown", "", true, &with, false},
	} {
		if got := longfailed.MayHaveCase(tt.kind, tt.asService, tt.policy); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func policyOf(version string, from int, silentDays int) longfailed.Policy {
	p := longfailed.Defaults()
	p.Version, p.FirstDay = version, first.AddDate(0, 0, from)
	p.Silent.Days, p.NotUsable.Days = silentDays, 0
	return p
}

func TestPolicyVersions(t *testing.T) {
	for _, tt := range []struct {
		name     string
		days     int
		versions []longfailed.Policy
		want     string // version by which it is suspected
	}{
		{"a stricter policy in mid-window counts from its first day", 30, []longfailed.Policy{policyOf("1", 0, 90), policyOf("2", 20, 20)}, ""},
		{"and fires when its own days are full", 40, []longfailed.Policy{policyOf("1", 0, 90), policyOf("2", 20, 20)}, "2"},
		{"a stricter policy pardons nobody whom the old one catches", 30, []longfailed.Policy{policyOf("1", 0, 30), policyOf("2", 25, 20)}, "1"},
		{"a milder one holds at once", 30, []longfailed.Policy{policyOf("1", 0, 30), policyOf("2", 25, 40)}, ""},
		{"and looks back over the time of the stricter one", 40, []longfailed.Policy{policyOf("1", 0, 30), policyOf("2", 25, 40)}, "2"},
		{"a new version with the same numbers moves nothing", 30, []longfailed.Policy{policyOf("1", 0, 30), policyOf("2", 25, 30)}, "2"},
		{"nothing counts before the first policy", 30, []longfailed.Policy{policyOf("1", 1, 30)}, ""},
		{"a policy to come is not looked at", 25, []longfailed.Policy{policyOf("1", 0, 30), policyOf("2", 25, 1)}, ""},
		{"a rule switched off", 100, []longfailed.Policy{policyOf("1", 0, 30), policyOf("2", 50, 0)}, ""},
		{"and on again counts anew", 110, []longfailed.Policy{policyOf("1", 0, 30), policyOf("2", 50, 0), policyOf("3", 90, 30)}, ""},
		{"no policy", 100, []longfailed.Policy{}, ""},
	} {
		var got string
		for _, s := range longfailed.Suspect(pile(repeat(tt.days, silent)), tt.versions) {
			if s.Rule == longfailed.Silent {
				got = s.Policy
			}
		}
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAnOpenCaseIsJudgedByTheMilderLaw(t *testing.T) {
	suspected := first.AddDate(0, 0, 30)
	one := policyOf("1", 0, 30)
	for _, tt := range []struct {
		name  string
		days  int
		newer longfailed.Policy
		want  bool
	}{
		{"stricter: nothing changes", 31, policyOf("2", 31, 10), true},
		{"milder, and not long enough for it", 35, policyOf("2", 31, 40), false},
		{"milder, and long enough by now", 40, policyOf("2", 31, 40), true},
		{"switched off", 35, policyOf("2", 31, 0), false},
	} {
		if got := longfailed.Upheld(longfailed.Silent, pile(repeat(tt.days, silent)), suspected, &one, &tt.newer); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	two := policyOf("2", 31, 29)
	if !longfailed.Upheld(longfailed.Silent, pile(repeat(30, silent), repeat(20, up)), suspected, &one, &two) {
		t.Error("a case that held when it opened falls because the pile came back without proof")
	}
}

func proved(grounds []longfailed.Rule, tests []time.Time, after ...[]charge.DayMinutes) bool {
	all := days(append([][]charge.DayMinutes{repeat(30, silent)}, after...)...)
	_, done := longfailed.Prove(grounds, all, first.AddDate(0, 0, 30), tests, longfailed.Defaults())
	return done
}

func TestProofOfRepair(t *testing.T) {
	notUsable, energy, unreliable := []longfailed.Rule{longfailed.NotUsable}, []longfailed.Rule{longfailed.NoEnergy}, []longfailed.Rule{longfailed.Unreliable}
	brk := func(first, longest, last uint16) charge.DayMinutes {
		lost := max(longest, first+last)
		return charge.DayMinutes{Usable: 1440 - lost, Out: lost, BreakFirst: first, BreakLongest: max(first, longest, last), BreakLast: last, Sessions: 1}
	}
	test := func(day int) []time.Time { return []time.Time{first.AddDate(0, 0, day).Add(10 * time.Hour)} }
	for _, tt := range []struct {
		name    string
		grounds []longfailed.Rule
		tests   []time.Time
		after   [][]charge.DayMinutes
		want    bool
	}{
		{"72 hours and a session", notUsable, nil, [][]charge.DayMinutes{repeat(3, up)}, true},
		{"48 hours", notUsable, nil, [][]charge.DayMinutes{repeat(2, up)}, false},
		{"72 hours and nobody came", notUsable, nil, [][]charge.DayMinutes{repeat(3, idle)}, false},
		{"72 hours and an inspector's test charge", notUsable, test(31), [][]charge.DayMinutes{repeat(3, idle)}, true},
		{"a test charge before the suspicion", notUsable, test(29), [][]charge.DayMinutes{repeat(3, idle)}, false},
		{"a test charge before it broke again", notUsable, test(30), [][]charge.DayMinutes{repeat(1, idle), repeat(5, offline), repeat(3, idle)}, false},
		{"a break of two hours", notUsable, nil, [][]charge.DayMinutes{repeat(1, up), repeat(1, brk(0, 120, 0)), repeat(1, up)}, true},
		{"a break of 121 minutes", notUsable, nil, [][]charge.DayMinutes{repeat(1, up), repeat(1, brk(0, 121, 0)), repeat(1, up)}, false},
		{"a break of 61 + 60 minutes over midnight", notUsable, nil, [][]charge.DayMinutes{repeat(1, brk(0, 0, 61)), repeat(1, brk(60, 0, 0)), repeat(1, up)}, false},
		{"a break of 60 + 60 minutes over midnight", notUsable, nil, [][]charge.DayMinutes{repeat(1, brk(0, 0, 60)), repeat(1, brk(60, 0, 0)), repeat(1, up)}, true},
		{"a break over a day that is excused", notUsable, nil, [][]charge.DayMinutes{repeat(1, brk(0, 0, 61)), repeat(1, excused), repeat(1, brk(60, 0, 0)), repeat(1, up)}, false},
		{"usable 94 % in short breaks", notUsable, nil, [][]charge.DayMinutes{repeat(3, charge.DayMinutes{Usable: 1353, Out: 87, BreakLongest: 30, Sessions: 1})}, false},
		{"usable 95 % in short breaks", notUsable, nil, [][]charge.DayMinutes{repeat(3, charge.DayMinutes{Usable: 1368, Out: 72, BreakLongest: 30, Sessions: 1})}, true},
		{"six days of twelve hours are 72", notUsable, nil, [][]charge.DayMinutes{repeat(6, charge.DayMinutes{Usable: 720, Sessions: 1})}, true},
		{"excused days do not count as service", notUsable, nil, [][]charge.DayMinutes{repeat(2, up), repeat(3, excused)}, false},
		{"proved once stays proved", notUsable, nil, [][]charge.DayMinutes{repeat(3, up), repeat(10, offline)}, true},
		{"no_energy is not closed by 72 hours of idle", energy, nil, [][]charge.DayMinutes{repeat(10, idle)}, false},
		{"no_energy by one session", energy, nil, [][]charge.DayMinutes{repeat(5, idle), repeat(1, up)}, true},
		{"no_energy by a test charge", energy, test(30), [][]charge.DayMinutes{repeat(1, idle)}, true},
		{"unreliable by 14 days", unreliable, nil, [][]charge.DayMinutes{repeat(14, charge.DayMinutes{Usable: 1296, Out: 144})}, true},
		{"unreliable by 13 days", unreliable, nil, [][]charge.DayMinutes{repeat(13, up)}, false},
		{"unreliable by 14 days at 89 %", unreliable, nil, [][]charge.DayMinutes{repeat(14, charge.DayMinutes{Usable: 1282, Out: 158})}, false},
		{"both grounds must be proved", []longfailed.Rule{longfailed.Silent, longfailed.Unreliable}, nil, [][]charge.DayMinutes{repeat(13, up)}, false},
		{"and are", []longfailed.Rule{longfailed.Silent, longfailed.Unreliable}, nil, [][]charge.DayMinutes{repeat(14, up)}, true},
		{"no ground, no proof", nil, nil, [][]charge.DayMinutes{repeat(14, up)}, false},
	} {
		if got := proved(tt.grounds, tt.tests, tt.after...); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestProofTellsHowFarItHasCome(t *testing.T) {
	all := days(repeat(30, silent), repeat(2, idle))
	proofs, done := longfailed.Prove([]longfailed.Rule{longfailed.Silent}, all, first.AddDate(0, 0, 30), nil, longfailed.Defaults())
	want := longfailed.Proof{Ground: longfailed.Silent, From: first.AddDate(0, 0, 30), Minutes: 2880, Usable: 2880}
	if done || len(proofs) != 1 || proofs[0] != want {
		t.Errorf("got %+v (%v), want %+v", proofs, done, want)
	}
	milder := longfailed.Defaults()
	milder.Proof.Hours = 48
	all = days(repeat(30, silent), repeat(2, up))
	if _, done := longfailed.Prove([]longfailed.Rule{longfailed.Silent}, all, first.AddDate(0, 0, 30), nil, longfailed.Defaults(), milder); !done {
		t.Error("the benefit of a milder policy is not given")
	}
}

// Sixty days dead and three alive, over and over: each repair is proved, each new silence is suspected again.
func TestSixtyDaysDeadAndThreeAliveIsARelapseThenHasNoPeriod(t *testing.T) {
	p := pile(repeat(240, append(repeat(60, silent), repeat(3, up)...)...))
	policy := longfailed.Defaults()
	var earlier []longfailed.Earlier
	var periods, joins []int
	open, since := time.Time{}, first
	for n := range p.Days {
		at := *p
		at.Days, at.Since = p.Days[:n+1], since
		now := p.Days[n].Date.AddDate(0, 0, 1)
		if open.IsZero() {
			if rules := found(&at); len(rules) > 0 {
				r := policy.Periods.Relapsed(earlier, now)
				periods, joins = append(periods, r.PeriodDays), append(joins, r.Joins)
				open = now
			}
			continue
		}
		if _, done := longfailed.Prove([]longfailed.Rule{longfailed.Silent, longfailed.NotUsable}, at.Days, open, nil, policy); done {
			earlier = append(earlier, longfailed.Earlier{Suspected: open, Rectified: now})
			open, since = time.Time{}, now
		}
	}
	if want := []int{30, 10, 0, 0}; !slices.Equal(periods, want) {
		t.Errorf("periods: got %v, want %v", periods, want)
	}
	if want := []int{-1, 0, 1, 2}; !slices.Equal(joins, want) {
		t.Errorf("joins: got %v, want %v", joins, want)
	}
}

func TestRelapse(t *testing.T) {
	p := longfailed.Defaults().Periods
	at := func(day int) time.Time { return first.AddDate(0, 0, day) }
	for _, tt := range []struct {
		name      string
		earlier   []longfailed.Earlier
		suspected int
		want      longfailed.Relapse
	}{
		{"the first", nil, 0, longfailed.Relapse{Joins: -1, PeriodDays: 30}},
		{"on day 89", []longfailed.Earlier{{Suspected: at(0), Rectified: at(10)}}, 99, longfailed.Relapse{Joins: 0, PeriodDays: 10}},
		{"on day 90", []longfailed.Earlier{{Suspected: at(0), Rectified: at(10)}}, 100, longfailed.Relapse{Joins: -1, PeriodDays: 30}},
		{"the third in 12 months", []longfailed.Earlier{{Suspected: at(0), Rectified: at(10)}, {Suspected: at(60), Rectified: at(70)}}, 120, longfailed.Relapse{Joins: 1, PeriodDays: 0}},
		{"the third, but the first is over a year ago", []longfailed.Earlier{{Suspected: at(0), Rectified: at(10)}, {Suspected: at(300), Rectified: at(310)}}, 366, longfailed.Relapse{Joins: 1, PeriodDays: 10}},
	} {
		if got := p.Relapsed(tt.earlier, at(tt.suspected)); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", tt.name, got, tt.want)
		}
	}
}
