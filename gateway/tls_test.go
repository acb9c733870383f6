package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho5 "github.com/eclipse/paho.golang/paho"
	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
	"pilewatch/internal/testprog"
)

// An authority signs certificates, and says which it takes back.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t), next: 1}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	a.cert = a.sign(template, template, &a.key.PublicKey)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PublicKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// issue signs a certificate for clients and for servers on loopback.
func (a *authority) issue(name string, set func(*x509.Certificate)) tls.Certificate {
	a.t.Helper()
	a.next++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if set != nil {
		set(template)
	}
	key := newKey(a.t)
	cert := a.sign(template, a.cert, &key.PublicKey)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// revoked is the list of these certificates.
func (a *authority) revoked(certs ...tls.Certificate) []byte {
	a.t.Helper()
	a.next++
	list := &x509.RevocationList{Number: big.NewInt(a.next), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, c := range certs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: c.Leaf.SerialNumber, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.cert, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// write replaces a file as a careful program does: the new one takes the old one's place at once.
func write(t testing.TB, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// writeKeys writes a certificate and its key beside each other.
func writeKeys(t testing.TB, certFile, keyFile string, c tls.Certificate) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// A lockedStation is a station that speaks TLS.
type lockedStation struct {
	*station
	cfg     *Config
	ours    *authority // of the gateway's certificate
	theirs  *authority // of clients'
	trusted *x509.CertPool
}

// newLockedStation has a certificate, wants one of its clients where mutual is not "", and revokes
// what revoke gives.
func newLockedStation(t testing.TB, mutual string, revoke func(theirs *authority) []tls.Certificate) *lockedStation {
	t.Helper()
	s := &lockedStation{ours: newAuthority(t, "the gateway's"), theirs: newAuthority(t, "the clients'"), trusted: x509.NewCertPool()}
	s.trusted.AddCert(s.ours.cert)
	dir := t.TempDir()
	s.station = newStationWith(t, func(c *Config) {
		c.MQTTS, c.TLSCert, c.TLSKey = "127.0.0.1:0", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		writeKeys(t, c.TLSCert, c.TLSKey, s.ours.issue("gateway", nil))
		if mutual != "" {
			c.TLSClientCert, c.TLSClientCA, c.TLSCRL = mutual, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl.pem")
			write(t, c.TLSClientCA, s.theirs.pem())
			var gone []tls.Certificate
			if revoke != nil {
				gone = revoke(s.theirs)
			}
			write(t, c.TLSCRL, s.theirs.revoked(gone...))
		}
		s.cfg = c
	}, func(g *Gateway) { g.listener.lookEvery = 50 * time.Millisecond })
	return s
}

func (s *lockedStation) tls(certs ...tls.Certificate) *tls.Config {
	return &tls.Config{RootCAs: s.trusted, Certificates: certs}
}

// knock connects over TLS and gives the CONNACK's code, or how it ended before.
func (s *lockedStation) knock(cfg *tls.Config, user, password string) (net.Conn, byte, error) {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.gateway.SecureAddr(), cfg)
	if err != nil {
		return nil, 0, err
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	p, _ := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier = "MQTT", 4, true, "knock"
	p.UsernameFlag, p.Username, p.PasswordFlag, p.Password = user != "", user, password != "", []byte(password)
	_ = conn.SetDeadline(time.Now().Add(soon))
	if err := p.Write(conn); err != nil {
		return nil, 0, err
	}
	answer, err := packets.ReadPacket(conn)
	if err != nil {
		return nil, 0, err
	}
	return conn, answer.(*packets.ConnackPacket).ReturnCode, nil
}

func TestWhoIsLetInByTLS(t *testing.T) {
	var gone tls.Certificate
	revoke := func(a *authority) []tls.Certificate { gone = a.issue("OP", nil); return []tls.Certificate{gone} }
	required := newLockedStation(t, certificateRequired, revoke)
	wrongCA := newAuthority(t, "the clients'").issue("OP", nil) // by the same name
	uri := func(names ...string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			for _, name := range names {
				c.URIs = append(c.URIs, &url.URL{Scheme: "urn", Opaque: strings.TrimPrefix(name, "urn:")})
			}
		}
	}
	issue := required.theirs.issue
	const in, refused, cut = "let in", "refused by CONNACK", "cut by TLS"
	tests := []struct {
		name           string
		certs          []tls.Certificate
		user, password string
		want           string
	}{
		{"an operator by its common name", []tls.Certificate{issue("OP", nil)}, "", "", in},
		{"a pile by its common name", []tls.Certificate{issue("OP:P1", nil)}, "", "", in},
		{"an operator by its URI", []tls.Certificate{issue("whoever", uri("urn:evcs:OP"))}, "", "", in},
		{"a pile by its URI", []tls.Certificate{issue("", uri("urn:other:thing", "urn:evcs:OP:P2"))}, "", "", in},
		{"its own name beside it", []tls.Certificate{issue("OP", nil)}, "OP", "", in},
		{"another's name beside it, with the right password", []tls.Certificate{issue("OP", nil)}, "OTHER", "right", refused},
		{"an operator that is not registered", []tls.Certificate{issue("NOBODY", nil)}, "", "", refused},
		{"a pile that is not registered", []tls.Certificate{issue("OP:P9", nil)}, "", "", refused},
		{"two names", []tls.Certificate{issue("OP", uri("urn:evcs:OP", "urn:evcs:OTHER"))}, "", "", cut},
		{"a name that is none", []tls.Certificate{issue("鲁充", nil)}, "", "", cut},
		{"no certificate, with the right password", nil, "OP", "right", cut},
		{"the wrong authority's", []tls.Certificate{wrongCA}, "", "", cut},
		{"an expired one", []tls.Certificate{issue("OP", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}, "", "", cut},
		{"one that does not hold yet", []tls.Certificate{issue("OP", func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) })}, "", "", cut},
		{"a server's", []tls.Certificate{issue("OP", func(c *x509.Certificate) { c.ExtKeyUsage = c.ExtKeyUsage[1:] })}, "", "", cut},
		{"a revoked one", []tls.Certificate{gone}, "", "", cut},
	}
	check := func(t *testing.T, s *lockedStation, cfg *tls.Config, user, password, want string) {
		t.Helper()
		if password == "right" {
			password = s.tokens[user]
		}
		conn, code, err := s.knock(cfg, user, password)
		got := in
		if err != nil {
			got = cut
		} else if code != 0 {
			got = refused
		}
		if got != want {
			t.Errorf("got: %s (code %d, %v), want: %s", got, code, err, want)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := required.tls()
			// What the gateway asks for is not heeded: a stranger shows what it has.
			cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(tt.certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &tt.certs[0], nil
			}
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				cfg.MaxVersion = version
				check(t, required, cfg, tt.user, tt.password, tt.want)
			}
		})
	}
	eventually(t, "each of the 16 that TLS has cut is counted", func() bool {
		return testutil.ToFloat64(required.gateway.listener.metrics.refused.WithLabelValues("tls")) == 16
	})
	optional := newLockedStation(t, certificateOptional, nil)
	t.Run("where certificates are optional", func(t *testing.T) {
		check(t, optional, optional.tls(), "OP", "right", in)
		check(t, optional, optional.tls(), "OP", "guess", refused)
		check(t, optional, optional.tls(optional.theirs.issue("OP", nil)), "", "", in)
		cfg := optional.tls()
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &wrongCA, nil }
		check(t, optional, cfg, "OP", "right", cut)
	})
	t.Run("older TLS", func(t *testing.T) {
		cfg := optional.tls()
		cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		check(t, optional, cfg, "OP", "right", cut)
	})
	t.Run("no TLS at all", func(t *testing.T) {
		conn, err := net.Dial("tcp", optional.gateway.SecureAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		p, _ := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
		p.ProtocolName, p.ProtocolVersion, p.CleanSession, p.ClientIdentifier = "MQTT", 4, true, "plain"
		_ = p.Write(conn)
		_ = conn.SetReadDeadline(time.Now().Add(soon))
		if got, err := io.ReadAll(conn); len(got) > 0 && got[0] != 21 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %x, %v; want an alert of TLS (21…) or nothing", got, err)
		}
	})
}

