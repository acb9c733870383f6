package simulator

import (
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// MinPiles is the smallest fleet that has a pile in each of 544 towns and still looks like a province.
const MinPiles = 2000

// The starting coverage of the plan (鲁政字〔2023〕155号): 48.2 % of the 1,129 towns and townships have
// a public charging station. 544 is inferred from the share, which has no date in the plan; that the
// story starts with it is an assumption.
const (
	plannedTowns = 1129
	coveredTowns = 544
)

// Stations opened in these years. The last day is that of the list of divisions, before the plan begins.
var (
	firstOpening = time.Date(2019, 1, 1, 0, 0, 0, 0, charge.Zone)
	lastOpening  = time.Date(2023, 6, 30, 0, 0, 0, 0, charge.Zone)
)

// A Condition is what a pile is like from its first day of the simulation to the last.
type Condition uint8

// Working piles have ordinary faults that are repaired; three have failed for long.
const (
	Working      Condition = iota
	FailedSilent           // never says anything
	FailedFault            // says 255 and nothing else, and its heartbeats go on
	FailedGone             // its operator's platform says 0 of it
	Unused                 // says that it is idle, and never charges; only in a story and in the province after the plan
)

// A Fleet is a generated registry and the secret behind it: which of its piles work. It is never
// changed once generated, and so safe for concurrent use.
type Fleet struct {
	Seed      uint64
	Operators []charge.Operator // sorted by id
	Stations  []charge.Station
	Piles     []Pile

	capacityKVA []float64 // of each station's transformers; nil where none is known

	habits  []habit
	counted map[charge.DivisionCode]bool
}

// A Pile is one simulated piece of equipment; its connectors are alike and named 1 and 2.
type Pile struct {
	Equipment  string // EquipmentID, unique within the operator
	Operator   uint16 // index into Fleet.Operators
	Station    uint32 // index into Fleet.Stations
	Connectors uint8  // 1 or 2
	DC         bool
	Condition  Condition
	PowerKW    float32 // of each connector
	Opened     time.Time
}

// ID gives the pile's name in the whole province.
func (f *Fleet) ID(i int) charge.PileID {
	p := &f.Piles[i]
	return charge.PileID{Operator: f.Operators[p.Operator].ID, Equipment: p.Equipment}
}

// reportEvery is what the registry declares and the piles keep: operators report every 5 to 10 minutes
// when nothing changes.
const reportEvery = 10 * time.Minute

// A habit is what an operator is like. Weights are shares of the piles of each use.
type habit struct {
	id, name                           string
	rural, urban, dedicated, residents float64
	out                                float64 // share of its piles that has failed for long
	arrays                             bool    // its platform sends arrays of objects
	ways                               ways
}

// ways are an operator's habits towards the platform.
type ways uint8

const (
	plainWays ways = iota
	badClocks      // its piles' clocks are minutes wrong
	sendsLate      // its platform keeps measurements and orders back for minutes
	fallsOver      // its broker falls over and is away for minutes
)

// The operators of the demo, all invented. Two keep their piles badly: 10 to 25 % out, where the
// others have 3 to 8 % (assumed; no published figure was found). One has bad clocks, one sends late, and
// the broker of one falls over.
func habits() []habit {
	return []habit{
		{"MA3PWDL01", "岱麓充电", 0.22, 0.26, 0.15, 0.20, 0.040, true, plainWays},
		{"MA3PWHL07", "黄蓝新能", 0.12, 0.06, 0.10, 0.06, 0.150, false, fallsOver},
		{"MA3PWLQ06", "柳泉电桩", 0.06, 0.10, 0.10, 0.15, 0.050, true, plainWays},
		{"MA3PWLY02", "泺源桩联", 0.10, 0.20, 0.15, 0.15, 0.050, true, plainWays},
		{"MA3PWQZ08", "齐桩共享", 0.10, 0.04, 0.10, 0.04, 0.210, true, badClocks},
		{"MA3PWRF05", "儒风快充", 0.10, 0.12, 0.15, 0.15, 0.060, false, sendsLate},
		{"MA3PWYH03", "瀛海能充", 0.08, 0.16, 0.20, 0.15, 0.035, true, plainWays},
		{"MA3PWYM04", "沂蒙乡电", 0.22, 0.06, 0.05, 0.10, 0.065, false, plainWays},
	}
}

func (h *habit) bad() bool { return h.out >= 0.1 }

// A use is one of the four ways in which the demo's stations are used.
type use uint8

const (
	ruralPublic use = iota
	urbanPublic
	dedicated
	residential
)

func (h *habit) weight(u use) float64 {
	return [...]float64{h.rural, h.urban, h.dedicated, h.residents}[u]
}

// A place is where a station of a use stands: the registry's word and the name's part.
type place struct{ site, label string }

const expressway = "expressway service area"

var places = [...][]place{
	ruralPublic: {
		{"township office", "政府"},
		{"township office", "便民服务中心"},
		{"health centre", "卫生院"},
		{"market", "集贸市场"},
		{"power supply office", "供电所"},
		{"coach station", "客运站"},
		{"scenic area", "乡村旅游区"},
		{"village", "社区服务中心"},
	},
	urbanPublic: {
		{"car park", "公共停车场"},
		{"shopping centre", "购物广场"},
		{"hospital", "医院"},
		{"sports centre", "体育中心"},
		{"industrial park", "产业园"},
		{"offices", "政务服务中心"},
		{"transport hub", "客运中心"},
		{"scenic area", "公园"},
		{expressway, "高速服务区"},
		{"roadside", "路侧"},
	},
	dedicated: {
		{"bus depot", "公交场站"}, {"logistics park", "物流园"}, {"taxi depot", "出租车服务站"}, {"sanitation depot", "环卫基地"},
	},
	residential: {
		{"estate", "锦苑小区"},
		{"estate", "和园小区"},
		{"estate", "东苑小区"},
		{"estate", "清泉小区"},
		{"estate", "柳岸小区"},
		{"estate", "文苑小区"},
		{"estate", "新村"},
		{"estate", "阳光小区"},
	},
}

// GenerateStory makes the fleet at the end of the story Plan2023: each of the towns and townships has a public
// station by the end of 2025, and what it has opened on days by which it grew as planned. Story tells its past.
func GenerateStory(divisions []charge.Division, piles int, seed uint64) (*Fleet, error) {
	return makeFleet(divisions, piles, seed, func(g *generator) { g.story = true })
}

// Generate makes a fleet out of the real divisions and the plan's figures: 544 of the 1,129 towns
// and townships have a public station, whatever the number of piles, which must be at least MinPiles.
// The same divisions, piles and seed give the same fleet.
func Generate(divisions []charge.Division, piles int, seed uint64) (*Fleet, error) {
	return makeFleet(divisions, piles, seed, func(*generator) {})
}

func makeFleet(divisions []charge.Division, piles int, seed uint64, kind func(*generator)) (*Fleet, error) {
	if piles < MinPiles {
		return nil, fmt.Errorf("generate fleet of %d piles: at least %d", piles, MinPiles)
	}
	g := generator{
		fleet:  &Fleet{Seed: seed, habits: habits(), counted: make(map[charge.DivisionCode]bool)},
		rng:    rand.New(rand.NewPCG(seed, fleetStream)),
		names:  make(map[charge.DivisionCode]string, len(divisions)),
		serial: make(map[charge.DivisionCode]int),
		taken:  make(map[string]int),
	}
	kind(&g)
	if err := g.read(divisions); err != nil {
		return nil, fmt.Errorf("generate fleet: %w", err)
	}
	for i := range g.fleet.habits {
		h := &g.fleet.habits[i]
		h.out *= 0.9 + 0.2*g.rng.Float64()
		g.fleet.Operators = append(g.fleet.Operators, charge.Operator{ID: charge.OperatorID(h.id), Name: h.name})
	}
	if g.plan != nil {
		if err := g.buildPlan(piles); err != nil {
			return nil, fmt.Errorf("generate fleet: %w", err)
		}
	} else {
		g.build(piles)
	}
	g.wear()
	return g.fleet, nil
}

// fleetStream keeps the fleet's random numbers apart from those of its behaviour.
const fleetStream = 0x666c656574 // "fleet"

type generator struct {
	story  bool
	plan   []milestone                      // up to the fleet's day; nil without one
	era    *era                             // of the plan, in which what is built now opens
	early  map[charge.DivisionCode]bool     // towns that had a station when the story begins
	first  map[charge.DivisionCode]struct{} // towns that have their first station
	fleet  *Fleet
	rng    *rand.Rand
	names  map[charge.DivisionCode]string
	towns  []charge.DivisionCode // counted by the plan
	street []charge.DivisionCode
	serial map[charge.DivisionCode]int // last number given in a county
	taken  map[string]int              // how often a station's name was given
}

func (g *generator) read(divisions []charge.Division) error {
	for _, d := range divisions {
		g.names[d.Code] = d.Name
		switch {
		case d.Counted():
			g.towns = append(g.towns, d.Code)
			g.fleet.counted[d.Code] = true
		case d.Kind == charge.KindStreet:
			g.street = append(g.street, d.Code)
		}
	}
	if len(g.towns) == 0 || len(g.street) == 0 {
		return fmt.Errorf("divisions have %d towns and %d streets: want at least one of each", len(g.towns), len(g.street))
	}
	slices.Sort(g.towns)
	slices.Sort(g.street)
	return nil
}

// build shares the piles out: 15 % residential, 10 % dedicated, the rest public. The rural public
// ones grow with the root of the fleet only, as in the plan, where they are 3 % to 6 % of the public ones.
func (g *generator) build(piles int) {
	towns := g.choose(g.towns, int(math.Round(float64(len(g.towns)*coveredTowns)/plannedTowns)))
	if g.story {
		g.first = make(map[charge.DivisionCode]struct{}, len(g.towns))
		g.early = make(map[charge.DivisionCode]bool, len(towns))
		for _, code := range towns {
			g.early[code] = true
		}
		towns = g.towns
	}
	homes, fleets := piles*15/100, piles/10
	rural := max(len(towns), min(544+int(6.5*math.Sqrt(float64(piles))), (piles-homes-fleets)*3/5))
	urban := piles - homes - fleets - rural
	streets := g.choose(g.street, min(len(g.street)*85/100+1, urban))

	// One station in each of these, so that the plan's share holds; the others are further ones.
	g.place(ruralPublic, append(slices.Clone(towns), g.some(towns, len(towns)/12)...), rural)
	g.place(urbanPublic, append(slices.Clone(streets), g.some(streets, urban/8)...), urban)
	// Those that are not open to the public stand in uncovered towns as well: they do not cover them.
	anywhere := append(slices.Clone(g.street), g.some(g.towns, len(g.street)/4)...)
	g.place(dedicated, g.some(anywhere, 1+fleets/6), fleets)
	g.place(residential, g.some(anywhere, 1+homes/4), homes)
}

// choose picks n divisions, so that some cities and counties have many and others few, and returns
// them sorted.
func (g *generator) choose(from []charge.DivisionCode, n int) []charge.DivisionCode {
	type candidate struct {
		code charge.DivisionCode
		key  float64
	}
	favour := make(map[charge.DivisionCode]float64)
	of := func(code charge.DivisionCode) float64 {
		if _, ok := favour[code]; !ok {
			favour[code] = 0.4 + 1.4*g.rng.Float64()
		}
		return favour[code]
	}
	all := make([]candidate, len(from))
	for i, code := range from {
		weight := of(code[:4]) * of(code[:6])
		// Weighted sampling without replacement (Efraimidis and Spirakis 2006).
		all[i] = candidate{code, math.Pow(g.rng.Float64(), 1/weight)}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		switch {
		case a.key > b.key:
			return -1
		case a.key < b.key:
			return 1
		}
		return strings.Compare(string(a.code), string(b.code))
	})
	chosen := make([]charge.DivisionCode, 0, n)
	for _, c := range all[:min(n, len(all))] {
		chosen = append(chosen, c.code)
	}
	slices.Sort(chosen)
	return chosen
}

