package simulator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"golang.org/x/sync/errgroup"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

// A Drive sends what so many piles send, at a fixed rate: heartbeats of all, telemetry of those that charge. It is an
// open loop: a message falls due by the clock, whether or not those before it are acknowledged, and its latency counts
// from then, so that a slow platform shows as latency and not as a slower sender. It writes MQTT 3.1.1 packets itself,
// since a full client costs more than the platform does. The fields are set before Run and not changed during it.
type Drive struct {
	Broker         string // tcp://host:port or tls://host:port
	Credentials    func(op charge.OperatorID) (user, password string)
	Piles          []charge.PileID
	Connector      charge.ConnectorID // that charges, of each pile; "" is 1
	Connections    int                // as many piles have one; at least one for each operator, at most one a pile
	Charging       float64            // share of the piles
	HeartbeatEvery time.Duration      // 0 is 60 s
	ReportEvery    time.Duration      // 0 is 15 s; a part of HeartbeatEvery
	Rate           float64            // messages a second of all; 0 is what the piles send
	Length         time.Duration

	mu    sync.Mutex // of lanes and start, which Run sets
	start time.Time
	lanes []*lane
}

// A Summary is what came of a drive. Latencies are from when a message was due to its PUBACK, in ms.
type Summary struct {
	Piles       int     `json:"piles"`
	Connections int     `json:"connections"`
	Seconds     float64 `json:"seconds"`
	Rate        float64 `json:"rate"` // acknowledged a second
	Wanted      float64 `json:"wanted_rate"`
	Sent        int64   `json:"sent"`
	Acked       int64   `json:"acknowledged"`
	Lost        int64   `json:"lost"`       // sent and never acknowledged
	Duplicated  int64   `json:"duplicated"` // sent again after a connection was lost
	Reconnects  int64   `json:"reconnects"`
	P50MS       float64 `json:"p50_ms"`
	P99MS       float64 `json:"p99_ms"`
	P999MS      float64 `json:"p999_ms"`
	MaxMS       float64 `json:"max_ms"`
	Telemetry   int64   `json:"telemetry_acknowledged"`
}

// Latencies are kept from 1 µs to an hour with three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, int64(time.Hour/time.Microsecond), 3)
}

const (
	driveInFlight = 20_000           // of a connection; packet identifiers end at 65,535
	driveTick     = time.Millisecond // what is due is written together
	driveDrain    = 30 * time.Second // for the last PUBACKs

	driveReadBuffer = 64 << 10
)

// Run sends for Length, or until ctx ends, and waits for the last PUBACKs. A lost connection is opened again, and what
// it had not acknowledged is sent again.
func (d *Drive) Run(ctx context.Context) (Summary, error) {
	broker, err := parseBroker(d.Broker)
	if err != nil {
		return Summary{}, fmt.Errorf("drive: %w", err)
	}
	if len(d.Piles) == 0 || d.Length <= 0 {
		return Summary{}, errors.New("drive: want piles and a length")
	}
	if d.HeartbeatEvery == 0 {
		d.HeartbeatEvery = time.Minute
	}
	if d.ReportEvery == 0 {
		d.ReportEvery = 15 * time.Second
	}
	if d.HeartbeatEvery%d.ReportEvery != 0 {
		return Summary{}, fmt.Errorf("drive: measurements every %s are no part of heartbeats every %s", d.ReportEvery, d.HeartbeatEvery)
	}
	if d.Connector == "" {
		d.Connector = "1"
	}
	lanes := d.share()
	messages := 0
	for _, l := range lanes {
		messages += len(l.plan)
	}
	cycle := d.HeartbeatEvery
	if d.Rate > 0 {
		cycle = time.Duration(float64(messages) / d.Rate * float64(time.Second))
	}
	for i, l := range lanes {
		l.every = cycle / time.Duration(len(l.plan))
		l.offset = l.every * time.Duration(i) / time.Duration(len(lanes))
	}
	d.mu.Lock()
	d.lanes, d.start = lanes, time.Now().Add(100*time.Millisecond)
	d.mu.Unlock()
	g, ctx := errgroup.WithContext(ctx)
	for _, l := range lanes {
		g.Go(func() error { return l.run(ctx, broker) })
	}
	err = g.Wait()
	return d.Summary(), err
}