// A resumed session shows no certificate again: what has happened to it meanwhile counts all the same.
func TestAResumedSessionIsCheckedAgain(t *testing.T) {
	s := newLockedStation(t, certificateRequired, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		one := s.theirs.issue("OP", nil)
		cfg := s.tls(one)
		cfg.MaxVersion, cfg.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
		conn, _, err := s.knock(cfg, "", "")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		again, _, err := s.knock(cfg, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if !again.(*tls.Conn).ConnectionState().DidResume {
			t.Errorf("%s: the session is not resumed; a storm of reconnections costs a signature each", tls.VersionName(version))
		}
		_ = again.Close()
		keys := s.gateway.listener.keys
		write(t, s.cfg.TLSCRL, s.theirs.revoked(one))
		eventually(t, "the list is read", func() bool { return len(keys.current.Load().revoked) == 1 })
		if _, _, err := s.knock(cfg, "", ""); err == nil {
			t.Errorf("%s: a revoked certificate's session is resumed", tls.VersionName(version))
		}
		write(t, s.cfg.TLSCRL, append(s.theirs.revoked(), '\n'))
		eventually(t, "the list is read", func() bool { return len(keys.current.Load().revoked) == 0 })
	}
}

func TestTLSFilesAreReadAgain(t *testing.T) {
	s := newLockedStation(t, certificateRequired, nil)
	good, bad := s.theirs.issue("OP:P1", nil), s.theirs.issue("OP:P2", nil)
	shown := func() *x509.Certificate {
		conn, _, err := s.knock(s.tls(s.theirs.issue("OTHER", nil)), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
	}
	before := shown()

	write(t, s.cfg.TLSCert, []byte("half a file"))
	s.gateway.listener.watchedTwice(t)
	if !shown().Equal(before) {
		t.Error("half a renewal changes the certificate")
	}
	renewed := s.ours.issue("gateway", nil)
	writeKeys(t, s.cfg.TLSCert, s.cfg.TLSKey, renewed)
	eventually(t, "the renewed certificate is shown", func() bool { return shown().Equal(renewed.Leaf) })

	stays, _, err := s.knock(s.tls(good), "", "")
	if err != nil {
		t.Fatal(err)
	}
	goes, _, err := s.knock(s.tls(bad), "", "")
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.cfg.TLSCRL, newAuthority(t, "the clients'").revoked(good)) // not signed by whom it says
	s.gateway.listener.watchedTwice(t)
	(&client{t, stays}).pong()
	begun := time.Now()
	write(t, s.cfg.TLSCRL, s.theirs.revoked(bad))
	(&client{t, goes}).ended()
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("a revoked certificate stays connected for %s, want 5 s at most", took)
	}
	(&client{t, stays}).pong()

	write(t, s.cfg.TLSClientCA, newAuthority(t, "another").pem()) // and so the list's signature does not hold
	s.gateway.listener.watchedTwice(t)
	(&client{t, stays}).pong()
	another := newAuthority(t, "a third")
	write(t, s.cfg.TLSClientCA, another.pem())
	write(t, s.cfg.TLSCRL, another.revoked())
	(&client{t, stays}).ended()
}

