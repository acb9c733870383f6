// Package dashboard shows what is known: an HTTP API, a WebSocket that brings changes within a
// second, and the page. It keeps coverage in memory, follows CHANGES, and asks the registry and the
// history for the rest. It judges nothing, and changes nothing but accounts and their sessions, claims of
// excused time, and the cases on which people act.
package dashboard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"pilewatch/dashboard/web"
	"pilewatch/internal/availability"
	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/policy"
	"pilewatch/internal/projection"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

// Divisions are the places that figures are shown of, and what is registered there;
// *registry.Directory has them.
type Divisions interface {
	Divisions() []charge.Division
	Operators() []charge.Operator
	Pile(id charge.PileID) (*registry.Pile, bool)
	Piles() iter.Seq[*registry.Pile]
	Stations() iter.Seq[*charge.Station]
	Policies() policy.Policies
	Links() []registry.PileLink
	Rev() int64
	Refresh(ctx context.Context) error
}

// Registry is what the dashboard asks the registry; *registry.Registry is one.
type Registry interface {
	People
	Procedure
	Inspections
	Ping(ctx context.Context) error
	DivisionsAsOf(ctx context.Context) (string, error)
	TownshipStates(ctx context.Context) ([]charge.TownshipState, error)
	FindPiles(ctx context.Context, q registry.PileQuery) ([]registry.PileRow, string, error)
	PileByID(ctx context.Context, id charge.PileID) (registry.PileRow, charge.Station, error)
	Targets(ctx context.Context) ([]registry.Target, error)
	Story(ctx context.Context) (*registry.Story, error)
	StoryJudged(ctx context.Context, s *registry.Story) (int, error)
	Figures
	Decisions
	Places
}

// Figures are what was counted over days and months; *registry.Registry has them.
type Figures interface {
	EachConnectorMonth(ctx context.Context, q registry.MonthQuery, fn func(days []registry.ConnectorDay) error) error
	EachPileMonth(ctx context.Context, q registry.MonthQuery, fn func(days []registry.PileDay) error) error
	EachConnectorNow(ctx context.Context, fn func(c *registry.ConnectorNow) error) error
	DaySums(ctx context.Context, q registry.SumQuery) ([]registry.DaySum, error)
	CoverageDays(ctx context.Context, division charge.DivisionCode, scope registry.Scope, from, to time.Time) ([]registry.CoverageDay, error)
	ConnectionRates(ctx context.Context, division charge.DivisionCode) ([]registry.ConnectionRate, error)
	Qualities(ctx context.Context, month time.Time) (map[charge.OperatorID]registry.Quality, error)
	Corrections(ctx context.Context, pile charge.PileID, from, to time.Time) ([]registry.Correction, error)
	CorrectedPiles(ctx context.Context, from, to time.Time) (map[charge.PileID]int, error)
	Faults(ctx context.Context, operator charge.OperatorID, pile string, from, to time.Time) ([]registry.FaultRow, error)
	FaultsAsOffline(ctx context.Context, month time.Time) ([]registry.FaultAsOffline, error)
}

// Decisions are what people enter and decide; *registry.Registry keeps them.
type Decisions interface {
	Excuses(ctx context.Context, q registry.ExcuseQuery) ([]charge.Excuse, error)
	ClaimExcuse(ctx context.Context, e charge.Excuse) (charge.Excuse, error)
	DecideExcuse(ctx context.Context, id int64, granted bool, judge, why string) error
	Confirmations(ctx context.Context) ([]registry.Confirmation, error)
	Confirm(ctx context.Context, id int64, confirmed bool, judge string) error
	PolicyFiles(ctx context.Context) ([]registry.PolicyFile, error)
	Import(ctx context.Context, table registry.Table, src io.Reader) (registry.Imported, error)
}

