package main

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/chromedp/chromedp"

	"pilewatch/internal/charge"
	"pilewatch/internal/testprog"
	"pilewatch/internal/wire"
)

// How many browsers watch at once; fewer for a try:
// PILEWATCH_BENCH_PILES=20000 PILEWATCH_BENCH_CLIENTS=500 PILEWATCH_BENCH_SECONDS=10 make bench ONLY=dashboard.
const benchClients = "PILEWATCH_BENCH_CLIENTS"

// A dashboardBench is the platform, its parts apart on one machine, with the province of 2025 registered. One run serves
// all of its figures.
type dashboardBench struct {
	figures map[string]float64 // by what follows the dot of the id
}

func (d *dashboardBench) figure(name string) func(*testing.B) float64 {
	return func(b *testing.B) float64 {
		b.Helper()
		if d.figures == nil {
			d.run(b)
		}
		return d.figures[name]
	}
}

func (d *dashboardBench) run(b *testing.B) {
	b.Helper()
	d.figures = map[string]float64{}
	begun := time.Now()
	f := startProvince(b, "--request-rate", "0")
	b.Logf("%d piles are registered and everything answers after %s", len(f.fleet.Piles), time.Since(begun).Round(time.Second))
	d.figures["coverage_p99_ms"] = f.answers(1000, "/api/v1/coverage?division=37")
	d.figures["townships_p99_ms"] = f.answers(500, "/api/v1/townships", "/api/v1/townships?tier=towns&limit=2000")
	d.figures["pile_search_ms"] = f.answers(20, f.searches()...)
	d.overview(b, f)
	d.crowd(b, f)
}

// answers gives the 99th percentile, in ms, of the time from a request to the last byte of its answer, for each of the paths
// so often, one after the other. It logs the three that take longest.
func (f *province) answers(times int, paths ...string) float64 {
	f.b.Helper()
	type path struct {
		name    string
		slowest time.Duration
		cpu     time.Duration // the dashboard's, of each
	}
	var of []path
	took := hdrhistogram.New(1, time.Minute.Microseconds(), 3)
	for _, text := range paths {
		p, before := path{name: text}, f.parts[2].cpu(f.b)
		if plain, err := url.QueryUnescape(text); err == nil {
			p.name = plain
		}
		for range times {
			begun := time.Now()
			if err := getJSON(f.b.Context(), "http://"+f.parts[2].http+text, "", nil); err != nil {
				f.b.Fatal(err)
			}
			one := time.Since(begun)
			p.slowest = max(p.slowest, one)
			_ = took.RecordValue(min(one.Microseconds(), time.Minute.Microseconds())) // within its bounds
		}
		p.cpu = (f.parts[2].cpu(f.b) - before) / time.Duration(times)
		of = append(of, p)
	}
	slices.SortFunc(of, func(a, b path) int { return cmp.Compare(b.slowest, a.slowest) })
	var said []string
	for _, p := range of[:min(3, len(of))] {
		said = append(said, fmt.Sprintf("%s %.1f ms (%.1f of the dashboard's processor time)", clipped(p.name), float64(p.slowest.Microseconds())/1000, float64(p.cpu.Microseconds())/1000))
	}
	f.b.Logf("slowest of %d: %s", times, strings.Join(said, "; "))
	return ms(took, 99)
}

// clipped leaves a cursor out.
func clipped(path string) string {
	before, _, _ := strings.Cut(path, "&cursor=")
	return before
}

// searches are pages of the list of piles: the first and one far behind, and by name, number and address, common ones and
// rare ones and none.
func (f *province) searches() []string {
	station, pile := &f.fleet.Stations[len(f.fleet.Stations)/2], &f.fleet.Piles[len(f.fleet.Piles)/2]
	const list = "/api/v1/piles"
	paths := []string{list, list + "?division=3717", list + "?operator=" + string(station.Operator) + "&limit=500"}
	for _, text := range []string{
		"充电站", "小区", station.Name, station.Address, "路", "没有这样的站", pile.Equipment, pile.Equipment[:4], pile.Equipment[:8], f.fleet.ID(len(f.fleet.Piles) - 1).String(), "1",
	} {
		if text != "" {
			paths = append(paths, list+"?q="+url.QueryEscape(text), list+"?division=3713&q="+url.QueryEscape(text))
		}
	}
	var page struct{ Next string }
	for range 10 { // to page eleven
		if err := getJSON(f.b.Context(), "http://"+f.parts[2].http+list+"?limit=500&cursor="+page.Next, "", &page); err != nil {
			f.b.Fatal(err)
		}
	}
	return append(paths, list+"?limit=500&cursor="+page.Next)
}

