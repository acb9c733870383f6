package ingest

import (
	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// A standingCode is how a connector stands, as far as rules look at it. A dossier tells every change of it.
type standingCode uint8

const (
	standsUnseen standingCode = iota
	standsUsable
	standsOffline // told 0, or left by the word of its presence
	standsFaulted // told 255
	standsLapsed  // told usable, and the status holds no longer
	standsSilent
)

// String is the word in a dossier.
func (s standingCode) String() string {
	return [...]string{"unseen", "usable", "offline", "fault", "lapsed", "silent"}[s]
}

func (l *look) standing() standingCode {
	switch {
	case !l.told:
		return standsUnseen
	case l.silent:
		return standsSilent
	case l.usable:
		return standsUsable
	case l.status == charge.Faulted:
		return standsFaulted
	case l.status.Usable():
		return standsLapsed
	}
	return standsOffline
}

// stand keeps what of a connector of the pile has changed for dossiers, with the message that brought it. In a story
// nobody told anything at two clocks.
func (j *judge) stand(p *pile, i int, now *look) {
	g := &p.guns[i]
	is := now.standing()
	if is == g.standing {
		return
	}
	g.standing = is
	if j.story || p.terms.Kind == charge.Residential && !p.terms.RunAsService() {
		return
	}
	j.nth++
	c := registry.StandingChange{
		Key: charge.ConnectorKey{Pile: p.registered.ID, Connector: p.registered.Connectors[i].ID}, Partition: j.partition, LogSeq: j.seq, Nth: j.nth,
		Received: j.state.Now(), Standing: is.String(), Status: now.status, Fault: now.fault,
	}
	if r := j.reading; r != nil {
		c.Told, c.Received = r.At, r.Received
	}
	j.changed.standings = append(j.changed.standings, c)
}
