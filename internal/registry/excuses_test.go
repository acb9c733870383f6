package registry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
)

const someExcuses = `kind,operator,pile,division,from,until,cause,document
power_cut,,,371721,2026-03-01,2026-03-02,storm,
site,MA3CLQP01,,,2026-03-01,2026-04-01,demolition,曹政〔2026〕1号
maintenance,MA3CLQP01,P1,,2026-03-02T08:00:00+08:00,2026-03-02T12:00:00+08:00,,
maintenance,MA3CLQP01,P1,,2026-02-20,2026-02-21,late,
power_cut,MA3CLQP02,,,2026-03-01,2026-03-02,arrears,
`

func TestExcusesOfAFile(t *testing.T) {
	r := withPiles(t)
	d := directory(t, r)
	r.now = func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, charge.Zone) }
	if done := take(t, r, Excuses, someExcuses); done != (Imported{Added: 5}) {
		t.Errorf("Import: got %+v", done)
	}
	r.now = func() time.Time { return time.Date(2026, 3, 2, 9, 0, 0, 0, charge.Zone) }
	if done := take(t, r, Excuses, export(t, r, Excuses)); done != (Imported{Unchanged: 5}) {
		t.Errorf("Import of the export a day later: got %+v", done)
	}
	refused, err := r.Excuses(t.Context(), ExcuseQuery{State: charge.Refused})
	if err != nil || len(refused) != 2 || refused[0].Judge != "rule: maintenance entered after its begin" || refused[1].Judge != "rule: a power cut by arrears does not excuse" {
		t.Errorf("refused by rule: got %+v, %v", refused, err)
	}
	refresh(t, d)
	granted := func(pile string, township charge.DivisionCode, from, until string) (causes string) {
		f, _ := time.ParseInLocation("2006-01-02 15", from, charge.Zone)
		u, _ := time.ParseInLocation("2006-01-02 15", until, charge.Zone)
		for _, e := range d.Excuses(pileID(pile), township, f, u) {
			causes += string(e.Kind) + " "
		}
		return causes
	}
	for _, tt := range []struct{ pile, township, from, until, want string }{
		{"MA3CLQP01:P1", "371721101", "2026-03-01 00", "2026-03-03 00", "maintenance site power_cut "},
		{"MA3CLQP01:P1", "371721101", "2026-03-02 00", "2026-03-02 08", "site "}, // the ends touch
		{"MA3CLQP01:P2", "371722101", "2026-03-01 00", "2026-03-03 00", "site "},
		{"MA3CLQP02:P1", "371721001", "2026-03-01 00", "2026-03-03 00", "power_cut "},
		{"MA3CLQP02:P1", "371722001", "2026-03-01 00", "2026-03-03 00", ""},
	} {
		if got := granted(tt.pile, charge.DivisionCode(tt.township), tt.from, tt.until); got != tt.want {
			t.Errorf("Excuses(%s in %s, %s to %s): got %q, want %q", tt.pile, tt.township, tt.from, tt.until, got, tt.want)
		}
	}
	for division, want := range map[charge.DivisionCode]int{"371721101": 4, "371721001": 3, "3701": 0, "37": 5} {
		found, err := r.Excuses(t.Context(), ExcuseQuery{Division: division})
		if err != nil || len(found) != want {
			t.Errorf("Excuses of %s: got %d, %v, want %d", division, len(found), err, want)
		}
	}

	_, err = r.Import(t.Context(), Excuses, strings.NewReader("kind,operator,pile,division,from,until,cause,document\n"+
		"maintenance,MA3CLQP01,P1,,2026-03-02T08:00:00+08:00,2026-03-03,,\n"+
		"power_cut,MA3CLQP01,P9,,2026-03-01,2026-03-02,storm,\n"))
	var bad *ImportError
	if !errors.As(err, &bad) {
		t.Fatalf("Import: got %v", err)
	}
	if diff := cmp.Diff([]RowError{
		{2, "until", "the window has begun: enter another one for the time after it"}, {3, "", "unknown pile P9 of MA3CLQP01"},
	}, bad.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	_, err = r.Import(t.Context(), Excuses, strings.NewReader("kind,operator,pile,division,from,until,cause,document\n"+
		"platform_outage,MA3CLQP01,,,2026-03-01,2026-03-02,,\n"+
		"site,MA3CLQP01,,,2026-03-01,2026-03-02,flood,\n"+
		"power_cut,,,371721,2026-03-01,2026-03-02,,\n"+
		"power_cut,MA3CLQP01,,371721,2026-03-01,2026-03-02,storm,\n"+
		"maintenance,MA3CLQP01,,,2026-03-02,2026-03-02,,\n"))
	if !errors.As(err, &bad) {
		t.Fatalf("Import: got %v", err)
	}
	if diff := cmp.Diff([]RowError{
		{2, "kind", `"platform_outage" is none of maintenance, power_cut, site`},
		{3, "", "one of a site has a document"},
		{4, "", "a power cut has a cause"},
		{5, "", "it is of an operator, of one of its piles, or of a division"},
		{6, "", "it ends before it begins"},
	}, bad.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestOnlyAnOfficerGrants(t *testing.T) {
	r := withPiles(t)
	d := directory(t, r)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, charge.Zone)
	r.now = func() time.Time { return now }
	claim := charge.Excuse{
		Kind: charge.Maintenance, Operator: "MA3CLQP01", Pile: "P1", From: now.Add(time.Hour), Until: now.Add(5 * time.Hour), By: "鲁充",
		State: charge.Granted, Judge: "鲁充",
	}
	count := func() int {
		refresh(t, d)
		return len(d.Excuses(pileID("MA3CLQP01:P1"), "371721101", now, now.Add(24*time.Hour)))
	}
	e, err := r.ClaimExcuse(t.Context(), claim)
	if err != nil || e.State != charge.Claimed || e.ID == 0 || !e.Entered.Equal(now) || count() != 0 {
		t.Errorf("ClaimExcuse: got %+v, %v, %d granted", e, err, count())
	}
	if err := r.DecideExcuse(t.Context(), e.ID, true, "李四", ""); err != nil || count() != 1 {
		t.Errorf("granted: got %v, %d in force", err, count())
	}
	if err := r.DecideExcuse(t.Context(), e.ID, false, "李四", ""); !errors.Is(err, ErrUnknownExcuse) {
		t.Errorf("decide twice: got %v", err)
	}
	late := claim
	late.From = now.Add(-time.Minute)
	if e, err = r.ClaimExcuse(t.Context(), late); err != nil || e.State != charge.Refused || count() != 1 {
		t.Errorf("maintenance entered late: got %+v, %v", e, err)
	}
	other, _ := r.ClaimExcuse(t.Context(), charge.Excuse{Kind: charge.PowerCut, Operator: "MA3CLQP01", Cause: "storm", From: now, Until: now.Add(time.Hour)})
	if err := r.DecideExcuse(t.Context(), other.ID, false, "李四", ""); err != nil || count() != 1 {
		t.Errorf("refused: got %v, %d in force", err, count())
	}
	for _, wrong := range []charge.Excuse{
		{Kind: charge.Maintenance, Operator: "NONE", From: now, Until: now.Add(time.Hour)},
		{Kind: charge.GroupSilence, Operator: "MA3CLQP01", From: now, Until: now.Add(time.Hour)},
		{Kind: charge.Maintenance, From: now, Until: now.Add(time.Hour)},
	} {
		if _, err := r.ClaimExcuse(t.Context(), wrong); !errors.Is(err, ErrExcuse) {
			t.Errorf("ClaimExcuse(%+v): got %v, want ErrExcuse", wrong, err)
		}
	}
}

func TestNeitherABillUnpaidNorAMaintenanceWindowEnteredLateExcuses(t *testing.T) {
	r := withPiles(t)
	r.now = func() time.Time { return time.Date(2026, 3, 1, 9, 0, 0, 0, charge.Zone) }
	claim := charge.Excuse{Operator: "MA3CLQP01", Pile: "P1", From: r.now().Add(-time.Hour), Until: r.now().Add(6 * time.Hour), By: "王五"}
	for _, tt := range []struct {
		name, judge string
		change      func(*charge.Excuse)
	}{
		{"the power was cut since the bill was not paid", "rule: a power cut by arrears does not excuse", func(e *charge.Excuse) { e.Kind, e.Cause = charge.PowerCut, "arrears" }},
		{"the window was entered an hour after it began", "rule: maintenance entered after its begin", func(e *charge.Excuse) { e.Kind = charge.Maintenance }},
	} {
		e := claim
		tt.change(&e)
		got, err := r.ClaimExcuse(t.Context(), e)
		if err != nil || got.State != charge.Refused || got.Judge != tt.judge {
			t.Errorf("%s: got %s by %q, %v; want it refused by %q", tt.name, got.State, got.Judge, err, tt.judge)
		}
	}
	if got := directory(t, r).Excuses(pileID("MA3CLQP01:P1"), "371721101", claim.From, claim.Until); len(got) != 0 {
		t.Errorf("what excuses: got %+v, want nothing", got)
	}
}
