package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyWithin is how long the dependencies of a part have to answer /readyz.
const readyWithin = 3 * time.Second

// A handlers takes what every part serves beside its own.
type handlers interface {
	Handle(pattern string, h http.Handler)
}

// handleOps adds /metrics, /healthz (the process answers) and /readyz (what it depends on answers).
func handleOps(mux handlers, reg *prometheus.Registry, ready func(context.Context) error) {
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.Handle("GET /healthz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	}))
	mux.Handle("GET /readyz", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	}))
}

// newMetrics is a registry with what Go and the operating system tell of the process.
func newMetrics() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// An opsServer serves a part that has no page, from when it is made: whoever watches the part sees it
// start.
type opsServer struct {
	server *http.Server
	ended  chan error
}

func newOpsServer(addr string, reg *prometheus.Registry, ready func(context.Context) error) (*opsServer, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve metrics at %s: %w; choose another address with --http", addr, err)
	}
	mux := http.NewServeMux()
	handleOps(mux, reg, ready)
	s := &opsServer{
		server: &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute},
		ended:  make(chan error, 1),
	}
	go func() { s.ended <- s.server.Serve(l) }()
	return s, nil
}

// run waits until ctx ends or it cannot serve any more.
func (s *opsServer) run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.ended:
		return fmt.Errorf("serve metrics: %w", err)
	}
}

// close ends it at once: nothing is under way that would be lost.
func (s *opsServer) close() error { return s.server.Close() }

// servePprof serves Go's profiles, on a port of their own: they tell more than a stranger may know.
func servePprof(addr string, log *slog.Logger) (end func(), err error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve profiles at %s: %w; choose another address with --pprof", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("profiles are no longer served", "err", err)
		}
	}()
	return func() { _ = server.Close() }, nil
}
