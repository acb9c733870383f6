package registry

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"fmt"
	"hash/maphash"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
)

// A Pile is a pile with its station and its connectors, sorted by id. It is shared: never change it.
type Pile struct {
	ID         charge.PileID
	Station    *charge.Station
	Connectors []charge.Connector
	// Decommissioned is the case by which the pile was taken out of what counts, "" for one that counts.
	Decommissioned string
}

// An Identity is who has signed in.
type Identity struct {
	Operator charge.OperatorID
	Pile     string // "": the whole operator
}

// String gives the user name of the identity: the operator's id, or "{operator}:{pile}".
func (i Identity) String() string {
	if i.Pile == "" {
		return string(i.Operator)
	}
	return string(i.Operator) + ":" + i.Pile
}

// A Directory is the registry in memory, for a look-up at every message. Look-ups take no lock:
// each reads an immutable snapshot, of which a refresh replaces only the shards that changed. A
// sync.RWMutex would make every message of every connection write to one shared cache line.
// It is safe for concurrent use; what it returns is shared and must not be changed.
type Directory struct {
	registry *Registry
	log      *slog.Logger

	divisions atomic.Pointer[divisionView]
	operators atomic.Pointer[operatorView]
	logins    atomic.Pointer[map[string][][sha256.Size]byte]
	policies  atomic.Pointer[policy.Policies]
	excuses   atomic.Pointer[excuseView]
	links     atomic.Pointer[[]PileLink]
	stations  *shards[int64, placedStation]
	piles     *shards[charge.PileID, *Pile]
	rev       atomic.Int64

	refreshing sync.Mutex
	names      map[string]string // operators' and connectors' ids, of which there are few; under refreshing
}

type divisionView struct {
	sorted []charge.Division
	byCode map[charge.DivisionCode]charge.Division
}

type operatorView struct {
	sorted []charge.Operator
	byID   map[charge.OperatorID]charge.Operator
}

// Directory loads everything: with a million piles some 10 s and 500 MiB.
func (r *Registry) Directory(ctx context.Context) (*Directory, error) {
	d := &Directory{
		registry: r, log: r.log,
		stations: newShards[int64, placedStation](), piles: newShards[charge.PileID, *Pile](),
		names: make(map[string]string),
	}
	d.rev.Store(-1)
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

// Follow refreshes at this interval until ctx ends, and then returns nil. A refresh that fails is
// logged, and what is known stands.
func (d *Directory) Follow(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := d.Refresh(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !failing:
			d.log.Warn("registry cannot be refreshed; going on with what is known", "err", err)
		case err == nil && failing:
			d.log.Info("registry is refreshed again")
		}
		failing = err != nil
	}
}

// Refresh loads what has changed since the last one.
func (d *Directory) Refresh(ctx context.Context) error {
	d.refreshing.Lock()
	defer d.refreshing.Unlock()
	known := d.rev.Load()
	if rev, err := d.registry.Rev(ctx); err != nil || rev == known {
		return err
	}
	var rev int64
	err := d.registry.inRead(ctx, func(tx *sql.Tx) (err error) {
		if rev, err = readRev(ctx, tx); err != nil {
			return err
		}
		newer, err := stringSet[string](ctx, tx, "SELECT name FROM table_revision WHERE rev > ?", known)
		if err != nil {
			return err
		}
		return d.load(ctx, tx, known, newer)
	})
	if err != nil {
		return fmt.Errorf("refresh directory: %w", err)
	}
	d.rev.Store(rev)
	return nil
}

