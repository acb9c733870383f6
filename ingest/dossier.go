package ingest

import (
	"context"
	"runtime/debug"
	"slices"
	"time"

	"pilewatch/ingest/longfailed"
	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// suspicion puts together what a case rests on.
func (p *procedure) suspicion(ctx context.Context, x *examined, day time.Time, found []longfailed.Suspicion) (*registry.Suspicion, error) {
	pile, names, days, connectors := x.pile, x.names, x.days.Days, x.connectors
	from := day
	d := &cases.Dossier{
		Pile: pile.ID.String(), Known: names, Station: pile.Station.Name, Township: string(pile.Station.TermsAt(day).Township),
		Changes: []cases.StatusChange{}, Rejects: []cases.Reject{}, Excuses: []cases.Excuse{}, Neighbours: []cases.Neighbour{}, Inspected: []cases.Inspected{},
	}
	s := &registry.Suspicion{Pile: pile.ID, Township: pile.Station.TermsAt(day).Township, Policy: p.policies().At(day).Version, Day: day, Dossier: d, Names: x.machine}
	for _, c := range pile.Connectors {
		if c.Serial != "" {
			s.Serial = c.Serial
		}
	}
	d.Serial = s.Serial
	for _, f := range found {
		if f.Window.From.Before(from) {
			from = f.Window.From
		}
		w := &f.Window
		s.Grounds = append(s.Grounds, registry.CaseGround{Rule: string(f.Rule), Policy: f.Policy})
		d.Grounds = append(d.Grounds, cases.Ground{
			Rule: string(f.Rule), Policy: f.Policy, From: w.From.UTC(), Until: w.Until.UTC(), Usable: w.Usable, Out: w.Out, Fault: w.Fault,
			Unknown: w.Unknown, Excused: w.Excused, Heard: w.Heard,
			EnergyWh: w.EnergyWh,
		})
		if f.Check {
			g := &d.Grounds[len(d.Grounds)-1]
			g.StationWh, g.AreaWh = int64(x.days.StationKWh*1000), int64(x.days.AreaKWh*1000)
		}
	}
	for _, one := range days {
		if !one.Date.Before(from) {
			d.Days = append(d.Days, dayOfDossier("", one.Date, &one.Pile))
		}
	}
	for _, c := range connectors {
		if !c.day.Day.Before(from) {
			d.Days = append(d.Days, dayOfDossier(c.connector, c.day.Day, &c.day.Minutes))
		}
	}
	excuses, err := p.store.Excuses(ctx, registry.ExcuseQuery{Division: s.Township, From: from, Until: day.AddDate(0, 0, 1)})
	if err != nil {
		return nil, err
	}
	for _, e := range excuses {
		if (e.Operator == "" || e.Operator == pile.ID.Operator) && (e.Pile == "" || e.Pile == pile.ID.Equipment) {
			d.Excuses = append(d.Excuses, cases.Excuse{ID: e.ID, Kind: string(e.Kind), State: string(e.State), From: e.From.UTC(), Until: e.Until.UTC(), Cause: e.Cause, Document: e.Document})
		}
	}
	if err := p.witnesses(ctx, d, s, from, day); err != nil {
		return nil, err
	}
	rev, err := p.store.Rev(ctx)
	if err != nil {
		return nil, err
	}
	d.Versions = cases.Versions{Registry: rev, Policy: s.Policy, Program: program()}
	return s, nil
}

func dayOfDossier(connector charge.ConnectorID, date time.Time, m *charge.DayMinutes) cases.Day {
	return cases.Day{
		Date: date.Format(time.DateOnly), Connector: string(connector), Usable: int(m.Usable), Excused: int(m.Excused), Out: int(m.Out),
		Fault: int(m.Fault), Unknown: int(m.Unknown), Heard: int(m.Heard), EnergyWh: int64(m.EnergyWh),
	}
}

// program is the version of this program, as it was built.
func program() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return ""
}

