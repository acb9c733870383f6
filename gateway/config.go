package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"pilewatch/internal/charge"
)

// Config is the gateway's settings. The defaults suit one machine: the listener is on loopback,
// since it speaks without TLS.
type Config struct {
	Name                 string        `help:"This gateway's name, part of its MQTT client identifiers at operators' brokers; keep it when the gateway moves." default:"gateway-1" env:"NAME"`
	MQTT                 string        `name:"mqtt" help:"Where piles connect over MQTT (host:port); empty listens nowhere." default:"127.0.0.1:1883" env:"MQTT"`
	PlainAnywhere        bool          `help:"Let --mqtt be an address that others can reach: what is said there, passwords too, can be read on the way." env:"PLAIN_ANYWHERE"`
	MQTTS                string        `name:"mqtts" help:"Where piles connect over MQTT with TLS (host:port), once there is a certificate." default:":8883" env:"MQTTS"`
	TLSCert              string        `name:"tls-cert" help:"Certificate of the gateway with those between it and its authority (PEM). Read again when it changes, as are the others." env:"TLS_CERT" placeholder:"FILE" type:"path"`
	TLSKey               string        `name:"tls-key" help:"Its private key (PEM)." env:"TLS_KEY" placeholder:"FILE" type:"path"`
	TLSClientCA          string        `name:"tls-client-ca" help:"Authorities of clients' certificates (PEM). A certificate for {operator} or {operator}:{pile} then takes the place of name and password." env:"TLS_CLIENT_CA" placeholder:"FILE" type:"path"`
	TLSCRL               string        `name:"tls-crl" help:"Lists of their revoked certificates (PEM or DER)." env:"TLS_CRL" placeholder:"FILE" type:"path"`
	TLSClientCert        string        `name:"tls-client-cert" help:"With --tls-client-ca, whether a client must show a certificate or may sign in with name and password instead: ${enum}." enum:"required,optional" default:"required" env:"TLS_CLIENT_CERT"`
	Bridge               []string      `help:"An operator's broker to subscribe to: mqtt://USER@HOST:PORT/OPERATOR?password-file=FILE&connections=N, or mqtts:// with TLS (&ca-file=FILE&cert-file=FILE&key-file=FILE). Its own topics, where they are not ours: &topic=charging/{pile}/{kind}, &topic=charging/{pile}/rt=telemetry. May be given several times. More than one connection share the load, with those of other gateways." env:"BRIDGE" sep:"none" placeholder:"URL"`
	MaxInFlight          int           `help:"Messages of one connection accepted and not yet acknowledged; beyond it the gateway stops reading from that connection." default:"256" env:"MAX_IN_FLIGHT"`
	MaxWaitingBytes      int64         `help:"Bytes of all readings accepted and not yet stored; beyond it the gateway stops reading." default:"67108864" env:"MAX_WAITING_BYTES"`
	LogMinFree           uint64        `help:"Bytes that stay free on the embedded log's disk: below this, and below 5 % of it, nothing is acknowledged until there is room again." default:"2147483648" env:"LOG_MIN_FREE"`
	MaxPacketBytes       uint32        `help:"Largest MQTT packet; a larger one ends its connection. A payload over 1 MiB is told back as a reject." default:"4194304" env:"MAX_PACKET_BYTES"`
	MaxClients           int64         `help:"Connections in all." default:"200000" env:"MAX_CLIENTS"`
	MaxClientsPerAddress int           `help:"Connections of one address (of IPv6, of its first 64 bits); 0 for no limit, as behind a load balancer that hides addresses." default:"20000" env:"MAX_CLIENTS_PER_ADDRESS"`
	MaxConnectRate       float64       `help:"New connections a second; more wait their turn. 0 for no limit." default:"2000" env:"MAX_CONNECT_RATE"`
	MaxWrongPasswords    int           `help:"Wrong passwords of one name at one address, at once and then a minute; ten times as many of one address for all names. 0 for no limit." default:"10" env:"MAX_WRONG_PASSWORDS"`
	MaxPileRate          float64       `help:"Messages a second of a pile that connects by itself; more wait. 0 for no limit." default:"50" env:"MAX_PILE_RATE"`
	MaxOperatorRate      float64       `help:"Messages a second of an operator, over all its connections, piles and bridges; more wait. 0 for no limit." default:"20000" env:"MAX_OPERATOR_RATE"`
	ServerReference      string        `help:"Where MQTT 5 clients are sent when this gateway stops (host:port, or several with a space between); empty tells them that it is shutting down." env:"SERVER_REFERENCE" placeholder:"ADDR"`
	MaxKeepAlive         time.Duration `help:"Longest keep-alive; a client that is silent for one and a half of it is disconnected, also where it asks for more or for none." default:"20m" env:"MAX_KEEP_ALIVE"`
}

