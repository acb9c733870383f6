package dashboard

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pilewatch/dashboard/web"
	"pilewatch/internal/cases"
)

func TestAnOfficerDrawsAndRecordsInABrowser(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, web.Files, Config{}, func(s *site) { told(t, s); s.suspect(t) })
	li := s.desk(t, browser, "li", "李建国", "officer:3717")
	eval[chromedp.Void](li.tab, `location.hash = '#/inspections'`)
	li.types("draw-people", "甲、乙，丙")
	li.types("draw-seed", "第 37 期")
	li.click(`[...document.querySelectorAll('button')].find((b) => b.textContent.trim() === '抽取')`)
	id := fmt.Sprintf("RI-%d-0001", time.Now().Year())
	li.click(fmt.Sprintf(`document.querySelector('tr[data-draw=%q] a')`, id))
	li.shows("the piles and the seed are there", `document.querySelector('tr[data-pile="MA3CLQP01:P1"]') && document.querySelector('code').textContent === '第 37 期'`)
	li.fits(1440)
	li.click(`[...document.querySelectorAll('tr[data-pile="MA3CLQP01:P1"] button')].at(-1)`)
	li.types("text-MA3CLQP01-P1", "屏幕无显示")
	li.click(`document.querySelector('tr[data-pile="MA3CLQP01:P1"] button[type="submit"]')`)
	li.shows("what was found, and the case that has it", fmt.Sprintf(`document.querySelector('tr[data-pile="MA3CLQP01:P1"]').textContent.includes('屏幕无显示') && [...document.querySelectorAll('tr[data-pile="MA3CLQP01:P1"] a')].some((a) => a.textContent === %q)`, s.caseID))
	li.click(button("EN"))
	li.shows("in English", `document.querySelector('h1').textContent.includes('Random inspections')`)
	li.do(chromedp.EmulateViewport(390, 844))
	li.fits(390)
	li.quiet()

	rec, err := s.registry.CaseRecord(t.Context(), s.caseID)
	if err != nil {
		t.Fatal(err)
	}
	last := rec[len(rec)-1]
	if last.Action != cases.Inspect || last.Detail.Inspection.Draw != id || len(last.Detail.Inspection.Officers) != 2 {
		t.Errorf("record of the case: got %+v, want the inspection", last)
	}
	if a := s.ask(t, http.MethodGet, "/api/v1/inspections/"+id+"/list", "", true); strings.Contains(string(a.body), "HOME") || !strings.Contains(string(a.body), "MA3CLQP01:P1\n") {
		t.Errorf("the list: got %s, want piles and no household's", a.body)
	}
}
