package dashboard

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"pilewatch/dashboard/web"
	"pilewatch/internal/charge"
)

func TestThePagesOfPlaces(t *testing.T) {
	browser := startBrowser(t)
	for _, width := range []int64{1440, 390} {
		t.Run(fmt.Sprint(width), func(t *testing.T) {
			s := openSiteOf(t, web.Files, Config{}, func(s *site) { past(t, s) })
			p := openTab(t, browser, width, 900)
			p.signedIn(s)

			// A county: the trend from the first day there is, each town's days, one reason alone.
			p.do(chromedp.Navigate(s.url + "/#/coverage/371721"))
			p.shows("the trend is drawn in steps", `document.querySelector('.trend .effective')?.getAttribute('d').includes('H')`)
			p.shows("and says its last day", fmt.Sprintf(`document.querySelector('.trend').getAttribute('aria-label').includes(%q)`, dateText(daysBack(1))))
			p.do(chromedp.Focus(".trend"), chromedp.KeyEvent(kb.ArrowLeft))
			p.shows("an arrow reads the day before", fmt.Sprintf(`document.querySelector('.trend').getAttribute('aria-label').includes(%q)`, dateText(daysBack(2))))
			p.shows("庄寨镇 has its 30 days, one of them failing and one not observed", `(() => { const m = document.querySelector('tr[data-division="371721101"] .day-marks');
				return m && m.querySelectorAll('[data-day]').length === 30 && m.querySelectorAll('[data-state="failing"]').length === 1 && m.querySelectorAll('.dot').length === 1; })()`)
			eval[chromedp.Void](p, `(() => { const s = document.querySelector('.controls select'); s.value = 'all_fault'; s.dispatchEvent(new Event('change', { bubbles: true })); })()`)
			p.shows("one basis alone is listed", `document.querySelectorAll('.townships tbody tr').length === 1 && location.hash.includes('reason=all_fault')`)
			p.fits(width)
			p.click(button("缺口优先级"))
			p.shows("the first gap is 普连集镇, with no data where nobody knows", `(() => { const r = document.querySelector('tr[data-rank="1"]');
				return r?.dataset.division === '371721102' && r.textContent.includes('52,000') && r.textContent.includes('无数据'); })()`)
			p.shows("the weights stand beside it", `[...document.querySelectorAll('aside dt')].some((e) => e.textContent.includes('人口')) && document.querySelector('aside').textContent.includes('25%')`)
			p.fits(width)

			// A township: the evidence, and what happened.
			eval[chromedp.Void](p, `location.hash = '#/coverage/371721101'`)
			p.shows("each public station says whether it counts", `['计入覆盖', '移动设施', '不对公众开放', '尚未投运'].every((w) => [...document.querySelectorAll('.station-evidence')].some((e) => e.textContent.includes(w)))`)
			p.shows("its connectors are there with yesterday's minutes", `document.querySelector('[data-connector="MA3CLQP01:P1:2"]')?.textContent.includes('960')`)
			p.shows("a stranger's text is text", `document.querySelector('.events').textContent.includes('<script>alert') && document.querySelector('.events').textContent.includes('40.0%')`)
			p.fits(width)

			// The pile: its days, each availability by its name, and a chart that zooms by keys.
			eval[chromedp.Void](p, `location.hash = '#/pile/MA3CLQP01:P1?range=7d'`)
			p.shows("40 days are stacked", `document.querySelectorAll('.days [data-day] .day-usable').length === 40`)
			p.do(chromedp.Focus(".days .strip"), chromedp.KeyEvent(kb.ArrowLeft))
			p.shows("an arrow reads a day's minutes", fmt.Sprintf(`document.querySelector('.days-read').textContent.includes(%q) && document.querySelector('.days-read').textContent.includes('960')`, dateText(daysBack(2))))
			p.shows("each definition has its name", `['可用率（本平台定义）', '可用率（美国 NEVI）', '可靠率（英国）', '69.6%'].every((w) => document.querySelector('.shares')?.textContent.includes(w))`)
			p.shows("and what is asked for, in figures", `/要求不低于 \d+%/.test(document.querySelector('.shares').textContent)`)
			p.click(button("放大"))
			p.shows("the chart zooms", `![...document.querySelectorAll('.chart-tools button')].find((b) => b.textContent === '缩小').disabled`)
			p.fits(width)
			p.click(`document.querySelector('.facts a[href="#/station/MA3CLQP01:S1"]')`)
			p.shows("the station has its connectors", `document.querySelectorAll('.evidence tbody tr').length === 2`)
			p.fits(width)
			p.quiet()
		})
	}
}