// Summary may be called during Run.
func (d *Drive) Summary() Summary {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := Summary{Piles: len(d.Piles), Connections: len(d.lanes)}
	all := newHistogram()
	var last time.Time
	for _, l := range d.lanes {
		l.mu.Lock()
		s.Sent += l.most
		s.Acked += l.first
		s.Telemetry += l.telemetry
		s.Duplicated += l.again
		s.Reconnects += l.reconnects
		all.Merge(l.latency)
		if l.last.After(last) {
			last = l.last
		}
		l.mu.Unlock()
		s.Wanted += float64(time.Second) / float64(l.every)
	}
	s.Lost = s.Sent - s.Acked
	if s.Seconds = last.Sub(d.start).Seconds(); s.Seconds > 0 {
		s.Rate = float64(s.Acked) / s.Seconds
	}
	ms := func(q float64) float64 { return float64(all.ValueAtQuantile(q)) / 1000 }
	s.P50MS, s.P99MS, s.P999MS, s.MaxMS = ms(50), ms(99), ms(99.9), float64(all.Max())/1000
	s.Seconds = max(s.Seconds, 0)
	return s
}

// share gives each connection piles of one operator.
func (d *Drive) share() []*lane {
	byOperator := make(map[charge.OperatorID][]charge.PileID)
	for _, id := range d.Piles {
		byOperator[id.Operator] = append(byOperator[id.Operator], id)
	}
	operators := make([]charge.OperatorID, 0, len(byOperator))
	for op := range byOperator {
		operators = append(operators, op)
	}
	slices.Sort(operators)
	var lanes []*lane
	for _, op := range operators {
		piles := byOperator[op]
		n := max(1, int(math.Round(float64(d.Connections)*float64(len(piles))/float64(len(d.Piles)))))
		n = min(n, len(piles))
		for c := range n {
			l := &lane{drive: d, operator: op, id: fmt.Sprintf("drive-%s-%d", op, c), latency: newHistogram()}
			for k := c; k < len(piles); k += n {
				l.piles = append(l.piles, piles[k])
			}
			l.lay(d.Charging, int(d.HeartbeatEvery/d.ReportEvery))
			lanes = append(lanes, l)
		}
	}
	return lanes
}

// A lane is one connection and the piles that speak over it. The k-th message of a lane follows from k alone, so that
// one that was not acknowledged can be made again.
type lane struct {
	drive    *Drive
	operator charge.OperatorID
	id       string
	piles    []charge.PileID
	plan     []int32 // of one cycle: a pile's heartbeat, or -1 minus a pile that measures
	every    time.Duration
	offset   time.Duration

	body []byte // of the message that is being written

	mu         sync.Mutex
	first      int64 // message that is acknowledged next: so many are
	next       int64 // that is sent next
	most       int64 // how many were sent, again or not
	telemetry  int64 // of those acknowledged
	again      int64
	reconnects int64
	latency    *hdrhistogram.Histogram
	last       time.Time // of a PUBACK
}

// lay spreads a cycle's heartbeats and measurements evenly; the piles that charge are the lane's first ones.
func (l *lane) lay(share float64, reports int) {
	measure := int(math.Round(share * float64(len(l.piles))))
	total := len(l.piles) + reports*measure
	l.plan = make([]int32, 0, total)
	told := 0
	for beat := range l.piles {
		l.plan = append(l.plan, int32(beat)) //nolint:gosec // fewer than 2^31 piles
		for ; told*len(l.piles) < (beat+1)*reports*measure; told++ {
			l.plan = append(l.plan, -1-int32(told%measure)) //nolint:gosec // a pile
		}
	}
}

func (l *lane) due(k int64) time.Time {
	return l.drive.start.Add(l.offset + time.Duration(k)*l.every)
}

func (l *lane) run(ctx context.Context, broker *dialer) error {
	random := rand.New(rand.NewPCG(uint64(len(l.piles)), 1)).Float64
	retry := backoff{first: 100 * time.Millisecond, most: 2 * time.Second, random: random}
	for {
		done, err := l.connection(ctx, broker)
		if done || ctx.Err() != nil {
			return nil //nolint:nilerr // ctx has ended
		}
		if _, refused := errors.AsType[*refusedError](err); refused {
			return fmt.Errorf("drive: %s: %w", l.id, err)
		}
		l.mu.Lock()
		l.again += l.next - l.first
		l.next = l.first
		l.reconnects++
		l.mu.Unlock()
		if retry.wait(ctx) != nil {
			return nil //nolint:nilerr // ctx has ended
		}
	}
}

// connection sends over one connection until all is acknowledged, or it or ctx ends.
func (l *lane) connection(ctx context.Context, broker *dialer) (done bool, err error) {
	conn, from, err := broker.greeted(ctx, l.client(), driveReadBuffer)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }() // nothing is left to be said on it
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now().Add(time.Second)) })
	defer stop()
	read := make(chan error, 1)
	go func() { read <- l.listen(from) }()
	if err = l.speak(ctx, conn, read); err != nil {
		return false, err
	}
	_, _ = conn.Write([]byte{packets.Disconnect << 4, 0})
	return true, nil
}

func (l *lane) client() client {
	who := client{id: l.id, keepAlive: time.Minute}
	if l.drive.Credentials != nil {
		who.user, who.password = l.drive.Credentials(l.operator)
	}
	return who
}

