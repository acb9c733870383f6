package gateway

import (
	"context"
	"strings"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/google/go-cmp/cmp"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

func (s *station) importFile(table registry.Table, text string) {
	s.t.Helper()
	if _, err := s.reg.Import(s.t.Context(), table, strings.NewReader(text)); err != nil {
		s.t.Fatal(err)
	}
}

// A station that was entered by mistake is gone within 5 s, without a restart: who has signed in for
// one of its piles is sent away, and what is said of them is of unknown piles. And one that was
// missing is there.
func TestTheGatewayFollowsTheRegistry(t *testing.T) {
	s := newStation(t, nil)
	start(t, func(ctx context.Context) error { return s.dir.Follow(ctx, time.Second) }) // as the program does
	ended := make(chan struct{})
	s.connect("OP:P1", "goes", func(o *paho.ClientOptions) {
		o.SetConnectionLostHandler(func(paho.Client, error) { close(ended) })
	})
	five, _, _ := s.connect5("OP", "stays", nil)
	code := func(topic string) byte {
		t.Helper()
		ack, err := five.Publish(t.Context(), &paho5.Publish{QoS: 1, Topic: topic, Payload: []byte(idleAt(1))})
		if ack == nil {
			t.Fatal(err)
		}
		return ack.ReasonCode
	}
	if got := code(statusOfP1); got != 0 {
		t.Fatalf("before: got %#x", got)
	}
	begun := time.Now()
	if _, err := s.reg.RemoveStation(t.Context(), "OP", "S1", false); err != nil {
		t.Fatal(err)
	}
	s.importFile(registry.Piles, "operator,station,pile,connector,power_kw,opened\nOP,S2,P7,1,60,2023-05-01\n")
	eventually(t, "its piles are unknown", func() bool { return code(statusOfP1) == 0x87 })
	eventually(t, "a new pile is known", func() bool { return code("evcs/v1/OP/P7/status") == 0 })
	select {
	case <-ended:
	case <-time.After(soon):
		t.Fatal("who signed in for a removed pile stays connected")
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s, want 5 s at most", took)
	}
	if got := code("evcs/v1/OP/P2/status"); got != 0 {
		t.Errorf("a pile of another station: got %#x", got)
	}
}

// What a pile sends that is closed, or not opened yet, is stored: it is registered, and whether it
// counts is for others to judge.
func TestClosedAndUnopenedPilesAreNotUnknown(t *testing.T) {
	s := newStation(t, nil)
	tomorrow := time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	s.importFile(registry.Stations, "operator,station,township,kind,opened,closed\nOP,S8,371721101,public,2023-05-01,2024-05-01\n")
	s.importFile(registry.Piles, "operator,station,pile,connector,power_kw,opened,closed\n"+
		"OP,S8,CLOSED,1,60,2023-05-01,2024-05-01\nOP,S1,ONCE,1,60,2023-05-01,2024-05-01\nOP,S1,SOON,1,60,"+tomorrow+",\n")
	if err := s.dir.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := s.connect("OP", "c", nil)
	want := []string{"OP:CLOSED/1 status 1", "OP:ONCE/1 status 1", "OP:SOON/1 status 1"}
	for i, pile := range []string{"CLOSED", "ONCE", "SOON"} {
		if token := c.Publish("evcs/v1/OP/"+pile+"/status", 1, false, idleAt(i)); !token.WaitTimeout(soon) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	var got []string
	for _, r := range kinds(s.stored(), charge.KindStatus) {
		got = append(got, told(r))
	}
	if diff := cmp.Diff(want, sorted(got)); diff != "" {
		t.Errorf("in the log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int{}, refusals(s.gateway.listener.accept)); diff != "" {
		t.Errorf("rejects (-want +got):\n%s", diff)
	}
}
