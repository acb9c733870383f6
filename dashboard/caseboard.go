package dashboard

import (
	"context"
	"strings"
	"sync"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// casesOfOperator begins the topic of an operator's cases, and casesForPublic that of what anyone may see of a division's.
const (
	casesOfOperator = "cases:op:"
	casesForPublic  = "cases:public:"
)

// A caseBoard is all cases as they last were, for those who watch them. Its version is the number of the record's last
// entry, the same on every dashboard. It is safe for concurrent use.
type caseBoard struct {
	mu      sync.Mutex
	all     []registry.Case // in the order of a list
	version uint64
}

// set takes all cases in, and gives those that are other than before.
func (b *caseBoard) set(all []registry.Case, version uint64) (changed []registry.Case) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := make(map[string]int64, len(b.all))
	for i := range b.all {
		before[b.all[i].ID] = b.all[i].Step
	}
	for i := range all {
		if before[all[i].ID] != all[i].Step {
			changed = append(changed, all[i])
		}
	}
	b.all, b.version = all, version
	return changed
}

// of gives the cases wanted whose last step is after a version.
func (b *caseBoard) of(want func(*registry.Case) bool, after uint64) (rows []registry.Case, totals map[cases.State]int, version uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	totals = map[cases.State]int{}
	for i := range b.all {
		c := &b.all[i]
		if !want(c) {
			continue
		}
		totals[c.State]++
		if c.Step > int64(after) { //nolint:gosec // numbers of entries
			rows = append(rows, *c)
		}
	}
	return rows, totals, b.version
}

// caseSubject shows the cases of a division or an operator.
type caseSubject struct {
	board *caseBoard
	want  func(*registry.Case) bool
	view  func(rows []registry.Case, totals map[cases.State]int) casesView
	sent  uint64 // what is up to this version is in deltas or snapshots
}

func (s *caseSubject) snapshot() (any, uint64) {
	rows, totals, version := s.board.of(s.want, 0)
	return s.view(rows, totals), version
}

func (s *caseSubject) since(version uint64) (any, uint64, bool) {
	rows, totals, now := s.board.of(s.want, version)
	return s.view(rows, totals), now, version <= now
}

func (s *caseSubject) delta() (any, uint64, tells) {
	rows, totals, now := s.board.of(s.want, s.sent)
	s.sent = now
	if len(rows) == 0 {
		return nil, now, tellsNothing
	}
	return s.view(rows, totals), now, tellsAll
}

// casesView is a list of cases; totals count those that are not shown, too.
type casesView struct {
	Cases    []caseView          `json:"cases"`
	Totals   map[cases.State]int `json:"totals"`
	Document string              `json:"document"`
}

// viewCases shows cases wholly, or as the public sees them.
func (d *Dashboard) viewCases(open bool) func([]registry.Case, map[cases.State]int) casesView {
	return func(rows []registry.Case, totals map[cases.State]int) casesView {
		v := casesView{Cases: []caseView{}, Totals: totals, Document: d.document()}
		for i := range rows {
			switch {
			case !open:
				v.Cases = append(v.Cases, d.viewCase(&rows[i]))
			case decided(rows[i].State):
				v.Cases = append(v.Cases, openCaseView(d.viewCase(&rows[i])))
			}
		}
		return v
	}
}

// subscribeCases gives the topic of a division's cases to who may see all of them, of an operator's to the operator and
// to who may see the whole province, and of what is public where the public may.
func (d *Dashboard) subscribeCases(c *client, v *viewer, name, rest string, seen uint64, hasSeen bool) error {
	open, allowed, known := false, false, true
	var want func(*registry.Case) bool
	if operator, ok := strings.CutPrefix(name, casesOfOperator); ok {
		id := charge.OperatorID(operator)
		allowed = charge.ValidID(operator) && (v.Role == registry.Operator && operator == v.Scope || v.within(d.province()))
		want = func(c *registry.Case) bool { return c.Pile.Operator == id }
	} else {
		division := charge.DivisionCode(rest)
		if public, ok := strings.CutPrefix(name, casesForPublic); ok {
			division, open, allowed = charge.DivisionCode(public), true, v.public
		} else {
			allowed = v.within(division)
		}
		known = d.coverage.has(division)
		want = func(c *registry.Case) bool { return c.Township.Within(division) }
	}
	if !allowed || !known {
		return noTopic
	}
	return d.hub.subscribe(c, name, seen, hasSeen, func() *topic {
		_, _, now := d.board.of(want, 0)
		return &topic{subject: &caseSubject{board: d.board, want: want, view: d.viewCases(open), sent: now}}
	})
}

// casesChanged takes all cases in and marks the topics of those that are different. It does both under the lock, so
// that no delta is made in between.
func (h *hub) casesChanged(board *caseBoard, all []registry.Case, version uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range board.set(all, version) {
		names := []string{casesOfOperator + string(c.Pile.Operator)}
		for at := c.Township; at != ""; at = at.Parent() {
			names = append(names, "cases:"+string(at), casesForPublic+string(at))
		}
		for _, name := range names {
			if t := h.topics[name]; t != nil {
				h.touch(t)
			}
		}
	}
}

// followCases keeps the board: once a second it asks whether the record has grown.
func (d *Dashboard) followCases(ctx context.Context) {
	failing, known := false, int64(-1)
	for {
		version, err := d.registry.CaseVersion(ctx)
		if err == nil && version != known {
			var all []registry.Case
			if all, err = d.registry.Cases(ctx, registry.CaseQuery{}); err == nil {
				d.hub.casesChanged(d.board, all, uint64(version)) //nolint:gosec // a number of an entry
				known = version
			}
		}
		if err != nil && !failing && ctx.Err() == nil {
			d.log.Warn("does not hear of cases, tries again", "every", casesEvery, "err", err)
		}
		failing = err != nil
		if !wait(ctx, casesEvery) {
			return
		}
	}
}
