package dashboard

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

const (
	askersAtMost   = 20_000 // whose pace is remembered
	burstSeconds   = 4      // of requests at once, then one after the other
	signInEvery    = 3 * time.Second
	signInAtOnce   = 10
	retryAfterNext = 1 // second
)

// A pace holds each asker to so many requests. It is safe for concurrent use.
type pace struct {
	limit rate.Limit
	burst int

	mu     sync.Mutex // two first requests make one limiter
	askers *lru.Cache[string, *rate.Limiter]
}

func newPace(limit rate.Limit, burst int) (*pace, error) {
	askers, err := lru.New[string, *rate.Limiter](askersAtMost)
	if err != nil {
		return nil, fmt.Errorf("remember %d askers: %w", askersAtMost, err)
	}
	return &pace{limit: limit, burst: burst, askers: askers}, nil
}

func (p *pace) allow(asker string) bool {
	p.mu.Lock()
	limiter, ok := p.askers.Get(asker)
	if !ok {
		limiter = rate.NewLimiter(p.limit, p.burst)
		p.askers.Add(asker, limiter)
	}
	p.mu.Unlock()
	return limiter.Allow()
}

// tooMany is the answer to one request too many.
func tooMany(w http.ResponseWriter, seconds int) error {
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	return newProblem(http.StatusTooManyRequests, "too many requests", "ask again in a moment, and less often")
}

// paced refuses a viewer that asks too often: each account and token by itself, strangers by address.
// WebSockets are bounded by the hub: after a restart a whole office comes back at once.
func (d *Dashboard) paced(w http.ResponseWriter, r *http.Request, v *viewer) error {
	if d.cfg.RequestRate <= 0 || r.URL.Path == "/ws" {
		return nil
	}
	asker := "address " + d.addressOf(r)
	if v.signedIn() {
		asker = "viewer " + v.name
	}
	if !d.requestPace.allow(asker) {
		return tooMany(w, retryAfterNext)
	}
	return nil
}
