package gateway

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/registry"
)

// Whether the TLS listener wants certificates of its clients.
const (
	certificateRequired = "required"
	certificateOptional = "optional"
)

// A keyring is what the TLS listener shows and whom it trusts: a certificate with its key and, for
// mutual TLS, the authorities of clients' certificates and a list of revoked ones. Its files are
// read again when they change. A set of files that cannot be used is told once, and what was
// known before stands: half a renewal must not close the door.
type keyring struct {
	files   []string // certificate, key, authorities, revoked; "" where there is none
	ask     tls.ClientAuthType
	log     *slog.Logger
	seen    []stamp // of files, as they were last read
	current atomic.Pointer[keys]
	config  *tls.Config // of every connection, since it has the keys of resumed sessions; each handshake takes current
}

// stamp tells one state of a file from the next.
type stamp struct {
	modified time.Time
	size     int64
}

type keys struct {
	config  *tls.Config
	roots   *x509.CertPool // nil: clients show no certificates
	revoked map[string]bool
}

var errRevoked = errors.New("the client's certificate is revoked")

func newKeyring(cfg *Config, log *slog.Logger) (*keyring, error) {
	k := &keyring{files: []string{cfg.TLSCert, cfg.TLSKey, cfg.TLSClientCA, cfg.TLSCRL}, log: log}
	switch {
	case cfg.TLSClientCA == "":
		k.ask = tls.NoClientCert
	case cfg.TLSClientCert == certificateOptional:
		k.ask = tls.VerifyClientCertIfGiven
	default:
		k.ask = tls.RequireAndVerifyClientCert
	}
	k.config = &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return k.current.Load().config, nil
		},
	}
	k.seen = k.stamps()
	fresh, err := k.read()
	if err != nil {
		return nil, err
	}
	k.current.Store(fresh)
	return k, nil
}

// refresh reads the files again if one has changed, and tells whether there is something new. It
// must not be called twice at once.
func (k *keyring) refresh() bool {
	now := k.stamps()
	same := true
	for i := range now {
		same = same && now[i] == k.seen[i]
	}
	if same {
		return false
	}
	k.seen = now
	fresh, err := k.read()
	if err != nil {
		k.log.Error("TLS files have changed and cannot be used; going on with those before", "err", err)
		return false
	}
	k.current.Store(fresh)
	k.log.Info("TLS files are read again", "certificate_until", fresh.config.Certificates[0].Leaf.NotAfter)
	return true
}

// until tells when the certificate that is shown now ends, in Unix seconds.
func (k *keyring) until() float64 {
	return float64(k.current.Load().config.Certificates[0].Leaf.NotAfter.Unix())
}

func (k *keyring) stamps() []stamp {
	all := make([]stamp, len(k.files))
	for i, file := range k.files {
		if info, err := os.Stat(file); err == nil {
			all[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return all
}

func (k *keyring) read() (*keys, error) {
	certFile, keyFile, caFile, crlFile := k.files[0], k.files[1], k.files[2], k.files[3]
	certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificate of --tls-cert %s with --tls-key %s: %w", certFile, keyFile, err)
	}
	fresh := &keys{}
	fresh.config = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, ClientAuth: k.ask}
	if caFile == "" {
		return fresh, nil
	}
	authorities, err := readCertificates(caFile)
	if err != nil {
		return nil, fmt.Errorf("read --tls-client-ca: %w", err)
	}
	fresh.roots = x509.NewCertPool()
	for _, ca := range authorities {
		fresh.roots.AddCert(ca)
	}
	fresh.config.ClientCAs = fresh.roots
	// It runs for a resumed session too, whose certificate may have been revoked meanwhile.
	fresh.config.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return nil // where that is refused, ClientAuth has refused it
		}
		return k.current.Load().verify(state.PeerCertificates)
	}
	if crlFile != "" {
		if fresh.revoked, err = readRevoked(crlFile, authorities, k.log); err != nil {
			return nil, fmt.Errorf("read --tls-crl: %w", err)
		}
	}
	return fresh, nil
}