// some draws n divisions, the same one more than once if it comes so.
func (g *generator) some(from []charge.DivisionCode, n int) []charge.DivisionCode {
	drawn := make([]charge.DivisionCode, n)
	for i := range drawn {
		drawn[i] = from[g.rng.IntN(len(from))]
	}
	return drawn
}

// place builds a station of the use in each of the townships, and shares the piles out among them.
func (g *generator) place(u use, townships []charge.DivisionCode, piles int) {
	townships = townships[:min(len(townships), piles)]
	sizes := make([]int, len(townships))
	for i := range sizes {
		sizes[i] = 1
	}
	for range piles - len(townships) {
		sizes[g.rng.IntN(len(sizes))]++
	}
	for i, township := range townships {
		g.station(u, township, sizes[i])
	}
}

func (g *generator) station(u use, township charge.DivisionCode, piles int) {
	county := township[:6]
	operator := g.operator(u)
	at := g.site(u)
	s := charge.Station{
		Operator: g.fleet.Operators[operator].ID,
		ID:       charge.StationID("S" + g.number(county)),
		Township: township,
		Kind:     charge.Public,
		Area:     "urban",
		Site:     at.site,
		Access:   "public",
		Address:  g.names[township[:4]] + g.names[county] + g.names[township],
	}
	if s.Opened = g.opened(u, township); g.fleet.counted[township] {
		s.Area = "rural"
	}
	switch u {
	case dedicated:
		s.Kind, s.Access = charge.Dedicated, "inner"
		if g.rng.IntN(3) == 0 {
			s.Hours = "Mo-Su 05:00-23:00"
		}
	case residential:
		s.Kind, s.Access = charge.Residential, "limited"
	case ruralPublic, urbanPublic:
	}
	s.Name = g.names[county] + g.names[township] + at.label
	g.taken[s.Name]++
	if n := g.taken[s.Name]; n > 1 {
		s.Name += strconv.Itoa(n) + "号"
	}
	s.Name += "充电站"
	g.fleet.Stations = append(g.fleet.Stations, s)
	for range piles {
		g.pile(u, operator, len(g.fleet.Stations)-1)
	}
}

