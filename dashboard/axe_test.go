package dashboard

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"pilewatch/dashboard/web"
)

// read holds once a page has its title and waits for nothing more.
const read = `document.querySelector('main h1') && !document.querySelector('main .reading')`

// An axePage is one place of the page, and a script that holds once it is drawn.
type axePage struct{ path, drawn string }

// axePages are the page's places, each with what is there once it is drawn.
var axePages = []axePage{
	{"/#/", `document.querySelectorAll('.unit-row').length > 16 && window.pilewatch?.mapPoint('371721')`},
	{"/#/?as=table", `document.querySelectorAll('.county-table tr').length > 100`},
	{"/#/coverage/37", `document.querySelectorAll('.children tbody tr').length === 16`},
	{"/#/coverage/37?state=gaps", `document.querySelectorAll('.gap-list tbody tr').length === 100`},
	{"/#/coverage/371721", `document.querySelectorAll('.day-marks').length > 1 && document.querySelector('.trend')`},
	{"/#/coverage/371721101", `document.querySelector('[data-station="MA3CLQP01:S1"] tbody tr') && document.querySelector('.events .event')`},
	{"/#/station/MA3CLQP01:S1", `document.querySelectorAll('.evidence tbody tr').length === 2`},
	{"/#/piles", `document.querySelectorAll('.piles tbody tr').length === 4`},
	{"/#/pile/MA3CLQP01:P1?range=7d", `document.querySelector('.shares') && document.querySelector('.chart canvas') && document.querySelector('.live-values')`},
	{"/#/rejects", `document.querySelectorAll('.rejects tbody tr').length > 2`},
	{"/#/events", `document.querySelector('.events .event')`},
	{"/#/operators", read + ` && document.querySelector('.operators [data-operator="MA3CLQP01"]')`},
	{"/#/cases", read + ` && document.querySelector('tr[data-case]')`},
	{"/#/cases?state=all", read},
	{"/#/quality", read + ` && document.querySelector('.quality')`},
	{"/#/targets", read + ` && document.querySelector('.goals [data-indicator="public_piles"] .due')`},
	{"/#/excuses", read + ` && document.getElementById('claim-title')`},
	{"/#/confirmations", read},
	{"/#/inspections", read},
	{"/#/unknown", read},
	{"/#/settings", read + ` && document.querySelector('.settings')`},
	{"/#/more", `document.querySelector('.more')`},
	{"/#/signin", `document.querySelector('.sign-in')`},
	{"/#/nowhere", `document.querySelector('.empty')`},
	{"/?wall=1&view=overview", `document.querySelectorAll('.wall-right .unit-row').length > 16`},
	{"/?wall=1&view=gaps", `document.querySelectorAll('.wall-gaps tbody tr').length === 10`},
	{"/?wall=1&view=league", `document.querySelectorAll('.wall-league tbody tr').length > 0`},
	{"/?wall=1&view=load", `document.querySelectorAll('.wall-loads li').length === 10`},
}

// axe's rules that find what keeps people out; those of best practice are not among them.
const axeRun = `axe.run({ resultTypes: ['violations'] }).then((found) => found.violations
	.filter((v) => v.impact === 'serious' || v.impact === 'critical')
	.map((v) => v.id + ': ' + v.nodes.slice(0, 3).map((n) => n.target.join(' ') + ' ' + n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? '')).join(' | ')).join('\n'))`

func TestNoPageKeepsAnyoneOut(t *testing.T) {
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		t.Fatal(err)
	}
	s := openSiteOf(t, web.Files, Config{}, func(s *site) { past(t, s); s.suspect(t) })
	browser := startBrowser(t)
	for _, theme := range []string{"light", "dark"} {
		t.Run(theme, func(t *testing.T) {
			p := openTab(t, browser, 1440, 900)
			p.signedIn(s)
			p.do(chromedp.Navigate(s.url))
			eval[chromedp.Void](p, fmt.Sprintf(`localStorage.setItem('theme', %q)`, theme))
			pages := slices.Concat(axePages, []axePage{{"/#/cases/" + s.caseID, `document.querySelector('article.case') && document.querySelectorAll('.days [data-day]').length > 1`}})
			for _, page := range pages {
				path := page.path
				if theme == "light" {
					path = strings.Replace(path, "wall=1", "wall=1&theme=light", 1)
				}
				p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+path))
				p.shows(path+" is drawn", page.drawn)
				p.shows(path+" has faded in", `getComputedStyle(document.querySelector('.wall-view') ?? document.body).opacity === '1'`)
				eval[chromedp.Void](p, string(axe)+"; undefined")
				eval[chromedp.Void](p, `window.axeSays = null; `+axeRun+`.then((text) => { window.axeSays = text; })`+"; undefined")
				p.shows("axe has looked at "+path, `window.axeSays !== null`)
				if says := eval[string](p, `window.axeSays`); says != "" {
					t.Errorf("%s, %s: axe finds\n%s", path, theme, says)
				}
			}
		})
	}
}

// signedIn opens the page with the token's rights.
func (p *tab) signedIn(s *site) {
	p.t.Helper()
	p.do(chromedp.Navigate(s.url))
	eval[chromedp.Void](p, fmt.Sprintf(`window.signedIn = false; fetch('/api/v1/session', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ token: %q }) })
		.then((a) => { window.signedIn = a.ok; }); undefined`, s.token.token))
	p.shows("the session is there", `window.signedIn`)
	p.do(chromedp.Navigate("about:blank")) // the page that began as a stranger's
}
