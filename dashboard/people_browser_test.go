package dashboard

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"pilewatch/dashboard/web"
	"pilewatch/internal/registry"
)

// types puts a text into a field that a person has clicked.
func (p *tab) types(id, text string) {
	p.t.Helper()
	field := fmt.Sprintf(`document.getElementById(%q)`, id)
	eventually(p.t, "the text is in "+id, func() bool { // once more where the page was drawn anew while it was typed
		p.click(field)
		eval[chromedp.Void](p, field+`.value = ''`)
		p.do(chromedp.KeyEvent(text))
		return eval[bool](p, fmt.Sprintf(`%s?.value === %q`, field, text))
	})
}

// shot keeps a picture of the page in the directory that PILEWATCH_TEST_SHOTS names.
func (p *tab) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("PILEWATCH_TEST_SHOTS")
	if dir == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), run(p, chromedp.FullScreenshot(100)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

const codesShown = `[...document.querySelectorAll('a[href^="#/coverage/"]')].map((a) => a.getAttribute('href').slice(11).split('?')[0])`

func TestAnOfficersFirstDayInABrowser(t *testing.T) {
	browser := startBrowser(t)
	for _, tt := range []struct {
		name          string
		width, height int64
	}{{"laptop", 1440, 900}, {"phone", 390, 844}} {
		t.Run(tt.name, func(t *testing.T) {
			s := openSiteOf(t, web.Files, Config{}, func(s *site) { told(t, s) })
			given, _, err := s.registry.AddAccount(t.Context(), "wang", "王芳", registry.Grant{Role: registry.Officer, Scope: "371721"}, registry.Actor{Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			p := openTab(t, browser, tt.width, tt.height)
			p.do(chromedp.Navigate(s.url))
			p.shows("the page asks for a sign-in", `document.getElementById('password')`)
			p.fits(tt.width)
			p.shot("signin-" + tt.name)
			p.types("name", "wang")
			p.types("password", given)
			p.do(chromedp.KeyEvent("\r")) // without a mouse
			p.shows("another password is asked for first", `document.getElementById('chosen')`)
			p.shot("first-password-" + tt.name)
			eval[chromedp.Void](p, `location.hash = '#/piles'`)
			p.shows("and no page is there before", `document.getElementById('chosen') && !document.querySelector('table')`)
			p.types("old", given)
			p.types("chosen", aPassword)
			p.types("again", "something else at all")
			p.click(button("修改密码"))
			p.shows("two different ones are told apart", `document.getElementById('unlike')`)
			eval[chromedp.Void](p, `document.getElementById('again').value = ''`)
			p.types("again", aPassword)
			p.click(button("修改密码"))
			eval[chromedp.Void](p, `location.hash = '#/'`)
			p.shows("home is the county", `document.querySelector('h1')?.textContent.includes('曹县')`)
			p.shows("its towns are listed", `document.querySelectorAll('tr[data-division^="371721"][data-state]').length === 21`)
			for _, code := range eval[[]string](p, codesShown) {
				if !strings.HasPrefix(code, "371721") {
					t.Errorf("the page links to %s, want 曹县 only", code)
				}
			}
			p.fits(tt.width)
			p.shot("county-" + tt.name)

			eval[chromedp.Void](p, `location.hash = '#/coverage/3701'`)
			p.shows("another city is not there", `document.querySelector('main').textContent.includes('no such topic')`)
			eval[chromedp.Void](p, `location.hash = '#/settings'`)
			p.shows("the settings are one's own", `document.querySelector('main').textContent.includes('主管人员 · 曹县') && !document.querySelector('.accounts')`)
			p.fits(tt.width)
			if tt.width < 700 {
				eval[chromedp.Void](p, `location.hash = '#/more'`)
			}
			p.click(button("退出登录"))
			p.shows("signed out, nothing is there", `document.getElementById('password') && !document.querySelector('table')`)
		})
	}
}

func TestAnAdminManagesAccountsInABrowser(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, web.Files, Config{Public: true}, nil)
	p := openTab(t, browser, 1440, 900)
	p.do(chromedp.Navigate(s.url + "/#/signin"))
	p.click(button("用访问令牌登录"))
	p.types("token", s.token.token)
	p.click(`document.querySelector('.sign-in button[type="submit"]')`)
	p.shows("the bar says who it is", `document.querySelector('.bar .who')?.textContent === 'dashboard.token'`)
	p.click(`document.querySelector('.bar .who')`)
	p.shows("all is loaded, and nothing moves any more", `document.getElementById('add-name') && document.querySelectorAll('.settings .empty').length === 2 && document.querySelector('table.log')`)
	p.types("add-name", "li.ming")
	p.types("add-full", "李明")
	eval[chromedp.Void](p, `(() => { const e = document.getElementById('add-role'); e.value = 'officer'; e.dispatchEvent(new Event('change', { bubbles: true })); })()`)
	p.types("add-scope", "99")
	p.click(button("新增"))
	p.shows("a scope that is none is refused, and why", `document.querySelector('.line [role="alert"]')?.textContent.includes('99')`)
	eval[chromedp.Void](p, `document.getElementById('add-scope').value = ''`)
	p.types("add-scope", "3717")
	p.click(button("新增"))
	p.shows("the password is shown", `document.querySelector('.secret output')?.textContent.length === 19`)
	p.shows("the account is listed", `document.querySelector('tr[data-account="li.ming"]')?.textContent.includes('菏泽市')`)
	p.shot("settings-laptop")
	first := eval[string](p, `document.querySelector('.secret output').textContent`)
	if _, err := s.registry.SignIn(t.Context(), "li.ming", first, registry.Actor{}); err != nil {
		t.Errorf("sign in with the password shown: %v", err)
	}
	p.click(`document.querySelector('[aria-label="重置 li.ming 的密码"]')`)
	p.shows("a reset gives another", fmt.Sprintf(`document.querySelector('.secret output')?.textContent !== %q`, first))
	p.click(button("已记下"))
	p.shows("it is gone then", `!document.querySelector('.secret')`)
	p.click(`document.querySelector('[aria-label="停用 li.ming"]')`)
	p.shows("it is disabled", `document.querySelector('[aria-label="启用 li.ming"]')`)
	p.types("token-label", "大屏")
	p.types("token-scope", "37")
	p.click(button("签发"))
	p.shows("the token is shown", `document.querySelector('.secret output')?.textContent.startsWith('pw_')`)
	p.click(`document.querySelector('[aria-label="吊销“大屏”"]')`)
	p.shows("it is revoked", `document.querySelector('tr[data-token]')?.textContent.includes('吊销')`)
	p.shows("the log says what was done", `(() => { const l = document.querySelector('table.log'); return l && ['dashboard.token', '127.0.0.1', 'li.ming'].every((w) => l.textContent.includes(w)); })()`)
	p.fits(1440)
	p.do(chromedp.EmulateViewport(390, 844))
	p.fits(390)
	p.shot("settings-phone")
}

func TestTheDemoIsSignedInToByAClick(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, web.Files, Config{Public: true, Demo: true}, func(s *site) {
		told(t, s)
		for name, grant := range map[string]registry.Grant{
			"demo-officer": {Role: registry.Officer, Scope: "3717"}, "demo-operator": {Role: registry.Operator, Scope: "MA3CLQP01"}, "demo-viewer": {Role: registry.Viewer, Scope: "371721"},
		} {
			if err := s.registry.EnsureDemoAccount(t.Context(), name, "演示", grant); err != nil {
				t.Fatal(err)
			}
		}
	})
	p := openTab(t, browser, 1440, 900)
	p.do(chromedp.Navigate(s.url + "/#/signin"))
	p.shows("it says that it is a demo", `document.querySelector('.demo')?.textContent.includes('这是演示')`)
	p.shot("demo-signin")
	p.click(`document.querySelector('[data-demo="demo-officer"]')`)
	p.shows("and goes on saying so", `document.querySelector('.demo-bar')?.textContent.includes('主管人员 · 菏泽市')`)
	p.shows("what was rejected is in the bar for an officer", `document.querySelector('.bar a[href="#/quality"]')`)
	p.shows("the new connection is there", `document.querySelector('.live-state.on')`)
	p.shot("demo-officer")
	p.fits(1440)
	p.click(button("退出登录"))
	p.shows("signed out, it does not", `!document.querySelector('.demo-bar') && !document.querySelector('.bar a[href="#/quality"]')`)
	p.shows("the next one too", `document.querySelector('.live-state.on')`)
	eval[chromedp.Void](p, `location.hash = '#/signin'`)
	p.click(button("EN"))
	p.shows("in English too", `document.querySelector('.demo')?.textContent.includes('This is a demo')`)
	p.click(`document.querySelector('[data-demo="demo-operator"]')`)
	p.shows("an operator", `document.querySelector('.demo-bar')?.textContent.includes('Operator')`)
	p.shows("and the last one", `document.querySelector('.live-state.on')`)
	p.quiet()
}
