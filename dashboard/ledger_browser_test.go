package dashboard

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pilewatch/dashboard/web"
	"pilewatch/internal/registry"
)

// ledgerPages are the pages of many figures, and what each shows when it is there.
var ledgerPages = []struct{ part, shows string }{
	{"operators", `[...document.querySelectorAll('.operators [data-operator="MA3CLQP01"] td')].some((td) => td.textContent === '2')`},
	{"targets", `document.querySelector('.goals [data-indicator="public_piles"] .due') && document.querySelector('.goals small')`},
	{"quality", `document.querySelector('.quality [data-operator="MA3CLQP01"]') && document.querySelector('.evidence')?.textContent.includes('MA3CLQP01:P2')`},
	{"unknown", `document.querySelector('[data-pile="MA3CLQP02:NEW"]')`},
	{"excuses", `document.getElementById('claim-title')`},
	{"confirmations", `document.querySelector('[data-confirmation]')`},
	{"settings", `document.querySelector('.policy details .in-force')`},
}

func TestPagesOfManyFiguresInABrowser(t *testing.T) {
	browser := startBrowser(t)
	for _, tt := range []struct {
		name          string
		width, height int64
		lang, theme   string
	}{{"laptop", 1440, 900, "zh", "light"}, {"phone", 390, 844, "en", "dark"}} {
		t.Run(tt.name, func(t *testing.T) {
			s := openSiteOf(t, web.Files, Config{}, func(s *site) {
				told(t, s)
				pastDays(t, s, startOfDay(time.Now()))
				for _, row := range []string{"MA3CLQP01,S2,曹城站,371721001,dedicated,2022-01-01"} {
					importText(t, s, registry.Stations, "operator,station,name,township,kind,opened\n"+row+"\n")
				}
			})
			noError(t, s.divisions.Refresh(t.Context()))
			p := openTab(t, browser, tt.width, tt.height)
			s.person(t, "li", registry.Grant{Role: registry.Officer, Scope: "37"}, aPassword)
			p.do(chromedp.Navigate(s.url))
			p.shows("the page asks for a sign-in", `document.getElementById('password')`)
			p.types("name", "li")
			p.types("password", aPassword)
			p.do(chromedp.KeyEvent("\r"))
			p.shows("the overview shows operators", `document.querySelector('.league tbody tr')`)
			eval[chromedp.Void](p, `localStorage.setItem('lang', '`+tt.lang+`'), localStorage.setItem('theme', '`+tt.theme+`')`)
			p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url))
			p.shows("the page is there again", `document.querySelector('.league tbody tr') && document.documentElement.lang.startsWith('`+tt.lang+`')`)
			p.shot("overview-" + tt.name)
			for _, page := range ledgerPages {
				eval[chromedp.Void](p, `location.hash = '#/`+page.part+`'`)
				p.shows(page.part, page.shows)
				p.fits(tt.width)
				p.shot(page.part + "-" + tt.name)
			}
			if tt.lang == "en" {
				return
			}
			// An officer registers a pile, claims and grants, and confirms.
			eval[chromedp.Void](p, `location.hash = '#/unknown'`)
			p.click(button("登记"))
			p.types("reg-station", "S3")
			p.types("reg-power", "60")
			p.shot("register-" + tt.name)
			p.click(`document.querySelector('.decide button[type="submit"]')`)
			p.shows("it leaves the list", `document.querySelector('[role="status"]') && !document.querySelector('[data-pile="MA3CLQP02:NEW"]')`)
			eval[chromedp.Void](p, `location.hash = '#/excuses'`)
			p.shows("the list is read, and nothing moves any more", `document.getElementById('claim-of') && document.querySelector('.panel.list .empty')`)
			p.types("claim-of", "MA3CLQP01:P1")
			eval[chromedp.Void](p, `(() => { for (const [id, v] of [['claim-from', '2030-03-01T00:00'], ['claim-until', '2030-03-04T12:00']]) { document.getElementById(id).value = v; } })()`)
			p.click(button("提交"))
			p.shows("the claim waits", `document.querySelector('[data-excuse]')`)
			p.click(button("准予") + ` && document.querySelector('[data-excuse] button')`)
			p.types("why-1", "年度检修计划")
			p.shot("grant-" + tt.name)
			p.click(`document.querySelector('[data-excuse] button[type="submit"]')`)
			p.shows("it is granted, and 12 hours are over the limit", `document.querySelector('[data-excuse] .over')?.textContent.includes('12.0') && document.querySelector('[data-excuse]').textContent.includes('年度检修计划')`)
			p.shot("granted-" + tt.name)
			eval[chromedp.Void](p, `location.hash = '#/confirmations'`)
			p.click(button("确认"))
			p.shows("nothing waits", `!document.querySelector('[data-confirmation]') && document.querySelector('.empty')`)
			p.quiet()
		})
	}
}