// watchedTwice waits until the listener has looked at its files after the call.
func (l *listener) watchedTwice(t testing.TB) {
	t.Helper()
	from := l.looked.Load()
	eventually(t, "the listener has looked", func() bool { return l.looked.Load() >= from+2 })
}

func TestARevokedCredentialIsDisconnected(t *testing.T) {
	s := newStation(t, nil)
	ended := make(chan struct{})
	s.connect("OP:P1", "goes", func(o *paho.ClientOptions) {
		o.SetConnectionLostHandler(func(paho.Client, error) { close(ended) })
		o.SetWill("evcs/v1/OP/P1/status", idleAt(7), 1, false)
	})
	_, _, told := s.connect5("OP:P1", "is told", nil)
	stays := s.connect("OP", "stays", nil)
	all, err := s.reg.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	for _, c := range all {
		if c.Username() == "OP:P1" {
			if err := s.reg.RevokeCredential(t.Context(), c.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.dir.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(soon):
		t.Fatal("the revoked one stays connected")
	}
	select {
	case d := <-told:
		if d.ReasonCode != 0x87 {
			t.Errorf("the client of MQTT 5 is told %#x, want 0x87", d.ReasonCode)
		}
	case <-time.After(soon):
		t.Fatal("the client of MQTT 5 is not told")
	}
	if took := time.Since(begun); took > 4*time.Second { // with the second in which the directory follows
		t.Errorf("disconnected after %s", took)
	}
	if token := stays.Publish("evcs/v1/OP/P1/status", 1, false, idleAt(1)); !token.WaitTimeout(soon) || token.Error() != nil {
		t.Errorf("the other credential: %v", token.Error())
	}
	if n := len(kinds(s.stored(), charge.KindStatus)); n != 1 {
		t.Errorf("%d statuses in the log, want 1: a revoked one's last will is not taken", n)
	}
	if got := kinds(s.stored(), charge.KindDisconnected); len(got) == 0 {
		t.Error("nothing tells that the pile is gone")
	}
}

// Every client, in each way to connect: what it sends is in the log, and it is told of what could
// not be used.
func TestClientsOverTLS(t *testing.T) {
	pub, sub := testprog.MosquittoClients(t)
	for _, mutual := range []string{"", certificateRequired} {
		t.Run(map[string]string{"": "TLS", certificateRequired: "mutual TLS"}[mutual], func(t *testing.T) {
			s := newLockedStation(t, mutual, nil)
			dir := t.TempDir()
			ca, cert, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
			write(t, ca, s.ours.pem())
			own := s.theirs.issue("OP", nil)
			writeKeys(t, cert, key, own)
			cfg := s.tls()
			args := []string{"--cafile", ca, "-u", "OP", "-P", s.tokens["OP"]}
			if mutual != "" {
				cfg = s.tls(own)
				args = []string{"--cafile", ca, "--cert", cert, "--key", key}
			}
			host, port, err := net.SplitHostPort(s.gateway.SecureAddr())
			if err != nil {
				t.Fatal(err)
			}
			args = append(args, "-h", host, "-p", port)

			ears := exec.Command(sub, append(args, "-t", "evcs/v1/OP/+/reject", "-C", "1", "-W", "10", "-i", "ears", "-q", "1")...)
			told := &strings.Builder{}
			ears.Stdout, ears.Stderr = told, told
			if err := ears.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "mosquitto_sub has subscribed", func() bool {
				cl, ok := s.gateway.listener.server.Clients.Get("OP//ears")
				return ok && cl.State.Subscriptions.Len() == 1
			})
			for i, version := range []string{"311", "5"} {
				if text, err := exec.Command(pub, append(args, "-V", version, "-q", "1", "-t", statusOfP1, "-m", idleAt(i))...).CombinedOutput(); err != nil {
					t.Fatalf("mosquitto_pub -V %s: %v: %s", version, err, text)
				}
			}
			three := s.connect("OP", "three", func(o *paho.ClientOptions) {
				o.Servers = nil
				o.AddBroker("ssl://" + s.gateway.SecureAddr()).SetTLSConfig(cfg)
				if mutual != "" {
					o.SetUsername("").SetPassword("")
				}
			})
			for i, payload := range []string{idleAt(10), "no"} {
				if token := three.Publish(statusOfP1, 1, false, payload); !token.WaitTimeout(soon) || token.Error() != nil {
					t.Errorf("paho, message %d: %v", i, token.Error())
				}
			}
			conn, err := tls.Dial("tcp", s.gateway.SecureAddr(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			five := paho5.NewClient(paho5.ClientConfig{Conn: conn, OnClientError: func(error) {}})
			connect := &paho5.Connect{ClientID: "five", CleanStart: true, KeepAlive: 30}
			if mutual == "" {
				connect.Username, connect.UsernameFlag, connect.Password, connect.PasswordFlag = "OP", true, []byte(s.tokens["OP"]), true
			}
			if _, err := five.Connect(t.Context(), connect); err != nil {
				t.Fatalf("paho of MQTT 5: %v", err)
			}
			defer five.Disconnect(&paho5.Disconnect{})
			if _, err := five.Publish(t.Context(), &paho5.Publish{QoS: 1, Topic: statusOfP1, Payload: []byte(idleAt(20))}); err != nil {
				t.Errorf("paho of MQTT 5: %v", err)
			}
			if err := ears.Wait(); err != nil || !strings.Contains(told.String(), "bad_json") {
				t.Errorf("mosquitto_sub: %v: %s", err, told)
			}
			if got := len(kinds(s.stored(), charge.KindStatus)); got != 4 {
				t.Errorf("%d readings in the log, want 4", got)
			}
		})
	}
}

// A bridge knows its operator's broker by its certificate, and shows its own.
func TestABridgeOverTLS(t *testing.T) {
	theirs := newAuthority(t, "the broker's")
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	write(t, file("ca"), theirs.pem())
	writeKeys(t, file("broker"), file("broker key"), theirs.issue("broker", nil))
	writeKeys(t, file("ours"), file("our key"), theirs.issue("pilewatch", nil))
	stranger := newAuthority(t, "the broker's")
	write(t, file("another ca"), stranger.pem())
	broker := testprog.Mosquitto(t, "cafile "+file("ca")+"\ncertfile "+file("broker")+"\nkeyfile "+file("broker key")+"\nrequire_certificate true\n")
	tests := []struct {
		name, settings string
		want           bool
	}{
		{"all is well", "ca-file=" + file("ca") + "&cert-file=" + file("ours") + "&key-file=" + file("our key"), true},
		{"a broker of another authority", "ca-file=" + file("another ca") + "&cert-file=" + file("ours") + "&key-file=" + file("our key"), false},
		{"no certificate of ours", "ca-file=" + file("ca"), false},
	}
	for _, tt := range tests {
		cfg, err := parseBridge("mqtts://" + broker + "/OP?" + strings.ReplaceAll(tt.settings, " ", "%20"))
		if err != nil {
			t.Fatal(err)
		}
		log := newHeldLog(false)
		b := newBridge(cfg, "pilewatch-test-OP-1", testAcceptor(somePiles(), log, &rejectBook{}), limits{}, noBook{}, slog.New(slog.DiscardHandler), newBridgeMetrics(prometheus.NewRegistry()))
		stop := start(t, b.run)
		if tt.want {
			eventually(t, tt.name+": the bridge is up", func() bool { return testutil.ToFloat64(b.up) == 1 })
		} else if time.Sleep(5 * quiet); testutil.ToFloat64(b.up) != 0 {
			t.Errorf("%s: the bridge is up", tt.name)
		}
		stop()
	}
}

func TestTheGatewayDoesNotStartWithFilesThatAreOfNoUse(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	writeKeys(t, file("cert"), file("key"), ours.issue("gateway", nil))
	writeKeys(t, file("other"), file("other key"), ours.issue("gateway", nil))
	write(t, file("ca"), theirs.pem())
	write(t, file("crl"), theirs.revoked())
	write(t, file("stranger's crl"), ours.revoked())
	write(t, file("text"), []byte("hello"))
	tests := []struct {
		name               string
		cert, key, ca, crl string
		err                string
	}{
		{"all is well", "cert", "key", "ca", "crl", ""},
		{"no certificate", "absent", "key", "", "", "--tls-cert"},
		{"another one's key", "cert", "other key", "", "", "--tls-key"},
		{"no authorities", "cert", "key", "absent", "", "--tls-client-ca"},
		{"authorities that are none", "cert", "key", "text", "", "no certificate in PEM"},
		{"no list", "cert", "key", "ca", "absent", "--tls-crl"},
		{"a list that is none", "cert", "key", "ca", "text", "--tls-crl"},
		{"a stranger's list", "cert", "key", "ca", "stranger's crl", "not signed by"},
	}
	for _, tt := range tests {
		cfg := Defaults()
		cfg.TLSCert, cfg.TLSKey = file(tt.cert), file(tt.key)
		if tt.ca != "" {
			cfg.TLSClientCA = file(tt.ca)
		}
		if tt.crl != "" {
			cfg.TLSCRL = file(tt.crl)
		}
		_, err := newKeyring(cfg, slog.New(slog.DiscardHandler))
		if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.err)
		}
	}
}

func TestIdentityString(t *testing.T) {
	for want, who := range map[string]registry.Identity{"OP": {Operator: "OP"}, "OP:P1": {Operator: "OP", Pile: "P1"}} {
		if got := who.String(); got != want {
			t.Errorf("%+v: got %q, want %q", who, got, want)
		}
	}
}
