package registry

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/policy"
)

// ErrUnknownConfirmation says that nothing of this number waits for an officer.
var ErrUnknownConfirmation = errors.New("nothing to confirm")

// A Confirmation is what an import asks for and an officer must confirm, since it would help a pile
// out of a case or a township out of the count by paper alone: a move to another township, another
// kind or area, another opened on a known id or serial, short hours, long closures. Until then what
// was before stands.
type Confirmation struct {
	ID        int64
	Operator  charge.OperatorID
	Station   charge.StationID   // "" where it is of a pile
	Pile      string             // "" where it is of a station
	Connector charge.ConnectorID // "" where it is of the whole
	Field     string             // the file's column
	Before    string
	Value     string
	Reason    string
	Entered   time.Time
}

// A claimKey is what may be claimed once at a time.
type claimKey struct {
	operator  charge.OperatorID
	station   charge.StationID
	pile      string
	connector charge.ConnectorID
	field     string
}

func (c *Confirmation) key() claimKey {
	return claimKey{c.Operator, c.Station, c.Pile, c.Connector, c.Field}
}

// Confirmations gives what waits for an officer, the oldest first.
func (r *Registry) Confirmations(ctx context.Context) ([]Confirmation, error) {
	return readConfirmations(ctx, r.read, "")
}

func readConfirmations(ctx context.Context, q querier, more string, args ...any) ([]Confirmation, error) {
	var all []Confirmation
	err := each(ctx, q, func(rows *sql.Rows) error {
		var c Confirmation
		var entered sql.NullInt64
		if err := rows.Scan(&c.ID, &c.Operator, &c.Station, &c.Pile, &c.Connector, &c.Field, &c.Before, &c.Value, &c.Reason, &entered); err != nil {
			return err
		}
		c.Entered = fromMillis(entered, charge.Zone)
		all = append(all, c)
		return nil
	}, `SELECT id, operator, station, pile, connector, field, before, value, reason, entered FROM confirmations
		WHERE state = 'pending' `+more+` ORDER BY id`, args...)
	if err != nil {
		return nil, fmt.Errorf("read what must be confirmed: %w", err)
	}
	return all, nil
}