// Defaults is the configuration of a gateway on one machine.
func Defaults() *Config {
	return &Config{
		Name: "gateway-1", MQTT: "127.0.0.1:1883", MQTTS: ":8883", TLSClientCert: certificateRequired,
		MaxInFlight: 256, MaxWaitingBytes: 64 << 20, LogMinFree: 2 << 30, MaxPacketBytes: maxPacketBytes,
		MaxClients: 200_000, MaxClientsPerAddress: 20_000, MaxConnectRate: 2000, MaxWrongPasswords: 10,
		MaxPileRate: 50, MaxOperatorRate: 20_000, MaxKeepAlive: 20 * time.Minute,
	}
}

// mostInFlight is what MQTT 5 can announce (Receive Maximum, two bytes).
const mostInFlight = 65535

// mostReference bounds what every MQTT 5 client is told at the end.
const mostReference = 1024

func (c *Config) check() error {
	if c.MaxInFlight < 1 || c.MaxInFlight > mostInFlight {
		return fmt.Errorf("--max-in-flight %d: want 1 to %d", c.MaxInFlight, mostInFlight)
	}
	if !charge.ValidID(c.Name) {
		return fmt.Errorf("--name %q: want letters, digits, '.', '_' and '-'", c.Name)
	}
	if len(c.ServerReference) > mostReference || clean(c.ServerReference, mostReference) != c.ServerReference || strings.ContainsRune(c.ServerReference, 0) {
		return fmt.Errorf("--server-reference %q: want a text of at most %d bytes, such as mqtt-2.example:8883", clean(c.ServerReference, 80), mostReference)
	}
	if c.MaxClients < 1 {
		return fmt.Errorf("--max-clients %d: want 1 or more", c.MaxClients)
	}
	return errors.Join(c.checkLimits(), c.checkDoors())
}

// Bounds of limits: a packet must hold a CONNECT, and MQTT's keep-alive has two bytes, of which
// the library can double the half only below 43,690.
const (
	leastPacketBytes = connectBytes
	mostPacketBytes  = 256 << 20
	leastWaiting     = 1 << 20
	leastKeepAlive   = 5 * time.Second
	mostKeepAlive    = 12 * time.Hour
)

func (c *Config) checkLimits() error {
	switch {
	case c.MaxPacketBytes < leastPacketBytes || c.MaxPacketBytes > mostPacketBytes:
		return fmt.Errorf("--max-packet-bytes %d: want %d to %d", c.MaxPacketBytes, leastPacketBytes, mostPacketBytes)
	case c.MaxWaitingBytes < leastWaiting:
		return fmt.Errorf("--max-waiting-bytes %d: want %d or more", c.MaxWaitingBytes, leastWaiting)
	case c.MaxClientsPerAddress < 0:
		return fmt.Errorf("--max-clients-per-address %d: want 1 or more, or 0 for no limit", c.MaxClientsPerAddress)
	case c.MaxWrongPasswords < 0:
		return fmt.Errorf("--max-wrong-passwords %d: want 1 or more, or 0 for no limit", c.MaxWrongPasswords)
	case c.MaxKeepAlive < leastKeepAlive || c.MaxKeepAlive > mostKeepAlive:
		return fmt.Errorf("--max-keep-alive %s: want %s to %s", c.MaxKeepAlive, leastKeepAlive, mostKeepAlive)
	}
	for flag, v := range map[string]float64{"connect": c.MaxConnectRate, "pile": c.MaxPileRate, "operator": c.MaxOperatorRate} {
		if !(v >= 0) {
			return fmt.Errorf("--max-%s-rate %v: want a number a second, or 0 for no limit", flag, v)
		}
	}
	return nil
}

// secure tells whether the gateway speaks TLS.
func (c *Config) secure() bool { return c.TLSCert != "" && c.MQTTS != "" }