func chromiumMissing() string {
	if _, err := testprog.Look("chromium"); err != nil {
		return err.Error()
	}
	return ""
}

const loads = 5

// overview loads the overview as often as loads says, each time by a browser that has nothing of it, and gives the bytes
// over the wire and the time until one can work with it, the medians of both.
func (d *dashboardBench) overview(b *testing.B, f *province) {
	b.Helper()
	if chromiumMissing() != "" {
		return
	}
	allocated, end := chromedp.NewExecAllocator(context.WithoutCancel(b.Context()),
		chromedp.ExecPath(testprog.Chromium(b)), chromedp.NoSandbox, chromedp.Headless, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	b.Cleanup(end)
	browser, closeAll := chromedp.NewContext(allocated)
	b.Cleanup(closeAll)
	if err := chromedp.Do(browser); err != nil {
		b.Fatal(err)
	}
	counted := countBytes(b, f.parts[2].http)
	var kib, waits []float64
	for range loads {
		before := counted.received.Load()
		tab, closeTab := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
		if _, err := chromedp.Run(tab, chromedp.Steps(chromedp.EmulateViewport(1440, 900), chromedp.Navigate("http://"+counted.addr+"/"))); err != nil {
			b.Fatal(err)
		}
		var at float64
		if err := eventually(b.Context(), time.Minute, func() (err error) {
			// The ring and the map stand, the list beside it has its rows: what follows a click works.
			at, err = chromedp.Run(tab, chromedp.Evaluate[float64](`document.querySelector('[aria-label="乡镇有效覆盖"] [role="img"]') && window.pilewatch?.mapPoint('371721')
				&& document.querySelector('.units [data-division]') ? performance.now() : 0`))
			if err == nil && at == 0 {
				err = errors.New("the overview is not there")
			}
			return err
		}); err != nil {
			b.Fatal(err)
		}
		time.Sleep(2 * time.Second) // what is loaded after that counts as well
		closeTab()
		kib, waits = append(kib, float64(counted.received.Load()-before)/1024), append(waits, at)
	}
	slices.Sort(kib)
	slices.Sort(waits)
	b.Logf("first loads: %.0f KiB, one can work after %.0f ms", kib, waits)
	d.figures["first_load_kib"], d.figures["first_load_ms"] = kib[loads/2], waits[loads/2]
}

// A countedWire passes bytes to a server and counts what comes back, headers and WebSockets with it.
type countedWire struct {
	addr     string
	received atomic.Int64
}

func countBytes(b *testing.B, to string) *countedWire {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	w := &countedWire{addr: l.Addr().String()}
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = from.Close()
				continue
			}
			go func() {
				_, _ = io.Copy(server, from)
				_ = server.Close()
			}()
			go func() {
				_, _ = io.Copy(from, io.TeeReader(server, w))
				_ = from.Close()
			}()
		}
	}()
	return w
}

func (w *countedWire) Write(p []byte) (int, error) {
	w.received.Add(int64(len(p)))
	return len(p), nil
}

const changesPerSecond = 200

