package ingest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	gomail "github.com/wneessen/go-mail"

	"pilewatch/internal/registry"
)

// deliveryStore is where what is to be sent out lies; *registry.Registry is one.
type deliveryStore interface {
	SendCaseHead(ctx context.Context, more map[string]string) error
	Deliveries(ctx context.Context, due bool) ([]registry.Delivery, error)
	NoteDelivery(ctx context.Context, d *registry.Delivery, failed error) error
}

// A courier sends out what lies on the list: reminders of cases, and each day the end of their record, since a
// chain alone proves nothing against whoever owns the database. What fails is tried again, later each time. One
// that is ended between sending and noting it sends once more: each message carries its number, so that whoever
// gets it can tell.
type courier struct {
	store  deliveryStore
	smtp   SMTPConfig
	headTo map[string]string // way by address
	key    ed25519.PrivateKey
	client *http.Client
	slog   *slog.Logger
	sent   *prometheus.CounterVec
}

const (
	deliverEvery  = 30 * time.Second
	deliverWithin = 30 * time.Second
)

func newCourier(cfg *Config, store deliveryStore, log *slog.Logger, reg prometheus.Registerer) (*courier, error) {
	c := &courier{
		store: store, smtp: cfg.SMTP, headTo: make(map[string]string), slog: log,
		client: &http.Client{Timeout: deliverWithin, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		sent: promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
			Name: "ingest_deliveries_total", Help: "Attempts to send out reminders and the end of the record of cases, by way (email, webhook) and result (delivered, failed).",
		}, []string{"way", "result"}),
	}
	for _, address := range cfg.HeadTo {
		switch _, err := mail.ParseAddress(address); {
		case strings.HasPrefix(address, "https://"), strings.HasPrefix(address, "http://"):
			c.headTo[address] = "webhook"
		case err == nil:
			c.headTo[address] = "email"
		default:
			return nil, fmt.Errorf("read --head-to %q: want an e-mail address or a URL", address)
		}
	}
	if cfg.SigningKey == "" {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		c.key = key
		return c, err
	}
	var err error
	c.key, err = openSigningKey(cfg.SigningKey)
	return c, err
}

const pemSeed = "PILEWATCH ED25519 SEED"

// openSigningKey reads the key, or makes one.
func openSigningKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err == nil {
			err = os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: pemSeed, Bytes: key.Seed()}), 0o600)
		}
		if err != nil {
			return nil, fmt.Errorf("make the signing key: %w", err)
		}
		return key, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemSeed || len(block.Bytes) != ed25519.SeedSize {
		return nil, fmt.Errorf("read the signing key: %s is none; remove it to get a new one, and tell whoever verifies", path)
	}
	return ed25519.NewKeyFromSeed(block.Bytes), nil
}

func (c *courier) run(ctx context.Context) error {
	c.slog.Info("webhooks are signed", "key", base64.StdEncoding.EncodeToString(c.key.Public().(ed25519.PublicKey))) //nolint:forcetypeassert // Ed25519's is one
	failing := false
	for {
		err := c.deliver(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			c.slog.Warn("deliveries cannot be read or noted, they will be once they can", "err", err)
		}
		failing = err != nil
		if !wait(ctx, deliverEvery) {
			return nil
		}
	}
}

// deliver puts today's end of the record on the list, and tries what is due.
func (c *courier) deliver(ctx context.Context) error {
	if err := c.store.SendCaseHead(ctx, c.headTo); err != nil {
		return err
	}
	due, err := c.store.Deliveries(ctx, true)
	if err != nil {
		return err
	}
	for i := range due {
		d := &due[i]
		failed := c.send(ctx, d)
		if ctx.Err() != nil {
			return ctx.Err() // whether it arrived is not known: it is tried again
		}
		result := "delivered"
		if failed != nil {
			result = "failed"
			c.slog.Warn("a delivery has failed, it is tried again", "delivery", d.ID, "way", d.Way, "attempts", d.Attempts+1, "err", failed)
		}
		c.sent.WithLabelValues(d.Way, result).Inc()
		if err := c.store.NoteDelivery(ctx, d, failed); err != nil {
			return err
		}
	}
	return nil
}

func (c *courier) send(ctx context.Context, d *registry.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	if d.Way == "webhook" {
		return c.post(ctx, d)
	}
	return c.mail(ctx, d)
}

// post sends to a webhook. The signature is Ed25519 over "{number}.{Unix seconds}.{body}", in base64.
func (c *courier) post(ctx context.Context, d *registry.Delivery) error {
	at := strconv.FormatInt(time.Now().Unix(), 10)
	id := strconv.FormatInt(d.ID, 10)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Address, strings.NewReader(d.Body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Pilewatch-Delivery", id)
	req.Header.Set("Pilewatch-Time", at)
	req.Header.Set("Pilewatch-Signature", base64.StdEncoding.EncodeToString(ed25519.Sign(c.key, []byte(id+"."+at+"."+d.Body))))
	res, err := c.client.Do(req)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if err := res.Body.Close(); err != nil {
		return err
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("post to the webhook: answered %s", res.Status)
	}
	return nil
}

func (c *courier) mail(ctx context.Context, d *registry.Delivery) error {
	if c.smtp.Server == "" {
		return errors.New("send e-mail: no mail server is set (--smtp-server)")
	}
	host, portText, err := net.SplitHostPort(c.smtp.Server)
	if err != nil {
		return fmt.Errorf("read --smtp-server: %w", err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return fmt.Errorf("read --smtp-server: %w", err)
	}
	m := gomail.NewMsg()
	if err := m.From(c.smtp.From); err != nil {
		return fmt.Errorf("read --smtp-from: %w", err)
	}
	if err := m.To(d.Address); err != nil {
		return err
	}
	subject := "充电设施长期失效：案件提醒 " + d.About
	if d.Kind == "head" {
		subject = "充电设施长期失效：留痕链当日链尾 " + d.About
	}
	m.Subject(subject)
	m.SetMessageIDWithValue(fmt.Sprintf("delivery-%d.%d@pilewatch", d.ID, d.Created.Unix())) // the same when it is sent again
	m.SetBodyString(gomail.TypeTextPlain, d.Body+"\n")
	options := []gomail.Option{gomail.WithPort(port), gomail.WithTimeout(deliverWithin), gomail.WithTLSPolicy(gomail.TLSOpportunistic)}
	if c.smtp.User != "" {
		password, err := os.ReadFile(c.smtp.PasswordFile)
		if err != nil {
			return fmt.Errorf("read --smtp-password-file: %w", err)
		}
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory), gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover),
			gomail.WithUsername(c.smtp.User), gomail.WithPassword(strings.TrimSpace(string(password))))
	}
	client, err := gomail.NewClient(host, options...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, m)
}
