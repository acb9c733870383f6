package registry

import (
	"context"
	"database/sql"
	"fmt"

	"pilewatch/internal/charge"
)

// A ConnectorNow is what a connector tells now, in short.
type ConnectorNow struct {
	Key    charge.ConnectorKey
	Online bool // heard lately, and not told offline
	Usable bool // online, and told 1 to 4
	Fault  bool
}

// EachConnectorNow gives fn every connector of which anything is known, by key.
func (r *Registry) EachConnectorNow(ctx context.Context, fn func(c *ConnectorNow) error) error {
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var c ConnectorNow
		var shown int
		if err := rows.Scan(&c.Key.Pile.Operator, &c.Key.Pile.Equipment, &c.Key.Connector, &shown); err != nil {
			return err
		}
		c.Online = shown > int(charge.Offline)
		c.Fault = shown == int(charge.Faulted)
		c.Usable = c.Online && charge.Status(shown).Usable() //nolint:gosec // 1 to 255
		return fn(&c)
	}, "SELECT operator, pile, connector, shown FROM connector_state ORDER BY operator, pile, connector")
	if err != nil {
		return fmt.Errorf("read what connectors tell: %w", err)
	}
	return nil
}
