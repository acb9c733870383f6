package registry

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"pilewatch/internal/charge"
)

// foundPile is what a test knows of a pile that FindPiles may give.
type foundPile struct {
	township, operator, pile, name, address string
	shown                                   []string
}

func (p foundPile) matches(q PileQuery) bool {
	folded := strings.ToLower(q.Search) // ASCII only in these tests
	switch {
	case !strings.HasPrefix(p.township, string(q.Division)),
		q.Operator != "" && p.operator != string(q.Operator),
		q.Status != "" && !slices.Contains(p.shown, q.Status):
		return false
	}
	return q.Search == "" || strings.HasPrefix(p.pile, q.Search) || strings.HasPrefix(p.operator+":"+p.pile, q.Search) && strings.Contains(q.Search, ":") ||
		strings.Contains(strings.ToLower(p.name), folded) || strings.Contains(strings.ToLower(p.address), folded)
}

// smallProvince is a registry of 120 piles in four townships with every state that is shown.
func smallProvince(t *testing.T) (*Registry, []foundPile) {
	r := open(t)
	townships := []string{"370102001", "370102002", "371721101", "371721102"}
	names := []string{"泉城 50%_站", "Expressway East", "庄寨镇站", ""}
	states := []struct {
		shown string
		state charge.ConnectorState
	}{
		{"unseen", charge.ConnectorState{}},
		{"unseen", charge.ConnectorState{LastHeard: time.UnixMilli(1)}}, // heard, and never told a status
		{"silent", charge.ConnectorState{Told: true, Status: charge.Idle, Silent: true, LastHeard: time.UnixMilli(1)}},
		{"silent", charge.ConnectorState{Silent: true, LastHeard: time.UnixMilli(1)}},
		{"offline", charge.ConnectorState{Told: true, Status: charge.Offline, LastHeard: time.UnixMilli(1)}},
		{"idle", charge.ConnectorState{Told: true, Status: charge.Idle}},
		{"occupied", charge.ConnectorState{Told: true, Status: charge.Occupied}},
		{"charging", charge.ConnectorState{Told: true, Status: charge.Charging}},
		{"reserved", charge.ConnectorState{Told: true, Status: charge.Reserved}},
		{"fault", charge.ConnectorState{Told: true, Status: charge.Faulted, Fault: "flood"}},
	}
	var stations, piles strings.Builder
	stations.WriteString("operator,station,name,township,kind,address,opened\n")
	piles.WriteString("operator,station,pile,connector,power_kw,opened\n")
	var all []foundPile
	var saved []charge.ConnectorState
	for op := range 3 {
		for st := range 4 {
			operator, station := fmt.Sprintf("OP%d", op), fmt.Sprintf("S%d", st)
			place := foundPile{
				township: townships[(st+op)%4], operator: operator, name: names[st], address: fmt.Sprintf("Renmin Lu %d", op*10+st),
			}
			fmt.Fprintf(&stations, "%s,%s,%s,%s,public,%s,2023-01-01\n", operator, station, place.name, place.township, place.address)
			for i := range 10 {
				p := place
				p.pile = fmt.Sprintf("%d-%d%d", i%3, st, i)
				for c := range 1 + i%2 {
					of := states[(op+st*3+i+c*4)%len(states)]
					fmt.Fprintf(&piles, "%s,%s,%s,%d,60,2023-01-01\n", operator, station, p.pile, c+1)
					of.state.Key = charge.ConnectorKey{Pile: pileID(operator + ":" + p.pile), Connector: charge.ConnectorID(fmt.Sprint(c + 1))}
					saved = append(saved, of.state)
					p.shown = append(p.shown, of.shown)
				}
				all = append(all, p)
			}
		}
	}
	take(t, r, Operators, "operator,name\nOP0,a\nOP1,b\nOP2,c\n")
	take(t, r, Stations, stations.String())
	take(t, r, Piles, piles.String())
	if err := r.SaveHealth(t.Context(), 0, 1, &Health{Connectors: saved}); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(all, func(a, b foundPile) int {
		return cmp.Or(cmp.Compare(a.township, b.township), cmp.Compare(a.operator, b.operator), cmp.Compare(a.pile, b.pile))
	})
	return r, all
}