func (d *Directory) load(ctx context.Context, tx *sql.Tx, known int64, newer map[string]bool) error {
	d.forget(newer)
	if newer["divisions"] || known < 0 {
		all, err := readDivisions(ctx, tx)
		if err != nil {
			return err
		}
		view := &divisionView{sorted: all, byCode: make(map[charge.DivisionCode]charge.Division, len(all))}
		for _, division := range all {
			view.byCode[division.Code] = division
		}
		d.divisions.Store(view)
	}
	if newer["operators"] || known < 0 {
		all, err := readOperators(ctx, tx)
		if err != nil {
			return err
		}
		view := &operatorView{sorted: all, byID: make(map[charge.OperatorID]charge.Operator, len(all))}
		for _, operator := range all {
			view.byID[operator.ID] = operator
		}
		d.operators.Store(view)
	}
	if newer["policies"] || known < 0 {
		all, err := loadPolicies(ctx, tx)
		if err != nil {
			return err
		}
		d.policies.Store(&all)
	}
	if newer["excuses"] || known < 0 {
		view, err := loadExcuses(ctx, tx)
		if err != nil {
			return err
		}
		d.excuses.Store(view)
	}
	if newer["piles"] || known < 0 {
		links, err := readLinks(ctx, tx)
		if err != nil {
			return err
		}
		slices.SortStableFunc(links, func(a, b PileLink) int { return a.Pile.Compare(b.Pile) }) // a database may sort names otherwise
		d.links.Store(&links)
	}
	if newer["stations"] || newer["piles"] {
		if err := d.loadPiles(ctx, tx, known); err != nil {
			return err
		}
	}
	if newer["credentials"] || known < 0 {
		return d.loadLogins(ctx, tx)
	}
	return nil
}

// A placedStation is a station with its number in the file, by which piles name it.
type placedStation struct {
	id int64
	*charge.Station
}

// loadPiles reads the stations and piles that are newer than known, all of them where it is negative.
func (d *Directory) loadPiles(ctx context.Context, tx *sql.Tx, known int64) error {
	stations := make(map[int64]placedStation)
	pasts, err := readPasts(ctx, tx, known)
	if err != nil {
		return err
	}
	err = readStations(ctx, tx, func(id int64, s stationRow) error {
		s.Operator = charge.OperatorID(d.intern(string(s.Operator)))
		station := s.Station
		station.Past = pasts[id]
		stations[id] = placedStation{id, &station}
		return nil
	}, "WHERE rev > ?", known)
	if err != nil {
		return err
	}
	piles, err := d.readPiles(ctx, tx, known, stations)
	if err != nil {
		return fmt.Errorf("read piles: %w", err)
	}
	if known >= 0 {
		if piles, err = d.replaceStations(ctx, tx, stations, piles); err != nil {
			return fmt.Errorf("read piles of stations: %w", err)
		}
	}
	d.stations.put(slices.Collect(maps.Values(stations)), func(s placedStation) int64 { return s.id })
	d.piles.put(piles, func(p *Pile) charge.PileID { return p.ID })
	return nil
}

// replaceStations adds the piles that stayed the same and whose station did not.
func (d *Directory) replaceStations(ctx context.Context, tx *sql.Tx, stations map[int64]placedStation, piles []*Pile) ([]*Pile, error) {
	read := make(map[charge.PileID]bool, len(piles))
	for _, p := range piles {
		read[p.ID] = true
	}
	for id, station := range stations {
		err := each(ctx, tx, func(rows *sql.Rows) error {
			var pile charge.PileID
			if err := rows.Scan(&pile.Operator, &pile.Equipment); err != nil {
				return err
			}
			if before, ok := d.piles.get(pile); ok && !read[pile] {
				piles = append(piles, &Pile{ID: before.ID, Station: station.Station, Connectors: before.Connectors, Decommissioned: before.Decommissioned})
			}
			return nil
		}, "SELECT operator, pile FROM piles WHERE station_id = ?", id)
		if err != nil {
			return nil, err
		}
	}
	return piles, nil
}

