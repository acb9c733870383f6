package dashboard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pilewatch/dashboard/web"
	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
)

// startBrowser starts a Chromium with a profile of its own and ends it with the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	ctx, end := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()),
		chromedp.ExecPath(testprog.Chromium(t)), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	)
	t.Cleanup(end)
	ctx, closeAll := chromedp.NewContext(ctx)
	t.Cleanup(closeAll)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return ctx
}

// A tab is one page in the browser; what the browser complains of is kept.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu         sync.Mutex
	complaints []string
	marks      []string // what quiet has written to see that all before it has been read
}

// openTab opens a window of so many CSS pixels in a context of its own: no cookies, nothing remembered.
func openTab(t *testing.T, browser context.Context, width, height int64) *tab {
	t.Helper()
	ctx, end := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(end)
	p := &tab{t: t, ctx: ctx}
	messages := chromedp.Console(ctx)
	read := make(chan struct{})
	t.Cleanup(func() { end(); <-read })
	go func() {
		defer close(read)
		for m, err := range messages {
			if err != nil {
				return
			}
			p.said(m)
		}
	}()
	p.do(chromedp.EmulateViewport(width, height))
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		seen, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.hash + ' ' + document.body.innerText`))
		p.mu.Lock()
		defer p.mu.Unlock()
		t.Logf("the page is at %.1500s\n%v; it complains of %q", seen, err, p.complaints)
	})
	return p
}

// said takes a message of the console. Violations of the Content-Security-Policy and what could not
// be fetched are among them.
func (p *tab) said(m chromedp.ConsoleMessage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Type {
	case chromedp.ConsoleWarning, chromedp.ConsoleError, chromedp.ConsoleException, "assert":
		p.complaints = append(p.complaints, m.String()+" "+m.URL)
	default:
		p.marks = append(p.marks, m.Text)
	}
}

// quiet fails the test for each of the browser's complaints.
func (p *tab) quiet() {
	p.t.Helper()
	mark := fmt.Sprintf("read up to here: %d", time.Now().UnixNano())
	eval[chromedp.Void](p, fmt.Sprintf("console.info(%q)", mark))
	eventually(p.t, "the console is read", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return slices.Contains(p.marks, mark)
	})
	for _, c := range p.complaints {
		if strings.Contains(c, "WebSocket is closed before the connection is established") {
			continue // the test went on to another page meanwhile
		}
		p.t.Errorf("the browser complains: got %q, want nothing", c)
	}
}

const tabWithin = 30 * time.Second

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	run(p, chromedp.Steps(steps...))
}

// run does one thing in the tab.
func run[T any](p *tab, action chromedp.Action[T]) T {
	p.t.Helper()
	if err := chromedp.Do(p.ctx); err != nil { // the first one opens the tab, which must not end with a timeout
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.ctx, tabWithin)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatal(err)
	}
	return value
}

// eval gives what a script's expression is.
func eval[T any](p *tab, script string) T {
	p.t.Helper()
	return run(p, chromedp.Evaluate[T](script))
}

// shows waits until a script's expression holds.
func (p *tab) shows(what, script string) {
	p.t.Helper()
	eventually(p.t, what, func() bool { return eval[bool](p, "Boolean("+script+")") })
}

// click clicks what a script's expression gives. What loads above it may move it away under the pointer: a click that lands on
// something else is kept from the page, and made again.
func (p *tab) click(script string) {
	p.t.Helper()
	p.shows("there is "+script, script)
	eventually(p.t, "it is clicked: "+script, func() bool {
		at := eval[[]float64](p, fmt.Sprintf(`(() => {
			const e = %[1]s;
			if (!e) return [];
			e.scrollIntoView({ block: 'center' });
			const heard = new AbortController(), hears = { capture: true, signal: heard.signal };
			window.landed = { heard, click: false };
			for (const part of ['mousedown', 'mouseup', 'click']) {
				addEventListener(part, (event) => {
					if (!(%[1]s)?.contains(event.target)) {
						event.preventDefault();
						event.stopImmediatePropagation();
					} else if (part === 'click') window.landed.click = true;
				}, hears);
			}
			const r = e.getBoundingClientRect();
			return [r.left + r.width / 2, r.top + r.height / 2];
		})()`, script))
		if len(at) == 0 {
			return false
		}
		p.do(chromedp.MouseClickXY(at[0], at[1]))
		return eval[bool](p, `(() => { const { landed } = window; delete window.landed; landed?.heard.abort(); return !landed || landed.click; })()`)
	})
}

// button is a script's expression for the button that shows a text.
func button(text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('button')].find((b) => b.textContent.trim() === %q && b.getBoundingClientRect().width)`, text)
}

