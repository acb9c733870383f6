package dashboard

import (
	"net/http"
	"strings"
	"testing"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

func TestThePlansListStandsBesideTodays(t *testing.T) {
	// 庄寨镇 was renamed and 普连集镇 merged into it; 371721103 is gone, and nobody says what it has become.
	plan := []charge.Division{}
	for _, code := range []charge.DivisionCode{"371721101", "371721102", "371721103", "371722101"} {
		plan = append(plan, charge.Division{Code: code, Name: "plan " + string(code), Level: charge.Township, Parent: code.Parent(), Kind: charge.KindTown})
	}
	c := newCoverage()
	today := []charge.Division{{Code: "37", Level: charge.Province}}
	for _, code := range []charge.DivisionCode{"3717", "371721", "371722", "371721190", "371722101"} {
		today = append(today, charge.Division{Code: code, Name: "today " + string(code), Level: code.Level(), Parent: code.Parent(), Kind: charge.KindTown})
	}
	c.setDivisions(today, "2026-06-30")
	c.load(1, []charge.TownshipState{{Township: "371721190", State: charge.Effective, Stations: 2}, {Township: "371722101", State: charge.Failing, Stations: 1}})
	renames := map[charge.DivisionCode]charge.DivisionCode{"371721101": "371721180", "371721180": "371721190", "371721102": "371721190"}
	v, ok := c.planView("3717", plan, renames)
	if !ok || v.Total != 4 || v.Effective != 2 || v.Failing != 1 || v.None != 1 || v.Denominator != planDenominator {
		t.Fatalf("by the plan's list: got %+v", v)
	}
	if len(v.Children) != 2 || v.Children[0].Name != "today 371721" || v.Children[0].Total != 3 || v.Children[1].Failing != 1 {
		t.Errorf("its counties: got %+v", v.Children)
	}
	if v.Stations != 3 {
		t.Errorf("stations of merged townships: got %d, want each once, 3", v.Stations)
	}
	county, _ := c.planView("371721", plan, renames)
	if len(county.Children) != 3 || county.Children[2].State != charge.None || county.Children[0].State != charge.Effective || county.Children[0].Name != "plan 371721101" {
		t.Errorf("a county's townships: got %+v", county.Children)
	}
	if by, _ := c.view("3717", tierTowns, every); by.Total != 2 {
		t.Errorf("by today's list: got %d, want 2", by.Total)
	}
	if got := becomes("1", map[charge.DivisionCode]charge.DivisionCode{"1": "2", "2": "1"}); got != "1" {
		t.Errorf("renames that go round: got %s", got)
	}
}

func TestCoverageByThePlansList(t *testing.T) {
	s := openSite(t, Config{Public: true}, func(s *site) {
		told(t, s)
		for _, file := range []struct {
			table registry.Table
			text  string
		}{
			{registry.Divisions, "code,name\n371721190,新庄寨镇\n"},
			{registry.Renames, "old,new,date\n371721102,371721190,2024-05-01\n"},
		} {
			if _, err := s.registry.Import(t.Context(), file.table, strings.NewReader(file.text)); err != nil {
				t.Fatal(err)
			}
		}
	})
	var plan, today coverageView
	s.get(t, "/api/v1/coverage?division=37&denominator=plan", &plan)
	s.get(t, "/api/v1/coverage?division=37", &today)
	if plan.Total != 1129 || len(plan.Children) != 16 || plan.Effective != today.Effective {
		t.Errorf("got %d towns in %d cities, %d effective; want the plan's 1129 in 16, and as many as today's %d", plan.Total, len(plan.Children), plan.Effective, today.Effective)
	}
	for _, query := range []string{"denominator=x", "denominator=plan&tier=streets"} {
		if a := s.ask(t, http.MethodGet, "/api/v1/coverage?division=37&"+query, "", false); a.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: got %s, want 400", query, a.Status)
		}
	}
}