func TestPagesGiveEveryMatchOnceInOrder(t *testing.T) {
	r, all := smallProvince(t)
	rapid.Check(t, func(rt *rapid.T) {
		q := PileQuery{
			Division: charge.DivisionCode(rapid.SampledFrom([]string{"", "37", "3701", "370102", "3717", "371721101", "36"}).Draw(rt, "division")),
			Operator: charge.OperatorID(rapid.SampledFrom([]string{"", "", "OP0", "OP2", "NONE"}).Draw(rt, "operator")),
			Status:   rapid.SampledFrom([]string{"", "", "unseen", "silent", "offline", "idle", "occupied", "charging", "reserved", "fault"}).Draw(rt, "status"),
			Search: rapid.SampledFrom([]string{
				"", "", "0", "1-2", "2-39", "OP1:", "OP1:1-0", "OP9:1", "庄寨", "east", "renmin lu", "Renmin Lu 1", "50%_站", "%", "_", `\`, "-", "*",
			}).Draw(rt, "search"),
			Limit: rapid.IntRange(1, 40).Draw(rt, "limit"),
		}
		var want, got []string
		for _, p := range all {
			if p.matches(q) {
				want = append(want, p.township+" "+p.operator+":"+p.pile+" "+strings.Join(p.shown, ","))
			}
		}
		for pages := 0; ; pages++ {
			rows, next, err := r.FindPiles(t.Context(), q)
			if err != nil {
				rt.Fatalf("FindPiles(%+v): %v", q, err)
			}
			if next != "" && len(rows) != q.Limit || pages > len(all) {
				rt.Fatalf("FindPiles(%+v): page %d has %d rows and a next one", q, pages, len(rows))
			}
			for _, row := range rows {
				var shown []string
				for i := range row.Connectors {
					shown = append(shown, ShownAs(&row.Connectors[i]))
				}
				got = append(got, string(row.Township)+" "+row.Pile.String()+" "+strings.Join(shown, ","))
			}
			if q.Cursor = next; next == "" {
				break
			}
		}
		if !slices.Equal(want, got) {
			rt.Fatalf("FindPiles(%+v): got\n%s\nwant\n%s", q, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestPileRowsSayWhereAndWhat(t *testing.T) {
	r := withPiles(t)
	rows, next, err := r.FindPiles(t.Context(), PileQuery{Search: "庄寨"})
	if err != nil || next != "" || len(rows) != 1 {
		t.Fatalf("FindPiles: got %d rows, next %q, %v, want one", len(rows), next, err)
	}
	want := PileRow{
		Pile: pileID("MA3CLQP01:P1"), Station: "S1", StationName: "庄寨镇站, 东", Township: "371721101", TownshipName: "庄寨镇",
		CountyName: "曹县", OperatorName: "鲁充", Kind: charge.Public, PowerKW: 120, DC: true,
		Opened: time.Date(2023, 5, 1, 0, 0, 0, 0, charge.Zone),
		Connectors: []charge.ConnectorState{
			{Key: charge.ConnectorKey{Pile: pileID("MA3CLQP01:P1"), Connector: "1"}},
			{Key: charge.ConnectorKey{Pile: pileID("MA3CLQP01:P1"), Connector: "2"}},
		},
	}
	if diff := gocmp.Diff(want, rows[0]); diff != "" {
		t.Errorf("row (-want +got):\n%s", diff)
	}
	row, station, err := r.PileByID(t.Context(), pileID("MA3CLQP01:P1"))
	if diff := gocmp.Diff(want, row); diff != "" || err != nil {
		t.Errorf("PileByID: %v (-want +got):\n%s", err, diff)
	}
	if station.ID != "S1" || station.Hours != "Mo-Fr 18:00-08:00" {
		t.Errorf("station: got %+v", station)
	}
	if _, _, err := r.PileByID(t.Context(), pileID("MA3CLQP01:NONE")); !errors.Is(err, ErrUnknownPile) {
		t.Errorf("PileByID of no pile: got %v, want ErrUnknownPile", err)
	}
}

func TestBadQueriesAreRefused(t *testing.T) {
	r := open(t)
	for _, q := range []PileQuery{
		{Division: "3x"},
		{Division: "371"},
		{Status: "broken"},
		{Cursor: "%"},
		{Cursor: "YWJj"},
		{Limit: -1},
		{Limit: 501},
		{Search: strings.Repeat("x", 101)},
	} {
		if _, _, err := r.FindPiles(t.Context(), q); !errors.Is(err, ErrBadQuery) {
			t.Errorf("FindPiles(%+v): got %v, want ErrBadQuery", q, err)
		}
	}
}
