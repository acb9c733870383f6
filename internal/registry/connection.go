package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// A Tier is how far piles must connect (judgement.md §7).
type Tier string

// Public piles must (全面接入), residential ones run as a service do in order (有序接入), households'
// own may (自愿接入). A residential station with access public or limited is run as a service; inner,
// or nothing said, is a household's.
const (
	TierPublic    Tier = "public"
	TierDedicated Tier = "dedicated"
	TierService   Tier = "residential_service"
	TierHousehold Tier = "household"
)

// A ConnectionRate counts the piles of an operator and tier that are in service by their dates.
type ConnectionRate struct {
	Operator   charge.OperatorID
	Tier       Tier
	Registered int
	Ever       int // heard once at least
	Recent     int // heard in the last 72 hours
}

// ConnectionRates counts the piles in a division by operator and tier, now.
func (r *Registry) ConnectionRates(ctx context.Context, division charge.DivisionCode) ([]ConnectionRate, error) {
	now := r.now()
	from, before := divisionRange(division)
	var all []ConnectionRate
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var c ConnectionRate
		if err := rows.Scan(&c.Operator, &c.Tier, &c.Registered, &c.Ever, &c.Recent); err != nil {
			return err
		}
		all = append(all, c)
		return nil
	}, `SELECT p.operator, CASE WHEN s.kind <> 'residential' THEN s.kind WHEN s.access IN ('public', 'limited') THEN 'residential_service'
			ELSE 'household' END AS tier, count(*), count(h.heard), count(CASE WHEN h.heard > ?1 THEN 1 END)
		FROM piles p CROSS JOIN stations s ON s.id = p.station_id LEFT JOIN
			(SELECT operator, pile, max(last_heard) AS heard FROM connector_state WHERE last_heard IS NOT NULL GROUP BY operator, pile) h
			ON h.operator = p.operator AND h.pile = p.pile
		WHERE p.township >= ?2 AND p.township < ?3 AND s.opened <= ?4 AND (s.closed IS NULL OR s.closed > ?4)
			AND p.opened <= ?4 AND (p.closed IS NULL OR p.closed > ?4)
		GROUP BY p.operator, tier ORDER BY p.operator, tier`, now.Add(-72*time.Hour).UnixMilli(), from, before, now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("count connected piles of %s: %w", division, err)
	}
	return all, nil
}
