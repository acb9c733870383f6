package gateway

import (
	"crypto/tls"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
)

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func TestParseBridge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, value string
		want        bridgeConfig
		err         string // what the error says, "" where there is none
	}{
		{"all that can be said", "mqtt://reader@broker.example:1884/OP?password-file=" + file + "&connections=4", bridgeConfig{operator: "OP", broker: "tcp://broker.example:1884", user: "reader", password: "hunter2", connections: 4}, ""},
		{"as little as can be", "mqtt://broker.example/OP", bridgeConfig{operator: "OP", broker: "tcp://broker.example:1883", connections: 1}, ""},
		{"an address of IPv6", "mqtt://[::1]/OP", bridgeConfig{operator: "OP", broker: "tcp://[::1]:1883", connections: 1}, ""},
		{"a password in the URL", "mqtt://reader:hunter2@broker.example/OP", bridgeConfig{}, "password-file"},
		{"a password in a URL that cannot be read", "mqtt://reader:hunter2%zz@broker.example/OP", bridgeConfig{}, "--bridge"},
		{"no operator", "mqtt://broker.example:1883", bridgeConfig{}, "must name the operator"},
		{"no possible operator", "mqtt://broker.example:1883/a/b", bridgeConfig{}, "must name the operator"},
		{"the many", "mqtt://broker.example:1883/-", bridgeConfig{}, "must name the operator"},
		{"another protocol", "http://broker.example:1883/OP", bridgeConfig{}, "want mqtt://"},
		{"no host", "mqtt://:1883/OP", bridgeConfig{}, "want mqtt://"},
		{"nothing", "", bridgeConfig{}, "want mqtt://"},
		{"no connection", "mqtt://broker.example:1883/OP?connections=0", bridgeConfig{}, "1 to 64"},
		{"too many connections", "mqtt://broker.example:1883/OP?connections=65", bridgeConfig{}, "1 to 64"},
		{"a word for connections", "mqtt://broker.example:1883/OP?connections=many", bridgeConfig{}, "1 to 64"},
		{"a setting that is not there", "mqtt://broker.example:1883/OP?qos=0", bridgeConfig{}, `unknown setting "qos"`},
		{"TLS", "mqtts://broker.example/OP", bridgeConfig{operator: "OP", broker: "ssl://broker.example:8883", connections: 1}, ""},
		{"TLS with authorities that are none", "mqtts://broker.example/OP?ca-file=" + file, bridgeConfig{}, "no certificate in PEM"},
		{"TLS with half a certificate", "mqtts://broker.example/OP?cert-file=" + file, bridgeConfig{}, "cert-file"},
		{"keys without TLS", "mqtt://broker.example/OP?ca-file=" + file, bridgeConfig{}, "are for mqtts://"},
		{"topics of its own", "mqtt://broker.example/OP?topic=charging/{pile}/{kind}&topic=charging/{pile}/rt=telemetry", bridgeConfig{operator: "OP", broker: "tcp://broker.example:1883", connections: 1, topics: templates{
			{levels: []string{"charging", "{pile}", "{kind}"}}, {levels: []string{"charging", "{pile}", "rt"}, kind: charge.KindTelemetry},
		}}, ""},
		{"topics that tell no kind", "mqtt://broker.example/OP?topic=charging/{pile}", bridgeConfig{}, "nothing tells the kind"},
		{"topics twice", "mqtt://broker.example/OP?topic={pile}/{kind}&topic={any}/{kind}", bridgeConfig{}, "the same messages"},
		{"half a setting", "mqtt://broker.example:1883/OP?connections=%zz", bridgeConfig{}, "invalid URL escape"},
		{"a file that is not there", "mqtt://broker.example:1883/OP?password-file=" + file + ".old", bridgeConfig{}, "read the password"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseBridge(tt.value)
			if secure := err == nil && strings.HasPrefix(tt.value, "mqtts:"); (got.tls != nil) != secure || (secure && (got.tls.ServerName != "broker.example" || got.tls.MinVersion != tls.VersionTLS12)) {
				t.Errorf("parseBridge(%q): TLS %+v", tt.value, got.tls)
			}
			if got.tls = nil; err == nil {
				tt.want.setting = tt.value
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parseBridge(%q): got %+v, want %+v", tt.value, got, tt.want)
			}
			switch {
			case err == nil && tt.err != "":
				t.Errorf("parseBridge(%q): no error, want one that says %q", tt.value, tt.err)
			case err != nil && (tt.err == "" || !strings.Contains(err.Error(), tt.err)):
				t.Errorf("parseBridge(%q): got %q, want an error that says %q", tt.value, err, tt.err)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("parseBridge(%q) tells the password: %v", tt.value, err)
			}
		})
	}
}

