package dashboard

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed" // openapi.yaml
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/registry"
	"pilewatch/internal/series"
)

//go:embed openapi.yaml
var openAPI []byte

const (
	townshipsAtMost = 2_000 // more than the province has
	pilesAtMost     = 500
	rejectsAtMost   = 500
	pageOf          = 100 // rows, where no limit is given
	historyDefault  = 24 * time.Hour
)

// An endpoint is one path of the API, with what it needs of its viewer; each of its methods answers
// by itself or fails with an error.
type endpoint struct {
	needs   need
	methods handlers
}

type handler = func(w http.ResponseWriter, r *http.Request) error

// handlers are by method.
type handlers map[string]handler

// get is an endpoint that is only read.
func get(needs need, answer handler) endpoint {
	return endpoint{needs, handlers{http.MethodGet: answer}}
}

// and adds a method.
func (e endpoint) and(method string, answer handler) endpoint {
	e.methods[method] = answer
	return e
}

// endpoints is the API. What openapi.yaml says of it a test compares.
func (d *Dashboard) endpoints() map[string]endpoint {
	return map[string]endpoint{
		"/api/v1/coverage":                        get(needsReading, d.getCoverage),
		"/api/v1/coverage/history":                get(needsReading, d.getCoverageHistory),
		"/api/v1/coverage/days":                   get(needsReading, d.getTownshipDays),
		"/api/v1/coverage/availability":           get(needsReading, d.getCountyAvailability),
		"/api/v1/townships/{code}":                get(needsReading, d.getTownship),
		"/api/v1/stations/{id}":                   get(needsReading, d.getStation),
		"/api/v1/piles/{id}/days":                 get(needsReading, d.getPileDays),
		"/api/v1/townships":                       get(needsReading, d.getTownships),
		"/api/v1/piles":                           get(needsReading, d.getPiles).and(http.MethodPost, d.allowed(needsDecisions, d.postPile)),
		"/api/v1/piles/{id}":                      get(needsReading, d.getPile),
		"/api/v1/piles/{id}/history":              get(needsReading, d.getHistory),
		"/api/v1/piles/{id}/sessions":             get(needsReading, d.getSessions),
		"/api/v1/load":                            get(needsLoad, d.getLoad),
		"/api/v1/energy":                          get(needsLoad, d.getEnergy),
		"/api/v1/targets":                         get(needsReading, d.getTargets),
		"/api/v1/rejects":                         get(needsRecords, d.getRejects),
		"/api/v1/unknown":                         get(needsRecords, d.getUnknown),
		"/api/v1/bridges":                         get(needsBridges, d.getBridges),
		"/api/v1/events":                          get(needsReading, d.getEvents),
		"/api/v1/operators":                       get(needsReading, d.getOperators),
		"/api/v1/availability":                    get(needsReading, d.getAvailability),
		"/api/v1/quality":                         get(needsRecords, d.getQuality),
		"/api/v1/policies":                        get(needsReading, d.getPolicies),
		"/api/v1/excuses":                         get(needsExcuses, d.getExcuses).and(http.MethodPost, d.allowed(needsClaims, d.postExcuse)),
		"/api/v1/excuses/{id}/{decision}":         {needsDecisions, handlers{http.MethodPost: d.postExcuseDecision}},
		"/api/v1/confirmations":                   get(needsDecisions, d.getConfirmations),
		"/api/v1/confirmations/{id}/{decision}":   {needsDecisions, handlers{http.MethodPost: d.postConfirmation}},
		"/api/v1/cases":                           get(needsReading, d.getCases),
		"/api/v1/cases/{id}":                      get(needsCases, d.getCase),
		"/api/v1/cases/{id}/file":                 get(needsCases, d.getCaseFile),
		"/api/v1/cases/{id}/documents/{document}": get(needsCases, d.getCaseDocument),
		"/api/v1/cases/{id}/{action}":             {needsCases, handlers{http.MethodPost: d.postCaseAction}},
		"/api/v1/inspections":                     get(needsDecisions, d.getInspections).and(http.MethodPost, d.postInspections),
		"/api/v1/inspections/{id}":                get(needsDecisions, d.getInspection),
		"/api/v1/inspections/{id}/list":           get(needsDecisions, d.getInspectionList),
		"/api/v1/inspections/{id}/{pile}":         {needsDecisions, handlers{http.MethodPost: d.postInspection}},
		"/api/v1/export/{file}":                   get(needsReading, d.getExport),
		"/api/v1/me":                              get(needsNothing, d.getMe),
		"/api/v1/session":                         get(needsNothing, d.getSignIns).and(http.MethodPost, d.postSession).and(http.MethodDelete, d.deleteSession),
		"/api/v1/password":                        {needsPassword, handlers{http.MethodPost: d.postPassword}},
		"/api/v1/accounts":                        get(needsAdmin, d.getAccounts).and(http.MethodPost, d.postAccount),
		"/api/v1/accounts/{name}/{action}":        {needsAdmin, handlers{http.MethodPost: d.postAccountAction}},
		"/api/v1/account-log":                     get(needsAdmin, d.getAccountLog),
		"/api/v1/tokens":                          get(needsAdmin, d.getTokens).and(http.MethodPost, d.postToken),
		"/api/v1/tokens/{token}":                  {needsAdmin, handlers{http.MethodDelete: d.deleteToken}},
		"/api/v1/openapi.yaml":                    get(needsReading, d.getOpenAPI),
	}
}

