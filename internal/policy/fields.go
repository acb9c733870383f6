package policy

import "time"

const aDay = 24 * time.Hour

// fieldsOf lists every key of the file with its default and its range.
func fieldsOf(p *Policy) []field {
	e, g, c, l := &p.Excuses, &p.Excuses.GroupSilence, &p.Coverage, &p.LongFailed
	return []field{
		text("version", true, &p.Version),
		day("from", &p.From),

		duration("status_limit_hours.public", time.Hour, 6, 0.25, 168, &p.StatusLimit.Public),
		duration("status_limit_hours.dedicated", time.Hour, 6, 0.25, 168, &p.StatusLimit.Dedicated),
		duration("status_limit_hours.residential", time.Hour, 6, 0.25, 168, &p.StatusLimit.Residential),
		duration("silence.at_least_minutes", time.Minute, 15, 1, 1440, &p.Silence.AtLeast),
		numberField("silence.intervals", 3, 1, 100, func(v float64) { p.Silence.Intervals = v }),
		duration("silence.at_most_hours.public", time.Hour, 24, 0.25, 168, &p.Silence.AtMost.Public),
		duration("silence.at_most_hours.dedicated", time.Hour, 72, 0.25, 168, &p.Silence.AtMost.Dedicated),
		duration("silence.at_most_hours.residential", time.Hour, 72, 0.25, 168, &p.Silence.AtMost.Residential),
		duration("lateness_hours", time.Hour, 72, 1, 168, &p.Lateness),
		duration("blocked_after_hours", time.Hour, 24, 1, 720, &p.BlockedAfter),
		duration("connect_within_days", aDay, 30, 0, 365, &p.ConnectWithin),
		percent("reports_too_seldom_pct", 50, &p.ReportsTooSeldom),

		duration("excuses.maintenance_hours_a_year", time.Hour, 72, 0, 8784, &e.MaintenanceAYear),
		percent("excuses.group_silence.over_pct", 90, &g.Share),
		whole("excuses.group_silence.from_connectors", 20, 1, 1_000_000, &g.From),
		whole("excuses.group_silence.from_connectors_if_all", 5, 1, 1_000_000, &g.FromIfAll),
		duration("excuses.group_silence.within_minutes", time.Minute, 10, 0, 1440, &g.Within),
		duration("excuses.group_silence.hours_an_event", time.Hour, 72, 0, 8784, &g.AnEvent),
		whole("excuses.group_silence.days_a_year", 10, 0, 366, &g.DaysAYear),
		duration("excuses.platform_outage.no_tick_minutes", time.Minute, 2, 1, 1440, &e.NoTick),
		whole("excuses.platform_outage.operators", 3, 1, 1000, &e.OutageOperators),
		percent("excuses.platform_outage.over_pct", 50, &e.OutageShare),
		words("excuses.power_cut_not_excused", []string{"arrears", "own_fault"}, &e.NotExcused),

		factor("confirm.hours_under_a_day", 8, 24, &p.Confirm.HoursADay),
		whole("confirm.closed_over_days", 60, 0, 366, &p.Confirm.ClosedDays),

		duration("availability.repair_ends_minutes", time.Minute, 60, 0, 10080, &p.Availability.RepairEnds),
		whole("availability.repair_mean_days", 30, 1, 366, &p.Availability.RepairMeanDays),
		whole("availability.league_from_connectors", 30, 1, 1_000_000, &p.Availability.LeagueFrom),
		percent("availability.league_interval_pct", 95, &p.Availability.LeagueShare),

		duration("coverage.min_usable_minutes", time.Minute, 60, 0, 10080, &c.MinUsable),
		duration("coverage.window_hours", time.Hour, 24, 1, 168, &c.Window),
		duration("coverage.unobserved_hours", time.Hour, 72, 1, 720, &c.Unobserved),
		duration("coverage.starting_days", aDay, 7, 0, 90, &c.Starting),
		whole("coverage.proven_days", 90, 1, 366, &c.ProvenDays),
		kwh("coverage.proven_kwh", 1, &c.ProvenWh),
		whole("coverage.unsteady_over_changes", 2, 1, 1000, &c.UnsteadyChanges),
		whole("coverage.unsteady_days", 7, 1, 90, &c.UnsteadyDays),
		whole("coverage.unsteady_shown_days", 30, 1, 366, &c.UnsteadyShown),
		whole("coverage.pace_days", 180, 7, 1096, &c.PaceDays),
		percent("coverage.pace_low_pct", 10, &c.PaceLow),
		percent("coverage.pace_high_pct", 90, &c.PaceHigh),
		whole("coverage.pace_draws", 1000, 1, 100_000, &c.PaceDraws),

		duration("long_failed.silent.days", aDay, 30, 1, 366, &l.Silent.Window),
		percent("long_failed.silent.heard_under_pct", 3, &l.Silent.HeardUnder),
		duration("long_failed.faulted.days", aDay, 15, 1, 366, &l.Faulted.Window),
		percent("long_failed.faulted.fault_at_least_pct", 97, &l.Faulted.AtLeast),
		duration("long_failed.not_usable.days", aDay, 30, 1, 366, &l.NotUsable.Window),
		percent("long_failed.not_usable.usable_at_most_pct", 3, &l.NotUsable.AtMost),
		duration("long_failed.unreliable.days", aDay, 90, 1, 366, &l.Unreliable.Window),
		percent("long_failed.unreliable.availability_under_pct", 50, &l.Unreliable.Under),
		percent("long_failed.unreliable.known_at_least_pct", 50, &l.Unreliable.KnownShare),
		duration("long_failed.no_energy.days", aDay, 180, 1, 366, &l.NoEnergy.Window),
		kwh("long_failed.no_energy.under_kwh", 1, &l.NoEnergy.UnderWh),
		percent("long_failed.no_energy.usable_at_least_pct", 50, &l.NoEnergy.UsableShare),
		kwh("long_failed.no_energy.neighbours_kwh", 50, &l.NoEnergy.NeighboursWh),
		whole("long_failed.no_energy.test_charge_days", 30, 1, 366, &l.NoEnergy.TestDays),
		yes("long_failed.cases.public", true, &l.Public),
		yes("long_failed.cases.dedicated", true, &l.Dedicated),
		yes("long_failed.cases.residential_service", false, &l.Service),

		duration("proof.service_hours", time.Hour, 72, 1, 8784, &p.Proof.Service),
		percent("proof.usable_at_least_pct", 95, &p.Proof.Usable),
		duration("proof.break_at_most_hours", time.Hour, 2, 0, 168, &p.Proof.BreakAtMost),
		kwh("proof.session_kwh", 1, &p.Proof.SessionWh),
		duration("proof.unreliable_days", aDay, 14, 1, 366, &p.Proof.UnreliableTime),
		percent("proof.unreliable_at_least_pct", 90, &p.Proof.Unreliable),
		whole("relapse.within_days", 90, 0, 3660, &p.Relapse.WithinDays),
		whole("relapse.period_days", 10, 1, 366, &p.Relapse.PeriodDays),
		whole("relapse.officer_at", 3, 1, 100, &p.Relapse.Third),
		whole("relapse.officer_months", 12, 1, 120, &p.Relapse.ThirdMonths),
		whole("dismissal_days", 90, 0, 3660, &p.DismissalHolds),

		whole("case.period_days", 30, 1, 366, &p.Case.PeriodDays),
		whole("case.extensions", 1, 0, 10, &p.Case.Extensions),
		whole("case.public_notice_days", 30, 1, 366, &p.Case.PublicNoticeDays),
		whole("case.suspected_working_days", 10, 1, 366, &p.Case.SuspectedDays),
		whole("case.overdue_working_days", 15, 1, 366, &p.Case.OverdueDays),
		text("case.document", false, &p.Case.Document),
		yes("case.public", false, &p.Case.Public),

		factor("gaps.distance", 0.25, 1, &p.Gaps.Distance),
		factor("gaps.demand", 0.2, 1, &p.Gaps.Demand),
		factor("gaps.tag", 0.15, 1, &p.Gaps.Tag),
		factor("gaps.population", 0.2, 1, &p.Gaps.Population),
		factor("gaps.grid", 0.1, 1, &p.Gaps.Grid),
		factor("gaps.holiday", 0.1, 1, &p.Gaps.Holiday),
		whole("gaps.draws", 1000, 1, 100_000, &p.Gaps.Draws),
		percent("gaps.vary_pct", 20, &p.Gaps.Vary),
		whole("gaps.first", 100, 1, 10_000, &p.Gaps.First),
	}
}
