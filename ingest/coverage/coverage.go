// Package coverage decides which townships truly have a working public charging station, and why
// not. It is pure: what it says depends on its arguments alone.
package coverage

import (
	"cmp"
	"time"

	"pilewatch/internal/charge"
)

// A Policy is the numbers of judgement.md §6.
type Policy struct {
	Window         time.Duration // of time that we could observe, in which a connector must have been usable
	MinUsable      time.Duration // for at least so long; 0: at all
	StartingFor    time.Duration // after a station has opened
	UnobservedFor  time.Duration // not heard for longer is unverified; so long the last state stands without evidence
	ProvenFor      time.Duration // a session proves its township for so long
	UnsteadyWithin time.Duration // in which more than UnsteadyAfter changes are one event
	UnsteadyAfter  int
}

// DefaultPolicy is an hour in 24, 7 days, 72 hours, 90 days, and two changes in 7 days.
func DefaultPolicy() Policy {
	const day = 24 * time.Hour
	return Policy{
		Window: day, MinUsable: time.Hour, StartingFor: 7 * day, UnobservedFor: 72 * time.Hour, ProvenFor: 90 * day,
		UnsteadyWithin: 7 * day, UnsteadyAfter: 2,
	}
}

// A Station is what the judgement needs of a station in service.
type Station struct {
	Opened     time.Time
	Shut       string // the reason why it cannot count, "" where it counts
	Connectors []Connector
}

// A Connector is what the judgement needs of a connector in service. All of it goes by the gateway's clock.
type Connector struct {
	Heard      bool // ever
	Told       bool // a status, ever
	Status     charge.Status
	Silent     bool
	UsableNow  bool
	Blocked    bool          // occupied or reserved unbroken for over 24 hours
	Excused    bool          // its silence is, now
	Unheard    time.Duration // since it was last heard; meaningless unless Heard
	Usable     time.Duration // within the last Window of time that we could observe
	UsableSeen time.Duration // within the last Window, as far as we saw it
	Proven     time.Time     // last session of at least 1 kWh
}

// A Verdict is what a township is counted as, and why.
type Verdict struct {
	State       charge.CoverageState
	Reason      string
	NotObserved bool // the last state stands without evidence
	Proven      bool // a session within ProvenFor; beside effective, not part of it
	By          int  // the station that decides it, -1 for none or several
}

// Reasons of a verdict.
const (
	ReasonUsable         = "usable"
	ReasonNoStation      = "no_station"
	ReasonClosedSeason   = "closed_season"  // the only stations are out of season
	ReasonClosedHours    = "closed_hours"   // the only stations have no hours in the window
	ReasonMobile         = "mobile"         // the only stations are on wheels
	ReasonLimited        = "limited_access" // the only stations are not open to everyone
	ReasonNeverConnected = "never_connected"
	ReasonNotObserved    = "not_observed"
	ReasonOpenedRecently = "opened_recently"
	ReasonAllFault       = "all_fault"
	ReasonAllOffline     = "all_offline"
	ReasonAllSilent      = "all_silent"
	ReasonAllBlocked     = "all_blocked"
	ReasonAllLapsed      = "all_lapsed" // heard, and no status that holds
	ReasonTooShort       = "too_short"  // usable, for less than MinUsable
	ReasonMixed          = "mixed"
)

// Judge gives the state of a township whose public stations in service are stations, at now.
// Exactly one state holds; they are tried in this order: none, effective, starting, unverified,
// failing.
func Judge(p Policy, now time.Time, stations []Station) Verdict {
	v := Verdict{State: charge.None, Reason: ReasonNoStation, By: -1}
	heard, observed, starting, open, shut := false, false, true, false, ""
	for i := range stations {
		s := &stations[i]
		if s.Shut != "" {
			if shut == "" || s.Shut < shut { // the same whichever way they are listed
				shut = s.Shut
			}
			continue
		}
		open = true
		if now.Sub(s.Opened) >= p.StartingFor {
			starting = false
		}
		for j := range s.Connectors {
			c := &s.Connectors[j]
			heard = heard || c.Heard
			observed = observed || (c.Heard && c.Unheard <= p.UnobservedFor)
			v.Proven = v.Proven || (!c.Proven.IsZero() && now.Sub(c.Proven) < p.ProvenFor)
			if !p.serves(c) {
				continue
			}
			seen := !c.Excused && c.UsableSeen >= p.MinUsable
			if v.State != charge.Effective || (v.NotObserved && seen) {
				v.State, v.Reason, v.NotObserved, v.By = charge.Effective, ReasonUsable, !seen, i
			}
		}
	}
	switch {
	case v.State == charge.Effective:
	case !open:
		v.Reason = cmp.Or(shut, ReasonNoStation)
	case starting:
		v.State, v.Reason = charge.Starting, ReasonOpenedRecently
	case !heard:
		v.State, v.Reason = charge.Unverified, ReasonNeverConnected
	case !observed:
		v.State, v.Reason = charge.Unverified, ReasonNotObserved
	default:
		v.State, v.Reason = charge.Failing, whyFailing(stations)
	}
	return v
}

// serves tells whether one connector makes its township effective.
func (p Policy) serves(c *Connector) bool {
	if !c.Heard || c.Unheard > p.UnobservedFor || c.Blocked {
		return false
	}
	return (c.Usable > 0 || c.UsableNow) && c.Usable >= p.MinUsable
}

// whyFailing names the cause that all connectors share.
func whyFailing(stations []Station) string {
	cause := ""
	for i := range stations {
		if stations[i].Shut != "" {
			continue
		}
		for j := range stations[i].Connectors {
			one := whyOut(&stations[i].Connectors[j])
			if cause != "" && cause != one {
				return ReasonMixed
			}
			cause = one
		}
	}
	return cause
}

func whyOut(c *Connector) string {
	switch {
	case c.Silent || !c.Heard:
		return ReasonAllSilent
	case c.Blocked:
		return ReasonAllBlocked
	case c.UsableNow:
		return ReasonTooShort
	case !c.Told:
		return ReasonAllLapsed
	case c.Status == charge.Faulted:
		return ReasonAllFault
	case c.Status == charge.Offline:
		return ReasonAllOffline
	}
	return ReasonAllLapsed
}