// readPiles reads the piles newer than known and then all their connectors, both in the order of
// their keys: two passes over a million rows take half the time of looking each pile's up.
func (d *Directory) readPiles(ctx context.Context, tx *sql.Tx, known int64, stations map[int64]placedStation) ([]*Pile, error) {
	pileQuery := "SELECT operator, pile, station_id, decommissioned FROM piles ORDER BY operator, pile"
	connectorQuery := "FROM connectors c ORDER BY c.operator, c.pile, c.connector"
	var args []any
	if known >= 0 {
		pileQuery = "SELECT operator, pile, station_id, decommissioned FROM piles INDEXED BY piles_rev WHERE rev > ? ORDER BY operator, pile"
		connectorQuery = `FROM piles p INDEXED BY piles_rev CROSS JOIN connectors c ON c.operator = p.operator AND c.pile = p.pile
			WHERE p.rev > ? ORDER BY c.operator, c.pile, c.connector`
		args = []any{known}
	}
	var (
		piles []*Pile
		slab  []Pile // many piles are one allocation: a million small ones would be the collector's to mark
	)
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var p Pile
		var at int64
		if err := rows.Scan(&p.ID.Operator, &p.ID.Equipment, &at, &p.Decommissioned); err != nil {
			return err
		}
		p.ID.Operator = charge.OperatorID(d.intern(string(p.ID.Operator)))
		station, ok := stations[at]
		if !ok {
			if station, ok = d.stations.get(at); !ok {
				return fmt.Errorf("pile %s has no station", p.ID)
			}
		}
		p.Station = station.Station
		if len(slab) == cap(slab) {
			slab = make([]Pile, 0, slabSize(len(piles)))
		}
		slab = append(slab, p)
		piles = append(piles, &slab[len(slab)-1])
		return nil
	}, pileQuery, args...)
	if err != nil {
		return nil, err
	}
	var guns []charge.Connector // as slab; a pile's connectors lie together
	next := 0
	err = each(ctx, tx, func(rows *sql.Rows) error {
		var (
			id             charge.PileID
			c              charge.Connector
			report         int64
			opened, closed sql.NullInt64
			first          sql.NullInt64
		)
		if err := rows.Scan(&id.Operator, &id.Equipment, &c.ID, &c.Serial, &c.EquipmentType, &c.ConnectorType, &c.PowerKW, &report,
			&opened, &closed, &first); err != nil {
			return err
		}
		for next < len(piles) && piles[next].ID != id {
			next++
		}
		if next == len(piles) {
			return fmt.Errorf("connector of pile %s, which is not registered", id)
		}
		p := piles[next]
		c.Pile, c.Station = p.ID, p.Station.ID
		c.ID = charge.ConnectorID(d.intern(string(c.ID)))
		c.ReportEvery = time.Duration(report) * time.Second
		c.Opened, c.Closed, c.FirstOpened = fromMillis(opened, charge.Zone), fromMillis(closed, charge.Zone), fromMillis(first, charge.Zone)
		if len(guns) == cap(guns) {
			guns = append(make([]charge.Connector, 0, len(p.Connectors)+slabSize(next)), p.Connectors...)
		}
		guns = append(guns, c)
		p.Connectors = guns[len(guns)-len(p.Connectors)-1 : len(guns) : len(guns)]
		return nil
	}, `SELECT c.operator, c.pile, c.connector, c.serial, c.equipment_type, c.connector_type, c.power_kw, c.report_s,
		c.opened, c.closed, c.first_opened `+connectorQuery, args...)
	return piles, err
}

// slabSize lets allocations grow with what there is, so that a small registry stays small.
func slabSize(have int) int { return min(max(have, 16), 4096) }

func (d *Directory) loadLogins(ctx context.Context, tx *sql.Tx) error {
	logins := make(map[string][][sha256.Size]byte)
	err := each(ctx, tx, func(rows *sql.Rows) error {
		var c Credential
		var hash sql.RawBytes
		if err := rows.Scan(&c.Operator, &c.Pile, &hash); err != nil {
			return err
		}
		if len(hash) != sha256.Size {
			return fmt.Errorf("hash of %d bytes", len(hash))
		}
		logins[c.Username()] = append(logins[c.Username()], [sha256.Size]byte(hash))
		return nil
	}, "SELECT operator, pile, sha256 FROM credentials WHERE revoked IS NULL")
	if err != nil {
		return fmt.Errorf("read credentials: %w", err)
	}
	d.logins.Store(&logins)
	return nil
}

// maxNames bounds the interned ids: an operator may give every connector an id of its own.
const maxNames = 100_000

func (d *Directory) intern(s string) string {
	if known, ok := d.names[s]; ok {
		return known
	}
	if len(d.names) < maxNames {
		d.names[s] = s
	}
	return s
}

// Rev is the registry's revision that the directory shows.
func (d *Directory) Rev() int64 { return d.rev.Load() }

// Pile looks a pile up.
func (d *Directory) Pile(id charge.PileID) (*Pile, bool) { return d.piles.get(id) }

// Piles gives all piles, in no order.
func (d *Directory) Piles() iter.Seq[*Pile] { return d.piles.values() }