// verify tells whether a client's certificate, with what came along, is good now.
func (k *keys) verify(chain []*x509.Certificate) error {
	if k.roots == nil {
		return nil
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	paths, err := chain[0].Verify(x509.VerifyOptions{
		Roots: k.roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return err
	}
	for _, path := range paths {
		good := true
		for _, c := range path {
			good = good && !k.revoked[revokedKey(c.RawIssuer, c.SerialNumber.Bytes())]
		}
		if good {
			return nil
		}
	}
	return errRevoked
}

func revokedKey(issuer, serial []byte) string { return string(issuer) + "\x00" + string(serial) }

func readCertificates(file string) ([]*x509.Certificate, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the owner names the file
	if err != nil {
		return nil, err
	}
	all, err := parseCertificates(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return all, nil
}

func parseCertificates(text []byte) (all []*x509.Certificate, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, errors.New("no certificate in PEM")
	}
	return all, nil
}

// readRevoked reads lists of revoked certificates (PEM, several in one file, or one in DER). A list
// must be signed by one of the authorities. One that is out of date still stands, and is told.
func readRevoked(file string, authorities []*x509.Certificate, log *slog.Logger) (map[string]bool, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the owner names the file
	if err != nil {
		return nil, err
	}
	revoked, err := parseRevoked(text, authorities, log)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return revoked, nil
}

func parseRevoked(text []byte, authorities []*x509.Certificate, log *slog.Logger) (map[string]bool, error) {
	var lists [][]byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		lists = append(lists, block.Bytes)
	}
	if len(lists) == 0 {
		lists = [][]byte{text}
	}
	revoked := make(map[string]bool)
	for _, der := range lists {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, err
		}
		if !signedByOne(list, authorities) {
			return nil, fmt.Errorf("the list of %s is not signed by an authority of --tls-client-ca", list.Issuer)
		}
		if !list.NextUpdate.IsZero() && list.NextUpdate.Before(time.Now()) {
			log.Warn("list of revoked certificates is out of date; it stands until a newer one is there", "issuer", list.Issuer.String(), "until", list.NextUpdate)
		}
		for _, entry := range list.RevokedCertificateEntries {
			revoked[revokedKey(list.RawIssuer, entry.SerialNumber.Bytes())] = true
		}
	}
	return revoked, nil
}

func signedByOne(list *x509.RevocationList, authorities []*x509.Certificate) bool {
	for _, ca := range authorities {
		if bytes.Equal(ca.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// identityURN begins the URI in a certificate (subjectAltName) that says whose it is.
const identityURN = "urn:evcs:"

// certified reads who a certificate is for: the URI urn:evcs:{operator} or
// urn:evcs:{operator}:{pile} among its alternative names or, where there is none, a common name of
// {operator} or {operator}:{pile}, which holds 64 characters at most.
func certified(c *x509.Certificate) (registry.Identity, error) {
	name := ""
	for _, uri := range c.URIs {
		id, ok := strings.CutPrefix(uri.String(), identityURN)
		switch {
		case !ok:
		case name != "":
			return registry.Identity{}, errors.New("the client's certificate bears two URIs that begin with urn:evcs")
		default:
			name = id
		}
	}
	if name == "" {
		name = c.Subject.CommonName
	}
	if charge.ValidID(name) {
		return registry.Identity{Operator: charge.OperatorID(name)}, nil
	}
	id, err := charge.ParsePileID(name)
	if err != nil {
		return registry.Identity{}, fmt.Errorf("the client's certificate is for %q: want {operator} or {operator}:{pile}, as its common name or in a URI %s…", clean(name, 80), identityURN)
	}
	return registry.Identity{Operator: id.Operator, Pile: id.Equipment}, nil
}
