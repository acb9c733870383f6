package dashboard

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"pilewatch/dashboard/web"
	"pilewatch/internal/registry"
)

func TestThePageSaysThatItsPastIsSimulated(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, web.Files, Config{Public: true}, func(s *site) { told(t, s) })
	set := func(story registry.Story) {
		t.Helper()
		if err := s.registry.SetStory(t.Context(), story); err != nil {
			t.Fatal(err)
		}
	}
	var me struct{ Story *story }
	if s.get(t, "/api/v1/me", &me); me.Story != nil {
		t.Errorf("story of a real past: got %+v, want none", me.Story)
	}
	set(registry.Story{Name: "plan-2023-2025", Partitions: 1, Messages: 4}) // told has saved message 1
	if s.get(t, "/api/v1/me", &me); me.Story == nil || *me.Story != (story{"plan-2023-2025", 25}) {
		t.Errorf("story of which a quarter is judged: got %+v", me.Story)
	}
	bar := func(text string) string {
		return `[...document.querySelectorAll('p[role=status]')].some((e) => e.textContent.includes(` + "'" + text + "'" + `))`
	}
	p := openTab(t, browser, 1440, 900)
	p.do(chromedp.Navigate(s.url))
	p.shows("how much of the story is judged", bar("已完成 25%"))
	set(registry.Story{Name: "plan-2023-2025", Partitions: 1, Messages: 1, Told: true})
	p.shows("that the past is simulated, once all of it is judged", bar("历史由模拟生成"))
	for _, page := range []string{"coverage", "piles", "events"} {
		p.do(chromedp.Navigate(strings.TrimSuffix(s.url, "/") + "/#/" + page))
		p.shows("that the past is simulated, on "+page, bar("演示数据"))
	}
}
