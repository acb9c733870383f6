package longfailed

import "time"

// A Policy is the numbers of the rules. None is official: no regulator's number of days for 长期失效 was
// found. A rule of 0 days is switched off.
type Policy struct {
	Version  string
	FirstDay time.Time // 00:00 Asia/Shanghai

	Silent     SilentRule
	Faulted    FaultedRule
	NotUsable  NotUsableRule
	Unreliable UnreliableRule
	NoEnergy   NoEnergyRule
	Proof      ProofRule
	Periods    Periods

	// For which piles cases are opened; for a household's own never.
	Public, Dedicated     bool
	ResidentialAsAService bool // run as a service (统建统服)
}

// A SilentRule asks for no usable connector, and for having been heard less than HeardUnder (0-1) of the time.
type SilentRule struct {
	Days       int
	HeardUnder float64
}

// A FaultedRule asks for every connector told a fault for at least FaultAtLeast (0-1) of the time.
type FaultedRule struct {
	Days         int
	FaultAtLeast float64
}

// A NotUsableRule asks for some connector usable for at most UsableAtMost (0-1) of the time, by whatever mixture.
type NotUsableRule struct {
	Days         int
	UsableAtMost float64
}

// A UnreliableRule asks for availability under Under, with known time (usable and out) at least KnownAtLeast (0-1).
type UnreliableRule struct {
	Days                int
	Under, KnownAtLeast float64
}

// A NoEnergyRule asks for less than UnderKWh by the meter while usable at least UsableAtLeast (0-1) of the time, and
// others delivered at least OthersKWh a pile.
type NoEnergyRule struct {
	Days          int
	UnderKWh      float64
	UsableAtLeast float64
	OthersKWh     float64
	CheckDays     int // within which the test charge is due
}

// A ProofRule is what proves a repair.
type ProofRule struct {
	Hours             int     // of unexcused service, for silent, faulted and not_usable
	UsableAtLeast     float64 // of them
	BreakMinutes      int     // the longest break allowed
	UnreliableDays    int     // for unreliable
	UnreliableAtLeast float64
}

// Periods are how long an operator has, and when a suspicion is a relapse. Days are calendar days.
type Periods struct {
	Days              int // to repair or to state one's case
	RelapseDays       int // the same after a relapse
	RelapseWithinDays int // of the earlier case's end
	LastWithinMonths  int // the third suspicion within so many months has no period
	DismissalDays     int // a dismissal holds, without a date given
}

// Defaults gives the numbers of judgement.md §4.
func Defaults() Policy {
	return Policy{
		Version:    "1",
		Silent:     SilentRule{Days: 30, HeardUnder: 0.03},
		Faulted:    FaultedRule{Days: 15, FaultAtLeast: 0.97},
		NotUsable:  NotUsableRule{Days: 30, UsableAtMost: 0.03},
		Unreliable: UnreliableRule{Days: 90, Under: 0.5, KnownAtLeast: 0.5},
		NoEnergy:   NoEnergyRule{Days: 180, UnderKWh: 1, UsableAtLeast: 0.5, OthersKWh: 50, CheckDays: 30},
		Proof:      ProofRule{Hours: 72, UsableAtLeast: 0.95, BreakMinutes: 120, UnreliableDays: 14, UnreliableAtLeast: 0.9},
		Periods:    Periods{Days: 30, RelapseDays: 10, RelapseWithinDays: 90, LastWithinMonths: 12, DismissalDays: 90},
		Public:     true, Dedicated: true,
	}
}

// Milder tells whether rule is at least as mild in a as in b: whoever it catches in a, it catches in b, then
// or earlier. Of two that differ both ways neither is milder.
func Milder(rule Rule, a, b *Policy) bool {
	if days := a.days(rule); days == 0 || b.days(rule) == 0 {
		return days == 0
	}
	switch rule {
	case Silent:
		return a.Silent.Days >= b.Silent.Days && a.Silent.HeardUnder <= b.Silent.HeardUnder
	case Faulted:
		return a.Faulted.Days >= b.Faulted.Days && a.Faulted.FaultAtLeast >= b.Faulted.FaultAtLeast
	case NotUsable:
		return a.NotUsable.Days >= b.NotUsable.Days && a.NotUsable.UsableAtMost <= b.NotUsable.UsableAtMost
	case Unreliable:
		return a.Unreliable.Days >= b.Unreliable.Days && a.Unreliable.Under <= b.Unreliable.Under && a.Unreliable.KnownAtLeast >= b.Unreliable.KnownAtLeast
	case NoEnergy:
		return a.NoEnergy.Days >= b.NoEnergy.Days && a.NoEnergy.UnderKWh <= b.NoEnergy.UnderKWh &&
			a.NoEnergy.UsableAtLeast >= b.NoEnergy.UsableAtLeast && a.NoEnergy.OthersKWh >= b.NoEnergy.OthersKWh
	}
	return false
}

func (p *Policy) days(rule Rule) int {
	switch rule {
	case Silent:
		return p.Silent.Days
	case Faulted:
		return p.Faulted.Days
	case NotUsable:
		return p.NotUsable.Days
	case Unreliable:
		return p.Unreliable.Days
	case NoEnergy:
		return p.NoEnergy.Days
	}
	return 0
}

// holds tells whether rule holds at the end of the newest day, by time from since on.
func (p *Policy) holds(rule Rule, pile *Pile, since time.Time) (Window, bool) {
	days := p.days(rule)
	if days <= 0 {
		return Window{}, false
	}
	w, full := Look(pile.Days, since, days*dayMinutes)
	if !full {
		return w, false
	}
	switch rule {
	case Silent:
		return w, w.Usable == 0 && w.Share(w.Heard) < p.Silent.HeardUnder
	case Faulted:
		return w, w.everyConnectorFaulted(p.Faulted.FaultAtLeast)
	case NotUsable:
		// By the union, which is what a driver finds; then no single connector was usable for longer either.
		return w, w.Share(w.Usable) <= p.NotUsable.UsableAtMost
	case Unreliable:
		return w, w.Share(w.Usable) < p.Unreliable.Under && w.Share(w.Usable+w.Out) >= p.Unreliable.KnownAtLeast &&
			!p.Proof.reliable(pile.Days, since) // or a case would open that its proof ends the same day
	case NoEnergy:
		return w, float64(w.EnergyWh) < p.NoEnergy.UnderKWh*1000 && w.Share(w.Usable) >= p.NoEnergy.UsableAtLeast &&
			pile.EnergyReported && max(pile.StationKWh, pile.AreaKWh) >= p.NoEnergy.OthersKWh
	}
	return w, false
}