// allowed is a method that needs more than its path does.
func (d *Dashboard) allowed(needs need, answer handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := viewerOf(r).refusal(needs); err != nil {
			return err
		}
		return answer(w, r)
	}
}

func newRequestMetrics(reg prometheus.Registerer) *prometheus.HistogramVec {
	return promauto.With(reg).NewHistogramVec(prometheus.HistogramOpts{
		Name: "dashboard_http_request_seconds", Help: "Time to answer a request of the API, by path of the API and status.",
		Buckets: []float64{.001, .005, .01, .02, .05, .1, .2, .5, 1, 5},
	}, []string{"path", "status"})
}

// routes puts the handlers together.
func (d *Dashboard) routes() {
	d.mux = http.NewServeMux()
	for path, e := range d.endpoints() {
		d.mux.Handle(path, d.measured(path, d.guarded(e.needs, func(w http.ResponseWriter, r *http.Request) error {
			method := r.Method
			if method == http.MethodHead {
				method = http.MethodGet
			}
			answer, ok := e.methods[method]
			if !ok {
				w.Header().Set("Allow", strings.Join(slices.Sorted(maps.Keys(e.methods)), ", "))
				return newProblem(http.StatusMethodNotAllowed, "method not allowed", "this path takes "+w.Header().Get("Allow"))
			}
			return answer(w, r)
		})))
	}
	d.mux.Handle("/api/", d.guarded(needsReading, func(http.ResponseWriter, *http.Request) error {
		return notFound("the API has no such path; /api/v1/openapi.yaml lists them")
	}))
	d.mux.Handle("/ws", d.guarded(needsReading, d.serveWS))
	if d.oidc != nil {
		d.mux.Handle("GET "+oidcStart, d.guarded(needsNothing, d.startOIDC))
		d.mux.Handle("GET "+oidcCallback, d.guarded(needsNothing, d.finishOIDC))
	}
	d.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			d.fail(w, r, newProblem(http.StatusMethodNotAllowed, "method not allowed", "the page is read with GET"))
			return
		}
		if !d.assets.serve(w, r) {
			d.fail(w, r, notFound("the page has no such file"))
		}
	})
	// Other sites' pages may not act with the browser's cookie, even where the cookie's SameSite is not kept.
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.fail(w, r, newProblem(http.StatusForbidden, "forbidden", "the request comes from another site"))
	}))
	d.handler = secured(protection.Handler(d.mux))
}

// secured sets the headers that keep strangers' text from becoming script and other sites out.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "+
			"font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		next.ServeHTTP(w, r)
	})
}

// guarded finds out who asks, once, and lets through who has what the path needs.
func (d *Dashboard) guarded(needs need, answer handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := d.viewerFrom(r.Context(), r)
		if err == nil {
			err = d.paced(w, r, &v)
		}
		if err == nil {
			err = v.refusal(needs)
		}
		if err == nil {
			err = answer(w, r.WithContext(context.WithValue(r.Context(), viewerKey{}, &v)))
		}
		if err != nil {
			d.fail(w, r, err)
		}
	})
}

