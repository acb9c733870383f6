package registry

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"pilewatch/internal/charge"
)

// IdlePiles gives the piles with a frozen day that delivered less than so much in the days to it, that day counted. No
// rule of long-failed piles by energy holds of any other.
func (r *Registry) IdlePiles(ctx context.Context, day time.Time, days int, underWh int64) ([]charge.PileID, error) {
	newest, _ := monthNumber(day)
	from := day.AddDate(0, 0, 1-days)
	first, _ := monthNumber(from)
	delivered := make(map[charge.PileID]int64) // of those that may be idle
	var order []charge.PileID
	for month := newest; month >= first; month-- {
		err := each(ctx, r.read, func(rows *sql.Rows) error {
			var pile charge.PileID
			var packed sql.RawBytes
			if err := rows.Scan(&pile.Operator, &pile.Equipment, &packed); err != nil {
				return err
			}
			sum, there := delivered[pile]
			if month < newest && !there {
				return nil
			}
			m, err := decodeMonth(packed)
			if err != nil {
				return fmt.Errorf("%s: %w", pile, err)
			}
			if _, last := monthNumber(day); month == newest && m.frozen&(1<<last) == 0 {
				return nil
			}
			for i := range m.inMonth(month, from, day) {
				sum += int64(m.days[i].EnergyWh)
			}
			if sum >= underWh {
				delete(delivered, pile)
				return nil
			}
			if delivered[pile] = sum; month == newest {
				order = append(order, pile)
			}
			return nil
		}, "SELECT operator, pile, days FROM pile_month WHERE month = ? ORDER BY operator, pile", month)
		if err != nil {
			return nil, fmt.Errorf("find idle piles of %s: %w", dateText(day), err)
		}
	}
	idle := order[:0]
	for _, pile := range order {
		if _, there := delivered[pile]; there {
			idle = append(idle, pile)
		}
	}
	return idle, nil
}

// PilesOfStation gives the piles of a station.
func (r *Registry) PilesOfStation(ctx context.Context, operator charge.OperatorID, station charge.StationID) ([]charge.PileID, error) {
	return r.pilesWhere(ctx, "s.operator = ? AND s.station = ?", string(operator), string(station))
}

// PublicPiles gives the public piles of a township.
func (r *Registry) PublicPiles(ctx context.Context, township charge.DivisionCode) ([]charge.PileID, error) {
	return r.pilesWhere(ctx, "p.township = ? AND s.kind = ?", string(township), string(charge.Public))
}

// PilesOfModel gives an operator's piles of one type (T/CEC 102 EquipmentType, 0: not known) and power: the registry
// knows no maker's model.
func (r *Registry) PilesOfModel(ctx context.Context, operator charge.OperatorID, equipmentType int, powerKW float64) ([]charge.PileID, error) {
	return r.pilesWhere(ctx, `p.operator = ? AND EXISTS (SELECT 1 FROM connectors c WHERE c.operator = p.operator AND c.pile = p.pile
		AND c.equipment_type = ? AND c.power_kw = ?)`, string(operator), equipmentType, powerKW)
}

func (r *Registry) pilesWhere(ctx context.Context, where string, args ...any) ([]charge.PileID, error) {
	var all []charge.PileID
	err := each(ctx, r.read, func(rows *sql.Rows) error {
		var id charge.PileID
		err := rows.Scan(&id.Operator, &id.Equipment)
		all = append(all, id)
		return err
	}, "SELECT p.operator, p.pile FROM piles p JOIN stations s ON s.id = p.station_id WHERE "+where+" ORDER BY p.operator, p.pile", args...)
	if err != nil {
		return nil, fmt.Errorf("find piles: %w", err)
	}
	return all, nil
}