// Places is what the registry keeps of the past of divisions, stations and piles.
type Places interface {
	Renames(ctx context.Context) (map[charge.DivisionCode]charge.DivisionCode, error)
	TownshipDays(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]registry.TownshipDay, error)
	CoverageEvents(ctx context.Context, division charge.DivisionCode, from, until time.Time, limit int) ([]charge.Event, error)
	ConnectorDays(ctx context.Context, key charge.ConnectorKey, from, to time.Time) ([]registry.ConnectorDay, error)
	PileDays(ctx context.Context, pile charge.PileID, from, to time.Time) ([]registry.PileDay, error)
	TownshipFacts(ctx context.Context) ([]registry.TownshipFacts, error)
	StationByID(ctx context.Context, operator charge.OperatorID, station charge.StationID) (registry.StationRow, error)
	PublicStations(ctx context.Context, township charge.DivisionCode) ([]registry.StationRow, error)
	WorkingPoints(ctx context.Context, since, now time.Time) ([]registry.Point, error)
}

// Feed is where changes come from; *journal.Log is one.
type Feed interface {
	Ping(ctx context.Context) error
	LastChange(ctx context.Context) (uint64, error)
	FollowChanges(ctx context.Context, from uint64, fn func(seq uint64, c journal.Change) error) error
	FollowRejects(ctx context.Context, lastN int, fn func(journal.Reject)) error
	FollowBridges(ctx context.Context, fn func(journal.Bridges)) error
	WatchLive(ctx context.Context, pile charge.PileID, fn func(charge.LiveConnector)) (stop func(), err error)
}

// History is where the past of a pile and of a division's load is; *series.Embedded and *series.Influx are.
type History interface {
	Ping(ctx context.Context) error
	History(ctx context.Context, q series.Query) ([]series.Row, error)
	Loads(ctx context.Context, division charge.DivisionCode, from, to time.Time) ([]series.Load, error)
	Energies(ctx context.Context, q series.EnergyQuery) ([]series.Energy, error)
}

// Sources is all that the dashboard shows.
type Sources struct {
	Divisions Divisions
	Registry  Registry
	Feed      Feed
	History   History
}

// A Dashboard is ready to run: its address is taken, its token is there.
type Dashboard struct {
	cfg       *Config
	log       *slog.Logger
	divisions Divisions
	registry  Registry
	feed      Feed
	history   History

	coverage *coverage
	recent   *recent
	bridges  bridges
	stations once[period, map[stationKey]*stationSum]
	nevi     once[time.Time, map[stationKey]availability.Figure]
	told     once[struct{}, map[stationKey]stationNow]
	findings once[time.Time, map[charge.OperatorID]*findings]
	rates    once[charge.DivisionCode, []registry.ConnectionRate]
	league   once[leagueKey, []operatorRow]
	openings once[openingsKey, map[string][]projection.Day]
	served   once[period, map[charge.DivisionCode]countyMinutes]
	gaps     gaps
	lists    lists
	standing standing
	hub      *hub
	board    *caseBoard
	token    *fileToken
	oidc     *oidcSignIn // nil without a provider
	sealed   *sealer
	assets   *assets
	upgrader websocket.Upgrader

	requestPace *pace
	signInPace  *pace
	signIns     *prometheus.CounterVec

	requests *prometheus.HistogramVec
	build    string // changes with the page

	mux      *http.ServeMux
	handler  http.Handler
	listener net.Listener
}

// New makes a dashboard and takes its address. data is the directory of dashboard.token, which is
// made where it is missing.
func New(cfg *Config, data string, from Sources, log *slog.Logger, reg prometheus.Registerer) (*Dashboard, error) {
	var files fs.FS = web.Files
	if cfg.WebDir != "" {
		files = os.DirFS(cfg.WebDir)
	}
	d, err := newDashboard(cfg, data, files, from, log.With("service", "dashboard"), reg)
	if err != nil {
		return nil, err
	}
	if d.listener, err = net.Listen("tcp", cfg.HTTP); err != nil {
		return nil, fmt.Errorf("serve the dashboard at %s: %w; choose another address with --http", cfg.HTTP, err)
	}
	return d, nil
}