// site draws where a station of the use stands.
func (g *generator) site(u use) place {
	if g.era == nil || u != urbanPublic {
		return places[u][g.rng.IntN(len(places[u]))]
	}
	if g.rng.Float64() < expresswayShare {
		return place{expressway, "高速服务区"}
	}
	for {
		if at := places[u][g.rng.IntN(len(places[u]))]; at.site != expressway {
			return at
		}
	}
}

// opened draws the day on which a station of the use opens in a township.
func (g *generator) opened(u use, township charge.DivisionCode) time.Time {
	if g.era != nil {
		return g.era.day(g.rng)
	}
	if !g.story {
		return g.day(firstOpening)
	}
	if _, been := g.first[township]; u != ruralPublic || been {
		return g.opening(growths[u])
	}
	g.first[township] = struct{}{}
	if g.early[township] {
		return g.opening(growth{begin: 1})
	}
	return g.opening(townsGrow)
}

func (g *generator) operator(u use) int {
	total := 0.0
	for i := range g.fleet.habits {
		total += g.fleet.habits[i].weight(u)
	}
	at := g.rng.Float64() * total
	for i := range g.fleet.habits {
		if at -= g.fleet.habits[i].weight(u); at < 0 {
			return i
		}
	}
	return len(g.fleet.habits) - 1
}

