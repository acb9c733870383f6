package gateway

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"

	"pilewatch/internal/charge"
)

// Config is the gateway's settings. The defaults suit one machine: the listener is on loopback,
// since it speaks without TLS.
type Config struct {
	Name        string   `help:"This gateway's name, part of its MQTT client identifiers at operators' brokers; keep it when the gateway moves." default:"gateway-1" env:"NAME"`
	MQTT        string   `name:"mqtt" help:"Where piles connect over MQTT (host:port); empty listens nowhere." default:"127.0.0.1:1883" env:"MQTT"`
	Bridge      []string `help:"An operator's broker to subscribe to: mqtt://USER@HOST:PORT/OPERATOR?password-file=FILE&connections=N. May be given several times. More than one connection share the load, with those of other gateways." env:"BRIDGE" sep:"none" placeholder:"URL"`
	MaxInFlight int      `help:"Messages of one connection accepted and not yet acknowledged; beyond it the gateway stops reading from that connection." default:"256" env:"MAX_IN_FLIGHT"`
	MaxClients  int64    `help:"Connections in all." default:"200000" env:"MAX_CLIENTS"`
}

// Defaults is the configuration of a gateway on one machine.
func Defaults() *Config {
	return &Config{Name: "gateway-1", MQTT: "127.0.0.1:1883", MaxInFlight: 256, MaxClients: 200_000}
}

// mostInFlight is what MQTT 5 can announce (Receive Maximum, two bytes).
const mostInFlight = 65535

func (c *Config) check() error {
	if c.MaxInFlight < 1 || c.MaxInFlight > mostInFlight {
		return fmt.Errorf("--max-in-flight %d: want 1 to %d", c.MaxInFlight, mostInFlight)
	}
	if c.MaxClients < 1 {
		return fmt.Errorf("--max-clients %d: want 1 or more", c.MaxClients)
	}
	return nil
}

// A bridgeConfig is one operator's broker.
type bridgeConfig struct {
	operator    charge.OperatorID
	broker      string // tcp://host:port, without user or password
	user        string
	password    string
	connections int
}

// parseBridge reads one value of --bridge.
func parseBridge(s string) (bridgeConfig, error) {
	u, err := url.Parse(s)
	if err != nil {
		var bad *url.Error // its own text repeats the URL, and a password in it
		if errors.As(err, &bad) {
			err = bad.Err
		}
		return bridgeConfig{}, fmt.Errorf("--bridge: %w", err)
	}
	if u.Scheme != "mqtt" || u.Hostname() == "" {
		return bridgeConfig{}, fmt.Errorf("--bridge %q: want mqtt://USER@HOST:PORT/OPERATOR", u.Redacted())
	}
	if _, has := u.User.Password(); has {
		return bridgeConfig{}, fmt.Errorf("--bridge %q: a password on the command line can be read by others; use ?password-file=FILE", u.Redacted())
	}
	operator := strings.TrimPrefix(u.Path, "/")
	if !charge.ValidID(operator) {
		return bridgeConfig{}, fmt.Errorf("--bridge %q: the path must name the operator whose piles the broker speaks for", s)
	}
	b := bridgeConfig{operator: charge.OperatorID(operator), user: u.User.Username(), connections: 1}
	port := u.Port()
	if port == "" {
		port = "1883"
	}
	b.broker = "tcp://" + net.JoinHostPort(u.Hostname(), port)
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bridgeConfig{}, fmt.Errorf("--bridge %q: %w", s, err)
	}
	for key, values := range query {
		value := values[len(values)-1]
		switch key {
		case "password-file":
			password, err := os.ReadFile(value)
			if err != nil {
				return bridgeConfig{}, fmt.Errorf("--bridge %q: read the password: %w", s, err)
			}
			b.password = strings.TrimSpace(string(password))
		case "connections":
			b.connections, err = strconv.Atoi(value)
			if err != nil || b.connections < 1 || b.connections > 64 {
				return bridgeConfig{}, fmt.Errorf("--bridge %q: connections: want 1 to 64", s)
			}
		default:
			return bridgeConfig{}, fmt.Errorf("--bridge %q: unknown setting %q; known: password-file, connections", s, key)
		}
	}
	return b, nil
}