func newDashboard(cfg *Config, data string, files fs.FS, from Sources, log *slog.Logger, reg prometheus.Registerer) (*Dashboard, error) {
	token, err := openToken(data)
	if err != nil {
		return nil, err
	}
	sealed, err := newSealer(token)
	if err != nil {
		return nil, err
	}
	oidc, err := newOIDCSignIn(&cfg.OIDC, cfg.URL)
	if err != nil {
		return nil, err
	}
	requestPace, err := newPace(rate.Limit(cfg.RequestRate), max(1, int(cfg.RequestRate*burstSeconds)))
	if err != nil {
		return nil, err
	}
	signInPace, err := newPace(rate.Every(signInEvery), signInAtOnce)
	if err != nil {
		return nil, err
	}
	assets, err := newAssets(files, cfg.WebDir != "")
	if err != nil {
		return nil, err
	}
	d := &Dashboard{
		cfg: cfg, log: log, divisions: from.Divisions, registry: from.Registry, feed: from.Feed, history: from.History,
		coverage: newCoverage(), recent: &recent{}, hub: newHub(log, reg), board: &caseBoard{}, token: token, oidc: oidc, sealed: sealed, assets: assets, build: assets.build,
		requestPace: requestPace, signInPace: signInPace, signIns: newSignInMetrics(reg),
		requests: newRequestMetrics(reg),
		// Without CheckOrigin the library lets only the page's own origin in.
		upgrader: websocket.Upgrader{HandshakeTimeout: writeWithin, EnableCompression: true},
	}
	d.stations.holds, d.stations.kept, d.stations.make = figuresHold, figuresKept, d.sumStations
	d.nevi.holds, d.nevi.kept, d.nevi.make = figuresHold, figuresKept, d.sumNEVI
	d.told.holds, d.told.kept, d.told.make = nowHolds, 1, d.countNow
	d.findings.holds, d.findings.kept, d.findings.make = figuresHold, figuresKept, d.findIn
	d.rates.holds, d.rates.kept, d.rates.make = nowHolds, tablesKept, d.registry.ConnectionRates
	d.league.holds, d.league.kept, d.league.make = nowHolds, tablesKept, d.operatorRows
	d.openings.holds, d.openings.kept, d.openings.make = nowHolds, tablesKept, d.countOpenings
	d.served.holds, d.served.kept, d.served.make = figuresHold, figuresKept, d.sumCounties
	reg.MustRegister(d.coverage, &d.standing)
	d.routes()
	return d, nil
}

// Addr is where the dashboard serves, host:port.
func (d *Dashboard) Addr() string { return d.listener.Addr().String() }

// TokenFile names the file whose content signs a person in.
func (d *Dashboard) TokenFile() string { return d.token.file }

// Handler serves everything: the page, the API, /ws and what Handle has added.
func (d *Dashboard) Handler() http.Handler { return d.handler }

// Handle adds a handler beside the dashboard's own, such as /metrics. It asks for no sign-in.
// Before Run.
func (d *Dashboard) Handle(pattern string, h http.Handler) { d.mux.Handle(pattern, h) }

// Ready tells whether everything that the dashboard shows can be shown.
func (d *Dashboard) Ready(ctx context.Context) error {
	var loading error
	if _, _, loaded := d.coverage.now(); !loaded {
		loading = errors.New("coverage is not loaded yet")
	}
	return errors.Join(loading, d.registry.Ping(ctx), d.history.Ping(ctx), d.feed.Ping(ctx)) // the log last: it may use the time up
}

func (d *Dashboard) version() uint64 {
	version, _, _ := d.coverage.now()
	return version
}

// wait waits, unless ctx ends first; then it is false.
func wait(ctx context.Context, long time.Duration) bool {
	t := time.NewTimer(long)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