// number gives the next number of a county, the same row for stations and piles of all operators.
func (g *generator) number(county charge.DivisionCode) string {
	g.serial[county]++
	return fmt.Sprintf("%s%05d", county, g.serial[county])
}

// day draws a day of opening, later ones more often, for the network grew.
func (g *generator) day(from time.Time) time.Time {
	days := int(lastOpening.Sub(from).Hours()/24) + 1
	return from.AddDate(0, 0, max(g.rng.IntN(days), g.rng.IntN(days)))
}

// dcModels are DC piles as sold: the power of each connector, how many, and how often they occur in
// towns, in streets and in fleets' depots.
var dcModels = []struct {
	powerKW             float32
	connectors          uint8
	rural, urban, depot int
}{
	{30, 1, 22, 6, 2},
	{40, 1, 16, 6, 4},
	{60, 1, 26, 18, 14},
	{80, 1, 6, 8, 10},
	{60, 2, 22, 26, 30},
	{80, 2, 5, 12, 14},
	{90, 2, 2, 8, 14},
	{120, 2, 1, 11, 10},
	{240, 2, 0, 3, 2},
	{480, 1, 0, 2, 0},
}

// fast tells whether the next pile of a use is a DC one.
func (g *generator) fast(u use, s *charge.Station) bool {
	if g.era != nil && u == urbanPublic {
		return g.era.fast(s.Site == expressway)
	}
	return g.rng.IntN(100) < [...]int{50, 68, 90, 0}[u]
}