// crowd lets many watch the province while piles begin to charge, 200 a second, and gives the 99th percentile of the time
// from a pile's PUBLISH until each of the watchers has the delta with it.
func (d *dashboardBench) crowd(b *testing.B, f *province) {
	b.Helper()
	clients := benchNumber(b, benchClients, 5_000)
	piles := f.publicOfTowns(benchNumber(b, benchSeconds, 30) * changesPerSecond)
	send := f.sender()
	for i := range piles {
		send(piles[i], charge.Idle)
	}
	onlineIs := func(n int) func() error {
		return func() error {
			var c struct {
				Connectors struct{ Online, Charging int }
			}
			if err := getJSON(b.Context(), "http://"+f.parts[2].http+"/api/v1/coverage?division=37", "", &c); err != nil {
				return err
			}
			if c.Connectors.Online < n || c.Connectors.Charging > 0 {
				return fmt.Errorf("%d of %d are online, %d charge", c.Connectors.Online, n, c.Connectors.Charging)
			}
			return nil
		}
	}
	if err := eventually(b.Context(), 2*time.Minute, onlineIs(len(piles))); err != nil {
		b.Fatal(err)
	}
	w := &wsCrowd{known: map[uint64]int{}, seed: maphash.MakeSeed(), begun: time.Now()}
	for range clients {
		w.join(b, f.parts[2].http, "coverage:37")
	}
	if err := eventually(b.Context(), 2*time.Minute, w.allHeard); err != nil {
		b.Fatal(err)
	}
	before := [3]time.Duration{}
	for i, p := range f.parts {
		before[i] = p.cpu(b)
	}
	ours, begun := cpuOf(b, os.Getpid()), time.Now()
	sent := make([]time.Duration, len(piles))
	tick := time.NewTicker(time.Second / changesPerSecond)
	defer tick.Stop()
	for i := range piles {
		<-tick.C
		sent[i] = time.Since(w.begun)
		send(piles[i], charge.Charging)
	}
	length := time.Since(begun).Seconds()
	time.Sleep(3 * time.Second) // what has not come by then counts as a minute
	cores := [3]float64{}
	for i, p := range f.parts {
		cores[i] = (p.cpu(b) - before[i]).Seconds() / length
	}
	took, missed := w.took(b, sent)
	mib := float64(f.parts[2].residentBytes(b)) / (1 << 20)
	b.Logf("%d clients, %d changes in %.1f s: p50 %.0f ms, p99 %.0f, p99.9 %.0f, most %.0f; %d never came; %d different messages",
		clients, len(piles), length, ms(took, 50), ms(took, 99), ms(took, 99.9), ms(took, 100), missed, len(w.payloads))
	b.Logf("cores used: gateway %.2f, ingest %.2f, dashboard %.2f, clients and sender %.2f; the dashboard's memory: %.0f MiB",
		cores[0], cores[1], cores[2], (cpuOf(b, os.Getpid())-ours).Seconds()/length, mib)
	d.figures["ws_5000_p99_ms"], d.figures["ws_5000_cores"], d.figures["ws_5000_mib"] = ms(took, 99), cores[2], mib
}

func ms(h *hdrhistogram.Histogram, quantile float64) float64 {
	return float64(h.ValueAtQuantile(quantile)) / 1000
}

// publicOfTowns are at most n public piles that stand in towns and townships.
func (f *province) publicOfTowns(n int) (piles []charge.PileID) {
	for i := range f.fleet.Piles {
		s := &f.fleet.Stations[f.fleet.Piles[i].Station]
		if len(piles) < n && s.Kind == charge.Public && f.fleet.Counted(s.Township) {
			piles = append(piles, f.fleet.ID(i))
		}
	}
	return piles
}

// sender sends the status of piles, each operator's through a connection of its own.
func (f *province) sender() func(charge.PileID, charge.Status) {
	conns := map[charge.OperatorID]func(topic string, payload []byte){}
	seq := uint64(0)
	return func(pile charge.PileID, status charge.Status) {
		publish := conns[pile.Operator]
		if publish == nil {
			c := connectAs(f.b, f.parts[0].mqtt, pile.Operator, f.tokens[pile.Operator])
			f.b.Cleanup(func() { c.Disconnect(100) })
			publish = func(topic string, payload []byte) { c.Publish(topic, 1, false, payload) }
			conns[pile.Operator] = publish
		}
		seq++
		r := charge.Reading{Pile: pile, Connector: "1", Kind: charge.KindStatus, At: time.Now(), Seq: seq, Has: charge.HasSeq | charge.HasStatus, Status: status}
		publish(wire.Topic(string(pile.Operator), pile.Equipment, r.Kind), wire.Encode(nil, &r, true))
	}
}

// A wsCrowd is many browsers' WebSockets. What all are sent is the same bytes, so each is kept and read once; inflating it
// for every client would measure the clients.
type wsCrowd struct {
	seed    maphash.Seed
	begun   time.Time
	members []*wsMember

	mu       sync.Mutex
	known    map[uint64]int // payloads by their hash
	payloads [][]byte       // deflated ones begin with 0xC1, others with 0x81
}

type wsMember struct {
	mu    sync.Mutex
	heard []heardFrame
}

type heardFrame struct {
	payload int
	at      time.Duration // since the crowd has begun
}

