// Package coverage decides which townships truly have a working public charging station, and why
// not. It is pure: what it says depends on its arguments alone.
package coverage

import (
	"time"

	"pilewatch/internal/charge"
)

// A Policy is the numbers of judgement.md §6 that the simple form of this package uses.
type Policy struct {
	Window        time.Duration // a connector must have been usable within it, of the time that we could observe
	StartingFor   time.Duration // after a station has opened
	UnobservedFor time.Duration // not heard for longer is unverified
}

// DefaultPolicy is 24 hours, 7 days and 72 hours.
func DefaultPolicy() Policy {
	return Policy{Window: 24 * time.Hour, StartingFor: 7 * 24 * time.Hour, UnobservedFor: 72 * time.Hour}
}

// A Station is what the judgement needs of a public station in service.
type Station struct {
	Opened     time.Time
	Connectors []Connector
}

// A Connector is what the judgement needs of a connector in service.
type Connector struct {
	Told       bool // a status, ever
	Status     charge.Status
	Silent     bool
	Unobserved time.Duration // since it was last heard, of the time that we could observe; meaningless unless Heard
	Heard      bool          // ever
	WasUsable  bool          // ever
	Unusable   time.Duration // since it was last usable, of the time that we could observe; 0 while it is usable
}

// A Verdict is what a township is counted as, and why.
type Verdict struct {
	State  charge.CoverageState
	Reason string
}

// Reasons of a verdict.
const (
	ReasonUsable         = "usable"
	ReasonNoStation      = "no_station"
	ReasonNeverConnected = "never_connected"
	ReasonNotObserved    = "not_observed"
	ReasonOpenedRecently = "opened_recently"
	ReasonAllFault       = "all_fault"
	ReasonAllOffline     = "all_offline"
	ReasonAllSilent      = "all_silent"
	ReasonMixed          = "mixed"
)

// Judge gives the state of a township whose public stations in service are stations, at now.
// Exactly one state holds; they are tried in this order: none, effective, starting, unverified,
// failing.
func Judge(p Policy, now time.Time, stations []Station) Verdict {
	if len(stations) == 0 {
		return Verdict{charge.None, ReasonNoStation}
	}
	heard, observed, starting := false, false, true
	for _, s := range stations {
		if now.Sub(s.Opened) >= p.StartingFor {
			starting = false
		}
		for _, c := range s.Connectors {
			if c.WasUsable && c.Unusable < p.Window {
				return Verdict{charge.Effective, ReasonUsable}
			}
			heard = heard || c.Heard
			observed = observed || (c.Heard && c.Unobserved <= p.UnobservedFor)
		}
	}
	switch {
	case starting:
		return Verdict{charge.Starting, ReasonOpenedRecently}
	case !heard:
		return Verdict{charge.Unverified, ReasonNeverConnected}
	case !observed:
		return Verdict{charge.Unverified, ReasonNotObserved}
	}
	return Verdict{charge.Failing, whyFailing(stations)}
}

// whyFailing names the cause that all connectors share.
func whyFailing(stations []Station) string {
	cause := ""
	for _, s := range stations {
		for _, c := range s.Connectors {
			one := ReasonMixed
			switch {
			case c.Silent || !c.Heard:
				one = ReasonAllSilent
			case !c.Told: // heard, and says nothing of itself
			case c.Status == charge.Faulted:
				one = ReasonAllFault
			case c.Status == charge.Offline:
				one = ReasonAllOffline
			}
			if cause != "" && cause != one {
				return ReasonMixed
			}
			cause = one
		}
	}
	return cause
}