// Confirm decides what waits: it takes effect, or what was before stands for good. ErrUnknownConfirmation.
func (r *Registry) Confirm(ctx context.Context, id int64, confirmed bool, judge string) error {
	err := r.inWrite(ctx, func(tx *sql.Tx) error {
		found, err := readConfirmations(ctx, tx, "AND id = ?", id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return ErrUnknownConfirmation
		}
		now, state := r.now(), "refused"
		if confirmed {
			state = "confirmed"
			if err := applyConfirmed(ctx, tx, &found[0], now); err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, "UPDATE confirmations SET state = ?, decided = ?, judge = ? WHERE id = ?", state, now.UnixMilli(), judge, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("confirm %d: %w", id, err)
	}
	return nil
}

func applyConfirmed(ctx context.Context, tx *sql.Tx, c *Confirmation, now time.Time) error {
	table := Piles
	if c.Station != "" {
		table = Stations
	}
	rev, err := nextRev(ctx, tx, string(table))
	if err != nil {
		return err
	}
	if c.Station != "" {
		var before []stationRow
		if err := readStations(ctx, tx, func(_ int64, s stationRow) error {
			before = append(before, s)
			return nil
		}, "WHERE operator = ? AND station = ?", string(c.Operator), string(c.Station)); err != nil {
			return err
		}
		if len(before) == 0 {
			return fmt.Errorf("station %s of %s is no longer registered", c.Station, c.Operator)
		}
		after := before[0]
		if err := after.setGuarded(c.Field, c.Value); err != nil {
			return err
		}
		st := stationStage{now: now, changed: []stationChange{{row: after, before: &before[0]}}}
		return st.apply(ctx, tx, rev)
	}
	if c.Field == "station" {
		return movePile(ctx, tx, c, rev)
	}
	at, err := time.ParseInLocation(time.RFC3339Nano, c.Value, charge.Zone)
	if err != nil {
		if at, err = time.ParseInLocation(time.DateOnly, c.Value, charge.Zone); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE connectors SET opened = ?, rev = ? WHERE operator = ? AND pile = ? AND connector = ?",
		at.UnixMilli(), rev, string(c.Operator), c.Pile, string(c.Connector)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE piles SET rev = ?3, opened = (SELECT min(c.opened) FROM connectors c WHERE c.operator = ?1 AND c.pile = ?2)
		WHERE operator = ?1 AND pile = ?2`, string(c.Operator), c.Pile, rev)
	return err
}

func movePile(ctx context.Context, tx *sql.Tx, c *Confirmation, rev int64) error {
	var id int64
	var township string
	if err := tx.QueryRowContext(ctx, "SELECT id, township FROM stations WHERE operator = ? AND station = ?", string(c.Operator), c.Value).
		Scan(&id, &township); err != nil {
		return fmt.Errorf("find station %s of %s: %w", c.Value, c.Operator, err)
	}
	if _, err := tx.ExecContext(ctx, "UPDATE piles SET station_id = ?, township = ?, rev = ? WHERE operator = ? AND pile = ?",
		id, township, rev, string(c.Operator), c.Pile); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE connector_state SET township = ? WHERE operator = ? AND pile = ?", township, string(c.Operator), c.Pile)
	return err
}

// claims are what a file asks for, against what waits already.
type claims struct {
	pending map[claimKey]Confirmation
	limits  policy.Confirm
	now     time.Time

	put      []Confirmation
	withdraw []int64
}

func readClaims(ctx context.Context, q querier, now time.Time) (*claims, error) {
	waiting, err := readConfirmations(ctx, q, "")
	if err != nil {
		return nil, err
	}
	policies, err := loadPolicies(ctx, q)
	if err != nil {
		return nil, err
	}
	c := &claims{pending: make(map[claimKey]Confirmation, len(waiting)), limits: policies.At(now).Confirm, now: now}
	for _, one := range waiting {
		c.pending[one.key()] = one
	}
	return c, nil
}

// settle takes what one row asks for, of these fields, and tells whether that is anything new. What
// waits and is not asked for any more is withdrawn.
func (c *claims) settle(of claimKey, fields []string, asked []Confirmation) (changed bool) {
	for _, field := range fields {
		key := of
		key.field = field
		waiting, waits := c.pending[key]
		i := slices.IndexFunc(asked, func(a Confirmation) bool { return a.Field == field })
		if i >= 0 && waits && waiting.Value == asked[i].Value {
			continue
		}
		if waits {
			c.withdraw = append(c.withdraw, waiting.ID)
			delete(c.pending, key)
			changed = true
		}
		if i >= 0 {
			one := asked[i]
			one.Operator, one.Station, one.Pile, one.Connector = of.operator, of.station, of.pile, of.connector
			c.put = append(c.put, one)
			c.pending[key] = one
			changed = true
		}
	}
	return changed
}

func (c *claims) apply(ctx context.Context, tx *sql.Tx) error {
	for _, id := range c.withdraw {
		if _, err := tx.ExecContext(ctx, "UPDATE confirmations SET state = 'withdrawn', decided = ? WHERE id = ?", c.now.UnixMilli(), id); err != nil {
			return fmt.Errorf("withdraw %d: %w", id, err)
		}
	}
	for _, one := range c.put {
		if _, err := tx.ExecContext(ctx, `INSERT INTO confirmations (operator, station, pile, connector, field, before, value, reason, entered, state, judge)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'pending', '')`, string(one.Operator), string(one.Station), one.Pile, string(one.Connector),
			one.Field, one.Before, one.Value, one.Reason, c.now.UnixMilli()); err != nil {
			return fmt.Errorf("write what must be confirmed of %s: %w", one.Operator, err)
		}
	}
	return nil
}

// guardedOfStation are the columns that an officer may have to confirm.
var guardedOfStation = []string{"township", "kind", "access", "area", "hours", "seasons", "opened"}

// guard takes back what an officer must confirm; before is nil for a new station, of which only the
// hours and seasons can be out of bounds.
func (s *stationRow) guard(before *stationRow, limits policy.Confirm) (asked []Confirmation) {
	ask := func(field, was, want, reason string) {
		asked = append(asked, Confirmation{Field: field, Before: was, Value: want, Reason: reason})
	}
	var was stationRow
	if before != nil {
		was = *before
		if s.Township != was.Township {
			ask("township", string(was.Township), string(s.Township), "a move to another township")
			s.Township = was.Township
		}
		if s.Kind != was.Kind {
			ask("kind", string(was.Kind), string(s.Kind), "a change of kind")
			s.Kind = was.Kind
		}
		if now, then := s.Terms(), was.Terms(); now.RunAsService() != then.RunAsService() && s.Kind == charge.Residential {
			ask("access", was.Access, s.Access, "a change between run as a service and a household's own")
			s.Access = was.Access
		}
		if s.Area != was.Area && was.Area != "" {
			ask("area", was.Area, s.Area, "a change of area")
			s.Area = was.Area
		}
		if !s.Opened.Equal(was.Opened) {
			ask("opened", dateText(was.Opened), dateText(s.Opened), "a new opened on a known id")
			s.Opened = was.Opened
		}
	}
	if open, err := charge.ParseSchedule(s.Hours, ""); s.Hours != was.Hours && err == nil && open.LeastHours() < limits.HoursADay {
		ask("hours", was.Hours, s.Hours, fmt.Sprintf("open under %s hours on some day of the week", plain(limits.HoursADay)))
		s.Hours = was.Hours
	}
	if open, err := charge.ParseSchedule("", s.Seasons); s.Seasons != was.Seasons && err == nil && open.LongestClosure() > limits.ClosedDays {
		ask("seasons", was.Seasons, s.Seasons, fmt.Sprintf("closed over %d days on end", limits.ClosedDays))
		s.Seasons = was.Seasons
	}
	return asked
}

// setGuarded sets one of those columns.
func (s *stationRow) setGuarded(field, value string) (err error) {
	switch field {
	case "township":
		s.Township, err = charge.ParseDivisionCode(value)
	case "kind":
		s.Kind = charge.StationKind(value)
	case "access":
		s.Access = value
	case "area":
		s.Area = value
	case "hours":
		s.Hours = value
	case "seasons":
		s.Seasons = value
	case "opened":
		if s.Opened, err = time.ParseInLocation(time.DateOnly, value, charge.Zone); err != nil {
			s.Opened, err = time.Parse(time.RFC3339Nano, value)
		}
	default:
		err = fmt.Errorf("column %q is not confirmed by anybody", field)
	}
	return err
}
