package simulator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

// A Load sends telemetry of about 250 bytes and remembers what was acknowledged, for benchmarks and
// for tests that count what a killed platform has kept. Its readings are no story: each is plausible
// by itself. The fields are set before Run and not changed during it.
type Load struct {
	Broker      string // tcp://host:port
	Credentials func(op charge.OperatorID) (user, password string)
	Connectors  []charge.ConnectorKey // who sends
	Connections int                   // at least one for each operator is opened, and no more than there are connectors
	InFlight    int                   // readings of a connection sent and not acknowledged
	Rate        float64               // readings a second of all connections; 0 is as fast as they are acknowledged
	Count       int                   // readings in all; 0 goes on until ctx ends

	sent    atomic.Int64
	mu      sync.Mutex
	streams []*stream // made by the first Run
}

// An Acked is a reading that the gateway has acknowledged: it must be in history, once.
type Acked struct {
	Pile      charge.PileID
	Connector charge.ConnectorID
	At        time.Time // to a millisecond, unique for the connector
}

// Run sends until Count readings are acknowledged or ctx ends. A connection that is lost is opened
// again, and what it had not acknowledged is sent again. A second Run goes on where the first ended.
// Of a connector no more than 1,000 readings a second bear their own time; faster ones run ahead.
func (l *Load) Run(ctx context.Context) error {
	broker, err := parseBroker(l.Broker)
	if err != nil {
		return fmt.Errorf("send load: %w", err)
	}
	if len(l.Connectors) == 0 {
		return errors.New("send load: no connectors")
	}
	l.mu.Lock()
	if l.streams == nil {
		l.streams = l.share()
	}
	l.mu.Unlock()
	streams := l.all()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range streams {
		g.Go(func() error { return s.run(ctx, l, broker, l.Rate/float64(len(streams))) })
	}
	return g.Wait()
}

// Sent counts the readings that were handed to a connection; it may be called during Run.
func (l *Load) Sent() int64 { return l.sent.Load() }

func (l *Load) all() []*stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams
}

// Acked lists the readings that were acknowledged, in the order of each connection; it may be called
// during Run, and then misses what is acknowledged meanwhile.
func (l *Load) Acked() []Acked {
	var all []Acked
	for _, s := range l.all() {
		s.mu.Lock()
		for _, a := range s.acked {
			key := s.guns[a.gun].key
			all = append(all, Acked{Pile: key.Pile, Connector: key.Connector, At: time.UnixMilli(a.ms).UTC()})
		}
		s.mu.Unlock()
	}
	return all
}

// AckedCount is the length of Acked; it may be called during Run.
func (l *Load) AckedCount() int {
	n := 0
	for _, s := range l.all() {
		s.mu.Lock()
		n += len(s.acked)
		s.mu.Unlock()
	}
	return n
}

// share gives each connection connectors of one operator, and each connector to one connection: or
// its readings could overtake each other.
func (l *Load) share() []*stream {
	byOperator := make(map[charge.OperatorID][]charge.ConnectorKey)
	var operators []charge.OperatorID
	for _, key := range l.Connectors {
		op := key.Pile.Operator
		if len(byOperator[op]) == 0 {
			operators = append(operators, op)
		}
		byOperator[op] = append(byOperator[op], key)
	}
	slices.Sort(operators)
	connections := max(l.Connections, len(operators))
	var streams []*stream
	for i, op := range operators {
		keys := byOperator[op]
		n := connections / len(operators)
		if i < connections%len(operators) {
			n++
		}
		n = min(n, len(keys))
		for c := range n {
			s := &stream{operator: op, id: fmt.Sprintf("load-%s-%d", op, c), rng: rand.New(rand.NewPCG(uint64(i), uint64(c)))} //nolint:gosec // not negative
			for k := c; k < len(keys); k += n {
				s.guns = append(s.guns, loadGun{key: keys[k], topic: wire.Topic(string(op), keys[k].Pile.Equipment, charge.KindTelemetry), seq: 1_000_000, meter: float64(100_000 + s.rng.IntN(100_000))})
			}
			streams = append(streams, s)
		}
	}
	return streams
}

// A stream is one connection of a load.
type stream struct {
	operator charge.OperatorID
	id       string
	guns     []loadGun
	rng      *rand.Rand
	next     int // gun

	mu    sync.Mutex
	acked []ackedMark
}

type loadGun struct {
	key    charge.ConnectorKey
	topic  string
	lastMS int64
	seq    uint64
	meter  float64
}

// An ackedMark is kept small: a benchmark makes millions.
type ackedMark struct {
	ms  int64
	gun int32
}

