// Package policy holds the numbers by which piles and townships are judged: every limit, period and
// weight, with a version and the first day on which it holds. They lie in a YAML file that an office
// signs (docs/policy.md); this package reads it and refuses what is not plainly right. It judges
// nothing itself.
package policy

import (
	_ "embed"
	"fmt"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A Policy is one version. It is shared: never change it. Shares are 0 to 1; docs/policy.md says what
// each number means.
type Policy struct {
	Version string
	From    time.Time // 00:00 Asia/Shanghai of the first day on which it holds

	StatusLimit      ByKind // how long a told status holds without being told again
	Silence          Silence
	Lateness         time.Duration // how late a reading may still correct a provisional day
	BlockedAfter     time.Duration // occupied or reserved unbroken for longer
	ConnectWithin    time.Duration // after opened; then the pile is in service whether it was usable or not
	Excuses          Excuses
	Confirm          Confirm
	Availability     Availability
	Coverage         Coverage
	LongFailed       LongFailed
	Proof            Proof
	Relapse          Relapse
	DismissalHolds   int // days
	Case             Case
	Gaps             Gaps
	ReportsTooSeldom float64 // known time below this share of time in service is "reports too seldom"
}

// ByKind is a time by the kind of station.
type ByKind struct{ Public, Dedicated, Residential time.Duration }

// Of gives the time for a kind; an unknown one is judged as public.
func (b ByKind) Of(kind charge.StationKind) time.Duration {
	switch kind {
	case charge.Dedicated:
		return b.Dedicated
	case charge.Residential:
		return b.Residential
	}
	return b.Public
}

// Silence is after what time without a message a connector is silent.
type Silence struct {
	AtLeast   time.Duration
	Intervals float64 // of the pile's declared report_s
	AtMost    ByKind
}

// Limit is the silence limit of a connector that declared to report every so often (0: not declared).
func (s Silence) Limit(kind charge.StationKind, reportEvery time.Duration) time.Duration {
	return min(max(s.AtLeast, time.Duration(s.Intervals*float64(reportEvery))), max(s.AtLeast, s.AtMost.Of(kind)))
}

// Excuses are the limits of excused time.
type Excuses struct {
	MaintenanceAYear time.Duration // a pile
	GroupSilence     GroupSilence
	NoTick           time.Duration // of any gateway: the platform is out
	OutageOperators  int           // of over OutageShare of all connectors of so many operators at once
	OutageShare      float64
	NotExcused       []string // causes by which a power cut does not excuse
}

// GroupSilence is when connectors of one credential are silent together.
type GroupSilence struct {
	Share     float64
	From      int // connectors
	FromIfAll int // connectors, where they are all the operator has
	Within    time.Duration
	AnEvent   time.Duration // excused at most
	DaysAYear int           // excused at most
}

// Confirm is what takes effect only when an officer confirms it.
type Confirm struct {
	HoursADay  float64 // opening hours under this on any day of the week
	ClosedDays int     // a closure by season of more days on end
}

// Availability is what the figures and leagues of availability go by.
type Availability struct {
	RepairEnds     time.Duration // usable for less does not end an outage
	RepairMeanDays int           // the mean time to repair is restricted to these
	LeagueFrom     int           // connectors
	LeagueShare    float64       // of the interval
}

// Coverage is when a township counts.
type Coverage struct {
	MinUsable       time.Duration
	Window          time.Duration
	Unobserved      time.Duration // the last state stands without evidence for at most so long
	Starting        time.Duration // after opened
	ProvenDays      int
	ProvenWh        float64
	UnsteadyChanges int // more than these ...
	UnsteadyDays    int // ... in these are one event
	UnsteadyShown   int // days
	PaceDays        int
	PaceLow         float64 // of the range of dates, like 0.1
	PaceHigh        float64
	PaceDraws       int
}

// LongFailed are the rules for 长期失效.
type LongFailed struct {
	Silent     SilentRule
	Faulted    FaultedRule
	NotUsable  NotUsableRule
	Unreliable UnreliableRule
	NoEnergy   NoEnergyRule
	Public     bool // cases are opened for piles of public stations
	Dedicated  bool
	Service    bool // residential piles run as a service; a household's own never
}

// SilentRule is the rule by which no connector was usable, and it was heard for under a share.
type SilentRule struct {
	Window     time.Duration
	HeardUnder float64
}

// FaultedRule is the rule by which every connector was told a fault for at least a share.
type FaultedRule struct {
	Window  time.Duration
	AtLeast float64
}

// NotUsableRule is the rule by which no connector was usable for more than a share.
type NotUsableRule struct {
	Window time.Duration
	AtMost float64
}

// UnreliableRule is the rule by which availability under a share, with known time at least a share.
type UnreliableRule struct {
	Window     time.Duration
	Under      float64
	KnownShare float64
}

// NoEnergyRule is the rule by which usable, and hardly a kilowatt-hour, where the neighbours deliver.
type NoEnergyRule struct {
	Window       time.Duration
	UnderWh      float64
	UsableShare  float64
	NeighboursWh float64 // a pile
	TestDays     int     // for a test charge
}

// Proof is what proves a repair.
type Proof struct {
	Service        time.Duration // not excused, of silent, faulted and not_usable
	Usable         float64
	BreakAtMost    time.Duration
	SessionWh      float64 // also of no_energy
	UnreliableTime time.Duration
	Unreliable     float64 // availability
}

// Relapse is a new suspicion soon after a case.
type Relapse struct {
	WithinDays  int
	PeriodDays  int
	Third       int // how many in Months go to the officer without a period
	ThirdMonths int
}

// Case are the periods of the procedure.
type Case struct {
	PeriodDays       int // to repair or to state one's case
	Extensions       int
	PublicNoticeDays int    // after posting a public notice it is served
	SuspectedDays    int    // working days until a suspicion is on the province's list
	OverdueDays      int    // working days
	Document         string // number and date of the regulation (文号); "": no case goes beyond overdue
	Public           bool   // anyone may read decided cases and totals
}

// Gaps are the weights of the gap ranking, and how its stability is found.
type Gaps struct {
	Distance, Demand, Tag, Population, Grid, Holiday float64
	Draws                                            int
	Vary                                             float64 // each weight by ± this share
	First                                            int     // places
}

//go:embed default.yaml
var defaultFile []byte

// DefaultFile is the policy that the program carries, with a remark on every number.
func DefaultFile() []byte { return slices.Clone(defaultFile) }

// Default is the policy that the program carries.
func Default() *Policy {
	p, err := Parse(defaultFile)
	if err != nil {
		panic(fmt.Sprintf("the embedded policy is wrong: %v", err)) // a test reads it
	}
	return p
}

// Policies are versions by their first day.
type Policies []*Policy

// NewPolicies sorts versions by their first day and puts the default before them, unless one of them
// began earlier. Two versions of one day are as they come: the later one holds.
func NewPolicies(versions ...*Policy) Policies {
	all := slices.Clone(versions)
	slices.SortStableFunc(all, func(a, b *Policy) int { return a.From.Compare(b.From) })
	first := Default()
	if len(all) == 0 || first.From.Before(all[0].From) {
		all = slices.Insert(all, 0, first)
	}
	return all
}

// At gives the version in force at a time: the newest whose first day has come, and the first one
// for what lies before all of them.
func (ps Policies) At(at time.Time) *Policy {
	i, _ := slices.BinarySearchFunc(ps, at, func(p *Policy, at time.Time) int {
		if p.From.After(at) {
			return 1
		}
		return -1
	})
	return ps[max(i-1, 0)]
}
