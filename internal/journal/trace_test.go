package journal

import (
	"context"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// tracedLog is a log whose batches are traced as sampler says, and what was traced.
func tracedLog(t *testing.T, sampler sdktrace.Sampler) (*Log, *tracetest.SpanRecorder) {
	t.Helper()
	seen := tracetest.NewSpanRecorder()
	cfg := Embedded(t.TempDir())
	cfg.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(seen), sdktrace.WithSampler(sampler)).Tracer("test")
	l := openLog(t, cfg)
	ctx, stop := context.WithCancel(t.Context())
	w := l.NewWriter(discard, prometheus.NewRegistry())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	stored := make(chan struct{})
	if err := w.Append(t.Context(), placed(2, 1, 2, 3), func() { close(stored) }); err != nil {
		t.Fatal(err)
	}
	<-stored
	return l, seen
}

// takeReadings gives the batch of tracedLog, from among the ticks.
func takeReadings(t *testing.T, d *Durable) []Delivery {
	t.Helper()
	var all []Delivery
	for n := 0; n < 3; {
		got, err := d.Next(within(t), 0, 3)
		if err != nil {
			t.Fatal(err)
		}
		for i := range got {
			n += len(got[i].Readings)
		}
		all = append(all, got...)
	}
	return all
}

func TestABatchIsTracedFromItsArrivalToItsStorage(t *testing.T) {
	l, seen := tracedLog(t, sdktrace.AlwaysSample())
	d := openDurable(t, l, "history")
	got := takeReadings(t, d)
	until(t, "the batch's way into the log is told, and no tick's", func() bool { return len(seen.Ended()) == 1 })
	if err := d.Confirm(got); err != nil {
		t.Fatal(err)
	}
	spans := seen.Ended()
	if len(spans) != 2 {
		t.Fatalf("%d spans have ended, want 2", len(spans))
	}
	in, out := spans[0], spans[1]
	if in.Name() != "store readings.2" || in.SpanKind() != trace.SpanKindProducer || !in.EndTime().After(in.StartTime()) {
		t.Errorf("into the log: %s, %s, from %s to %s", in.Name(), in.SpanKind(), in.StartTime(), in.EndTime())
	}
	if out.Name() != "history readings.2" || out.SpanKind() != trace.SpanKindConsumer {
		t.Errorf("out of the log: %s, %s", out.Name(), out.SpanKind())
	}
	if out.Parent().SpanID() != in.SpanContext().SpanID() || out.SpanContext().TraceID() != in.SpanContext().TraceID() {
		t.Error("what ingest does is not of the trace that the gateway has begun")
	}
}

func TestABatchThatWasNotConfirmedIsToldAsSuch(t *testing.T) {
	l, seen := tracedLog(t, sdktrace.AlwaysSample())
	d := openDurable(t, l, "history")
	takeReadings(t, d)
	d.Stop()
	until(t, "the span ends", func() bool { return len(seen.Ended()) == 2 })
	if status := seen.Ended()[1].Status(); status.Code != codes.Error || status.Description != "not confirmed" {
		t.Errorf("status is %+v", status)
	}
}

func TestABatchThatIsNotSampledGoesWithoutAHeader(t *testing.T) {
	l, seen := tracedLog(t, sdktrace.NeverSample())
	d := openDurable(t, l, "history")
	for _, v := range takeReadings(t, d) {
		d.mu.Lock()
		if h := d.pending[v.Seq].Headers(); len(h) > 0 {
			t.Errorf("message %d has the header %v", v.Seq, h)
		}
		d.mu.Unlock()
	}
	if n := len(seen.Started()); n > 0 {
		t.Errorf("%d spans", n)
	}
}
