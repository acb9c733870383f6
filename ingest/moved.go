package ingest

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"slices"
	"time"

	"pilewatch/internal/charge"
)

// A movedPile is what the judge of one partition knows of a pile that is another one's from a day on, since its
// station has moved to a township there.
type movedPile struct {
	Day  time.Time // 00:00 Asia/Shanghai
	To   int       // partition
	Pile savedPile
}

// movedTogether are handed over in one message: some 250 KiB.
const movedTogether = 500

// leave hands over what is known of a pile that is another partition's today.
func (j *judge) leave(known *pile, township charge.DivisionCode) {
	to := j.partitionOf(township)
	if to == j.partition || !slices.ContainsFunc(known.guns, func(g gun) bool { return g.Heard != 0 }) {
		return
	}
	j.changed.moved = append(j.changed.moved, movedPile{Day: j.today, To: to, Pile: known.keep()})
}

// arrive takes what was handed over. A repeat, as a killed owner leaves, changes nothing; what is not here yet by the
// registry that is known waits for it.
func (j *judge) arrive(data []byte) error {
	var all []movedPile
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&all); err != nil {
		return fmt.Errorf("decode what is handed over to partition %d: %w", j.partition, err)
	}
	for _, m := range all {
		j.arriving[m.Pile.ID] = m
	}
	j.settleArrived()
	return nil
}

// settleArrived gives piles what was handed over of them.
func (j *judge) settleArrived() {
	if len(j.arriving) == 0 {
		return
	}
	for _, p := range j.ordered {
		m, ok := j.arriving[p.registered.ID]
		if !ok {
			continue
		}
		delete(j.arriving, p.registered.ID)
		if m.Day.UnixMilli() <= p.movedOn {
			continue
		}
		p.movedOn = m.Day.UnixMilli()
		was := m.Pile.known()
		if !slices.ContainsFunc(p.guns, func(g gun) bool { return g.Told }) {
			p.Pile = was.Pile
		}
		for i := range p.guns {
			at := was.gun(p.registered.Connectors[i].ID)
			if at < 0 {
				continue
			}
			own, old := &p.guns[i], &was.guns[at]
			j.state.Join(&own.Connector, &old.Connector)
			own.dangerAt, own.provenAt = max(own.dangerAt, old.dangerAt), max(own.provenAt, old.provenAt)
			j.touch(p, i)
		}
		j.due[p.at] = 0
		p.town.stale = true
		j.mark(p.town)
	}
}

// handOver writes what a step has found to have moved, before anything that would let it be forgotten here.
func (o *owner) handOver(ctx context.Context, s *step) error {
	for len(s.moved) > 0 {
		to, n := s.moved[0].To, 1
		for n < len(s.moved) && n < movedTogether && s.moved[n].To == to {
			n++
		}
		var data bytes.Buffer
		if err := gob.NewEncoder(&data).Encode(s.moved[:n]); err != nil {
			return fmt.Errorf("encode %d piles that have moved: %w", n, err)
		}
		if err := o.log.HandOver(ctx, to, s.at, data.Bytes()); err != nil {
			return err
		}
		s.moved = s.moved[n:]
	}
	return nil
}