func TestThePageInABrowser(t *testing.T) {
	browser := startBrowser(t)
	for _, tt := range []struct {
		name          string
		width, height int64
	}{
		{"on a laptop", 1440, 900},
		{"on a phone", 390, 844},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := openSiteOf(t, web.Files, Config{Public: true}, func(s *site) { told(t, s) })
			p := openTab(t, browser, tt.width, tt.height)
			p.do(chromedp.Navigate(s.url))

			var asked coverageView
			s.get(t, "/api/v1/coverage?division=37", &asked)
			want := fmt.Sprintf("%d / 1,129 个乡镇", asked.Effective)
			ring := `document.querySelector('[aria-label="乡镇有效覆盖"] [role="img"]')`
			p.shows("the ring says what it shows", ring+`?.getAttribute('aria-label').includes('乡镇有效覆盖')`)
			if got := eval[string](p, ring+".getAttribute('aria-label')"); !strings.Contains(got, want) {
				t.Errorf("the ring: got %q, want the API's %s in it", got, want)
			}
			if got := eval[string](p, `document.getElementById('headline').textContent`); got != "0.1%" {
				t.Errorf("the headline: got %q, want 0.1%% (%d of %d)", got, asked.Effective, asked.Total)
			}
			p.shows("a stranger's text is text", `document.body.textContent.includes('<script>alert')`)
			p.fits(tt.width)

			// Down to a county, by the list and, where there is a mouse, by the map.
			if tt.width > 1000 {
				p.shows("the map is drawn", `window.pilewatch?.mapPoint('371721')`)
				const atMost = 700 << 10
				if got := eval[int](p, `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((n, e) => n + e.transferSize, 0)`); got < 100<<10 || got > atMost {
					t.Errorf("the first load: got %d bytes over the wire, want at most %d, and the map's library among them", got, atMost)
				}
				at := eval[struct{ X, Y float64 }](p, `(({ x, y }) => ({ X: x, Y: y }))(window.pilewatch.mapPoint('371721'))`)
				p.do(chromedp.MouseClickXY(at.X, at.Y))
				p.shows("a click on the map opens its county", `location.hash === '#/coverage/371721'`)
				p.do(chromedp.Navigate(s.url + "/#/"))
			}
			p.click(button("列表"))
			p.click(`document.querySelector('tr[data-division="371721"] a')`)
			p.shows("the county's towns are listed", `document.querySelectorAll('tr[data-division^="371721"][data-state]').length === 21`)
			state := func(code, state string) string {
				return fmt.Sprintf(`document.querySelector('tr[data-division=%q]')?.dataset.state === %q`, code, state)
			}
			p.shows("庄寨镇 is effective", state("371721101", "effective"))
			p.fits(tt.width)

			// A change comes by itself.
			eval[chromedp.Void](p, `window.notReloaded = true`)
			published := time.Now()
			s.feed.publish(changeOf(town("371721102", 1)))
			p.shows("普连集镇 has become effective", state("371721102", "effective"))
			t.Logf("a change is on the page after %s", time.Since(published).Round(time.Millisecond))
			eval[chromedp.Void](p, `location.hash = '#/'`)
			p.shows("the ring has the change too", ring+`?.getAttribute('aria-label').includes('2 / 1,129')`)

			// Signing in gives a connection with the rights of who has signed in.
			eval[chromedp.Void](p, `location.hash = '#/signin'`)
			p.shows("a new page takes the focus", `document.getElementById('name') && document.activeElement.id === 'main'`)
			p.click(button("用访问令牌登录"))
			p.click(`document.getElementById('token')`)
			p.shows("a click on a field takes it then", `document.activeElement.id === 'token'`)
			p.do(chromedp.KeyEvent(s.token.token))
			p.shows("the token is typed", fmt.Sprintf(`document.getElementById('token').value === %q`, s.token.token))
			p.click(`document.querySelector('.sign-in button[type="submit"]')`)
			p.shows("the overview follows a sign-in", `location.hash === '#/'`)
			eval[chromedp.Void](p, `location.hash = '#/pile/MA3CLQP02:HOME'`)
			home := charge.PileID{Operator: "MA3CLQP02", Equipment: "HOME"}
			eventually(t, "the page watches a pile at home", func() bool { return s.feed.watched(home) })
			kw := 6.5
			s.feed.watched(home, charge.LiveConnector{Connector: "1", At: time.Now(), Received: time.Now(), Status: "charging", StatusCode: charge.Charging, PowerKW: &kw})
			p.shows("its live power is shown", `document.querySelector('tr[data-connector="1"]')?.textContent.includes('6.5')`)
			p.fits(tt.width)
			if !eval[bool](p, `window.notReloaded`) {
				t.Error("the page was loaded again on the way")
			}
			p.quiet()

			// A lost connection is said, and what is shown stays.
			s.hub.close()
			p.shows("the page says that the connection is lost, and counts its attempts", `[...document.querySelectorAll('p')].some((e) => e.textContent.includes('连接中断，正在重连（第 2 次）'))`)
			if !eval[bool](p, `document.querySelector('tr[data-connector="1"]').textContent.includes('6.5')`) {
				t.Error("after the connection was lost the live power is gone, want it to stay")
			}
		})
	}
}

// The bar's words are longest in English for an officer of the demo.
func TestTheBarHasRoomForItsWords(t *testing.T) {
	s := openSiteOf(t, web.Files, Config{}, func(s *site) { told(t, s) })
	browser := startBrowser(t)
	for _, lang := range []string{"zh", "en"} {
		p := openTab(t, browser, 1440, 900)
		p.signedIn(s)
		p.do(chromedp.Navigate(s.url + "/#/settings"))
		eval[chromedp.Void](p, fmt.Sprintf(`localStorage.setItem('lang', %q)`, lang))
		p.do(chromedp.Navigate("about:blank"), chromedp.Navigate(s.url+"/#/settings"))
		p.shows("the page is drawn", `document.querySelector('.who')`)
		eval[chromedp.Void](p, `document.querySelector('.who').textContent = '演示 · 菏泽市主管人员'; document.querySelector('.bar nav a').append(' 12,345')`)
		for _, width := range []int64{1920, 1440, 1300, 1200, 1100, 820} {
			p.do(chromedp.EmulateViewport(width, 900))
			p.fits(width)
		}
	}
}

// fits wants no part of the page to lie beyond the window's right edge.
func (p *tab) fits(width int64) {
	p.t.Helper()
	if got := eval[int64](p, `document.documentElement.scrollWidth`); got > width {
		p.t.Errorf("%s is %d px wide, want at most the window's %d", eval[string](p, `location.hash`), got, width)
	}
}