func (g *generator) pile(u use, operator, station int) {
	s := &g.fleet.Stations[station]
	p := Pile{
		Equipment:  g.number(s.Township[:6]),
		Operator:   uint16(operator), //nolint:gosec // eight operators
		Station:    uint32(station),  //nolint:gosec // fewer stations than piles, and those are counted in millions at most
		Connectors: 1,
		PowerKW:    7,
		Opened:     s.Opened,
	}
	if g.era == nil && g.rng.IntN(5) == 0 { // the station was extended
		if g.story {
			p.Opened = g.extension(s.Opened)
		} else {
			p.Opened = g.day(s.Opened)
		}
	}
	if p.DC = g.fast(u, s); p.DC {
		total := 0
		for _, m := range dcModels {
			total += [...]int{m.rural, m.urban, m.depot, 0}[u]
		}
		at := g.rng.IntN(total)
		for _, m := range dcModels {
			if at -= [...]int{m.rural, m.urban, m.depot, 0}[u]; at < 0 {
				p.PowerKW, p.Connectors = m.powerKW, m.connectors
				break
			}
		}
	}
	g.fleet.Piles = append(g.fleet.Piles, p)
}

// wear decides which piles have failed for long: first all those of the towns that are covered on
// paper only (9 to 14 % of the covered ones, assumed), then others until each operator has its share.
func (g *generator) wear() {
	f := g.fleet
	spare := make([]int, len(f.habits)) // how many more piles of the operator may fail
	for i := range f.Piles {
		spare[f.Piles[i].Operator]++
	}
	for i := range spare {
		spare[i] = int(math.Round(float64(spare[i]) * f.habits[i].out))
	}
	public := g.publicPiles()
	towns := make([]charge.DivisionCode, 0, len(public))
	working := make(map[charge.DivisionCode]int, len(public))
	for code, piles := range public {
		working[code] = len(piles)
		if f.counted[code] {
			towns = append(towns, code)
		}
	}
	slices.Sort(towns)

	paper := int(float64(len(towns)) * (0.09 + 0.05*g.rng.Float64()))
	for _, code := range g.doubtful(towns, public) {
		if paper == 0 {
			break
		}
		if g.failAll(public[code], spare) {
			working[code] = 0
			paper--
		}
	}
	for _, i := range g.rng.Perm(len(f.Piles)) {
		p := &f.Piles[i]
		s := &f.Stations[p.Station]
		if p.Condition != Working || spare[p.Operator] == 0 {
			continue
		}
		if s.Kind == charge.Public {
			if f.counted[s.Township] && working[s.Township] == 1 {
				continue // or there would be more paper coverage than was drawn
			}
			working[s.Township]--
		}
		p.Condition = g.failure()
		spare[p.Operator]--
	}
	if !g.story && g.plan == nil {
		return
	}
	for i := range f.Piles {
		if f.Piles[i].Condition == Working && g.rng.Float64() < unusedShare {
			f.Piles[i].Condition = Unused
		}
	}
}

func (g *generator) publicPiles() map[charge.DivisionCode][]int {
	public := make(map[charge.DivisionCode][]int)
	for i := range g.fleet.Piles {
		if s := &g.fleet.Stations[g.fleet.Piles[i].Station]; s.Kind == charge.Public {
			public[s.Township] = append(public[s.Township], i)
		}
	}
	return public
}

// doubtful orders the towns by how likely they are to be covered on paper only: few piles, and of
// an operator that keeps them badly.
func (g *generator) doubtful(towns []charge.DivisionCode, public map[charge.DivisionCode][]int) []charge.DivisionCode {
	key := make(map[charge.DivisionCode]float64, len(towns))
	for _, code := range towns {
		n := float64(len(public[code]))
		weight := 1 / (n * n)
		for _, i := range public[code] {
			if !g.fleet.habits[g.fleet.Piles[i].Operator].bad() {
				weight /= 4
				break
			}
		}
		key[code] = math.Pow(g.rng.Float64(), 1/weight)
	}
	ordered := slices.Clone(towns)
	slices.SortStableFunc(ordered, func(a, b charge.DivisionCode) int {
		switch {
		case key[a] > key[b]:
			return -1
		case key[a] < key[b]:
			return 1
		}
		return 0
	})
	return ordered
}

