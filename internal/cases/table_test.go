package cases_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
)

var update = flag.Bool("update", false, "write the table into docs/cases.md")

// ready is facts under which every need of an action is met.
func ready(a cases.Action) cases.Facts {
	return cases.Facts{
		Person: "reviewer", Text: "text", DossierHash: "hash", PolicyDocument: "鲁能源〔2026〕1号",
		ServiceValid: true, VisitValid: true, Served: a != cases.Serve, PeriodOver: a != cases.Extend, CheckOver: true, Waiting: true,
		ConfirmedBy: "officer", Proved: true, Lapsed: true,
	}
}

// want is the table once more, as a person reads judgement: state, action, who, next state.
const want = `
 none           open_check   P         check
 none           suspect      P         suspected
 check          inspect      c,t,p     check
 check          suspect      P         suspected
 check          dismiss      t,p       dismissed
 check          prove        P         rectified
 check          follow       P         check
 check          lapse        P         dismissed
 check          correct      t,p       check
 suspected      notify       t,p       notified
 suspected      state        o         suspected
 suspected      inspect      c,t,p     suspected
 suspected      dismiss      t,p       dismissed
 suspected      escalate     P         suspected
 suspected      prove        P         rectified
 suspected      follow       P         suspected
 suspected      lapse        P         dismissed
 suspected      correct      t,p       suspected
 notified       serve        t,p       notified
 notified       state        o         notified
 notified       inspect      c,t,p     notified
 notified       extend       t,p       notified
 notified       dismiss      t,p       dismissed
 notified       expire       P         overdue
 notified       prove        P         rectified
 notified       follow       P         notified
 notified       lapse        P         dismissed
 notified       correct      t,p       notified
 overdue        state        o         overdue
 overdue        inspect      c,t,p     overdue
 overdue        dismiss      t,p       dismissed
 overdue        confirm      p         confirmed
 overdue        escalate     P         overdue
 overdue        prove        P         rectified
 overdue        follow       P         overdue
 overdue        lapse        P         dismissed
 overdue        correct      t,p       overdue
 confirmed      inspect      c,t,p     confirmed
 confirmed      dismiss      p         dismissed
 confirmed      review       r         reviewed
 confirmed      prove        P         rectified
 confirmed      follow       P         confirmed
 confirmed      lapse        P         dismissed
 confirmed      correct      t,p       confirmed
 reviewed       inspect      c,t,p     reviewed
 reviewed       dismiss      p         dismissed
 reviewed       decommission p         decommissioned
 reviewed       prove        P         rectified
 reviewed       follow       P         reviewed
 reviewed       lapse        P         dismissed
 reviewed       correct      t,p       reviewed
 decommissioned inspect      c,t,p     decommissioned
 decommissioned follow       P         decommissioned
 decommissioned prove        P         decommissioned
 decommissioned restore      p         restored
 decommissioned revoke       p         revoked
 decommissioned correct      t,p       decommissioned
 rectified      relapse      P         suspected
 rectified      correct      t,p       rectified
 dismissed      correct      t,p       dismissed
 restored       correct      t,p       restored
 revoked        correct      t,p       revoked
`

func TestEveryStateActionAndRole(t *testing.T) {
	letters := map[string]cases.Role{
		"P": cases.Platform, "c": cases.CountyOfficer, "t": cases.CityOfficer, "p": cases.ProvinceOfficer,
		"r": cases.Reviewer, "o": cases.Operator,
	}
	type key struct {
		state  cases.State
		action cases.Action
		role   cases.Role
	}
	next := map[key]cases.State{}
	for line := range strings.Lines(strings.TrimSpace(want)) {
		f := strings.Fields(line)
		if f[0] == "none" {
			f[0] = ""
		}
		for letter := range strings.SplitSeq(f[2], ",") {
			next[key{cases.State(f[0]), cases.Action(f[1]), letters[letter]}] = cases.State(f[3])
		}
	}
	tried := 0
	for _, state := range append(cases.States(), cases.None) {
		for _, action := range cases.Actions() {
			for _, role := range cases.Roles() {
				got, err := cases.Next(state, action, role, ready(action))
				want, possible := next[key{state, action, role}]
				delete(next, key{state, action, role})
				var refused *cases.RefusedError
				switch {
				case possible && (err != nil || got != want):
					t.Errorf("%s, %s by %s: got %s, %v; want %s", state, action, role, got, err, want)
				case !possible && (!errors.As(err, &refused) || refused.Need != "" || got != state):
					t.Errorf("%s, %s by %s: got %s, %v; want it refused", state, action, role, got, err)
				}
				tried++
			}
		}
	}
	if len(next) > 0 {
		t.Errorf("never tried: %v", next)
	}
	if tried != 12*20*8 {
		t.Errorf("tried %d, want %d", tried, 12*20*8)
	}
}