const (
	frameText  = 0x81
	framePing  = 0x89
	framePong  = 0x8A
	frameClose = 0x88
)

// join opens a WebSocket as a browser does (RFC 6455, RFC 7692), and subscribes.
func (w *wsCrowd) join(b *testing.B, addr, topic string) {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	in := bufio.NewReader(conn)
	_, err = fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n\r\n", addr)
	if err != nil {
		b.Fatal(err)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		b.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusSwitchingProtocols {
		b.Fatalf("open client %d: %s", len(w.members)+1, res.Status)
	}
	if err := writeFrame(conn, frameText, []byte(`{"subscribe":["`+topic+`"]}`)); err != nil {
		b.Fatal(err)
	}
	m := &wsMember{}
	w.members = append(w.members, m)
	go func() {
		for {
			kind, payload, err := readFrame(in)
			switch {
			case err != nil, kind == frameClose:
				return
			case kind == framePing:
				if writeFrame(conn, framePong, payload) != nil {
					return
				}
			default:
				at := time.Since(w.begun)
				n := w.number(kind, payload)
				m.mu.Lock()
				m.heard = append(m.heard, heardFrame{n, at})
				m.mu.Unlock()
			}
		}
	}()
}

// writeFrame sends up to 125 bytes; their mask is 0.
func writeFrame(dst io.Writer, kind byte, payload []byte) error {
	_, err := dst.Write(append([]byte{kind, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...))
	return err
}

func readFrame(in *bufio.Reader) (kind byte, payload []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(in, head[:2]); err != nil {
		return 0, nil, err
	}
	kind = head[0]
	n := uint64(head[1] & 0x7F)
	switch n {
	case 126:
		_, err = io.ReadFull(in, head[:2])
		n = uint64(binary.BigEndian.Uint16(head[:2]))
	case 127:
		_, err = io.ReadFull(in, head[:8])
		n = binary.BigEndian.Uint64(head[:8])
	}
	if err != nil {
		return 0, nil, err
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(in, payload)
	return kind, payload, err
}

func (w *wsCrowd) number(kind byte, payload []byte) int {
	sum := maphash.Bytes(w.seed, payload)
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.known[sum]
	if !ok {
		n = len(w.payloads)
		w.known[sum], w.payloads = n, append(w.payloads, append([]byte{kind}, payload...))
	}
	return n
}

// allHeard is nil when each has its greeting and its snapshot.
func (w *wsCrowd) allHeard() error {
	for i, m := range w.members {
		m.mu.Lock()
		n := len(m.heard)
		m.mu.Unlock()
		if n < 2 {
			return fmt.Errorf("client %d has heard %d messages", i+1, n)
		}
	}
	return nil
}

// charging is how many charge by each of the messages, -1 of one that does not tell.
func (w *wsCrowd) charging(b *testing.B) []int {
	b.Helper()
	all := make([]int, len(w.payloads))
	for i, p := range w.payloads {
		all[i] = -1
		text := p[1:]
		if p[0]&0x40 != 0 { // deflated; the tail that the frame leaves out, and an end
			var err error
			if text, err = io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(text), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))); err != nil {
				b.Fatal(err)
			}
		}
		var m struct {
			Topic string
			Data  struct{ Connectors struct{ Charging int } }
		}
		if err := json.Unmarshal(text, &m); err != nil {
			b.Fatalf("%v in %.300s", err, text)
		}
		if m.Topic != "" {
			all[i] = m.Data.Connectors.Charging
		}
	}
	return all
}

// took gives how long after a pile began to charge, at sent, each client was told of so many; missed counts those that
// were not.
func (w *wsCrowd) took(b *testing.B, sent []time.Duration) (took *hdrhistogram.Histogram, missed int) {
	b.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	charging := w.charging(b)
	took = hdrhistogram.New(1, time.Minute.Microseconds(), 3)
	for _, m := range w.members {
		m.mu.Lock()
		told := 0
		for _, h := range m.heard {
			for ; told < len(sent) && told < charging[h.payload]; told++ {
				_ = took.RecordValue(min(max(1, (h.at-sent[told]).Microseconds()), time.Minute.Microseconds())) // within its bounds
			}
		}
		m.mu.Unlock()
		for range len(sent) - told {
			_ = took.RecordValue(time.Minute.Microseconds()) // within its bounds
			missed++
		}
	}
	return took, missed
}