// measured takes the time of an endpoint.
func (d *Dashboard) measured(path string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(sw, r)
		d.requests.WithLabelValues(path, strconv.Itoa(sw.status)).Observe(time.Since(started).Seconds())
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// notLoaded is the answer while the dashboard starts.
func (d *Dashboard) notLoaded() error {
	if _, _, loaded := d.coverage.now(); !loaded {
		return newProblem(http.StatusServiceUnavailable, "starting", "coverage is not loaded yet; try again in a few seconds")
	}
	return nil
}

// province is the division that is shown where none is named: the first without a parent.
func (d *Dashboard) province() charge.DivisionCode {
	for _, division := range d.divisions.Divisions() {
		if division.Parent == "" {
			return division.Code
		}
	}
	return ""
}

// divisionOf reads ?division=; one that the viewer may not see is not there.
func (d *Dashboard) divisionOf(r *http.Request) (charge.DivisionCode, error) {
	v := viewerOf(r)
	text := r.URL.Query().Get("division")
	if text == "" {
		text = string(v.home(d.province()))
	}
	code, err := charge.ParseDivisionCode(text)
	if err != nil {
		return "", badRequest(err.Error())
	}
	if !d.coverage.has(code) || !v.maySee(code) {
		return "", notFound("no division has the code " + text)
	}
	return code, nil
}

func tierOf(r *http.Request, or tier) (tier, error) {
	text := r.URL.Query().Get("tier")
	if text == "" {
		return or, nil
	}
	t, ok := parseTier(text)
	if !ok {
		return 0, badRequest(fmt.Sprintf("tier %q: want towns, streets or all", clip(text)))
	}
	return t, nil
}

func limitOf(r *http.Request, or, atMost int) (int, error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return or, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > atMost {
		return 0, badRequest(fmt.Sprintf("limit %q: want 1 to %d", clip(text), atMost))
	}
	return n, nil
}

// clip shortens what a stranger sent before it is sent back.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

func (d *Dashboard) getCoverage(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.divisionOf(r)
	if err != nil {
		return err
	}
	t, err := tierOf(r, tierTowns)
	if err != nil {
		return err
	}
	switch denominator := r.URL.Query().Get("denominator"); denominator {
	case "", "today":
		view, _ := d.coverage.view(code, t, every)
		return reply(w, r, view)
	case "plan":
		if t != tierTowns {
			return badRequest("the plan's list has towns and townships only: leave tier out")
		}
	default:
		return badRequest(fmt.Sprintf("denominator %q: want today or plan", clip(denominator)))
	}
	plan, err := registry.PlanTownships()
	if err != nil {
		return err
	}
	renames, err := d.registry.Renames(r.Context())
	if err != nil {
		return err
	}
	view, _ := d.coverage.planView(code, plan, renames)
	return reply(w, r, view)
}

// An order of townships; ties are broken by code.
type order struct {
	name string
	key  func(*townshipView) sortKey
}

// A sortKey compares by number, then by text.
type sortKey struct {
	Number float64 `json:"n"`
	Text   string  `json:"t"`
}

var stateRank = map[charge.CoverageState]float64{
	charge.Failing: 1, charge.Unverified: 2, charge.None: 3, charge.Starting: 4, charge.Effective: 5,
}

var orders = []order{
	{"division", func(*townshipView) sortKey { return sortKey{} }},
	{"name", func(t *townshipView) sortKey { return sortKey{Text: t.Name} }},
	{"state", func(t *townshipView) sortKey { return sortKey{Number: stateRank[t.State]} }},
	{"since", func(t *townshipView) sortKey { return sortKey{Number: unixOf(t.Since)} }},
	{"reason", func(t *townshipView) sortKey { return sortKey{Text: t.Reason} }},
	{"priority", rankOf},
	{"last_usable", func(t *townshipView) sortKey { return sortKey{Number: unixOf(t.LastUsable)} }},
	{"stations", func(t *townshipView) sortKey { return sortKey{Number: float64(t.Stations)} }},
	{"connectors", func(t *townshipView) sortKey { return sortKey{Number: float64(t.Connectors)} }},
	{"usable", func(t *townshipView) sortKey { return sortKey{Number: float64(t.Usable)} }},
	{"power_kw", func(t *townshipView) sortKey { return sortKey{Number: t.PowerKW} }},
}

// rankOf is the place in the gap ranking, of a list that has been ranked.
func rankOf(t *townshipView) sortKey {
	if t.Priority == nil {
		return sortKey{}
	}
	return sortKey{Number: float64(t.Priority.Rank)}
}

func unixOf(t *time.Time) float64 {
	if t == nil {
		return 0
	}
	return float64(t.UnixMilli())
}

// A place in a sorted list, as a cursor holds it: the last row that was given.
type townshipCursor struct {
	Sort     string              `json:"s"`
	Key      sortKey             `json:"k"`
	Division charge.DivisionCode `json:"d"`
}

func (c townshipCursor) String() string {
	text, err := json.Marshal(c)
	if err != nil {
		return "" // a number that JSON lacks; no figure here is one
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (d *Dashboard) getTownships(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.divisionOf(r)
	if err != nil {
		return err
	}
	t, err := tierOf(r, tierAll)
	if err != nil {
		return err
	}
	limit, err := limitOf(r, pageOf, townshipsAtMost)
	if err != nil {
		return err
	}
	state := charge.CoverageState(r.URL.Query().Get("state"))
	if _, ok := stateRank[state]; !ok && state != "" {
		return badRequest(fmt.Sprintf("state %q: want effective, failing, unverified, starting or none", clip(string(state))))
	}
	sort, query := cmp.Or(r.URL.Query().Get("sort"), "division"), r.URL.Query()
	if strings.TrimPrefix(sort, "-") == "priority" {
		answer, err := d.townshipPage(r, code, t, sort, limit)
		if err != nil {
			return err
		}
		return reply(w, r, answer)
	}
	key := listKey{code, t, state, query.Get("reason"), sort, query.Get("cursor"), limit}
	list, err := d.lists.get(d.coverage.editionNow(), key, func() (any, error) { return d.townshipPage(r, code, t, sort, limit) })
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	sendPacked(w, r, http.StatusOK, list.text, list.packed)
	return nil
}

// townshipPage is a page of a list of townships.
func (d *Dashboard) townshipPage(r *http.Request, code charge.DivisionCode, t tier, sort string, limit int) (map[string]any, error) {
	state := charge.CoverageState(r.URL.Query().Get("state"))
	rows := d.coverage.list(code, t, func(s charge.CoverageState) bool { return state == "" || s == state })
	if reason := r.URL.Query().Get("reason"); reason != "" {
		rows = slices.DeleteFunc(rows, func(row townshipView) bool { return row.Reason != reason })
	}
	answer := map[string]any{}
	if strings.TrimPrefix(sort, "-") == "priority" {
		ranked, err := d.gapRanking(r.Context())
		if err != nil {
			return nil, err
		}
		rows = ranked.among(rows)
		answer["weights"], answer["policy"] = ranked.Weights, ranked.Policy
	}
	rows, next, err := sortedPage(rows, sort, r.URL.Query().Get("cursor"), limit)
	if err != nil {
		return nil, err
	}
	answer["townships"], answer["next"] = rows, next
	return answer, nil
}

// sortedPage sorts rows ("-" before the order's name: downwards) and gives those after the cursor.
func sortedPage(rows []townshipView, sort, cursor string, limit int) (page []townshipView, next string, err error) {
	name, down := strings.CutPrefix(sort, "-")
	i := slices.IndexFunc(orders, func(o order) bool { return o.name == name })
	if i < 0 {
		var names []string
		for _, o := range orders {
			names = append(names, o.name)
		}
		return nil, "", badRequest(fmt.Sprintf("sort %q: want one of %s, with - before it for downwards", clip(sort), strings.Join(names, ", ")))
	}
	place := func(t *townshipView) townshipCursor { return townshipCursor{sort, orders[i].key(t), t.Division} }
	compare := func(a, b townshipCursor) int {
		c := cmp.Or(cmp.Compare(a.Key.Number, b.Key.Number), cmp.Compare(a.Key.Text, b.Key.Text), cmp.Compare(a.Division, b.Division))
		if down {
			return -c
		}
		return c
	}
	slices.SortFunc(rows, func(a, b townshipView) int { return compare(place(&a), place(&b)) })
	if cursor != "" {
		var after townshipCursor
		text, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil || json.Unmarshal(text, &after) != nil || after.Sort != sort {
			return nil, "", badRequest("cursor: not one of this list's, or of another sort")
		}
		rows = slices.DeleteFunc(rows, func(t townshipView) bool { return compare(place(&t), after) <= 0 })
	}
	if len(rows) > limit {
		rows = rows[:limit]
		next = place(&rows[limit-1]).String()
	}
	return rows, next, nil
}

// A connectorView is a connector of a pile.
type connectorView struct {
	Connector  charge.ConnectorID `json:"connector"`
	Status     string             `json:"status"` // as told; "" when none was ever told
	StatusCode *charge.Status     `json:"status_code"`
	Silent     bool               `json:"silent"`
	Fault      charge.Fault       `json:"fault"`
	Since      *time.Time         `json:"since"`
	LastHeard  *time.Time         `json:"last_heard"`
	LastUsable *time.Time         `json:"last_usable"`
}

// A pileRow is a pile in a list.
type pileRow struct {
	ID           string              `json:"id"`
	Operator     charge.OperatorID   `json:"operator"`
	OperatorName string              `json:"operator_name"`
	Station      charge.StationID    `json:"station"`
	StationName  string              `json:"station_name"`
	Township     charge.DivisionCode `json:"township"`
	TownshipName string              `json:"township_name"`
	CountyName   string              `json:"county_name"`
	Kind         charge.StationKind  `json:"kind"`
	PowerKW      float64             `json:"power_kw"`
	DC           bool                `json:"dc"`
	Connectors   []connectorView     `json:"connectors"`
}

func viewPile(p *registry.PileRow) pileRow {
	row := pileRow{
		ID: p.Pile.String(), Operator: p.Pile.Operator, OperatorName: p.OperatorName, Station: p.Station, StationName: p.StationName,
		Township: p.Township, TownshipName: p.TownshipName, CountyName: p.CountyName, Kind: p.Kind, PowerKW: p.PowerKW, DC: p.DC,
		Connectors: []connectorView{},
	}
	for i := range p.Connectors {
		c := &p.Connectors[i]
		v := connectorView{
			Connector: c.Key.Connector, Silent: c.Silent, Fault: c.Fault, Since: orNull(c.Since),
			LastHeard: orNull(c.LastHeard), LastUsable: orNull(c.LastUsable),
		}
		if c.Told {
			v.Status, v.StatusCode = c.Status.String(), &c.Status
		}
		row.Connectors = append(row.Connectors, v)
	}
	return row
}

// lastTold is the beginning of a pile's live values: what the registry knows of it.
func lastTold(p registry.PileRow) map[charge.ConnectorID]charge.LiveConnector {
	live := map[charge.ConnectorID]charge.LiveConnector{}
	for _, c := range p.Connectors {
		if c.Told {
			live[c.Key.Connector] = charge.LiveConnector{
				Connector: c.Key.Connector, At: c.Since, Received: c.LastHeard, Status: c.Status.String(), StatusCode: c.Status,
				Silent: c.Silent, Fault: c.Fault,
			}
		}
	}
	return live
}

func (d *Dashboard) getPiles(w http.ResponseWriter, r *http.Request) error {
	v := r.URL.Query()
	limit, err := limitOf(r, pageOf, pilesAtMost)
	if err != nil {
		return err
	}
	who := viewerOf(r)
	q := registry.PileQuery{
		Division: charge.DivisionCode(v.Get("division")), Operator: charge.OperatorID(v.Get("operator")), Status: v.Get("status"),
		Search: v.Get("q"), Limit: limit,
	}
	if q.Cursor, err = d.sealed.open(pilesCursor, v.Get("cursor")); err != nil {
		return badRequest("cursor: not one of this list's")
	}
	if !who.narrow(&q) {
		return notFound("no such division or operator")
	}
	found, next, err := d.registry.FindPiles(r.Context(), q)
	if errors.Is(err, registry.ErrBadQuery) {
		return badRequest(err.Error())
	}
	if err != nil {
		return err
	}
	// A page may come out shorter than its limit: what may not be shown is left out after it was counted.
	rows := []pileRow{}
	for i := range found {
		if who.sightOf(found[i].Kind, found[i].Pile.Operator, found[i].Township) != hidden {
			rows = append(rows, viewPile(&found[i]))
		}
	}
	return reply(w, r, map[string]any{"piles": rows, "next": d.sealed.seal(pilesCursor, next)})
}

// pilesCursor is sealed: it names the last pile of a page, which may be one that was left out.
const pilesCursor = "cursor of piles"

// pile finds a pile that a viewer may see; what it may not see is not there (404).
func (d *Dashboard) pile(ctx context.Context, id charge.PileID, v *viewer) (registry.PileRow, charge.Station, error) {
	row, station, err := d.registry.PileByID(ctx, id)
	if errors.Is(err, registry.ErrUnknownPile) || err == nil && v.sightOf(row.Kind, row.Pile.Operator, row.Township) == hidden {
		return registry.PileRow{}, charge.Station{}, notFound("no pile has the id " + id.String())
	}
	return row, station, err
}

// pileOf reads {id}.
func (d *Dashboard) pileOf(r *http.Request) (registry.PileRow, charge.Station, error) {
	id, err := charge.ParsePileID(r.PathValue("id"))
	if err != nil {
		return registry.PileRow{}, charge.Station{}, badRequest(err.Error())
	}
	return d.pile(r.Context(), id, viewerOf(r))
}

func (d *Dashboard) getPile(w http.ResponseWriter, r *http.Request) error {
	row, station, err := d.pileOf(r)
	if err != nil {
		return err
	}
	answer := struct {
		pileRow
		Address string                                      `json:"address"`
		Opened  *string                                     `json:"opened"` // a day of Asia/Shanghai
		Lng     *float64                                    `json:"lng"`
		Lat     *float64                                    `json:"lat"`
		Live    map[charge.ConnectorID]charge.LiveConnector `json:"live"` // while somebody watches the pile
		Names   []pileName                                  `json:"names"`
	}{Names: d.namesOf(row.Pile), pileRow: viewPile(&row), Address: station.Address, Live: d.hub.liveOf(row.Pile)}
	if !row.Opened.IsZero() {
		day := row.Opened.In(charge.Zone).Format(time.DateOnly)
		answer.Opened = &day
	}
	if station.HasPoint {
		answer.Lng, answer.Lat = &station.Lng, &station.Lat
	}
	return reply(w, r, answer)
}

// A stat is a field over one window.
type stat struct {
	Mean float64 `json:"mean"`
	Min  float64 `json:"min"`
	Max  float64 `json:"max"`
}

func viewStat(s *series.Stat) *stat {
	if s == nil {
		return nil
	}
	return &stat{s.Mean, s.Min, s.Max}
}

// A historyRow is one reading or one window; what was not told is left out.
type historyRow struct {
	Connector charge.ConnectorID `json:"connector"`
	At        time.Time          `json:"at"`
	Kind      string             `json:"kind,omitempty"`
	Seq       *uint64            `json:"seq,omitempty"`
	Status    *charge.Status     `json:"status,omitempty"`
	VoltageV  *stat              `json:"voltage_v,omitempty"`
	CurrentA  *stat              `json:"current_a,omitempty"`
	PowerKW   *stat              `json:"power_kw,omitempty"`
	EnergyKWh *stat              `json:"energy_kwh,omitempty"`
	MeterKWh  *stat              `json:"meter_kwh,omitempty"`
	SoCPct    *stat              `json:"soc_pct,omitempty"`
	TempC     *stat              `json:"temp_c,omitempty"`
	Fault     charge.Fault       `json:"fault,omitempty"`
	Level     string             `json:"level,omitempty"`
	Code      string             `json:"code,omitempty"`
	Text      string             `json:"text,omitempty"`  // where the pile is wholly seen
	Order     string             `json:"order,omitempty"` // where the pile is wholly seen
	Start     *time.Time         `json:"start,omitempty"`
	End       *time.Time         `json:"end,omitempty"`
}

func viewHistory(row *series.Row, s sight) historyRow {
	v := historyRow{
		Connector: row.Connector, At: row.At.UTC(), Seq: row.Seq, Status: row.Status, VoltageV: viewStat(row.VoltageV), CurrentA: viewStat(row.CurrentA),
		PowerKW: viewStat(row.PowerKW), EnergyKWh: viewStat(row.EnergyKWh), MeterKWh: viewStat(row.MeterKWh), SoCPct: viewStat(row.SoCPct),
		TempC: viewStat(row.TempC), Fault: row.Fault, Level: row.Level, Code: row.Code, Start: orNull(row.Start), End: orNull(row.End),
	}
	if row.Kind != 0 {
		v.Kind = row.Kind.String()
	}
	if s == wholly {
		v.Text, v.Order = row.Text, row.Order
	}
	return v
}

func (d *Dashboard) getHistory(w http.ResponseWriter, r *http.Request) error {
	row, _, err := d.pileOf(r)
	if err != nil {
		return err
	}
	v := r.URL.Query()
	q := series.Query{Pile: row.Pile}
	if q.To, err = timeOf(v.Get("to"), "to", time.Now()); err != nil {
		return err
	}
	if q.From, err = timeOf(v.Get("from"), "from", q.To.Add(-historyDefault)); err != nil {
		return err
	}
	if q.Step, err = stepOf(v.Get("step")); err != nil {
		return err
	}
	if !q.From.Before(q.To) {
		return badRequest("from is not before to")
	}
	past, err := d.history.History(r.Context(), q)
	if errors.Is(err, series.ErrTooMuch) {
		return newProblem(http.StatusBadRequest, series.ErrTooMuch.Error(), err.Error())
	}
	if err != nil {
		return err
	}
	rows, sees := make([]historyRow, len(past)), viewerOf(r).sightOf(row.Kind, row.Pile.Operator, row.Township)
	for i := range past {
		rows[i] = viewHistory(&past[i], sees)
	}
	return reply(w, r, map[string]any{"pile": row.Pile.String(), "step_s": q.Step.Seconds(), "rows": rows})
}

func timeOf(text, name string, or time.Time) (time.Time, error) {
	if text == "" {
		return or, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, badRequest(fmt.Sprintf("%s %q: want a time like 2025-03-09T12:00:00Z", name, clip(text)))
	}
	return t, nil
}

// stepOf reads "raw" (also ""), "30s", "1m", "15m", "1h", "1d".
func stepOf(text string) (time.Duration, error) {
	if text == "" || text == "raw" {
		return 0, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n >= 1 && n <= 366 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if step, err := time.ParseDuration(text); err == nil && step >= time.Second && step%time.Second == 0 {
		return step, nil
	}
	return 0, badRequest(fmt.Sprintf("step %q: want raw, or whole seconds, minutes, hours or days, like 30s, 1m, 15m, 1h, 1d", clip(text)))
}

func (d *Dashboard) getRejects(w http.ResponseWriter, r *http.Request) error {
	limit, err := limitOf(r, pageOf, rejectsAtMost)
	if err != nil {
		return err
	}
	q, v := r.URL.Query(), viewerOf(r)
	if !v.mayNameOperator(q.Get("operator")) {
		return notFound("no such operator")
	}
	rejects, totals := d.recent.rejectsOf(q.Get("operator"), q.Get("reason"), limit, d.seesReject(v))
	return reply(w, r, map[string]any{"rejects": rejects, "totals": totals})
}

// seesReject tells of each reject whether a viewer may see it.
func (d *Dashboard) seesReject(v *viewer) func(*journal.Reject) bool {
	province := d.province()
	return func(r *journal.Reject) bool {
		return v.maySeeReject(r, province, func(id charge.PileID) (charge.DivisionCode, bool) {
			p, ok := d.divisions.Pile(id)
			if !ok {
				return "", false
			}
			return p.Station.Township, true
		})
	}
}

func (d *Dashboard) getEvents(w http.ResponseWriter, r *http.Request) error {
	if err := d.notLoaded(); err != nil {
		return err
	}
	code, err := d.divisionOf(r)
	if err != nil {
		return err
	}
	limit, err := limitOf(r, pageOf, eventsAtMost)
	if err != nil {
		return err
	}
	version := d.version()
	events, _ := d.recent.eventsOf(viewerOf(r).maySeeEvent, code, 0, version, limit)
	return reply(w, r, map[string]any{"events": d.coverage.named(events), "version": version})
}

func (d *Dashboard) getOpenAPI(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("Cache-Control", "no-cache")
	sum := sha256.Sum256(openAPI)
	sendTagged(w, r, shortHash(sum[:]), openAPI)
	return nil
}