func TestConfigCheck(t *testing.T) {
	tests := []struct {
		name string
		set  func(*Config)
		err  string
	}{
		{"the defaults", func(*Config) {}, ""},
		{"nothing may be under way", func(c *Config) { c.MaxInFlight = 0 }, "--max-in-flight"},
		{"more under way than MQTT can say", func(c *Config) { c.MaxInFlight = 65536 }, "--max-in-flight"},
		{"a name with a slash", func(c *Config) { c.Name = "a/b" }, "--name"},
		{"no name", func(c *Config) { c.Name = "" }, "--name"},
		{"another server", func(c *Config) { c.ServerReference = "a:8883 b:8883" }, ""},
		{"another server that MQTT cannot say", func(c *Config) { c.ServerReference = "a\x00b" }, "--server-reference"},
		{"a whole page of servers", func(c *Config) { c.ServerReference = strings.Repeat("a", 2000) }, "--server-reference"},
		{"nobody may come in", func(c *Config) { c.MaxClients = 0 }, "--max-clients"},
		{"packets that hold no CONNECT", func(c *Config) { c.MaxPacketBytes = 1000 }, "--max-packet-bytes"},
		{"packets larger than MQTT's", func(c *Config) { c.MaxPacketBytes = 1 << 29 }, "--max-packet-bytes"},
		{"no room for what waits", func(c *Config) { c.MaxWaitingBytes = 0 }, "--max-waiting-bytes"},
		{"fewer than none of an address", func(c *Config) { c.MaxClientsPerAddress = -1 }, "--max-clients-per-address"},
		{"fewer than no wrong passwords", func(c *Config) { c.MaxWrongPasswords = -1 }, "--max-wrong-passwords"},
		{"less than no messages of a pile", func(c *Config) { c.MaxPileRate = -1 }, "--max-pile-rate"},
		{"no number of messages of an operator", func(c *Config) { c.MaxOperatorRate = math.NaN() }, "--max-operator-rate"},
		{"less than no connections a second", func(c *Config) { c.MaxConnectRate = -1 }, "--max-connect-rate"},
		{"silence of a second", func(c *Config) { c.MaxKeepAlive = time.Second }, "--max-keep-alive"},
		{"silence of a day", func(c *Config) { c.MaxKeepAlive = 24 * time.Hour }, "--max-keep-alive"},
		{"no limits where there need be none", func(c *Config) {
			c.MaxClientsPerAddress, c.MaxWrongPasswords, c.MaxPileRate, c.MaxOperatorRate, c.MaxConnectRate = 0, 0, 0, 0, 0
		}, ""},
		{"plain, where others can reach it", func(c *Config) { c.MQTT = "10.1.2.3:1883" }, "--plain-anywhere"},
		{"plain on every address", func(c *Config) { c.MQTT = ":1883" }, "--plain-anywhere"},
		{"plain on every address, and it is meant", func(c *Config) { c.MQTT, c.PlainAnywhere = "0.0.0.0:1883", true }, ""},
		{"plain on this machine by name", func(c *Config) { c.MQTT = "localhost:1883" }, ""},
		{"plain on this machine in IPv6", func(c *Config) { c.MQTT = "[::1]:1883" }, ""},
		{"a name that might be anybody's", func(c *Config) { c.MQTT = "localhost.example:1883" }, "--plain-anywhere"},
		{"nothing plain", func(c *Config) { c.MQTT = "" }, ""},
		{"a certificate without its key", func(c *Config) { c.TLSCert = "a" }, "one is missing"},
		{"a key without its certificate", func(c *Config) { c.TLSKey = "a" }, "one is missing"},
		{"clients' certificates without TLS", func(c *Config) { c.TLSClientCA = "a" }, "need TLS"},
		{"a list of nobody's certificates", func(c *Config) { c.TLSCert, c.TLSKey, c.TLSCRL = "a", "b", "c" }, "--tls-client-ca"},
		{"certificates, perhaps", func(c *Config) { c.TLSClientCert = "perhaps" }, "--tls-client-cert"},
	}
	for _, tt := range tests {
		c := Defaults()
		tt.set(c)
		err := c.check()
		if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.err)
		}
	}
}
