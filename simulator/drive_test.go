package simulator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/wire"
)

func drivePiles(n int) []charge.PileID {
	var piles []charge.PileID
	for i := range n {
		op := charge.OperatorID("MA3CLQP01")
		if i%4 == 0 {
			op = "MA3CLQP02"
		}
		piles = append(piles, charge.PileID{Operator: op, Equipment: fmt.Sprintf("P%05d", i)})
	}
	return piles
}

// Each reading is told once, or again where a connection was lost; no other is told, and all are acknowledged.
func TestADriveSendsWhatItsPilesWouldOverLostConnections(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	d := &Drive{
		Broker: b.url(), Piles: drivePiles(200), Connections: 5, Charging: 0.1,
		HeartbeatEvery: 2 * time.Second, ReportEvery: 500 * time.Millisecond, Length: 4 * time.Second,
	}
	done := make(chan Summary, 1)
	go func() {
		s, err := d.Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		done <- s
	}()
	b.until("half of it", func(all []heard) bool { return len(all) > 300 })
	for i := range 3 {
		b.cut(fmt.Sprintf("drive-MA3CLQP01-%d", i))
	}
	s := <-done
	if s.Piles != 200 || s.Connections != 5 || s.Lost != 0 || s.Sent != s.Acked || s.Reconnects < 1 {
		t.Errorf("summary: got %+v, want all acknowledged over 5 connections, of which some were lost", s)
	}
	// 100 heartbeats and 40 measurements a second.
	if s.Sent < 540 || s.Sent > 580 || s.Telemetry < 140 || s.Telemetry > 180 {
		t.Errorf("sent %d messages with %d measurements, want about 560 with 160", s.Sent, s.Telemetry)
	}
	if s.P50MS <= 0 || s.P99MS < s.P50MS || s.P999MS < s.P99MS || s.MaxMS < s.P999MS*0.99 {
		t.Errorf("latencies do not rise: %+v", s)
	}
	distinct := make(map[string]bool)
	for _, h := range b.until("all", func([]heard) bool { return true }) {
		address, err := wire.ParseTopic(h.topic)
		if err != nil {
			t.Fatal(err)
		}
		readings, rejects, _ := wire.Decode(address, []byte(h.payload), time.Now())
		if len(readings) != 1 || len(rejects) > 0 {
			t.Fatalf("%s %s: %v", h.topic, h.payload, rejects)
		}
		distinct[h.topic+h.payload] = true
	}
	if int64(len(distinct)) != s.Acked {
		t.Errorf("the broker heard %d different messages, want %d", len(distinct), s.Acked)
	}
}

func TestADriveOfOneConnectionAPile(t *testing.T) {
	b := startBroker(t, "127.0.0.1:0")
	d := &Drive{Broker: b.url(), Piles: drivePiles(20), Connections: 1000, Charging: 1, Rate: 400, Length: time.Second}
	s, err := d.Run(t.Context())
	if err != nil || s.Connections != 20 || s.Lost != 0 || s.Sent < 380 || s.Sent > 420 {
		t.Errorf("got %+v, %v; want 400 messages over 20 connections", s, err)
	}
}

func TestADriveThatCannotBeIsRefused(t *testing.T) {
	for name, d := range map[string]*Drive{
		"no piles":             {Broker: "tcp://127.0.0.1:1", Length: time.Second},
		"no length":            {Broker: "tcp://127.0.0.1:1", Piles: drivePiles(1)},
		"reports out of step":  {Broker: "tcp://127.0.0.1:1", Piles: drivePiles(1), Length: time.Second, ReportEvery: 7 * time.Second},
		"a broker that is not": {Broker: "127.0.0.1", Piles: drivePiles(1), Length: time.Second},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if _, err := d.Run(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("%s: got %v, want an error at once", name, err)
		}
		cancel()
	}
}
