package gateway

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"pilewatch/internal/charge"
)

// origin names where a connection comes from: its address, of IPv6 the 64 bits that one customer
// has. Connections that have no address of IP are of one origin.
func origin(c net.Conn) netip.Prefix {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// What bounds the memory of wrong passwords.
const (
	mostGuessers = 10_000 // of each generation
	guessersLast = time.Minute
)

// guesses limits wrong passwords: a name's at an address, and an address' for all names. A name
// is never held up everywhere, or whoever guesses at it would lock its owner out; tokens have 256
// bits, so that the limits save work and the log, not the secret. Memory is bounded by two
// generations: the older is forgotten when the younger is a minute old, in which most is forgiven,
// or full.
type guesses struct {
	most int // of a name, at once and then a minute; ten times as many of an address

	mu         sync.Mutex
	young, old map[guesser]*rate.Limiter
	begun      time.Time
}

// A guesser is a name at an address, or with "" the address for all its names.
type guesser struct {
	from netip.Prefix
	name string
}

func newGuesses(most int) *guesses {
	return &guesses{most: most, young: make(map[guesser]*rate.Limiter)}
}

// mayTry tells whether this name may be tried at this address now.
func (g *guesses) mayTry(from netip.Prefix, name string, now time.Time) bool {
	if g.most == 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, who := range []guesser{{from, name}, {from, ""}} {
		if l := g.find(who); l != nil && l.TokensAt(now) < 1 {
			return false
		}
	}
	return true
}

// wrong notes a wrong password.
func (g *guesses) wrong(from netip.Prefix, name string, now time.Time) {
	if g.most == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.take(guesser{from, clean(name, 128)}, g.most, now)
	g.take(guesser{from, ""}, 10*g.most, now)
}

func (g *guesses) find(who guesser) *rate.Limiter {
	who.name = clean(who.name, 128)
	if l := g.young[who]; l != nil {
		return l
	}
	return g.old[who]
}

func (g *guesses) take(who guesser, aMinute int, now time.Time) {
	l := g.find(who)
	if len(g.young) >= mostGuessers || now.Sub(g.begun) >= guessersLast {
		g.old, g.young, g.begun = g.young, make(map[guesser]*rate.Limiter), now
	}
	if l == nil {
		l = rate.NewLimiter(rate.Every(time.Minute/time.Duration(aMinute)), aMinute)
	}
	g.young[who] = l
	l.AllowN(now, 1)
}

// pace holds what a pile and an operator may send: a limiter for each that is connected. Whoever
// sends more is not read from for a while, and nothing of it is lost.
type pace struct {
	perPile, perOperator float64 // messages a second, 0 for no limit

	mu        sync.Mutex
	piles     map[charge.PileID]*shared
	operators map[charge.OperatorID]*rate.Limiter
}

// shared is the limiter of a pile's connections, which are more than one only by mistake.
type shared struct {
	*rate.Limiter
	users int
}

func newPace(perPile, perOperator float64) *pace {
	return &pace{
		perPile: perPile, perOperator: perOperator,
		piles: make(map[charge.PileID]*shared), operators: make(map[charge.OperatorID]*rate.Limiter),
	}
}

// join gives the limiters of a sender; leave must follow.
func (p *pace) join(operator charge.OperatorID, pile string) limits {
	p.mu.Lock()
	defer p.mu.Unlock()
	var l limits
	if p.perOperator > 0 {
		if l.operator = p.operators[operator]; l.operator == nil {
			l.operator = rate.NewLimiter(rate.Limit(p.perOperator), burstOf(p.perOperator))
			p.operators[operator] = l.operator
		}
	}
	if p.perPile > 0 && pile != "" {
		id := charge.PileID{Operator: operator, Equipment: pile}
		if p.piles[id] == nil {
			p.piles[id] = &shared{Limiter: rate.NewLimiter(rate.Limit(p.perPile), burstOf(p.perPile))}
		}
		p.piles[id].users++
		l.pile = p.piles[id].Limiter
	}
	return l
}

// burstOf is what may come at once: what two seconds may bring.
func burstOf(perSecond float64) int { return max(int(2*perSecond), 1) }

func (p *pace) leave(operator charge.OperatorID, pile string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := charge.PileID{Operator: operator, Equipment: pile}
	if s := p.piles[id]; s != nil {
		if s.users--; s.users == 0 {
			delete(p.piles, id)
		}
	}
}

// limits are those of one sender; nil where there is none.
type limits struct{ pile, operator *rate.Limiter }

// wait returns when the sender may send one more message, or with ctx. It calls slowed, with who
// has sent too much, before it waits, and what that gives when it has waited.
func (l limits) wait(ctx context.Context, slowed func(by string) (over func())) {
	now := time.Now()
	for _, one := range []struct {
		by string
		*rate.Limiter
	}{{"pile", l.pile}, {"operator", l.operator}} {
		if one.Limiter == nil {
			continue
		}
		delay := one.ReserveN(now, 1).DelayFrom(now)
		if delay <= 0 {
			continue
		}
		over := slowed(one.by)
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
			over()
		case <-ctx.Done():
			over()
			timer.Stop()
			return
		}
	}
}
