package ingest

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"

	"pilewatch/internal/registry"
)

// A mailbox is a real SMTP server's; it refuses while it is told to.
type mailbox struct {
	mu     sync.Mutex
	refuse bool
	mails  []string
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }

func (m *mailbox) Mail(string, *smtp.MailOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse {
		return errors.New("not now")
	}
	return nil
}
func (m *mailbox) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (m *mailbox) Reset()                               {}
func (m *mailbox) Logout() error                        { return nil }

func (m *mailbox) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mails = append(m.mails, string(text))
	return err
}

func TestTheEndOfTheRecordGoesOutEachDayAndWhatFailsIsTriedAgain(t *testing.T) {
	box := &mailbox{refuse: true}
	server := smtp.NewServer(box)
	server.ErrorLog = nil
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close(); <-served })

	var mu sync.Mutex
	var posts []*http.Request
	var bodies []string
	status := http.StatusServiceUnavailable
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		posts, bodies = append(posts, r), append(bodies, string(text))
		w.WriteHeader(status)
	}))
	t.Cleanup(hook.Close)

	s := newStory(t)
	s.days(storyPile, 0, times(30, quiet)...)
	s.look()
	cfg := &Config{
		HeadTo: []string{hook.URL}, SigningKey: filepath.Join(t.TempDir(), "signing.key"),
		SMTP: SMTPConfig{Server: listener.Addr().String(), From: "watch@example.cn"},
	}
	courier := func() *courier {
		c, err := newCourier(cfg, s.registry, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := courier()
	if err := first.deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := s.registry.Deliveries(t.Context(), false)
	if err != nil || len(all) != 3 {
		t.Fatalf("got %+v, %v; want a reminder and the head by e-mail, and the head by webhook", all, err)
	}
	for _, d := range all {
		if d.Attempts != 1 || d.Error == "" || !d.Delivered.IsZero() {
			t.Errorf("got %+v, want one failed attempt with its error", d)
		}
	}
	box.mu.Lock()
	box.refuse = false
	box.mu.Unlock()
	mu.Lock()
	status = http.StatusNoContent
	mu.Unlock()
	if err := first.deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(box.mails) != 0 {
		t.Error("it was tried again at once")
	}
	s.sql("UPDATE case_delivery SET next = 0 WHERE next IS NOT NULL") // a minute later
	again := courier()                                                // begun again, with the same key
	if err := again.deliver(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all, err = s.registry.Deliveries(t.Context(), false); err != nil || len(all) != 3 {
		t.Fatalf("got %+v, %v", all, err)
	}
	var head registry.Delivery
	for _, d := range all {
		if d.Attempts != 2 || d.Delivered.IsZero() {
			t.Errorf("got %+v, want it delivered at the second attempt", d)
		}
		if d.Way == "webhook" {
			head = d
		}
	}
	last, _, err := s.registry.CaseHead(t.Context())
	if err != nil || !strings.Contains(head.Body, last.Hash) {
		t.Errorf("the head: got %s, %v; want one with %s", head.Body, err, last.Hash)
	}
	if len(box.mails) != 2 || !strings.Contains(box.mails[0]+box.mails[1], "Message-ID: <delivery-") {
		t.Errorf("mails: got %q, want two with their numbers", box.mails)
	}
	r, body := posts[len(posts)-1], bodies[len(bodies)-1]
	signature, err := base64.StdEncoding.DecodeString(r.Header.Get("Pilewatch-Signature"))
	key := first.key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // Ed25519's is one
	if err != nil || !ed25519.Verify(key, []byte(r.Header.Get("Pilewatch-Delivery")+"."+r.Header.Get("Pilewatch-Time")+"."+body), signature) {
		t.Errorf("the webhook's signature does not verify: %v", err)
	}
	n := len(posts)
	if err := again.deliver(t.Context()); err != nil || len(posts) != n {
		t.Errorf("on the same day again: got %d posts, %v; want none more", len(posts)-n, err)
	}
}
