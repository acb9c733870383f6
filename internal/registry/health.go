package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A Partition is how far health has come in one partition of the log.
type Partition struct {
	Number int
	LogSeq uint64 // the last message of READINGS whose judgement is saved
}

// How a connector's state is filtered by, beside T/CEC 102's codes.
const (
	shownUnseen = -1
	shownSilent = -2
)

// shownStatus is what a connector is shown as: silence hides what it told last, and one that was
// never heard is unseen.
func shownStatus(c *charge.ConnectorState) int {
	switch {
	case !c.Told && c.LastHeard.IsZero():
		return shownUnseen
	case c.Silent:
		return shownSilent
	case !c.Told:
		return shownUnseen
	}
	return int(c.Status)
}

// ShownAs gives the word by which PileQuery.Status finds the connector.
func ShownAs(c *charge.ConnectorState) string {
	switch shown := shownStatus(c); shown {
	case shownUnseen:
		return "unseen"
	case shownSilent:
		return "silent"
	default:
		return charge.Status(shown).String() //nolint:gosec // a status, 0 to 255
	}
}

// Health is what one step of a partition's owner has changed.
type Health struct {
	Epoch         uint64 // of the owner's lease
	Townships     []charge.TownshipState
	Connectors    []charge.ConnectorState
	ConnectorDays []ConnectorDay
	PileDays      []PileDay
	Sums          []DaySum // all of a partition and day at once
	TownshipDays  []TownshipDay
	Corrections   []Correction
	Changes       []StandingChange
	Outages       []PlatformOutage
	Events        []charge.Event // those of coverage are kept
}

// ErrStale is returned by SaveHealth where a later owner of the partition has saved.
var ErrStale = errors.New("a later owner of the partition has saved")

// SaveHealth writes a step in one transaction. The rows are absolute; one that is older by its log
// sequence than what is stored is left out, so that a repeated or late step is harmless. States of
// connectors that are not registered are left out, and a frozen day is never changed.
func (r *Registry) SaveHealth(ctx context.Context, partition int, logSeq uint64, h *Health) error {
	seq := int64(logSeq) //nolint:gosec // JetStream's sequences stay far below 2^63
	err := r.inHealth(ctx, func(tx *sql.Tx) error {
		if err := takePartition(ctx, tx, partition, seq, int64(h.Epoch)); err != nil { //nolint:gosec // as above
			return err
		}
		if err := saveTownships(ctx, tx, seq, h.Townships); err != nil {
			return err
		}
		if err := saveConnectors(ctx, tx, seq, h.Connectors); err != nil {
			return err
		}
		if err := saveConnectorDays(ctx, tx, seq, h.ConnectorDays); err != nil {
			return err
		}
		if err := savePileDays(ctx, tx, seq, h.PileDays); err != nil {
			return err
		}
		if err := saveSums(ctx, tx, seq, h.Sums); err != nil {
			return err
		}
		if err := saveTownshipDays(ctx, tx, seq, h.TownshipDays); err != nil {
			return err
		}
		if err := saveCorrections(ctx, tx, h.Corrections); err != nil {
			return err
		}
		if err := saveStandingChanges(ctx, tx, h.Changes); err != nil {
			return err
		}
		if err := savePlatformOutages(ctx, tx, h.Outages); err != nil {
			return err
		}
		return saveEvents(ctx, tx, h.Events)
	})
	if err != nil {
		return fmt.Errorf("save health of partition %d, %d townships, %d connectors: %w", partition, len(h.Townships), len(h.Connectors), err)
	}
	return nil
}

// takePartition moves the partition's position, unless a later owner has.
func takePartition(ctx context.Context, tx *sql.Tx, partition int, seq, epoch int64) error {
	var last int64
	err := tx.QueryRowContext(ctx, `INSERT INTO health_partition (number, log_seq, epoch) VALUES (?, ?, ?)
		ON CONFLICT (number) DO UPDATE SET log_seq = max(health_partition.log_seq, excluded.log_seq),
			epoch = max(health_partition.epoch, excluded.epoch)
		RETURNING epoch`, partition, seq, epoch).Scan(&last)
	if err != nil {
		return err
	}
	if last > epoch {
		return fmt.Errorf("epoch %d after %d: %w", epoch, last, ErrStale)
	}
	return nil
}