func TestNoDecisionWithoutWhatItNeeds(t *testing.T) {
	without := map[cases.Need]func(*cases.Facts){
		cases.NeedText:           func(f *cases.Facts) { f.Text = "" },
		cases.NeedDossier:        func(f *cases.Facts) { f.DossierHash = "" },
		cases.NeedDocument:       func(f *cases.Facts) { f.PolicyDocument = "" },
		cases.NeedUnserved:       func(f *cases.Facts) { f.Served = true },
		cases.NeedService:        func(f *cases.Facts) { f.ServiceValid = false },
		cases.NeedServed:         func(f *cases.Facts) { f.Served = false },
		cases.NeedInPeriod:       func(f *cases.Facts) { f.PeriodOver = true },
		cases.NeedPeriodOver:     func(f *cases.Facts) { f.PeriodOver = false },
		cases.NeedFirstExtension: func(f *cases.Facts) { f.Extended = true },
		cases.NeedInspection:     func(f *cases.Facts) { f.SilenceOnly = true },
		cases.NeedVisitDay:       func(f *cases.Facts) { f.VisitValid = false },
		cases.NeedAnswers:        func(f *cases.Facts) { f.Arguments, f.Answered = 2, 1 },
		cases.NeedAnotherPerson:  func(f *cases.Facts) { f.Person = f.ConfirmedBy },
		cases.NeedProof:          func(f *cases.Facts) { f.Proved = false },
		cases.NeedCheckOver:      func(f *cases.Facts) { f.CheckOver = false },
		cases.NeedWaiting:        func(f *cases.Facts) { f.Waiting = false },
		cases.NeedMilder:         func(f *cases.Facts) { f.Lapsed = false },
	}
	seen := map[cases.Need]bool{}
	for _, row := range cases.Table() {
		for _, need := range row.Needs {
			f := ready(row.Action)
			without[need](&f)
			state, err := cases.Next(row.From, row.Action, row.Roles[0], f)
			var refused *cases.RefusedError
			if !errors.As(err, &refused) || refused.Need != need || state != row.From {
				t.Errorf("%s in %s without %s: got %s, %v", row.Action, row.From, need, state, err)
			}
			seen[need] = true
		}
	}
	for _, need := range cases.Needs() {
		if !seen[need] || without[need] == nil {
			t.Errorf("need %s is in no row", need)
		}
	}
	f := ready(cases.Confirm)
	f.SilenceOnly, f.Inspected = true, true
	if _, err := cases.Next(cases.Overdue, cases.Confirm, cases.ProvinceOfficer, f); err != nil {
		t.Errorf("silence as the only ground, and inspected: %v", err)
	}
	for _, nobody := range []string{"person", "confirmer"} {
		f := ready(cases.Review)
		if nobody == "person" {
			f.Person = ""
		} else {
			f.ConfirmedBy = ""
		}
		if _, err := cases.Next(cases.Confirmed, cases.Review, cases.Reviewer, f); err == nil {
			t.Errorf("reviewed without a known %s", nobody)
		}
	}
}

