package journal

import (
	"context"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// A batch's trace goes with it through the log, in a header as W3C Trace Context has it: one span from the arrival of its
// first reading until it is on disk, and one for each durable consumer, until that has confirmed it.

// traceparent carries a trace (W3C Trace Context, 3.2).
var traceparent = propagation.TraceContext{}

func tracerOr(t trace.Tracer) trace.Tracer {
	if t == nil {
		return noop.NewTracerProvider().Tracer("")
	}
	return t
}

// storing begins the span of a message that is to be stored, and the header that it goes with, nil where it is not traced.
func (l *Log) storing(ctx context.Context, subject string, bytes int, since time.Time) (nats.Header, trace.Span) {
	ctx, span := l.tracer.Start(ctx, "store "+subject, trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(since), trace.WithAttributes(
		attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", subject), attribute.Int("messaging.message.body.size", bytes),
	))
	if !span.SpanContext().IsSampled() {
		return nil, span
	}
	header := nats.Header{}
	traceparent.Inject(ctx, propagation.HeaderCarrier(http.Header(header)))
	return header, span
}

// working begins the span of a message that a durable consumer was given; nil where the message is not traced.
func (l *Log) working(name, subject string, header nats.Header, seq uint64) trace.Span {
	if len(header) == 0 {
		return nil
	}
	ctx := traceparent.Extract(context.Background(), propagation.HeaderCarrier(http.Header(header)))
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return nil
	}
	_, span := l.tracer.Start(ctx, name+" "+subject, trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "nats"), attribute.String("messaging.destination.name", subject),
		attribute.String("messaging.consumer.group.name", name), attribute.Int64("pilewatch.log_seq", int64(seq)), //nolint:gosec // JetStream's sequences stay far below 2^63
	))
	return span
}

// dropped ends the span of a message that was given and not confirmed: the log will give it again.
func dropped(span trace.Span) {
	span.SetStatus(codes.Error, "not confirmed")
	span.End()
}