func (c *Config) checkDoors() error {
	if c.MQTT != "" && !c.PlainAnywhere && !onLoopback(c.MQTT) {
		return fmt.Errorf("--mqtt %s: others can reach this address, and what is said there, passwords too, can be read on the way; "+
			"give piles TLS (--tls-cert, --tls-key), or say --plain-anywhere if the network itself is safe", c.MQTT)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key: one is missing; the certificate needs its key")
	}
	if c.TLSClientCA != "" && c.TLSCert == "" {
		return errors.New("--tls-client-ca: clients' certificates need TLS; give --tls-cert and --tls-key as well")
	}
	if c.TLSCRL != "" && c.TLSClientCA == "" {
		return errors.New("--tls-crl: who has signed the list is not known; give --tls-client-ca as well")
	}
	if c.TLSClientCert != certificateRequired && c.TLSClientCert != certificateOptional {
		return fmt.Errorf("--tls-client-cert %q: want %s or %s", c.TLSClientCert, certificateRequired, certificateOptional)
	}
	return nil
}

// onLoopback tells whether only this machine can reach the address. One that cannot be read is
// told by whoever listens there.
func onLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// A bridgeConfig is one operator's broker.
type bridgeConfig struct {
	operator    charge.OperatorID
	broker      string      // tcp://host:port, or ssl:// with TLS, without user or password
	tls         *tls.Config // nil without
	user        string
	password    string
	connections int
	topics      templates // none: our own
	setting     string    // what it was read from; it holds no secret
}

// parseBridge reads one value of --bridge.
func parseBridge(s string) (bridgeConfig, error) {
	u, err := url.Parse(s)
	if err != nil {
		if bad, ok := errors.AsType[*url.Error](err); ok { // its own text repeats the URL, and a password in it
			err = bad.Err
		}
		return bridgeConfig{}, fmt.Errorf("--bridge: %w", err)
	}
	if (u.Scheme != "mqtt" && u.Scheme != "mqtts") || u.Hostname() == "" {
		return bridgeConfig{}, fmt.Errorf("--bridge %q: want mqtt://USER@HOST:PORT/OPERATOR, or mqtts:// with TLS", u.Redacted())
	}
	if _, has := u.User.Password(); has {
		return bridgeConfig{}, fmt.Errorf("--bridge %q: a password on the command line can be read by others; use ?password-file=FILE", u.Redacted())
	}
	operator := strings.TrimPrefix(u.Path, "/")
	if !charge.ValidID(operator) {
		return bridgeConfig{}, fmt.Errorf("--bridge %q: the path must name the operator whose piles the broker speaks for", s)
	}
	b := bridgeConfig{operator: charge.OperatorID(operator), user: u.User.Username(), connections: 1, setting: s}
	scheme, port := "tcp://", "1883"
	if u.Scheme == "mqtts" {
		scheme, port = "ssl://", "8883"
		b.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	}
	if u.Port() != "" {
		port = u.Port()
	}
	b.broker = scheme + net.JoinHostPort(u.Hostname(), port)
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bridgeConfig{}, fmt.Errorf("--bridge %q: %w", s, err)
	}
	if err := b.readKeys(query); err != nil {
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
		case "topic":
			if err := b.readTopics(values); err != nil {
				return bridgeConfig{}, fmt.Errorf("--bridge %q: topic: %w", s, err)
			}
		case "ca-file", "cert-file", "key-file": // readKeys has read them
		default:
			return bridgeConfig{}, fmt.Errorf("--bridge %q: unknown setting %q; known: password-file, connections, topic, ca-file, cert-file, key-file", s, key)
		}
	}
	return b, nil
}

// readTopics reads how the operator's own topics look.
func (b *bridgeConfig) readTopics(texts []string) error {
	for _, text := range texts {
		t, err := parseTemplate(text)
		if err != nil {
			return err
		}
		b.topics = append(b.topics, t)
	}
	return b.topics.check(b.operator)
}

// filters are what each of the bridge's connections subscribes to: by itself, or as one of a share.
func (b *bridgeConfig) filters() []string {
	all := b.topics.filters(b.operator)
	if b.connections > 1 {
		for i := range all {
			all[i] = share + all[i]
		}
	}
	return all
}

// readKeys reads whom to trust, and what to show, where the broker speaks TLS.
func (b *bridgeConfig) readKeys(query url.Values) error {
	ca, cert, key := query.Get("ca-file"), query.Get("cert-file"), query.Get("key-file")
	if b.tls == nil {
		if ca != "" || cert != "" || key != "" {
			return errors.New("ca-file, cert-file and key-file are for mqtts://")
		}
		return nil
	}
	if ca != "" {
		authorities, err := readCertificates(ca)
		if err != nil {
			return fmt.Errorf("read ca-file: %w", err)
		}
		b.tls.RootCAs = x509.NewCertPool()
		for _, c := range authorities {
			b.tls.RootCAs.AddCert(c)
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return fmt.Errorf("read cert-file with key-file: %w", err)
		}
		b.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}