func saveTownships(ctx context.Context, tx *sql.Tx, seq int64, townships []charge.TownshipState) error {
	if len(townships) == 0 {
		return nil
	}
	put, err := tx.PrepareContext(ctx, `INSERT INTO township_state (township, state, since, reason, not_observed, proven, last_usable,
			stations, connectors, online, usable, charging, fault, power_kw, log_seq)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (township) DO UPDATE SET state = excluded.state, since = excluded.since, reason = excluded.reason,
			not_observed = excluded.not_observed, proven = excluded.proven, last_usable = excluded.last_usable, stations = excluded.stations,
			connectors = excluded.connectors, online = excluded.online, usable = excluded.usable,
			charging = excluded.charging, fault = excluded.fault, power_kw = excluded.power_kw, log_seq = excluded.log_seq
		WHERE excluded.log_seq >= township_state.log_seq`)
	if err != nil {
		return err
	}
	for _, t := range townships {
		if _, err := put.ExecContext(ctx, string(t.Township), string(t.State), millis(t.Since), t.Reason, t.NotObserved, t.Proven,
			millis(t.LastUsable), t.Stations, t.Connectors, t.Online, t.Usable, t.Charging, t.Fault, t.PowerKW, seq); err != nil {
			return fmt.Errorf("write township %s: %w", t.Township, err)
		}
	}
	return nil
}

func saveConnectors(ctx context.Context, tx *sql.Tx, seq int64, connectors []charge.ConnectorState) error {
	if len(connectors) == 0 {
		return nil
	}
	// Two statements, since one that sets shown rewrites its index even where it stays the same.
	const rest = `told = ?, status = ?, fault = ?, silent = ?, since = ?, last_heard = ?, last_usable = ?, log_seq = ?
		WHERE operator = ? AND pile = ? AND connector = ? AND log_seq <= ?`
	same, err := tx.PrepareContext(ctx, "UPDATE connector_state SET "+rest+" AND shown = ?")
	if err != nil {
		return err
	}
	other, err := tx.PrepareContext(ctx, "UPDATE connector_state SET shown = ?, "+rest)
	if err != nil {
		return err
	}
	// In the order of the key, so that rows of one page are written together.
	order := make([]int, len(connectors))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return compareKeys(connectors[a].Key, connectors[b].Key) })
	for _, i := range order {
		c := &connectors[i]
		shown := shownStatus(c)
		args := []any{
			shown, c.Told, int64(c.Status), string(c.Fault), c.Silent, millis(c.Since), millis(c.LastHeard), millis(c.LastUsable), seq,
			string(c.Key.Pile.Operator), c.Key.Pile.Equipment, string(c.Key.Connector), seq, shown,
		}
		result, err := same.ExecContext(ctx, args[1:]...)
		if err != nil {
			return fmt.Errorf("write connector %s: %w", c.Key, err)
		}
		if n, err := result.RowsAffected(); err == nil && n > 0 {
			continue
		}
		if _, err := other.ExecContext(ctx, args[:len(args)-1]...); err != nil {
			return fmt.Errorf("write connector %s: %w", c.Key, err)
		}
	}
	return nil
}

// TownshipStates reads the states of all townships that health has judged, by code; times are UTC.
func (r *Registry) TownshipStates(ctx context.Context) ([]charge.TownshipState, error) {
	var all []charge.TownshipState
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var t charge.TownshipState
		var since, lastUsable sql.NullInt64
		if err := rows.Scan(&t.Township, &t.State, &since, &t.Reason, &t.NotObserved, &t.Proven, &lastUsable, &t.Stations, &t.Connectors,
			&t.Online, &t.Usable, &t.Charging, &t.Fault, &t.PowerKW); err != nil {
			return err
		}
		t.Since, t.LastUsable = fromMillis(since, time.UTC), fromMillis(lastUsable, time.UTC)
		all = append(all, t)
		return nil
	}, `SELECT township, state, since, reason, not_observed, proven, last_usable, stations, connectors, online, usable, charging,
		fault, power_kw FROM township_state ORDER BY township`)
	if err != nil {
		return nil, fmt.Errorf("read township states: %w", err)
	}
	return all, nil
}

// Partitions tells how far health has come, by partition.
func (r *Registry) Partitions(ctx context.Context) ([]Partition, error) {
	var all []Partition
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var p Partition
		if err := rows.Scan(&p.Number, &p.LogSeq); err != nil {
			return err
		}
		all = append(all, p)
		return nil
	}, "SELECT number, log_seq FROM health_partition ORDER BY number")
	if err != nil {
		return nil, fmt.Errorf("read partitions of health: %w", err)
	}
	return all, nil
}
