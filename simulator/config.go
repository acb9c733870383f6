package simulator

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Config is the simulator's settings. The fleet moves in real time only.
type Config struct {
	Piles          int           `help:"Piles in the fleet; 2000 at least." default:"3000" env:"PILES"`
	Seed           uint64        `help:"The same seed gives the same fleet and the same behaviour." default:"1" env:"SEED"`
	Broker         string        `help:"Where the piles connect: tcp://HOST:PORT, or tls://HOST:PORT with a certificate that this machine trusts." default:"tcp://127.0.0.1:1883" env:"BROKER" placeholder:"URL"`
	Connections    int           `help:"The most piles that connect by themselves; the others speak through their operator's platform, one connection for each operator." default:"200" env:"CONNECTIONS"`
	HeartbeatEvery time.Duration `help:"Time between two heartbeats of a pile, give or take a tenth." default:"60s" env:"HEARTBEAT_EVERY"`
	ReportEvery    time.Duration `help:"Time between two measurements of a charging connector." default:"15s" env:"REPORT_EVERY"`
}

// Defaults is a fleet that starts fast: about 4,000 connectors, 100 messages a second.
func Defaults() *Config {
	return &Config{
		Piles: 3000, Seed: 1, Broker: "tcp://127.0.0.1:1883", Connections: 200,
		HeartbeatEvery: time.Minute, ReportEvery: 15 * time.Second,
	}
}

// Validate names the first setting that cannot be used. kong calls it.
func (c *Config) Validate() error {
	switch {
	case c.Piles < MinPiles:
		return fmt.Errorf("--piles %d: at least %d", c.Piles, MinPiles)
	case c.Connections < 0:
		return fmt.Errorf("--connections %d: must not be negative", c.Connections)
	case c.HeartbeatEvery < time.Second || c.ReportEvery < time.Second:
		return errors.New("--heartbeat-every, --report-every: at least 1s")
	}
	_, err := parseBroker(c.Broker)
	return err
}

// parseBroker refuses what the simulator cannot dial.
func parseBroker(broker string) (*dialer, error) {
	u, err := url.Parse(broker)
	if err != nil {
		return nil, fmt.Errorf("--broker: %w", err)
	}
	d := &dialer{url: u}
	switch u.Scheme {
	case "tcp", "mqtt":
	case "tls", "ssl", "mqtts":
		d.tls = true
	default:
		return nil, fmt.Errorf("--broker %s: want tcp://HOST:PORT or tls://HOST:PORT", u.Redacted())
	}
	if u.Port() == "" {
		return nil, fmt.Errorf("--broker %s: the port is missing", u.Redacted())
	}
	return d, nil
}
