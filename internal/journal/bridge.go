package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// What bridges are doing goes over core NATS and is not stored: each gateway says it again every
// few seconds, so that whoever starts to listen knows soon, and a gateway that says nothing any
// more is one that is gone.
const bridgesSubject = "bridges"

// A BridgeState is what one connection of a bridge to an operator's broker is doing.
type BridgeState struct {
	Bridge   string    `json:"bridge"` // the MQTT client identifier
	Operator string    `json:"operator"`
	Broker   string    `json:"broker"` // tcp://host:port or ssl://host:port
	Up       bool      `json:"up"`     // connected and subscribed
	Since    time.Time `json:"since"`  // it has been up, or down
	Error    string    `json:"error,omitempty"`
	Failed   time.Time `json:"failed,omitzero"` // when Error was
	Ending   bool      `json:"ending,omitempty"`
	Waiting  int       `json:"waiting"` // taken from the broker, not yet in the log
	Messages uint64    `json:"messages"`
	Last     time.Time `json:"last,omitzero"` // message
}

// Bridges are those of one gateway at a time.
type Bridges struct {
	Gateway string        `json:"gateway"`
	At      time.Time     `json:"at"`
	Bridges []BridgeState `json:"bridges"`
}

// PublishBridges tells what a gateway's bridges are doing to whoever listens; it is not stored.
func (l *Log) PublishBridges(b Bridges) error {
	data, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("encode the state of bridges: %w", err)
	}
	if err := l.conn.Publish(bridgesSubject, data); err != nil {
		return fmt.Errorf("publish the state of bridges: %w", err)
	}
	return nil
}

// FollowBridges calls fn with what gateways say of their bridges until ctx ends.
func (l *Log) FollowBridges(ctx context.Context, fn func(Bridges)) error {
	sub, err := l.conn.Subscribe(bridgesSubject, func(m *nats.Msg) {
		var b Bridges
		if err := json.Unmarshal(m.Data, &b); err != nil {
			l.log.Error("skip a state of bridges that cannot be read", "err", err)
			return
		}
		fn(b)
	})
	if err != nil {
		return fmt.Errorf("listen for bridges: %w", err)
	}
	<-ctx.Done()
	_ = sub.Unsubscribe() // fails only where the connection has ended, and the subscription with it
	return nil
}