// Stations gives all stations, in no order.
func (d *Directory) Stations() iter.Seq[*charge.Station] {
	return func(yield func(*charge.Station) bool) {
		for s := range d.stations.values() {
			if !yield(s.Station) {
				return
			}
		}
	}
}

// Division looks a division up.
func (d *Directory) Division(c charge.DivisionCode) (charge.Division, bool) {
	division, ok := d.divisions.Load().byCode[c]
	return division, ok
}

// Divisions gives all divisions, sorted by code.
func (d *Directory) Divisions() []charge.Division { return d.divisions.Load().sorted }

// Operator looks an operator up.
func (d *Directory) Operator(id charge.OperatorID) (charge.Operator, bool) {
	operator, ok := d.operators.Load().byID[id]
	return operator, ok
}

// Operators gives all operators, sorted by id.
func (d *Directory) Operators() []charge.Operator { return d.operators.Load().sorted }

// Links gives the piles that are the same machine as another one, by the new name.
func (d *Directory) Links() []PileLink { return *d.links.Load() }

// Policies gives all versions of the policy.
func (d *Directory) Policies() policy.Policies { return *d.policies.Load() }

// Authenticate tells who signs in with this user name, an operator's id or "{operator}:{pile}",
// and this token. Hashes are compared in constant time, and an unknown name takes as long.
func (d *Directory) Authenticate(username, password string) (Identity, bool) {
	given := sha256.Sum256([]byte(password))
	live := (*d.logins.Load())[username]
	match := 0
	for i := range live {
		match |= subtle.ConstantTimeCompare(given[:], live[i][:])
	}
	if len(live) == 0 {
		subtle.ConstantTimeCompare(given[:], make([]byte, sha256.Size))
	}
	if match == 0 {
		return Identity{}, false
	}
	if id, err := charge.ParsePileID(username); err == nil {
		return Identity{Operator: id.Operator, Pile: id.Equipment}, true
	}
	return Identity{Operator: charge.OperatorID(username)}, true
}

// Holds tells whether this token, given by its SHA-256, still lets this identity sign in.
func (d *Directory) Holds(who Identity, token [sha256.Size]byte) bool {
	return slices.Contains((*d.logins.Load())[who.String()], token)
}

// Registered tells whether the operator or the pile is known.
func (d *Directory) Registered(who Identity) bool {
	if who.Pile != "" {
		_, ok := d.Pile(charge.PileID{Operator: who.Operator, Equipment: who.Pile})
		return ok
	}
	_, ok := d.Operator(who.Operator)
	return ok
}

// shardCount keeps a shard of a million piles at some 4,000: copying one takes well under a millisecond.
const shardCount = 256

// shards is a map whose readers take no lock: each shard is immutable and replaced as a whole.
// There must be only one writer at a time.
type shards[K comparable, V any] struct {
	seed maphash.Seed
	maps [shardCount]atomic.Pointer[map[K]V]
}

func newShards[K comparable, V any]() *shards[K, V] {
	s := &shards[K, V]{seed: maphash.MakeSeed()}
	for i := range s.maps {
		s.maps[i].Store(&map[K]V{})
	}
	return s
}

func (s *shards[K, V]) shard(k K) int { return int(maphash.Comparable(s.seed, k) % shardCount) }

func (s *shards[K, V]) get(k K) (V, bool) {
	v, ok := (*s.maps[s.shard(k)].Load())[k]
	return v, ok
}

func (s *shards[K, V]) put(changed []V, key func(V) K) {
	var of [shardCount][]V
	for _, v := range changed {
		i := s.shard(key(v))
		of[i] = append(of[i], v)
	}
	for i, values := range of {
		if len(values) == 0 {
			continue
		}
		before := *s.maps[i].Load()
		after := make(map[K]V, len(before)+len(values))
		maps.Copy(after, before)
		for _, v := range values {
			after[key(v)] = v
		}
		s.maps[i].Store(&after)
	}
}

func (s *shards[K, V]) values() iter.Seq[V] {
	return func(yield func(V) bool) {
		for i := range s.maps {
			for _, v := range *s.maps[i].Load() {
				if !yield(v) {
					return
				}
			}
		}
	}
}
