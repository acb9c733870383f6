package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"golang.org/x/sync/errgroup"
)

// BenchmarkListenerPublish sends telemetry of 250 bytes with QoS 1 over several connections, each
// with 100 under way, until all of it is acknowledged, and so on disk.
func BenchmarkListenerPublish(b *testing.B) {
	for _, connections := range []int{4, 20} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			s := newStation(b, func(c *Config) { c.MaxOperatorRate = 0 })
			var left atomic.Int64
			left.Store(int64(b.N))
			var senders errgroup.Group
			conns := make([]net.Conn, connections)
			for i := range conns {
				conns[i] = benchConnect(b, s, fmt.Sprintf("bench-%d", i))
			}
			b.ResetTimer()
			for i, conn := range conns {
				senders.Go(func() error { return benchSend(conn, i, &left) })
			}
			if err := senders.Wait(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "readings/s")
			b.ReportMetric(0, "ns/op")
			for _, conn := range conns {
				_ = conn.Close()
			}
			if refused := refusals(s.gateway.listener.accept); len(refused) > 0 {
				b.Errorf("refused: %v; want nothing but good readings", refused)
			}
		})
	}
}

func benchConnect(b *testing.B, s *station, id string) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", s.gateway.Addr())
	if err != nil {
		b.Fatal(err)
	}
	p, _ := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier = "MQTT", 4, true, id
	p.UsernameFlag, p.Username, p.PasswordFlag, p.Password = true, "OP", true, []byte(s.tokens["OP"])
	if err := p.Write(conn); err != nil {
		b.Fatal(err)
	}
	if answer, err := packets.ReadPacket(conn); err != nil || answer.(*packets.ConnackPacket).ReturnCode != 0 {
		b.Fatalf("CONNECT is answered by %v, %v", answer, err)
	}
	return conn
}

// benchSend publishes as long as readings are left, and reads their PUBACKs, four bytes each.
func benchSend(conn net.Conn, connection int, left *atomic.Int64) error {
	const underWay = 100
	room := make(chan struct{}, underWay)
	sent := make(chan struct{}) // closed when nothing more comes
	var acks errgroup.Group
	acks.Go(func() error {
		in, ack := bufio.NewReader(conn), make([]byte, 4)
		for ended := sent; ended != nil || len(room) > 0; {
			select {
			case <-ended:
				ended = nil
				continue
			default:
			}
			if len(room) == 0 {
				time.Sleep(time.Millisecond)
				continue
			}
			if _, err := io.ReadFull(in, ack); err != nil {
				return fmt.Errorf("read PUBACK: %w", err)
			}
			<-room
		}
		return nil
	})
	out := bufio.NewWriter(conn)
	topic := "evcs/v1/OP/P1/telemetry"
	at := time.Now().Add(-30*24*time.Hour).UnixMilli() + int64(connection)*10_000_000
	var payload bytes.Buffer
	for id := uint16(1); left.Add(-1) >= 0; id = id%65535 + 1 {
		select {
		case room <- struct{}{}:
		default:
			if err := out.Flush(); err != nil {
				return err
			}
			room <- struct{}{}
		}
		at++
		payload.Reset()
		fmt.Fprintf(&payload, `{"connector":"1","time":%d,"seq":%d,"status":3,"voltage_v":742.5,"current_a":121.3,"power_kw":90.1,"energy_kwh":31.42,"meter_kwh":184211.7,"soc_pct":63,"temp_c":41.5,"firmware":"3.14.2-rural","note":"%055d"}`, at, id, 0)
		out.Write([]byte{packets.Publish<<4 | 2})
		for n := 2 + len(topic) + 2 + payload.Len(); ; {
			digit := byte(n % 128)
			if n /= 128; n > 0 {
				out.WriteByte(digit | 128)
				continue
			}
			out.WriteByte(digit)
			break
		}
		out.Write([]byte{0, byte(len(topic))})
		out.WriteString(topic)
		out.Write([]byte{byte(id >> 8), byte(id)})
		out.Write(payload.Bytes())
	}
	if err := out.Flush(); err != nil {
		return err
	}
	close(sent)
	return acks.Wait()
}
