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

var (
	usable  = Connector{Told: true, Status: charge.Idle, Heard: true, WasUsable: true}
	unseen  = Connector{}
	beating = Connector{Heard: true}
	faulted = Connector{Told: true, Status: charge.Faulted, Heard: true}
	offline = Connector{Told: true, Status: charge.Offline, Heard: true}
	silent  = Connector{Told: true, Status: charge.Idle, Silent: true, Heard: true, Unobserved: 30 * hour, WasUsable: true, Unusable: 30 * hour}
	lapsed  = Connector{Told: true, Status: charge.Idle, Heard: true, WasUsable: true, Unusable: 25 * hour}
)

func lastUsable(ago time.Duration, c Connector) Connector {
	c.WasUsable, c.Unusable = true, ago
	return c
}

func lastHeard(ago time.Duration, c Connector) Connector {
	c.Unobserved = ago
	return c
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name     string
		stations []Station
		want     Verdict
	}{
		{"no station", nil, Verdict{charge.None, ReasonNoStation}},
		{"a connector is usable", []Station{at(30*day, usable)}, Verdict{charge.Effective, ReasonUsable}},
		{"one of many is usable", []Station{at(30*day, faulted, silent), at(30*day, unseen, usable)}, Verdict{charge.Effective, ReasonUsable}},
		{"usable within the day, now faulted", []Station{at(30*day, lastUsable(day-time.Second, faulted))}, Verdict{charge.Effective, ReasonUsable}},
		{"usable a day ago", []Station{at(30*day, lastUsable(day, faulted))}, Verdict{charge.Failing, ReasonAllFault}},
		{"new and usable", []Station{at(day, usable)}, Verdict{charge.Effective, ReasonUsable}},
		{"new and never connected", []Station{at(day, unseen)}, Verdict{charge.Starting, ReasonOpenedRecently}},
		{"new and faulted", []Station{at(7*day-time.Second, faulted)}, Verdict{charge.Starting, ReasonOpenedRecently}},
		{"seven days old and faulted", []Station{at(7*day, faulted)}, Verdict{charge.Failing, ReasonAllFault}},
		{"a new one beside an old one that fails", []Station{at(day, unseen), at(30*day, faulted)}, Verdict{charge.Failing, ReasonMixed}},
		{"a station without connectors", []Station{at(30 * day)}, Verdict{charge.Unverified, ReasonNeverConnected}},
		{"never connected", []Station{at(30*day, unseen, unseen)}, Verdict{charge.Unverified, ReasonNeverConnected}},
		{"not heard for 72 hours", []Station{at(30*day, lastHeard(72*hour, silent))}, Verdict{charge.Failing, ReasonAllSilent}},
		{"not heard for over 72 hours", []Station{at(30*day, lastHeard(72*hour+1, silent))}, Verdict{charge.Unverified, ReasonNotObserved}},
		{"one not heard for long, one that tells a fault", []Station{at(30*day, lastHeard(100*hour, silent), faulted)}, Verdict{charge.Failing, ReasonMixed}},
		{"all faulted", []Station{at(30*day, faulted, faulted)}, Verdict{charge.Failing, ReasonAllFault}},
		{"all offline", []Station{at(30*day, offline), at(30*day, offline)}, Verdict{charge.Failing, ReasonAllOffline}},
		{"all silent", []Station{at(30*day, silent, silent)}, Verdict{charge.Failing, ReasonAllSilent}},
		{"silent and never seen", []Station{at(30*day, silent, unseen)}, Verdict{charge.Failing, ReasonAllSilent}},
		{"faulted and offline", []Station{at(30*day, faulted, offline)}, Verdict{charge.Failing, ReasonMixed}},
		{"beats and tells nothing", []Station{at(30*day, beating)}, Verdict{charge.Failing, ReasonMixed}},
		{"a status that no longer holds", []Station{at(30*day, lapsed)}, Verdict{charge.Failing, ReasonMixed}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Judge(DefaultPolicy(), now, tt.stations); got != tt.want {
				t.Errorf("Judge: got %v, want %v", got, tt.want)
			}
		})
	}
}

var reasons = map[charge.CoverageState][]string{
	charge.Effective:  {ReasonUsable},
	charge.None:       {ReasonNoStation},
	charge.Starting:   {ReasonOpenedRecently},
	charge.Unverified: {ReasonNeverConnected, ReasonNotObserved},
	charge.Failing:    {ReasonAllFault, ReasonAllOffline, ReasonAllSilent, ReasonMixed},
}

func TestAnyEvidenceGivesOneState(t *testing.T) {
	ago := rapid.SampledFrom([]time.Duration{0, hour, day - 1, day, 25 * hour, 72 * hour, 73 * hour, 7*day - 1, 7 * day, 400 * day})
	connector := rapid.Custom(func(t *rapid.T) Connector {
		c := Connector{Heard: rapid.Bool().Draw(t, "heard")}
		if !c.Heard {
			return c
		}
		c.Unobserved, c.Silent, c.Told = ago.Draw(t, "unobserved"), rapid.Bool().Draw(t, "silent"), rapid.Bool().Draw(t, "told")
		if c.Told {
			c.Status = rapid.SampledFrom([]charge.Status{charge.Offline, charge.Idle, charge.Charging, charge.Faulted}).Draw(t, "status")
			if c.WasUsable = rapid.Bool().Draw(t, "was usable"); c.WasUsable {
				c.Unusable = ago.Draw(t, "unusable")
			}
		}
		return c
	})
	station := rapid.Custom(func(t *rapid.T) Station {
		return at(ago.Draw(t, "opened"), rapid.SliceOfN(connector, 0, 4).Draw(t, "connectors")...)
	})
	rapid.Check(t, func(t *rapid.T) {
		stations := rapid.SliceOfN(station, 0, 4).Draw(t, "stations")
		got := Judge(DefaultPolicy(), now, stations)
		if !slices.Contains(reasons[got.State], got.Reason) {
			t.Fatalf("got %v, want one of the five states with a reason of its own", got)
		}
		within := slices.ContainsFunc(stations, func(s Station) bool {
			return slices.ContainsFunc(s.Connectors, func(c Connector) bool { return c.WasUsable && c.Unusable < day })
		})
		if (got.State == charge.Effective) != within {
			t.Fatalf("got %v, want effective %t", got, within)
		}
		if (got.State == charge.None) != (len(stations) == 0) {
			t.Fatalf("got %v of %d stations", got, len(stations))
		}
		slices.Reverse(stations)
		if back := Judge(DefaultPolicy(), now, stations); back != got {
			t.Fatalf("stations the other way round: got %v, want %v", back, got)
		}
	})
}
