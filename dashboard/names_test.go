package dashboard

import (
	"strings"
	"testing"

	"pilewatch/internal/registry"
)

func TestAPileThatPassedToAnotherOperatorHasBothNamesAndAllItsDays(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) {
		past(t, s)
		for _, file := range []struct {
			table registry.Table
			text  string
		}{
			{registry.Operators, "operator,name\nMA3CLQP03,新东家\n"},
			{registry.Transfers, "from_operator,to_operator,station,date,document\nMA3CLQP01,MA3CLQP03,S1,2024-05-01,协议1号\n"},
		} {
			if _, err := s.registry.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
				t.Fatal(err)
			}
		}
	})
	if err := s.divisions.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"MA3CLQP01:P1", "MA3CLQP03:P1"} {
		var got struct{ Names []pileName }
		s.get(t, "/api/v1/piles/"+id, &got)
		if len(got.Names) != 2 || got.Names[0].Pile != "MA3CLQP01:P1" || got.Names[0].From != nil || got.Names[1].Pile != "MA3CLQP03:P1" || got.Names[1].From == nil || got.Names[1].Document != "协议1号" {
			t.Errorf("names of %s: got %+v", id, got.Names)
		}
	}
	var before, days struct {
		Days         []pileDay
		Availability []share
	}
	s.get(t, "/api/v1/piles/MA3CLQP01:P1/days", &before)
	s.get(t, "/api/v1/piles/MA3CLQP03:P1/days", &days)
	if len(days.Days) != 40 {
		t.Errorf("days under its new name: got %d, want the 40 from before", len(days.Days))
	}
	for i, a := range days.Availability {
		if was := before.Availability[i]; a.UpMinutes != was.UpMinutes || a.OfMinutes != was.OfMinutes || a.OfMinutes == 0 {
			t.Errorf("%s under its new name: got %d of %d minutes, want %d of %d as under the old one", a.Definition, a.UpMinutes, a.OfMinutes, was.UpMinutes, was.OfMinutes)
		}
	}
}