func (s *stream) run(ctx context.Context, l *Load, broker *dialer, rate float64) error {
	var backlog []packet[ackedMark] // sent on a connection that was lost
	for done := false; !done; {
		w, err := s.open(ctx, l, broker)
		if err != nil {
			return nil //nolint:nilerr // ctx has ended
		}
		if done, err = s.send(ctx, l, w, backlog, rate); err != nil {
			w.conn.cut()
			w.settle()
			backlog = w.sent
			continue
		}
		w.conn.close()
	}
	return nil
}

func (s *stream) open(ctx context.Context, l *Load, broker *dialer) (*window[ackedMark], error) {
	who := client{id: s.id, keepAlive: time.Minute}
	if l.Credentials != nil {
		who.user, who.password = l.Credentials(s.operator)
	}
	retry := backoff{first: 50 * time.Millisecond, most: time.Second, random: s.rng.Float64}
	for {
		conn, err := broker.open(ctx, who)
		if err == nil {
			return &window[ackedMark]{conn: conn, size: max(l.InFlight, 1), acked: s.took}, nil
		}
		if err := retry.wait(ctx); err != nil {
			return nil, err
		}
	}
}

func (s *stream) took(a *ackedMark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked = append(s.acked, *a)
}

// send sends the backlog and then new readings. done tells that all is acknowledged or that ctx has
// ended; an error, that the connection is lost: then w holds what is to be sent again.
func (s *stream) send(ctx context.Context, l *Load, w *window[ackedMark], backlog []packet[ackedMark], rate float64) (done bool, err error) {
	for i, p := range backlog {
		if err := w.send(ctx, p); err != nil {
			done, err = s.ended(ctx, w, err)
			w.sent = append(w.sent, backlog[i:]...)
			return done, err
		}
	}
	began := time.Now()
	for n := 0; ; n++ {
		if rate > 0 {
			if wait := time.Until(began.Add(time.Duration(float64(n) / rate * float64(time.Second)))); wait > time.Millisecond {
				if err := s.idle(ctx, w, wait); err != nil {
					return s.ended(ctx, w, err)
				}
			}
		}
		if l.sent.Add(1) > int64(l.Count) && l.Count > 0 {
			l.sent.Add(-1)
			err := w.drain(ctx)
			return err == nil || ctx.Err() != nil, err
		}
		p := s.reading()
		if err := w.send(ctx, p); err != nil {
			done, err = s.ended(ctx, w, err)
			w.sent = append(w.sent, p)
			return done, err
		}
	}
}

// ended tells a lost connection from the end of ctx, after which the last PUBACKs are waited for a moment.
func (s *stream) ended(ctx context.Context, w *window[ackedMark], err error) (bool, error) {
	if ctx.Err() == nil {
		return false, err
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	_ = w.drain(patience) // what is not acknowledged is not claimed
	return true, nil
}

// idle waits for the next reading's turn and takes PUBACKs meanwhile.
func (s *stream) idle(ctx context.Context, w *window[ackedMark], wait time.Duration) error {
	turn := time.NewTimer(wait)
	defer turn.Stop()
	for {
		select {
		case <-turn.C:
			return nil
		case <-w.conn.news:
			w.settle()
		case <-w.conn.lost:
			return errLost
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// reading makes the next reading of the connectors in turn.
func (s *stream) reading() packet[ackedMark] {
	g := &s.guns[s.next]
	mark := ackedMark{gun: int32(s.next)} //nolint:gosec // fewer than 2^31 connectors
	s.next = (s.next + 1) % len(s.guns)
	g.lastMS = max(time.Now().UnixMilli(), g.lastMS+1)
	mark.ms = g.lastMS
	g.seq++
	g.meter = hundredths(g.meter + 0.13)
	volts, amps := hundredths(360+60*s.rng.Float64()), hundredths(50+100*s.rng.Float64())
	r := charge.Reading{
		Pile: g.key.Pile, Connector: g.key.Connector, Kind: charge.KindTelemetry,
		Has: charge.HasSeq | charge.HasStatus | charge.HasVoltage | charge.HasCurrent | charge.HasPower | charge.HasEnergy |
			charge.HasMeter | charge.HasSoC | charge.HasTemp,
		Status: charge.Charging, At: time.UnixMilli(mark.ms), Seq: g.seq,
		VoltageV: volts, CurrentA: amps, PowerKW: math.Round(volts*amps) / 1000,
		EnergyKWh: hundredths(float64(g.seq%200) * 0.13), MeterKWh: g.meter,
		SoCPct: hundredths(20 + float64(g.seq%200)*0.31), TempC: hundredths(25 + 30*s.rng.Float64()),
	}
	return packet[ackedMark]{
		topic:   g.topic,
		payload: wire.Encode(make([]byte, 0, 288), &r, true), // the pile is named as well: many real ones do
		note:    mark,
	}
}
