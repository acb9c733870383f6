package registry

import (
	"context"
	"database/sql"
	"maps"
	"slices"

	"pilewatch/internal/charge"
)

// withStoryDays puts the days between those of a story that were kept, from first to last: of those that ended alike only
// the first and a step's last are. stored is by township and day; what is given as well.
func (r *Registry) withStoryDays(ctx context.Context, division charge.DivisionCode, stored []TownshipDay, first, last int64) ([]TownshipDay, error) {
	story, err := r.Story(ctx)
	if err != nil || story == nil {
		return stored, err
	}
	end := dayNumber(story.Until)
	lowest, above := divisionRange(division)
	newest := make(map[charge.DivisionCode]int64) // days that are kept
	if err := each(ctx, r.read, func(rows *sql.Rows) error {
		var township charge.DivisionCode
		var day int64
		err := rows.Scan(&township, &day)
		newest[township] = day
		return err
	}, "SELECT township, max(day) FROM township_day WHERE township >= ? AND township < ? GROUP BY township", lowest, above); err != nil {
		return nil, err
	}
	kept := make(map[charge.DivisionCode][]TownshipDay) // with the last one before first
	if err := each(ctx, r.read, func(rows *sql.Rows) error {
		var t TownshipDay
		var day int64
		err := rows.Scan(&t.Township, &day, &t.State, &t.Reason, &t.NotObserved, &t.Proven)
		t.Day = dayStart(day)
		kept[t.Township] = append(kept[t.Township], t)
		return err
	}, `SELECT t.township, t.day, t.state, t.reason, t.not_observed, t.proven FROM township_day t JOIN
		(SELECT township, max(day) AS day FROM township_day WHERE township >= ? AND township < ? AND day < ? GROUP BY township) AS b
		ON b.township = t.township AND b.day = t.day`, lowest, above, first); err != nil {
		return nil, err
	}
	for _, t := range stored {
		kept[t.Township] = append(kept[t.Township], t)
	}
	var all []TownshipDay
	for _, township := range slices.Sorted(maps.Keys(kept)) {
		days := kept[township]
		for i, t := range days {
			day, next := dayNumber(t.Day), newest[township]+1
			if i+1 < len(days) {
				next = dayNumber(days[i+1].Day)
			}
			if day >= first {
				all = append(all, t)
			}
			for between := max(first, day+1); between < min(next, end) && between <= last; between++ {
				t.Day = dayStart(between)
				all = append(all, t)
			}
		}
	}
	return all, nil
}
