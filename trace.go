package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// A TraceConfig says where the way of readings is told: from their arrival into the log, and from there into the history.
type TraceConfig struct {
	TraceURL   string  `help:"Collector that takes traces (OpenTelemetry over HTTP), such as http://127.0.0.1:4318; none by default." env:"PILEWATCH_TRACE_URL" placeholder:"URL"`
	TraceShare float64 `help:"Share of the log's batches that are traced, from 0 to 1." default:"0.01" env:"PILEWATCH_TRACE_SHARE"`
}

// Validate names the first setting that cannot be used. kong calls it.
func (c *TraceConfig) Validate() error {
	if c.TraceShare < 0 || c.TraceShare > 1 {
		return fmt.Errorf("--trace-share %g: from 0, nothing, to 1, every batch", c.TraceShare)
	}
	if c.TraceURL == "" {
		return nil
	}
	if u, err := url.Parse(c.TraceURL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--trace-url %s: an address such as http://127.0.0.1:4318", c.TraceURL)
	}
	return nil
}

// traces lets part, a word such as gateway, tell of its work from now on.
func (p *parts) traces(ctx context.Context, c *TraceConfig, part string) error {
	if c.TraceURL == "" {
		return nil
	}
	u, err := url.Parse(c.TraceURL)
	if err != nil {
		return fmt.Errorf("send traces to %s: %w", c.TraceURL, err)
	}
	sender, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.JoinPath("v1/traces").String()))
	if err != nil {
		return fmt.Errorf("send traces to %s: %w", c.TraceURL, err)
	}
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(&spanSender{SpanExporter: sender, log: p.log}),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(c.TraceShare))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "pilewatch-"+part), attribute.String("service.version", version()))),
	)
	p.tracer = provider.Tracer("pilewatch")
	p.closers = append(p.closers, func() error {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTraces)
		defer cancel()
		_ = provider.Shutdown(ending) // what could not be sent was said
		return nil
	})
	return nil
}

// lastTraces is how long the end of a part waits for its last traces to be taken.
const lastTraces = 2 * time.Second

// A spanSender says once that the collector does not take traces, and once that it does again: nothing
// else waits for it, and what it does not take is dropped.
type spanSender struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	away atomic.Bool
}

// ExportSpans implements sdktrace.SpanExporter.
func (s *spanSender) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := s.SpanExporter.ExportSpans(ctx, spans)
	if was := s.away.Swap(err != nil); err != nil && !was {
		s.log.Warn("traces are not taken, and dropped until they are", "err", err)
	} else if err == nil && was {
		s.log.Info("traces are taken again")
	}
	return nil
}