// No case skips a step: whatever way it takes into decommissioned, it was in all the states before it.
func TestACaseNeverSkipsAStep(t *testing.T) {
	for _, skipped := range []cases.State{cases.Suspected, cases.Notified, cases.Overdue, cases.Confirmed, cases.Reviewed} {
		reached := map[cases.State]bool{cases.None: true}
		for more := true; more; {
			more = false
			for _, row := range cases.Table() {
				if reached[row.From] && row.To != skipped && !reached[row.To] {
					reached[row.To], more = true, true
				}
			}
		}
		if reached[cases.Decommissioned] {
			t.Errorf("decommissioned without having been %s", skipped)
		}
	}
}

func TestWithoutADocumentNothingGoesBeyondOverdue(t *testing.T) {
	reached := map[cases.State]bool{cases.None: true}
	for more := true; more; {
		more = false
		for state := range reached {
			for _, action := range cases.Actions() {
				for _, role := range cases.Roles() {
					f := ready(action)
					f.PolicyDocument = ""
					if to, err := cases.Next(state, action, role, f); err == nil && !reached[to] {
						reached[to], more = true, true
					}
				}
			}
		}
	}
	for _, state := range []cases.State{cases.Confirmed, cases.Reviewed, cases.Decommissioned} {
		if reached[state] {
			t.Errorf("reached %s", state)
		}
	}
	if !reached[cases.Overdue] {
		t.Error("never overdue")
	}
}

func TestEverythingHasItsWords(t *testing.T) {
	for _, s := range append(cases.States(), cases.None) {
		if s.Chinese() == string(s) {
			t.Errorf("state %q has no Chinese name", s)
		}
	}
	for _, a := range cases.Actions() {
		if a.Chinese() == string(a) {
			t.Errorf("action %q has no Chinese name", a)
		}
	}
	for _, n := range cases.Needs() {
		if n.English() == "" || n.Chinese() == "" {
			t.Errorf("need %q has no words", n)
		}
	}
}

func TestPossibleIsWhatThePageOffers(t *testing.T) {
	var got []cases.Action
	for _, row := range cases.Possible(cases.Notified, cases.CountyOfficer) {
		got = append(got, row.Action)
	}
	if !slices.Equal(got, []cases.Action{cases.Inspect}) {
		t.Errorf("a county's officer, notified: got %v, want inspect", got)
	}
	if rows := cases.Possible(cases.Notified, cases.Admin); len(rows) > 0 {
		t.Errorf("an administrator may %v", rows)
	}
}

func TestAnOfficersRankIsItsDivisions(t *testing.T) {
	for code, want := range map[charge.DivisionCode]cases.Role{
		"37": cases.ProvinceOfficer, "3701": cases.CityOfficer, "370102": cases.CountyOfficer, "370102001": cases.CountyOfficer, "": cases.CountyOfficer,
	} {
		if got := cases.OfficerOf(code); got != want {
			t.Errorf("%q: got %s, want %s", code, got, want)
		}
	}
}

func TestTheDocumentHasTheTable(t *testing.T) {
	var b strings.Builder
	b.WriteString("| in state | action | by | becomes | needs |\n| --- | --- | --- | --- | --- |\n")
	for _, row := range cases.Table() {
		var roles, needs []string
		for _, r := range row.Roles {
			roles = append(roles, string(r))
		}
		for _, n := range row.Needs {
			needs = append(needs, string(n))
		}
		from := string(row.From)
		if row.From == cases.None {
			from = "(no case)"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", from, row.Action, strings.Join(roles, ", "), row.To, strings.Join(needs, ", "))
	}
	b.WriteString("\n| need | where it is missing, one reads |\n| --- | --- |\n")
	for _, n := range cases.Needs() {
		fmt.Fprintf(&b, "| %s | %s · %s |\n", n, n.English(), n.Chinese())
	}
	const path, begin, end = "../../docs/cases.md", "<!-- table: made by the test of internal/cases, -update -->\n", "<!-- end of table -->\n"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(doc), begin)
	inside, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s lacks the marks of the table", path)
	}
	if inside == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s has another table than the program: run go test ./internal/cases -update", path)
	}
	if err := os.WriteFile(path, []byte(head+begin+b.String()+end+tail), 0o600); err != nil {
		t.Fatal(err)
	}
}
