package registry

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/inspection"
)

func TestADrawKeepsAllThatIsNeededToDrawAgain(t *testing.T) {
	r := open(t)
	for _, file := range []struct {
		table Table
		text  string
	}{
		{Operators, "operator,name\nMA3CLQP01,鲁充\n"},
		{Stations, "operator,station,name,township,kind,opened,closed\nMA3CLQP01,S1,站,371721101,public,2022-01-01,\nMA3CLQP01,HOME,小区,371721101,residential,2022-01-01,\n" +
			"MA3CLQP01,FAR,站,370102001,public,2022-01-01,\nMA3CLQP01,SHUT,站,371721101,public,2022-01-01,2023-01-01\n"},
		{Piles, "operator,station,pile,connector,power_kw,opened\nMA3CLQP01,S1,P1,1,60,2022-01-01\nMA3CLQP01,S1,P2,1,60,2022-01-01\nMA3CLQP01,S1,P3,1,60,2022-01-01\n" +
			"MA3CLQP01,S1,SOON,1,60,2122-01-01\nMA3CLQP01,HOME,H1,1,7,2022-01-01\nMA3CLQP01,FAR,F1,1,60,2022-01-01\nMA3CLQP01,SHUT,S1,1,60,2022-01-01\n"},
	} {
		if _, err := r.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
			t.Fatal(err)
		}
	}
	drawn, err := r.DrawInspections(t.Context(), InspectionDraw{Division: "371721", Count: 2, Inspectors: []string{"甲", "乙", "丙"}, By: "li"})
	if err != nil {
		t.Fatal(err)
	}
	d, err := r.InspectionDrawByID(t.Context(), drawn.ID)
	if err != nil || !slices.Equal(d.Piles, []string{"MA3CLQP01:P1", "MA3CLQP01:P2", "MA3CLQP01:P3"}) || d.Seed == "" || len(d.Picks) != 2 {
		t.Fatalf("got %+v, %v; want two of the three public piles in service", d, err)
	}
	again, err := inspection.Draw(d.Seed, d.Piles, d.Inspectors, d.Count)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range d.Picks {
		if again[i].Pile != p.Pile.String() || !slices.Equal(again[i].Inspectors, p.Inspectors) {
			t.Errorf("drawn again: got %+v, want %+v", again[i], p)
		}
	}
	other, err := r.DrawInspections(t.Context(), InspectionDraw{Division: "371721", Count: 2, Inspectors: []string{"甲", "乙"}, By: "li"})
	if err != nil || other.Seed == d.Seed || other.ID == d.ID {
		t.Errorf("a second draw: got %+v, %v; want another seed and number", other, err)
	}

	finding, by := cases.Inspection{At: time.Now().Add(-time.Hour), TestFailed: true}, CaseStep{Person: "li", Role: cases.CityOfficer}
	for name, try := range map[string]func() error{
		"another pile": func() error {
			_, err := r.RecordInspection(t.Context(), d.ID, charge.PileID{Operator: "MA3CLQP01", Equipment: "F1"}, finding, "x", by)
			return err
		},
		"nothing said": func() error {
			_, err := r.RecordInspection(t.Context(), d.ID, d.Picks[0].Pile, finding, " ", by)
			return err
		},
		"to come": func() error {
			_, err := r.RecordInspection(t.Context(), d.ID, d.Picks[0].Pile, cases.Inspection{At: time.Now().Add(time.Hour)}, "x", by)
			return err
		},
	} {
		if err := try(); !errors.Is(err, ErrInspection) && !errors.Is(err, ErrUnknownInspection) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	if _, err := r.RecordInspection(t.Context(), d.ID, d.Picks[0].Pile, finding, "无电", by); err != nil {
		t.Fatal(err)
	}
	if _, err := r.RecordInspection(t.Context(), d.ID, d.Picks[0].Pile, finding, "又", by); !errors.Is(err, ErrInspection) {
		t.Errorf("a second time: got %v, want it refused", err)
	}
	of, err := r.InspectionsOf(t.Context(), d.Picks[0].Pile, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
	if err != nil || len(of) != 1 || of[0].Text != "无电" || !of[0].Finding.TestFailed || of[0].Finding.Draw != d.ID || !slices.Equal(of[0].Finding.Officers, d.Picks[0].Inspectors) {
		t.Errorf("of the pile: got %+v, %v; want the finding with the officers that were drawn", of, err)
	}
	if all, err := r.InspectionDraws(t.Context(), "37"); err != nil || len(all) != 2 || all[1].Found != 1 {
		t.Errorf("draws: got %+v, %v", all, err)
	}
	if all, err := r.InspectionDraws(t.Context(), "3701"); err != nil || len(all) != 0 {
		t.Errorf("draws elsewhere: got %+v, %v", all, err)
	}
}