// quickWall is the page with a wall whose views pass in moments.
func quickWall(t *testing.T) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(web.Files, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(web.Files, name)
		if name == "wall.js" {
			text = []byte(strings.NewReplacer("ms: 60_000", "ms: 1500", "ms: 30_000", "ms: 1500").Replace(string(text)))
		}
		files[name] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestTheWallGoesThroughItsViewsByItself(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, quickWall(t), Config{}, func(s *site) { past(t, s) })
	for _, size := range [][2]int64{{3840, 2160}, {1920, 1080}} {
		p := openTab(t, browser, size[0], size[1])
		p.signedIn(s)
		p.do(chromedp.Navigate(s.url + "/?wall=1"))
		for _, view := range []string{"overview", "gaps", "league", "load", "overview"} {
			p.shows(fmt.Sprintf("the wall of %d px shows %s", size[0], view), fmt.Sprintf(`document.querySelector('.wall-sheet')?.dataset.view === %q`, view))
			if got := eval[[]int64](p, `[document.documentElement.scrollWidth, document.documentElement.scrollHeight]`); got[0] > size[0] || got[1] > size[1] {
				t.Errorf("%s: got a sheet of %v px, want it within %v", view, got, size)
			}
		}
		if eval[bool](p, `Boolean(document.querySelector('.bar, nav, button')) || document.documentElement.dataset.theme !== 'dark'`) {
			t.Error("the wall has chrome or is not dark")
		}
		p.shows("its headline is the API's", `document.querySelector('.wall-percent')?.textContent === '0.1%'`)
		p.quiet()
	}
}

// A line is a network between the browser and the server that can be cut.
type line struct {
	net.Listener
	to    string
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func openLine(t *testing.T, to string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is closed with the test
	if err != nil {
		t.Fatal(err)
	}
	n := &line{Listener: l, to: to}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { n.pass(conn) })
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		n.set(true)
		all.Wait()
	})
	return n
}

// pass copies both ways until an end is closed.
func (n *line) pass(from net.Conn) {
	to, err := net.Dial("tcp", n.to) //nolint:noctx // on loopback
	if err != nil {
		_ = from.Close()
		return
	}
	n.mu.Lock()
	cut := n.cut
	n.conns = append(n.conns, from, to)
	n.mu.Unlock()
	if cut {
		_, _ = from.Close(), to.Close()
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0]) // it ends when the line is cut
			_, _ = from.Close(), to.Close()
		})
	}
	both.Wait()
}

// set cuts the line, or mends it.
func (n *line) set(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
	if cut {
		for _, c := range n.conns {
			_ = c.Close()
		}
		n.conns = nil
	}
}

func TestAfterACutOfHalfAMinuteThePageIsRightAgain(t *testing.T) {
	browser := startBrowser(t)
	s := openSiteOf(t, web.Files, Config{Public: true}, func(s *site) { past(t, s) })
	n := openLine(t, strings.TrimPrefix(s.url, "http://"))
	p := openTab(t, browser, 1440, 900)
	p.do(chromedp.Navigate("http://" + n.Addr().String() + "/#/coverage/371721"))
	state := func(code string) string {
		return fmt.Sprintf(`document.querySelector('tr[data-division=%q]')?.dataset.state`, code)
	}
	p.shows("庄寨镇 is effective", state("371721101")+` === 'effective'`)
	eval[chromedp.Void](p, `window.notReloaded = true`)

	n.set(true)
	deadline := time.Now().Add(2 * time.Minute)
	for i := 1; !eval[bool](p, `/(3\d|[4-9]\d) 秒前|分钟前/.test(document.querySelector('.cut-bar')?.textContent ?? '')`); i++ {
		// Changes come in the meantime: one town after the other, to and fro.
		code := charge.DivisionCode(fmt.Sprintf("3717211%02d", 1+i%20))
		change := town(code, i%3)
		if i%2 == 0 {
			change.State, change.Reason = charge.Failing, "all_silent"
		}
		s.feed.publish(changeOf(change))
		if time.Now().After(deadline) {
			t.Fatalf("after two minutes the page does not say that its data are half a minute old: %s", eval[string](p, `document.querySelector('.cut-bar')?.textContent ?? ''`))
		}
	}
	p.shows("what is known stays", state("371721101")+` !== undefined`)
	n.set(false)
	for deadline = time.Now().Add(time.Minute); eval[bool](p, `Boolean(document.querySelector('.cut-bar'))`); {
		if time.Now().After(deadline) {
			t.Fatal("a minute after the line is mended the page still says that it is cut")
		}
	}
	var asked struct{ Townships []townshipView }
	s.get(t, "/api/v1/townships?division=371721&tier=towns&limit=2000", &asked)
	for _, row := range asked.Townships {
		p.shows(fmt.Sprintf("%s is %s as the API says", row.Name, row.State), fmt.Sprintf("%s === %q", state(string(row.Division)), row.State))
	}
	if !eval[bool](p, `window.notReloaded`) {
		t.Error("the page was loaded again")
	}
}
