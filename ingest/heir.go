package ingest

import (
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// heirs gives the piles that are a machine known by another name before, with that name; of several the
// last before them. Those whose first day has not come are none yet.
func (j *judge) heirs(today time.Time) map[charge.PileID]charge.PileID {
	links := j.dir.Links()
	heirs := make(map[charge.PileID]charge.PileID, len(links))
	for i := range links { // by the day
		if l := &links[i]; !l.From.After(today) {
			heirs[l.Pile] = l.Was
		}
	}
	return heirs
}

// inherit gives connector i what is known of it under the pile's name before, and reports whether there was
// anything to give: minutes, when it was first usable, the proof of a session. It does so once, since the
// heir is heard of from then on. One that was heard under its new name already keeps its own minutes, and only its
// clock goes on: from when it was first usable.
func (p *pile) inherit(i int, was *pile) bool {
	at := was.gun(p.registered.Connectors[i].ID)
	if serial := p.registered.Connectors[i].Serial; at < 0 && serial != "" {
		at = slices.IndexFunc(was.registered.Connectors, func(c charge.Connector) bool { return c.Serial == serial })
	}
	if at < 0 || was.guns[at].Heard == 0 {
		return false
	}
	own, old := &p.guns[i], &was.guns[at]
	if own.Heard != 0 {
		if own.FirstUsable == 0 || old.FirstUsable != 0 && old.FirstUsable < own.FirstUsable {
			own.FirstUsable = old.FirstUsable
		}
		own.provenAt = max(own.provenAt, old.provenAt)
		return false
	}
	*own = *old
	own.Ledger = old.Copy()
	own.savedHeard, own.changed = 0, false
	p.Pile = was.Pile
	return true
}
