package ingest

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"time"

	"pilewatch/ingest/coverage"
	"pilewatch/ingest/health"
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// checkpointVersion changes when an older checkpoint would be misread; gob itself takes care of
// fields that come and go.
const checkpointVersion = 2

// A checkpoint is all that a judge knows after one message of the log.
type checkpoint struct {
	Version int
	Seq     uint64
	Saved   uint64 // the last sequence with which the registry was written
	Rev     int64  // of the registry that the townships were judged by
	Story   bool   // Seq was of a story
	State   health.Snapshot
	Days    calendar
	Towns   []savedTown
	Piles   []savedPile
	Moved   []movedPile // handed over to this partition, and not here yet
}

type savedTown struct {
	Shown   charge.TownshipState
	Verdict coverage.Verdict
	Since   time.Time
	Record  coverage.Record
}

type savedPile struct {
	ID   charge.PileID
	Pile health.Pile
	Guns []savedGun

	MovedOn int64 // from another partition, Unix ms
}

type savedGun struct {
	ID         charge.ConnectorID
	Connector  health.Connector
	SavedHeard int64
	DangerAt   int64
	ProvenAt   int64
	Standing   standingCode
}

// save encodes what the judge knows. Everything that it found must have been collected before.
func (j *judge) save(saved uint64) ([]byte, error) {
	c := checkpoint{Version: checkpointVersion, Seq: j.seq, Saved: saved, Rev: j.judgedRev, Story: j.story, State: j.state.Snapshot(), Days: j.calendar}
	for _, t := range j.towns {
		c.Towns = append(c.Towns, savedTown{t.shown, t.verdict, t.since, t.record})
	}
	for _, p := range j.ordered {
		c.Piles = append(c.Piles, p.keep())
	}
	for _, m := range j.arriving {
		c.Moved = append(c.Moved, m)
	}
	var out bytes.Buffer
	if err := gob.NewEncoder(&out).Encode(&c); err != nil {
		return nil, fmt.Errorf("encode checkpoint of %d piles: %w", len(c.Piles), err)
	}
	return out.Bytes(), nil
}

// restore makes a judge that knows nothing go on where the checkpoint was made, and tells what save
// was given.
func (j *judge) restore(data []byte) (saved uint64, err error) {
	var c checkpoint
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&c); err != nil {
		return 0, fmt.Errorf("decode checkpoint of %d bytes: %w", len(data), err)
	}
	if c.Version != checkpointVersion {
		return 0, fmt.Errorf("checkpoint of version %d: this program reads version %d", c.Version, checkpointVersion)
	}
	j.seq, j.judgedRev, j.story, j.calendar = c.Seq, c.Rev, c.Story, c.Days
	j.state = health.Restore(health.DefaultPolicy(), c.State)
	j.adopt() // the next message is judged by it: whether the log's gap before it was an outage
	for _, t := range c.Towns {
		j.towns[t.Shown.Township] = &town{shown: t.Shown, verdict: t.Verdict, since: t.Since, record: t.Record}
	}
	for _, saved := range c.Piles {
		j.piles[saved.ID] = saved.known()
	}
	for _, m := range c.Moved {
		j.arriving[m.Pile.ID] = m
	}
	return c.Saved, nil
}

func (p *pile) keep() savedPile {
	saved := savedPile{ID: p.registered.ID, Pile: p.Pile, MovedOn: p.movedOn}
	for i := range p.guns {
		saved.Guns = append(saved.Guns, savedGun{p.registered.Connectors[i].ID, p.guns[i].Connector, p.guns[i].savedHeard, p.guns[i].dangerAt, p.guns[i].provenAt, p.guns[i].standing})
	}
	return saved
}

// known gives a pile of which only the ids are known, to find what was known of it: the registry says what is registered.
func (saved *savedPile) known() *pile {
	known := &pile{registered: &registry.Pile{ID: saved.ID}, Pile: saved.Pile, movedOn: saved.MovedOn}
	for _, g := range saved.Guns {
		known.registered.Connectors = append(known.registered.Connectors, charge.Connector{ID: g.ID})
		known.guns = append(known.guns, gun{Connector: g.Connector, savedHeard: g.SavedHeard, dangerAt: g.DangerAt, provenAt: g.ProvenAt, standing: g.Standing})
	}
	return known
}
