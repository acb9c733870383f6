package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"

	paho "github.com/eclipse/paho.mqtt.golang"

	"pilewatch/internal/charge"
)

// A told is what a sender hears of its rejects.
type told struct {
	mu    sync.Mutex
	heard map[string][]string // reasons by topic
}

// subscribe listens on the reject topics as the operator, until the test ends.
func subscribe(t *testing.T, f *platform, op charge.OperatorID, filter string) *told {
	t.Helper()
	h := &told{heard: make(map[string][]string)}
	c := connectAs(t, f.mqtt, op, f.tokens[op])
	t.Cleanup(func() { c.Disconnect(100) })
	token := c.Subscribe(filter, 0, func(_ paho.Client, m paho.Message) {
		var answer struct {
			Rejects []struct{ Reason string } `json:"rejects"`
		}
		if err := json.Unmarshal(m.Payload(), &answer); err != nil {
			t.Errorf("answer on %s: %v: %s", m.Topic(), err, m.Payload())
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, r := range answer.Rejects {
			h.heard[m.Topic()] = append(h.heard[m.Topic()], r.Reason)
		}
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("subscribe to %s: %v", filter, token.Error())
	}
	return h
}

// connectAs opens an MQTT connection as the operator.
func connectAs(t testing.TB, addr string, op charge.OperatorID, token string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker("tcp://" + addr).SetClientID("test").
		SetUsername(string(op)).SetPassword(token).SetAutoReconnect(false))
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("connect: %v", token.Error())
	}
	return c
}

// until waits for a reason on a topic.
func (h *told) until(t *testing.T, topic, reason string) {
	t.Helper()
	if err := eventually(t.Context(), patience, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if slices.Contains(h.heard[topic], reason) {
			return nil
		}
		return fmt.Errorf("heard %v", h.heard)
	}); err != nil {
		t.Errorf("not told %s on %s: %v", reason, topic, err)
	}
}