// speak writes what is due, a tick's messages at once, and waits for the last PUBACKs.
func (l *lane) speak(ctx context.Context, conn net.Conn, read <-chan error) error {
	tick := time.NewTicker(driveTick)
	defer tick.Stop()
	end := l.drive.start.Add(l.drive.Length)
	var out []byte
	pinged := time.Now()
	for {
		select {
		case err := <-read:
			return fmt.Errorf("listen: %w", err)
		case <-tick.C:
		}
		now := time.Now()
		over := !now.Before(end) || ctx.Err() != nil
		l.mu.Lock()
		first, next, last := l.first, l.next, l.last
		l.mu.Unlock()
		if over && first == l.most || now.After(end.Add(driveDrain)) || ctx.Err() != nil && now.After(last.Add(leaveWithin)) {
			return nil
		}
		out = out[:0]
		for next-first < driveInFlight && len(out) < 1<<20 && !l.due(next).After(now) && (!over || next < l.most) && l.due(next).Before(end) {
			var err error
			if out, err = l.publish(out, next); err != nil {
				return err
			}
			next++
		}
		if len(out) == 0 {
			if now.Sub(pinged) < 20*time.Second {
				continue
			}
			out = append(out, packets.Pingreq<<4, 0)
		}
		pinged = now
		l.mu.Lock()
		l.most, l.next = max(l.most, next), next
		l.mu.Unlock()
		_ = conn.SetWriteDeadline(now.Add(writeTimeout))
		if _, err := conn.Write(out); err != nil {
			return err
		}
	}
}

// publish appends the PUBLISH packet of the lane's k-th message.
func (l *lane) publish(out []byte, k int64) ([]byte, error) {
	r := l.message(k)
	l.body = wire.Encode(l.body[:0], &r, true) // the pile is named as well: many real ones do
	topic := wire.Topic(string(r.Pile.Operator), r.Pile.Equipment, r.Kind)
	return appendPublish(out, uint16(k%driveIDs)+1, topic, l.body) //nolint:gosec // below 65,535
}

// driveIDs is how many packet identifiers are used in turn, from 1.
const driveIDs = 60_000

// message makes the lane's k-th message. It is plausible by itself, and of a pile its meter only rises.
func (l *lane) message(k int64) charge.Reading {
	n := int64(len(l.plan))
	entry, at := l.plan[k%n], l.due(k)
	if entry >= 0 {
		return charge.Reading{
			Pile: l.piles[entry], Kind: charge.KindHeartbeat, At: at,
			Has: charge.HasSession | charge.HasOnline, Session: l.drive.start.UnixMilli(), Online: true,
		}
	}
	id := -1 - entry
	seq := uint64(k)                                 //nolint:gosec // not negative; it rises
	volts := 360 + float64(k%600)/10                 // with as many digits as a real one
	amps := 50 + float64((k*7+int64(id)*13)%1000)/10 //
	return charge.Reading{
		Pile: l.piles[id], Connector: l.drive.Connector, Kind: charge.KindTelemetry, At: at, Seq: seq,
		Has: charge.HasSeq | charge.HasStatus | charge.HasVoltage | charge.HasCurrent | charge.HasPower | charge.HasEnergy |
			charge.HasMeter | charge.HasSoC | charge.HasTemp,
		Status: charge.Charging, VoltageV: tenths(volts), CurrentA: tenths(amps), PowerKW: hundredths(volts * amps / 1000),
		EnergyKWh: hundredths(0.13 * float64(k/n)), MeterKWh: hundredths(100_000 + 0.001*l.drive.start.Sub(meterEpoch).Minutes() + 0.13*float64(k)/float64(n)),
		SoCPct: tenths(20 + float64(k/n%70)), TempC: tenths(25 + float64(k%300)/10),
	}
}

// listen takes PUBACKs, which come in the order of the PUBLISHes.
func (l *lane) listen(from *bufio.Reader) error {
	for {
		kind, id, err := readAnswer(from)
		if err != nil {
			return err
		}
		if kind == packets.Puback {
			if err := l.took(id); err != nil {
				return err
			}
		}
	}
}

func (l *lane) took(id uint16) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if want := uint16(l.first%driveIDs) + 1; id != want { //nolint:gosec // below 65,535
		return fmt.Errorf("PUBACK of %d, want %d", id, want)
	}
	now := time.Now()
	// Beyond the histogram's hour nothing is recorded; a drive is shorter.
	_ = l.latency.RecordValue(max(1, now.Sub(l.due(l.first)).Microseconds()))
	if l.plan[l.first%int64(len(l.plan))] < 0 {
		l.telemetry++
	}
	l.first++
	l.last = now
	return nil
}
