package coverage

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

var now = time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)

const (
	hour = time.Hour
	day  = 24 * hour
)

// at is a station that opened so long ago.
func at(ago time.Duration, connectors ...Connector) Station {
	return Station{Opened: now.Add(-ago), Connectors: connectors}
}

// usable has been so since for ever; unless said otherwise the window was observed whole.
var (
	usable  = Connector{Told: true, Status: charge.Idle, Heard: true, UsableNow: true, Usable: day, UsableSeen: day}
	unseen  = Connector{}
	beating = Connector{Heard: true}
	faulted = Connector{Told: true, Status: charge.Faulted, Heard: true}
	offline = Connector{Told: true, Status: charge.Offline, Heard: true}
	silent  = Connector{Told: true, Status: charge.Idle, Silent: true, Heard: true, Unheard: 30 * hour}
	lapsed  = Connector{Told: true, Status: charge.Idle, Heard: true}
	blocked = Connector{Told: true, Status: charge.Occupied, Heard: true, UsableNow: true, Blocked: true, Usable: day, UsableSeen: day}
)

// wasUsable is c, usable for so long within the last 24 hours.
func wasUsable(long time.Duration, c Connector) Connector {
	c.Usable, c.UsableSeen = long, long
	return c
}

// unobserved is c with what it was before the platform lost sight of it.
func unobserved(since time.Duration, c Connector) Connector {
	c.Excused, c.Unheard, c.UsableSeen = true, since, max(0, c.UsableSeen-since)
	return c
}

func lastHeard(ago time.Duration, c Connector) Connector {
	c.Unheard = ago
	return c
}

func proven(ago time.Duration, c Connector) Connector {
	c.Proven = now.Add(-ago)
	return c
}

func shut(reason string, s Station) Station {
	s.Shut = reason
	return s
}

