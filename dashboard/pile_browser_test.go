package dashboard

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pilewatch/dashboard/web"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// What was told of a machine is on its page whatever it is called: faults by the sender's codes, what came too late, and its names.
func TestAPilesRecordInABrowser(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, web.Files, Config{}, func(s *site) {
		past(t, s)
		one := charge.ConnectorKey{Pile: charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}, Connector: "1"}
		at := daysBack(2)
		noError(t, s.registry.AddFaults(t.Context(), map[registry.FaultKey]*registry.FaultCount{
			{Month: time.Now(), Connector: one, Fault: "leakage", Code: "GroundFailure"}: {Faults: 3, Alarms: 2, Danger: 1, First: at, Last: at},
			{Month: time.Now(), Connector: one, Fault: "other", Code: evil}:              {Alarms: 1, First: at, Last: at},
		}))
		noError(t, s.registry.SaveHealth(t.Context(), 0, 99, &registry.Health{Corrections: []registry.Correction{
			{Key: one, Day: daysBack(9), Status: charge.Faulted, Told: daysBack(9).Add(time.Hour), Received: daysBack(1)},
		}}))
		var list bytes.Buffer
		noError(t, s.registry.Export(t.Context(), registry.Divisions, &list))
		for _, file := range []struct {
			table registry.Table
			text  string
		}{
			{registry.Divisions, strings.ReplaceAll(list.String(), "2023-06-30", "2026-06-30")},
			{registry.Operators, "operator,name\nMA3CLQP03,新东家\n"},
			{registry.Transfers, "from_operator,to_operator,station,date,document\nMA3CLQP01,MA3CLQP03,S1,2024-05-01,协议1号\n"},
		} {
			_, err := s.registry.Import(t.Context(), file.table, strings.NewReader(file.text))
			noError(t, err)
		}
	})
	noError(t, s.divisions.Refresh(t.Context()))
	for _, width := range []int64{1440, 390} {
		p := openTab(t, browser, width, 900)
		p.signedIn(s)
		p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/#/pile/MA3CLQP01:P1"))
		row := `document.querySelector('tr[data-fault="leakage"][data-code="GroundFailure"]')`
		p.shows("a fault by the sender's code, its class and its severity", row+`?.textContent.includes('电气') && `+row+`.textContent.includes('危险')`)
		p.shows("a stranger's code is text", fmt.Sprintf(`[...document.querySelectorAll('tr[data-fault="other"] code')].some((e) => e.textContent === %q)`, evil))
		p.shows("what came after its day was frozen", `[...document.querySelectorAll('#late-title')].length === 1`)
		p.shows("both of its names, with the document", `document.querySelector('.facts').textContent.includes('MA3CLQP03:P1') && document.querySelector('.facts').textContent.includes('协议1号')`)
		p.fits(width)
		p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/#/quality"))
		p.shows("its operator's faults of the month", row)
		p.fits(width)
		p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/#/"))
		p.shows("the plan's list beside today's", `document.querySelector('[data-plan="1129"]')?.textContent.includes('2023-06-30')`)
		p.fits(width)
		p.quiet()
	}
}
