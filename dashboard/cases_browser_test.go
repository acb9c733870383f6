package dashboard

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pilewatch/dashboard/web"
	"pilewatch/internal/cases"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A desk is one person's browser, signed in.
type desk struct{ *tab }

func (s *site) desk(t *testing.T, browser context.Context, name, full, grant string) desk {
	t.Helper()
	g, err := registry.ParseGrant(grant)
	if err != nil {
		t.Fatal(err)
	}
	given, _, err := s.registry.AddAccount(t.Context(), name, full, g, registry.Actor{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.registry.ChangePassword(t.Context(), name, given, aPassword, registry.Actor{Name: name}); err != nil {
		t.Fatal(err)
	}
	p := openTab(t, browser, 1440, 900)
	p.do(chromedp.Navigate(s.url))
	p.types("name", name)
	p.types("password", aPassword)
	p.do(chromedp.KeyEvent("\r"))
	p.shows(name+" is in", `document.querySelector('.bar .who')`)
	p.shows("the connection is there", `document.querySelector('.live-state.on')`)
	return desk{p}
}

// opens goes to the case by the list, as a person does, and waits for a state.
func (p desk) opens(s *site, state cases.State) {
	p.t.Helper()
	eval[chromedp.Void](p.tab, `location.hash = '#/cases?state=all'`)
	p.click(fmt.Sprintf(`document.querySelector('tr[data-case=%q] a')`, s.caseID))
	p.shows("the case is "+string(state), fmt.Sprintf(`document.querySelector('article.case')?.dataset.state === %q`, state))
}

// acts opens an action's dialog, sees that the focus is on cancel, fills it in and sends it.
func (p desk) acts(action cases.Action, text, fill string) {
	p.t.Helper()
	p.click(fmt.Sprintf(`document.querySelector('button[data-action=%q]:not([aria-disabled])')`, action))
	p.shows("the focus is on cancel", `document.activeElement?.textContent === '取消' && document.querySelector('dialog.act .will')?.textContent.length > 5`)
	p.shot("case-dialog-" + string(action))
	if fill != "" {
		eval[chromedp.Void](p.tab, fill)
	}
	if text != "" {
		p.types("act-text", text)
	}
	p.click(`document.querySelector('dialog.act button[type="submit"]')`)
	p.shows("the dialog is gone", `!document.querySelector('dialog.act')`)
}

func (p desk) becomes(state cases.State) {
	p.t.Helper()
	p.shows("the case becomes "+string(state), fmt.Sprintf(`document.querySelector('article.case')?.dataset.state === %q`, state))
}

// An officer of the city, one of the province and a reviewer take a pile out of what counts, and it is revoked.
func TestACaseFromSuspectedToRevokedInABrowser(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, web.Files, Config{PolicyDocument: aDocument}, func(s *site) { told(t, s); s.suspect(t) })
	li := s.desk(t, browser, "li", "李建国", "officer:3717")
	li.opens(s, cases.Suspected)
	li.shows("the strip has its days", `document.querySelectorAll('.days [data-day]').length === 90 && document.querySelector('.day-fault') && document.querySelector('.day-excused')`)
	li.acts(cases.Notify, "请于三十日内整改", "")
	li.becomes(cases.Notified)
	li.acts(cases.Serve, "", `(() => { const f = document.querySelector('.act-form').elements; f.evidence.value = '回执 37-1'; })()`)
	li.shows("the period runs", `document.querySelector('.due b')?.textContent === '30' || document.querySelector('.due b')?.textContent > 29`)
	li.fits(1440)
	li.shot("case-notified-1440")
	li.do(chromedp.EmulateViewport(390, 844))
	li.fits(390)
	li.shot("case-notified-390")
	eval[chromedp.Void](li.tab, `location.hash = '#/cases'`)
	li.shows("the list", `document.querySelector('tr[data-case]')`)
	li.fits(390)
	li.shot("cases-390")
	li.do(chromedp.EmulateViewport(1440, 900))
	li.shot("cases-1440")
	li.opens(s, cases.Notified)
	li.do(chromedp.KeyEvent("\t"))
	li.quiet()

	// The period passes.
	s.sql(t, "UPDATE cases SET deadline = ?", time.Now().Add(-time.Minute).UnixMilli())
	c, err := s.registry.CaseByID(t.Context(), s.caseID)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := s.registry.PassCase(t.Context(), &c); err != nil || !ok {
		t.Fatalf("pass the period: %v, %v", ok, err)
	}

	wang := s.desk(t, browser, "wang", "王敏", "officer:37")
	wang.opens(s, cases.Overdue)
	wang.acts(cases.Confirm, "逾期未整改", "")
	wang.becomes(cases.Confirmed)
	wang.shows("who confirmed cannot decommission before the review", `!document.querySelector('button[data-action="decommission"]')`)
	zhao := s.desk(t, browser, "zhao", "赵审", "reviewer:37")
	zhao.opens(s, cases.Confirmed)
	zhao.acts(cases.Review, "主体、事实、依据、程序合法", "")
	zhao.becomes(cases.Reviewed)
	zhao.quiet()

	wang.opens(s, cases.Reviewed)
	wang.click(`document.querySelector('button[data-action="decommission"]')`)
	wang.shows("what it does, in figures", `/名义覆盖 [\d,]+ → [\d,]+/.test(document.querySelector('dialog.act .will')?.textContent)`)
	wang.shows("it is not the filled button", `!document.querySelector('dialog.act button[type="submit"]').classList.contains('filled')`)
	wang.shot("case-decommission")
	wang.shows("the focus is on cancel", `document.activeElement?.closest('dialog.act') && document.activeElement.type !== 'submit'`)
	wang.do(chromedp.KeyEvent("\r"))
	wang.shows("return has cancelled", `!document.querySelector('dialog.act')`)
	wang.becomes(cases.Reviewed)
	wang.acts(cases.Decommission, "决定移出", "")
	wang.becomes(cases.Decommissioned)
	wang.shot("case-decommissioned-1440")
	if p, _, err := s.registry.PileByID(t.Context(), charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}); err != nil || p.Decommissioned != s.caseID {
		t.Errorf("the pile: got %q, %v; want it out by %s", p.Decommissioned, err, s.caseID)
	}
	wang.acts(cases.Revoke, "经查有误", "")
	wang.becomes(cases.Revoked)
	wang.shows("the record tells of all three", `['李建国', '王敏', '赵审'].every((n) => document.querySelector('.steps').textContent.includes(n))`)
	wang.shot("case-revoked-1440")
	wang.quiet()

	wang.do(chromedp.Navigate(s.url + "/api/v1/cases/" + s.caseID + "/documents/decision"))
	wang.shows("the decision has its number, law and hash", fmt.Sprintf(`[%q, %q, '行政复议', '印章'].every((w) => document.body.textContent.includes(w)) && getComputedStyle(document.querySelector('h1')).textAlign === 'center'`, s.caseID, aDocument))
	wang.shot("case-decision")
	wang.quiet()
	if _, _, err := s.registry.AuditCases(t.Context(), ""); err != nil {
		t.Error(err)
	}
}