func TestJudge(t *testing.T) {
	verdict := func(state charge.CoverageState, reason string, by int) Verdict {
		return Verdict{State: state, Reason: reason, By: by}
	}
	tests := []struct {
		name     string
		stations []Station
		want     Verdict
	}{
		{"no station", nil, verdict(charge.None, ReasonNoStation, -1)},
		{"a connector is usable", []Station{at(30*day, usable)}, verdict(charge.Effective, ReasonUsable, 0)},
		{"one of many is usable", []Station{at(30*day, faulted, silent), at(30*day, unseen, usable)}, verdict(charge.Effective, ReasonUsable, 1)},
		{"usable for 60 minutes, now faulted", []Station{at(30*day, wasUsable(hour, faulted))}, verdict(charge.Effective, ReasonUsable, 0)},
		{"usable for 59 minutes, now faulted", []Station{at(30*day, wasUsable(59*time.Minute, faulted))}, verdict(charge.Failing, ReasonAllFault, -1)},
		{"usable for 59 minutes, and still", []Station{at(30*day, wasUsable(59*time.Minute, usable))}, verdict(charge.Failing, ReasonTooShort, -1)},
		{"two connectors for 59 minutes each are not one for 118", []Station{at(30*day, wasUsable(59*time.Minute, usable), wasUsable(59*time.Minute, faulted))}, verdict(charge.Failing, ReasonMixed, -1)},
		{"blocked for over a day", []Station{at(30*day, blocked)}, verdict(charge.Failing, ReasonAllBlocked, -1)},
		{"one blocked, one usable", []Station{at(30*day, blocked, usable)}, verdict(charge.Effective, ReasonUsable, 0)},
		{"new and usable", []Station{at(day, usable)}, verdict(charge.Effective, ReasonUsable, 0)},
		{"new and never connected", []Station{at(day, unseen)}, verdict(charge.Starting, ReasonOpenedRecently, -1)},
		{"new and faulted", []Station{at(7*day-time.Second, faulted)}, verdict(charge.Starting, ReasonOpenedRecently, -1)},
		{"seven days old and faulted", []Station{at(7*day, faulted)}, verdict(charge.Failing, ReasonAllFault, -1)},
		{"a new one beside an old one that fails", []Station{at(day, unseen), at(30*day, faulted)}, verdict(charge.Failing, ReasonMixed, -1)},
		{"a station without connectors", []Station{at(30 * day)}, verdict(charge.Unverified, ReasonNeverConnected, -1)},
		{"never connected", []Station{at(30*day, unseen, unseen)}, verdict(charge.Unverified, ReasonNeverConnected, -1)},
		{"not heard for 72 hours", []Station{at(30*day, lastHeard(72*hour, silent))}, verdict(charge.Failing, ReasonAllSilent, -1)},
		{"not heard for over 72 hours", []Station{at(30*day, lastHeard(72*hour+1, silent))}, verdict(charge.Unverified, ReasonNotObserved, -1)},
		{"one not heard for long, one that tells a fault", []Station{at(30*day, lastHeard(100*hour, silent), faulted)}, verdict(charge.Failing, ReasonMixed, -1)},
		{"all faulted", []Station{at(30*day, faulted, faulted)}, verdict(charge.Failing, ReasonAllFault, -1)},
		{"all offline", []Station{at(30*day, offline), at(30*day, offline)}, verdict(charge.Failing, ReasonAllOffline, -1)},
		{"all silent", []Station{at(30*day, silent, silent)}, verdict(charge.Failing, ReasonAllSilent, -1)},
		{"silent and never seen", []Station{at(30*day, silent, unseen)}, verdict(charge.Failing, ReasonAllSilent, -1)},
		{"faulted and offline", []Station{at(30*day, faulted, offline)}, verdict(charge.Failing, ReasonMixed, -1)},
		{"the modem lives and tells nothing", []Station{at(30*day, beating)}, verdict(charge.Failing, ReasonAllLapsed, -1)},
		{"a status that no longer holds", []Station{at(30*day, lapsed)}, verdict(charge.Failing, ReasonAllLapsed, -1)},
		{"a beach in winter", []Station{shut(ReasonClosedSeason, at(300*day, usable))}, verdict(charge.None, ReasonClosedSeason, -1)},
		{"a beach in winter, and a station in town", []Station{shut(ReasonClosedSeason, at(300*day)), at(30*day, faulted)}, verdict(charge.Failing, ReasonAllFault, -1)},
		{"a trailer", []Station{shut(ReasonMobile, at(300*day, usable))}, verdict(charge.None, ReasonMobile, -1)},
		{"a new one beside one that is out of season", []Station{shut(ReasonClosedSeason, at(300*day)), at(day, faulted)}, verdict(charge.Starting, ReasonOpenedRecently, -1)},
		{
			"the operator's broker is away for 25 hours",
			[]Station{at(30*day, unobserved(25*hour, usable))},
			Verdict{State: charge.Effective, Reason: ReasonUsable, NotObserved: true},
		},
		{
			"back after 25 hours, for half an hour",
			[]Station{at(30*day, wasUsableSeen(30*time.Minute, usable))},
			Verdict{State: charge.Effective, Reason: ReasonUsable, NotObserved: true},
		},
		{"back for an hour", []Station{at(30*day, wasUsableSeen(hour, usable))}, verdict(charge.Effective, ReasonUsable, 0)},
		{"one broker away, another station is seen", []Station{at(30*day, unobserved(25*hour, usable)), at(30*day, usable)}, verdict(charge.Effective, ReasonUsable, 1)},
		{"away for over 72 hours", []Station{at(30*day, unobserved(73*hour, usable))}, verdict(charge.Unverified, ReasonNotObserved, -1)},
		{
			"a session 89 days ago",
			[]Station{at(300*day, proven(89*day, usable))},
			Verdict{State: charge.Effective, Reason: ReasonUsable, Proven: true},
		},
		{"a session 90 days ago", []Station{at(300*day, proven(90*day, usable))}, verdict(charge.Effective, ReasonUsable, 0)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Judge(DefaultPolicy(), now, tt.stations); got != tt.want {
				t.Errorf("Judge: got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// wasUsableSeen is c, usable for a day of the time that we could observe, and of the last 24 hours for so long.
func wasUsableSeen(seen time.Duration, c Connector) Connector {
	c.UsableSeen = seen
	return c
}

var reasons = map[charge.CoverageState][]string{
	charge.Effective:  {ReasonUsable},
	charge.None:       {ReasonNoStation, ReasonClosedSeason, ReasonMobile},
	charge.Starting:   {ReasonOpenedRecently},
	charge.Unverified: {ReasonNeverConnected, ReasonNotObserved},
	charge.Failing:    {ReasonAllFault, ReasonAllOffline, ReasonAllSilent, ReasonAllBlocked, ReasonAllLapsed, ReasonTooShort, ReasonMixed},
}

func TestAnyEvidenceGivesOneState(t *testing.T) {
	ago := rapid.SampledFrom([]time.Duration{0, hour - 1, hour, day - 1, day, 25 * hour, 72 * hour, 73 * hour, 7*day - 1, 7 * day, 400 * day})
	connector := rapid.Custom(func(t *rapid.T) Connector {
		c := Connector{Heard: rapid.Bool().Draw(t, "heard")}
		if !c.Heard {
			return c
		}
		c.Unheard, c.Silent, c.Told = ago.Draw(t, "unheard"), rapid.Bool().Draw(t, "silent"), rapid.Bool().Draw(t, "told")
		c.Excused, c.Blocked = rapid.Bool().Draw(t, "excused"), rapid.Bool().Draw(t, "blocked")
		if c.Told {
			c.Status = rapid.SampledFrom([]charge.Status{charge.Offline, charge.Idle, charge.Charging, charge.Faulted}).Draw(t, "status")
			c.Usable = min(ago.Draw(t, "usable"), day)
			c.UsableSeen = min(ago.Draw(t, "usable seen"), c.Usable)
		}
		return c
	})
	station := rapid.Custom(func(t *rapid.T) Station {
		s := at(ago.Draw(t, "opened"), rapid.SliceOfN(connector, 0, 4).Draw(t, "connectors")...)
		s.Shut = rapid.SampledFrom([]string{"", "", "", ReasonClosedSeason, ReasonMobile}).Draw(t, "shut")
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		stations := rapid.SliceOfN(station, 0, 4).Draw(t, "stations")
		got := Judge(DefaultPolicy(), now, stations)
		if !slices.Contains(reasons[got.State], got.Reason) {
			t.Fatalf("got %v, want one of the five states with a reason of its own", got)
		}
		open := slices.ContainsFunc(stations, func(s Station) bool { return s.Shut == "" })
		serves := slices.ContainsFunc(stations, func(s Station) bool {
			return s.Shut == "" && slices.ContainsFunc(s.Connectors, func(c Connector) bool {
				return c.Heard && !c.Blocked && c.Unheard <= 72*hour && c.Usable >= hour
			})
		})
		if (got.State == charge.Effective) != serves {
			t.Fatalf("got %v, want effective %t", got, serves)
		}
		if (got.State == charge.None) != !open {
			t.Fatalf("got %v of %d stations", got, len(stations))
		}
		if got.NotObserved && got.State != charge.Effective {
			t.Fatalf("got %v: only what stands can stand unobserved", got)
		}
		slices.Reverse(stations)
		back := Judge(DefaultPolicy(), now, stations)
		back.By = got.By // one of several
		if back != got {
			t.Fatalf("stations the other way round: got %v, want %v", back, got)
		}
	})
}