func (g *generator) failAll(piles, spare []int) bool {
	left := slices.Clone(spare)
	for _, i := range piles {
		left[g.fleet.Piles[i].Operator]--
	}
	if slices.Min(left) < 0 {
		return false
	}
	copy(spare, left)
	for _, i := range piles {
		g.fleet.Piles[i].Condition = g.failure()
	}
	return true
}

func (g *generator) failure() Condition {
	switch at := g.rng.IntN(100); {
	case at < 45:
		return FailedSilent
	case at < 80:
		return FailedFault
	}
	return FailedGone
}

// WorkingTownships lists, sorted, all township-level divisions (towns and streets) with a public pile
// that works: what the platform must find to be effectively covered.
func (f *Fleet) WorkingTownships() []charge.DivisionCode {
	var working []charge.DivisionCode
	for i := range f.Piles {
		if s := &f.Stations[f.Piles[i].Station]; s.Kind == charge.Public && f.Piles[i].usable() {
			working = append(working, s.Township)
		}
	}
	slices.Sort(working)
	return slices.Compact(working)
}

// usable tells whether the pile can serve, whether or not it does.
func (p *Pile) usable() bool { return p.Condition == Working || p.Condition == Unused }

// Counted tells whether the township is one of the towns and townships that the plan counts.
func (f *Fleet) Counted(township charge.DivisionCode) bool { return f.counted[township] }

// WriteCSV writes one table ("operators", "stations" or "piles") in the form that the registry imports.
func (f *Fleet) WriteCSV(table string, w io.Writer) error {
	out := csv.NewWriter(w)
	var err error
	switch table {
	case "operators":
		err = f.writeOperators(out)
	case "stations":
		err = f.writeStations(out)
	case "piles":
		err = f.writePiles(out)
	default:
		return fmt.Errorf("write table %q: want operators, stations or piles", table)
	}
	out.Flush()
	if err == nil {
		err = out.Error()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", table, err)
	}
	return nil
}

func (f *Fleet) writeOperators(out *csv.Writer) error {
	if err := out.Write([]string{"operator", "name"}); err != nil {
		return err
	}
	for _, o := range f.Operators {
		if err := out.Write([]string{string(o.ID), o.Name}); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) writeStations(out *csv.Writer) error {
	header := "operator,station,name,township,kind,area,site,access,hours,address,capacity_kva,opened"
	if err := out.Write(strings.Split(header, ",")); err != nil {
		return err
	}
	for i := range f.Stations {
		s := &f.Stations[i]
		capacity := "" // not known, but in a fleet after the plan
		if f.capacityKVA != nil {
			capacity = strconv.FormatFloat(f.capacityKVA[i], 'f', 1, 64)
		}
		if err := out.Write([]string{
			string(s.Operator), string(s.ID), s.Name, string(s.Township), string(s.Kind), s.Area, s.Site, s.Access,
			s.Hours, s.Address, capacity, s.Opened.Format(time.DateOnly),
		}); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) writePiles(out *csv.Writer) error {
	header := "operator,station,pile,connector,serial,equipment_type,connector_type,power_kw,report_s,opened"
	if err := out.Write(strings.Split(header, ",")); err != nil {
		return err
	}
	report := strconv.Itoa(int(reportEvery / time.Second))
	for i := range f.Piles {
		p := &f.Piles[i]
		s := &f.Stations[p.Station]
		equipment, gun := "2", "3" // T/CEC 102: AC, AC plug
		if p.DC {
			equipment, gun = "1", "4" // DC, DC gun
		}
		for c := range p.Connectors {
			if err := out.Write([]string{
				string(s.Operator), string(s.ID), p.Equipment, connectorName(c), fmt.Sprintf("SN%s%08d", p.Opened.Format("0601"), i+1),
				equipment, gun, strconv.FormatFloat(float64(p.PowerKW), 'f', -1, 32), report, p.Opened.Format(time.DateOnly),
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// connectorName names the connectors of a pile 1 and 2.
func connectorName(c uint8) string { return string(rune('1' + c)) }