func TestOnTrialThePageSaysSoAndAnOperatorStatesItsCase(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, web.Files, Config{}, func(s *site) { told(t, s); s.suspect(t); s.overdue(t) })
	lu := s.desk(t, browser, "lu", "鲁充", "operator:MA3CLQP01")
	eval[chromedp.Void](lu.tab, `location.hash = '#/cases'`)
	lu.shows("the list says that it is a trial", `document.querySelector('.trial')?.textContent.includes('试行，不作为处理依据')`)
	lu.opens(s, cases.Overdue)
	lu.shows("the case too", `document.querySelector('.trial')`)
	lu.acts(cases.Statement, "停电所致", "")
	lu.shows("it is on the page", `document.querySelector('.main-column').textContent.includes('停电所致')`)
	lu.fits(1440)
	lu.shot("case-operator-1440")
	wang := s.desk(t, browser, "wang", "王敏", "officer:37")
	wang.opens(s, cases.Overdue)
	wang.shows("nobody can confirm", `document.querySelector('button[data-action="confirm"][aria-disabled]')?.textContent.includes('文号')`)
	wang.click(button("EN"))
	wang.shows("in English too", `document.querySelector('.trial')?.textContent.includes('On trial')`)
	wang.fits(1440)
	wang.shot("case-en-1440")
	lu.quiet()
	wang.quiet()
}
