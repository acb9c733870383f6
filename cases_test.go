package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A receiver is an operator's webhook, which knows what it was sent.
type receiver struct {
	*httptest.Server

	mu    sync.Mutex
	about map[string]string // by number of the delivery
	times map[string]int
	wrong []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{about: make(map[string]string), times: make(map[string]int)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		id := req.Header.Get("Pilewatch-Delivery")
		if before, seen := r.about[id]; err != nil || id == "" || seen && before != string(body) {
			r.wrong = append(r.wrong, fmt.Sprintf("delivery %q: %v, %s, and before %s", id, err, body, before))
		}
		r.about[id] = string(body)
		r.times[id]++
	}))
	t.Cleanup(r.Close)
	return r
}

// An office is the people who act on cases, over HTTP.
type office struct {
	p       *program
	reg     *registry.Registry
	db      *sql.DB // the same file
	cookies map[string]string
}

func (o *office) hire(t *testing.T, name, grant string) {
	t.Helper()
	g, err := registry.ParseGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	given, a, err := o.reg.AddAccount(t.Context(), name, "", g, registry.Actor{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.reg.ChangePassword(t.Context(), name, given, "correct horse battery", registry.Actor{Name: name}); err != nil {
		t.Fatal(err)
	}
	if o.cookies[name], err = o.reg.OpenSession(t.Context(), a.ID, time.Hour, "test", registry.Actor{}); err != nil {
		t.Fatal(err)
	}
}

// next is who does what with a case as it is; "" where it waits for the platform or is at its end.
func next(c *registry.Case, rec []cases.Entry) (who string, action cases.Action, body map[string]any) {
	inspected := false
	for _, e := range rec {
		inspected = inspected || e.Action == cases.Inspect
	}
	switch {
	case c.State == cases.Suspected:
		return "li", cases.Notify, nil
	case c.State == cases.Notified && c.Served.IsZero():
		return "li", cases.Serve, map[string]any{"service": cases.Service{Kind: cases.Direct, On: time.Now(), Evidence: "回执"}}
	case c.State == cases.Overdue && !inspected:
		return "li", cases.Inspect, map[string]any{"inspection": cases.Inspection{At: time.Now(), Officers: []string{"甲", "乙"}, Photo: "p"}}
	case c.State == cases.Overdue:
		return "wang", cases.Confirm, nil
	case c.State == cases.Confirmed:
		return "zhao", cases.Review, nil
	case c.State == cases.Reviewed:
		return "wang", cases.Decommission, nil
	case c.State == cases.Decommissioned:
		return "wang", cases.Revoke, nil
	}
	return "", "", nil
}

// act does the next step of every case, once each; a step that had no answer may be taken or not.
func (o *office) act(ctx context.Context) (acted int, err error) {
	all, err := o.reg.Cases(ctx, registry.CaseQuery{})
	if err != nil {
		return 0, err
	}
	for i := range all {
		rec, err := o.reg.CaseRecord(ctx, all[i].ID)
		if err != nil {
			return acted, err
		}
		who, action, body := next(&all[i], rec)
		if who == "" {
			continue
		}
		if action == cases.Serve { // no test waits for 30 days: the period has passed with the service
			if _, err := o.db.ExecContext(ctx, "UPDATE cases SET period_days = -40 WHERE id = ?", all[i].ID); err != nil {
				return acted, err
			}
		}
		if body == nil {
			body = map[string]any{}
		}
		body["seen"], body["text"] = all[i].Step, "理由"
		text, err := json.Marshal(body)
		if err != nil {
			return acted, err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+o.p.http+"/api/v1/cases/"+all[i].ID+"/"+string(action), strings.NewReader(string(text)))
		if err != nil {
			return acted, err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Cookie", "pilewatch="+o.cookies[who])
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return acted, nil //nolint:nilerr // it was killed
		}
		answer, _ := io.ReadAll(res.Body)
		_ = res.Body.Close() // only read from
		if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusConflict && res.StatusCode < 500 {
			return acted, fmt.Errorf("%s on %s: got %d %s", action, all[i].ID, res.StatusCode, answer)
		}
		acted++
	}
	return acted, nil
}

// Ingest and dashboard killed at any moment, with people acting: each case goes through each of its steps once, and what
// was to be sent out has arrived, under one number however often.
func TestCasesKilledAtAnyMomentTakeEachStepOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("left out under -short: some 20 s")
	}
	kills := 4
	if text := os.Getenv("PILEWATCH_TEST_CASE_KILLS"); text != "" { // 50 take some minutes
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	hook := newReceiver(t)
	p := &program{t: t, dir: t.TempDir(), http: freeAddr(t), mqtt: freeAddr(t)}
	p.args = []string{"serve", "--data", p.dir, "--http", p.http, "--mqtt", p.mqtt, "--policy-document", "鲁能源〔2026〕1号"}
	reg, _ := openRegistry(t, p.dir)
	t.Cleanup(func() { _ = reg.Close() }) // the test may have failed
	piles := silentPiles(t, reg, max(6, kills), hook.URL)
	db, err := sql.Open("sqlite", filepath.Join(p.dir, "registry.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // only a test's
	o := &office{p: p, reg: reg, db: db, cookies: make(map[string]string)}
	o.hire(t, "li", "officer:3717")
	o.hire(t, "wang", "officer:37")
	o.hire(t, "zhao", "reviewer:37")

	seed := uint64(time.Now().UnixNano()) //nolint:gosec // a seed
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	ended := func() (n int, err error) {
		all, err := reg.Cases(t.Context(), registry.CaseQuery{States: []cases.State{cases.Revoked}})
		return len(all), err
	}
	p.start()
	t.Cleanup(func() { p.kill() })
	for range kills {
		if rng.IntN(4) > 0 { // else while it starts
			p.ready(patience)
		}
		life := time.After(time.Duration(rng.IntN(700)) * time.Millisecond)
		for alive := true; alive; {
			select {
			case <-life:
				alive = false
			default:
				if _, err := o.act(t.Context()); err != nil {
					t.Fatal(err)
				}
				if rng.IntN(3) > 0 {
					alive = len(life) == 0 // perhaps in the middle of a round
				}
			}
		}
		go func(ctx context.Context) { _, _ = o.act(ctx) }(t.Context()) // steps that are under way when it is killed
		p.kill()
		p.start()
	}
	// What is left is done; a period that has passed is seen at the start at the latest.
	if err := eventually(t.Context(), 4*patience, func() error {
		n, err := ended()
		if err != nil || n == len(piles) {
			return err
		}
		p.ready(patience)
		acted, err := o.act(t.Context())
		if err == nil && acted == 0 { // all wait for the platform, which looks once a minute
			p.stop()
			p.start()
			p.ready(patience)
		}
		if err == nil {
			err = fmt.Errorf("%d of %d cases are at their end", n, len(piles))
		}
		return err
	}); err != nil {
		t.Fatalf("%v\n%s", err, p.output.String())
	}

	const want = "suspect notify serve expire inspect confirm review decommission revoke"
	all, err := reg.Cases(t.Context(), registry.CaseQuery{})
	if err != nil || len(all) != len(piles) {
		t.Fatalf("got %d cases, %v; want one of each of %d piles", len(all), err, len(piles))
	}
	for _, c := range all {
		rec, err := reg.CaseRecord(t.Context(), c.ID)
		if err != nil {
			t.Fatal(err)
		}
		var steps []string
		for _, e := range rec {
			if e.Action != cases.Escalate {
				steps = append(steps, string(e.Action))
			}
		}
		if got := strings.Join(steps, " "); got != want {
			t.Errorf("case %s: got %s, want each step once: %s", c.ID, got, want)
		}
	}
	if _, _, err := reg.AuditCases(t.Context(), ""); err != nil {
		t.Error(err)
	}

	p.ready(patience)
	p.stop() // and begun again it sends what is due at once
	p.start()
	p.ready(patience)
	if err := eventually(t.Context(), 3*patience, func() error {
		due, err := reg.Deliveries(t.Context(), true)
		if err == nil && len(due) > 0 {
			err = fmt.Errorf("%d deliveries are due", len(due))
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	sent, err := reg.Deliveries(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	hook.mu.Lock()
	defer hook.mu.Unlock()
	reminders, again := 0, 0
	for _, d := range sent {
		id := strconv.FormatInt(d.ID, 10)
		if d.Kind == "reminder" {
			reminders++
		}
		if !d.Delivered.IsZero() && hook.times[id] == 0 {
			t.Errorf("delivery %d, %s: noted as delivered, and never came", d.ID, d.About)
		}
		if d.Delivered.IsZero() && d.Error == "" {
			t.Errorf("delivery %d, %s: neither delivered nor failed", d.ID, d.About)
		}
		again += max(0, hook.times[id]-1)
	}
	if reminders != 2*len(piles) || len(hook.wrong) > 0 || len(hook.about) > len(sent) {
		t.Errorf("got %d reminders of %d cases, %d numbers of %d deliveries, wrong: %v", reminders, len(piles), len(hook.about), len(sent), hook.wrong)
	}
	t.Logf("%d kills, %d deliveries, %d of them once more under their number", kills, len(sent), again)
	p.stop()
}

// silentPiles registers piles of an operator with a webhook that have been silent for 30 frozen days.
func silentPiles(t *testing.T, reg *registry.Registry, n int, webhook string) []charge.PileID {
	t.Helper()
	importTable(t, reg, registry.Operators, "operator,name,webhook\nMA3CLQP01,鲁充,"+webhook+"\n")
	importTable(t, reg, registry.Stations, "operator,station,name,township,kind,opened\nMA3CLQP01,S1,古营集镇站,371721101,public,2022-01-01\n")
	rows := "operator,station,pile,connector,power_kw,opened\n"
	var piles []charge.PileID
	for i := range n {
		id := charge.PileID{Operator: "MA3CLQP01", Equipment: fmt.Sprintf("P%d", i+1)}
		piles = append(piles, id)
		rows += fmt.Sprintf("MA3CLQP01,S1,%s,1,60,2022-01-01\n", id.Equipment)
	}
	importTable(t, reg, registry.Piles, rows)
	y, m, d := time.Now().In(charge.Zone).Date()
	h := &registry.Health{}
	for back := 34; back > 4; back-- {
		day := time.Date(y, m, d-back, 0, 0, 0, 0, charge.Zone)
		quiet := charge.DayMinutes{Unknown: 1440, BreakFirst: 1440, BreakLongest: 1440, BreakLast: 1440}
		for _, id := range piles {
			h.PileDays = append(h.PileDays, registry.PileDay{Pile: id, Day: day, Minutes: quiet, Frozen: true})
			h.ConnectorDays = append(h.ConnectorDays, registry.ConnectorDay{Key: charge.ConnectorKey{Pile: id, Connector: "1"}, Day: day, Minutes: quiet, Frozen: true})
		}
		h.Sums = append(h.Sums, registry.DaySum{Day: day, Frozen: true, SumKey: registry.SumKey{County: "371721", Operator: "MA3CLQP01", Kind: charge.Public}})
	}
	if err := reg.SaveHealth(t.Context(), 0, 0, h); err != nil {
		t.Fatal(err)
	}
	return piles
}