// witnesses adds what tells whose fault it was: what the pile told, message by message, what of it could not be used,
// whether the platform was there, and whether others of the operator in the township were heard.
func (p *procedure) witnesses(ctx context.Context, d *cases.Dossier, s *registry.Suspicion, from, day time.Time) error {
	until := day.AddDate(0, 0, 1)
	for _, name := range s.Names {
		changes, err := p.store.StandingChanges(ctx, name, from, until)
		if err != nil {
			return err
		}
		for _, c := range changes {
			d.Changes = append(d.Changes, cases.StatusChange{
				Connector: string(c.Key.Connector), Standing: c.Standing, At: c.Told, Received: c.Received, Partition: c.Partition,
				Sequence: int64(c.LogSeq), Status: int(c.Status), Fault: string(c.Fault), //nolint:gosec // JetStream's sequences stay far below 2^63
			})
		}
		rejects, err := p.store.PileRejects(ctx, name, from, day)
		if err != nil {
			return err
		}
		for _, r := range rejects {
			d.Rejects = append(d.Rejects, cases.Reject{Date: r.Day.Format(time.DateOnly), Reason: r.Reason, Count: r.Messages})
		}
	}
	for _, name := range s.Names {
		found, err := p.store.InspectionsOf(ctx, name, from, until)
		if err != nil {
			return err
		}
		for _, one := range found {
			d.Inspected = append(d.Inspected, cases.Inspected{Inspection: *one.Finding, Text: one.Text})
		}
	}
	var err error
	if d.Platform, err = p.platformRecord(ctx, d, s, from, until); err != nil {
		return err
	}
	others, err := p.store.NeighboursOf(ctx, s.Pile.Operator, s.Township)
	if err != nil {
		return err
	}
	for _, id := range others {
		if slices.Contains(s.Names, id) {
			continue
		}
		d.Others++
		days, err := p.store.PileDays(ctx, id, from, day)
		if err != nil {
			return err
		}
		n := cases.Neighbour{Pile: id.String()}
		for _, one := range days {
			n.Usable += int64(one.Minutes.Usable)
			n.Heard += int64(one.Minutes.Heard)
		}
		if n.Heard > 0 {
			d.Neighbours = append(d.Neighbours, n)
		}
	}
	return nil
}

// platformRecord tells when the platform could hear nobody, as far as it knows: without a gateway, or silent to most of
// several operators at once; and how long the operator's messages were under way.
func (p *procedure) platformRecord(ctx context.Context, d *cases.Dossier, s *registry.Suspicion, from, until time.Time) (cases.PlatformRecord, error) {
	r := cases.PlatformRecord{Outages: []cases.Outage{}}
	away, err := p.store.PlatformOutages(ctx, p.partitionOf(s.Township), from, until)
	if err != nil {
		return r, err
	}
	for _, e := range d.Excuses {
		if e.Kind == string(charge.PlatformOutage) && e.State == string(charge.Granted) {
			away = append(away, charge.Span{From: e.From, Until: e.Until})
		}
	}
	slices.SortFunc(away, func(a, b charge.Span) int { return a.From.Compare(b.From) })
	done := from
	var down time.Duration
	for _, o := range away {
		o.From, o.Until = later(o.From, done), earlier(o.Until, until)
		if !o.From.Before(o.Until) {
			continue
		}
		r.Outages = append(r.Outages, cases.Outage{From: o.From.UTC(), Until: o.Until.UTC()})
		down += o.Until.Sub(o.From)
		done = o.Until
	}
	r.DownMinutes = int64(down / time.Minute)
	r.UpMinutes = int64((until.Sub(from) - down) / time.Minute)
	var told registry.Quality
	for month := from.AddDate(0, 0, 1-from.Day()); month.Before(until); month = month.AddDate(0, 1, 0) {
		all, err := p.store.Qualities(ctx, month)
		if err != nil {
			return r, err
		}
		of := all[s.Pile.Operator]
		told.Add(&of)
	}
	r.Messages = told.Messages
	for share, ms := range map[float64]*int64{0.5: &r.DelayP50MS, 0.99: &r.DelayP99MS} {
		bound, ok := told.DelayWithin(share)
		switch {
		case ok:
			*ms = bound.Milliseconds()
		case told.Messages > 0:
			*ms = -1
		}
	}
	return r, nil
}
