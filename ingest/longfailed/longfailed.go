// Package longfailed holds the rules by which a pile is suspected to have failed for long (长期失效), and by
// which its repair is proved (judgement.md §4). It is pure: days and facts in, suspicions out; no I/O and no
// clock.
//
// Days are the resolution of its windows. A window takes whole days from the newest backwards until it
// holds its full length of unexcused service, so it may hold up to a day more; a rule by minutes would fire
// at most a day earlier or later. Within a day nothing is lost: shares go by minutes, and breaks across
// midnight are joined from how each day begins and ends.
package longfailed

import (
	"time"

	"pilewatch/internal/charge"
)

// A Rule is a ground on which a pile is suspected.
type Rule string

// The five rules.
const (
	Silent     Rule = "silent"
	Faulted    Rule = "faulted"
	NotUsable  Rule = "not_usable"
	Unreliable Rule = "unreliable"
	NoEnergy   Rule = "no_energy" // opens a check, not a case
)

// Rules gives all five in the order of judgement.md.
func Rules() []Rule { return []Rule{Silent, Faulted, NotUsable, Unreliable, NoEnergy} }

// A Pile is what the rules look at.
type Pile struct {
	// Days in order, newest last, of the serial number through transfers and renaming: the days under an
	// earlier operator or name come first. Days without service may be missing.
	Days []Day
	// Since is the latest of opened, rectified and restored. Days that begin before it do not count.
	Since time.Time
	// EnergyReported: this pile or its model has ever told a meter's energy.
	EnergyReported bool
	// What others delivered in the window of no_energy, a mean a pile: the station's other piles, and the
	// public piles of its own and neighbouring townships. 0 where there are none.
	StationKWh, AreaKWh float64
	// Dismissed holds until when a rule may not ask again.
	Dismissed map[Rule]time.Time
}

// MayHaveCase tells whether cases are opened for piles of a station: for public, dedicated and residential ones run
// as a service (统建统服) where the policy says so; for a household's own never.
func MayHaveCase(kind charge.StationKind, asAService bool, p *Policy) bool {
	switch kind {
	case charge.Public:
		return p.Public
	case charge.Dedicated:
		return p.Dedicated
	case charge.Residential:
		return asAService && p.ResidentialAsAService
	}
	return false
}

// A Suspicion is a rule that holds, with what it rests on.
type Suspicion struct {
	Rule   Rule
	Check  bool   // a test charge is due first; it becomes a case only if that fails or is not done
	Policy string // version by which the rule holds
	Window Window
	Asked  time.Time // the end of an earlier dismissal of this rule, to be named; zero without one
}

// Suspect gives the rules that hold at the end of the pile's newest day, in the order of Rules. versions
// are all policies in the order of their first days; those that begin later than that day are not looked at.
func Suspect(p *Pile, versions []Policy) []Suspicion {
	versions, now := inForce(p, versions)
	var found []Suspicion
	for _, rule := range Rules() {
		asked := p.Dismissed[rule]
		if now.Before(asked) {
			continue
		}
		for _, a := range applicable(rule, versions) {
			if w, ok := a.policy.holds(rule, p, later(p.Since, a.from)); ok {
				found = append(found, Suspicion{Rule: rule, Check: rule == NoEnergy, Policy: a.policy.Version, Window: w, Asked: asked})
				break
			}
		}
	}
	return found
}

// SeldomReports tells that availability was low enough for unreliable, but that too little is known of the
// pile to say so: it belongs into data quality.
func SeldomReports(p *Pile, versions []Policy) (Window, bool) {
	versions, _ = inForce(p, versions)
	if len(versions) == 0 {
		return Window{}, false
	}
	v := &versions[len(versions)-1]
	w, full := Look(p.Days, later(p.Since, applicable(Unreliable, versions)[0].from), v.Unreliable.Days*dayMinutes)
	return w, full && v.Unreliable.Days > 0 && w.Share(w.Usable) < v.Unreliable.Under && w.Share(w.Usable+w.Out) < v.Unreliable.KnownAtLeast
}

// Upheld tells whether an open case of rule still stands under a policy that came after it was opened: the
// newer one counts where it is milder (从旧兼从轻), and then the rule must hold by it at the end of at least
// one day from suspected to the newest. A stricter one changes nothing for a case that is open.
func Upheld(rule Rule, p *Pile, suspected time.Time, opened, newer *Policy) bool {
	if !Milder(rule, newer, opened) {
		return true
	}
	for n := len(p.Days); n > 0 && !p.Days[n-1].Date.AddDate(0, 0, 1).Before(suspected); n-- {
		until := *p
		until.Days = p.Days[:n]
		if _, ok := newer.holds(rule, &until, p.Since); ok {
			return true
		}
	}
	return false
}

func inForce(p *Pile, versions []Policy) (inForce []Policy, now time.Time) {
	if len(p.Days) == 0 {
		return nil, time.Time{}
	}
	newest := p.Days[len(p.Days)-1].Date
	n := 0
	for n < len(versions) && !versions[n].FirstDay.After(newest) {
		n++
	}
	return versions[:n], newest.AddDate(0, 0, 1)
}

type application struct {
	policy *Policy
	from   time.Time
}

// applicable gives the policies by which rule may hold, the newest first, each with the day from which its
// time counts. A stricter rule counts only time after its first day; that day is the first since which no
// milder one was in force. An older rule stays applicable while all that came after are at least as strict:
// making a rule stricter pardons nobody whom the old one would have caught.
func applicable(rule Rule, versions []Policy) []application {
	var all []application
	for i := len(versions) - 1; i >= 0; i-- {
		mildest := true
		for j := i + 1; j < len(versions); j++ {
			mildest = mildest && Milder(rule, &versions[i], &versions[j])
		}
		if !mildest {
			continue
		}
		first := i
		for first > 0 && Milder(rule, &versions[i], &versions[first-1]) {
			first--
		}
		all = append(all, application{&versions[i], versions[first].FirstDay})
	}
	return all
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
