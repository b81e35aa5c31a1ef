// Package otlp sends a run as one trace of OpenTelemetry to a collector, over OTLP/HTTP.
//
// The trace has a span for the run, below it one for each scenario, and below that one for each phase and each fault, from
// when it was injected until it was healed. Verdicts and notes are events of the scenario. The times are those of the
// journal, so that a fault stands in time beside the traces of the system that met it.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// sendWithin is how long a collector may take for a run, repetitions included.
const sendWithin = 15 * time.Second

// batch is how many spans a request holds at most, as by default in OpenTelemetry's own processor.
const batch = 512

// Asked reports whether the environment names a collector: OTEL_EXPORTER_OTLP_ENDPOINT or
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set, and OTEL_SDK_DISABLED is not "true".
func Asked() bool {
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")+os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "" && !strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true")
}

// Send sends a run to the collector that the environment names. Further variables of OpenTelemetry apply, such as
// OTEL_EXPORTER_OTLP_HEADERS and OTEL_RESOURCE_ATTRIBUTES. If TRACEPARENT is set, as by tools that trace a job of CI, the
// run is a span of that trace.
func Send(ctx context.Context, b *journal.Book) error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		switch p := os.Getenv(name); p {
		case "", "http/protobuf":
		default:
			return fmt.Errorf("send the run as a trace: %s=%q: only http/protobuf is supported, which collectors receive at port 4318", name, p)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sendWithin)
	defer cancel()
	spans, err := spansOf(ctx, b)
	if err != nil {
		return fmt.Errorf("send the run as a trace: %w", err)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return fmt.Errorf("send the run as a trace: %w", err)
	}
	for len(spans) > 0 && err == nil {
		n := min(batch, len(spans))
		err = exporter.ExportSpans(ctx, spans[:n])
		spans = spans[n:]
	}
	if err = errors.Join(err, exporter.Shutdown(ctx)); err != nil {
		return fmt.Errorf("send the run as a trace: %w", err)
	}
	return nil
}

// keeper keeps spans as they end.
type keeper []sdk.ReadOnlySpan

func (c *keeper) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	*c = append(*c, spans...)
	return nil
}

func (*keeper) Shutdown(context.Context) error { return nil }

// spansOf returns the spans of a run.
func spansOf(ctx context.Context, b *journal.Book) ([]sdk.ReadOnlySpan, error) {
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(attribute.String("service.name", "firedrill"), attribute.String("service.version", b.Run.Version)), resource.WithFromEnv())
	if err != nil {
		return nil, err
	}
	var spans keeper
	unlimited := sdk.SpanLimits{AttributeValueLengthLimit: -1, AttributeCountLimit: -1, EventCountLimit: -1, LinkCountLimit: -1, AttributePerEventCountLimit: -1, AttributePerLinkCountLimit: -1}
	provider := sdk.NewTracerProvider(sdk.WithSyncer(&spans), sdk.WithResource(about), sdk.WithSampler(sdk.AlwaysSample()), sdk.WithRawSpanLimits(unlimited))
	t := tracer{provider.Tracer("github.com/firedrill-dev/firedrill"), b.Run.Began}
	t.run(propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": os.Getenv("TRACEPARENT")}), b)
	return spans, provider.Shutdown(ctx)
}

// tracer makes spans of times since the run began.
type tracer struct {
	trace.Tracer
	began time.Time
}

func (t tracer) at(d time.Duration) trace.SpanEventOption { return trace.WithTimestamp(t.began.Add(d)) }

// span adds a span. inside, which may be nil, adds its events and the spans below it.
func (t tracer) span(ctx context.Context, name string, from, to time.Duration, about []attribute.KeyValue, inside func(context.Context, trace.Span)) {
	ctx, s := t.Start(ctx, name, t.at(from), trace.WithAttributes(about...))
	if inside != nil {
		inside(ctx, s)
	}
	s.End(t.at(max(from, to)))
}

func (t tracer) run(ctx context.Context, b *journal.Book) {
	ended := time.Duration(0)
	for _, h := range b.Scenarios {
		ended = max(ended, h.Ended)
	}
	outcome := reports.Outcome(b)
	t.span(ctx, "firedrill run", 0, ended, []attribute.KeyValue{
		attribute.String("firedrill.run.id", b.Run.ID), attribute.String("firedrill.run.seed", fmt.Sprint(uint64(b.Run.Seed))), attribute.String("firedrill.outcome", outcome),
	}, func(ctx context.Context, s trace.Span) {
		t.notes(s, b.Notes)
		for _, h := range b.Scenarios {
			t.scenario(ctx, h, reports.OutcomeOf(b, h))
		}
		setStatus(s, outcome, "")
	})
}

func (t tracer) scenario(ctx context.Context, h *journal.History, outcome string) {
	reason := ""
	if h.End != nil {
		reason = h.End.Reason
	}
	t.span(ctx, h.Name, h.Began, h.Ended, []attribute.KeyValue{
		attribute.String("firedrill.scenario.id", h.ID), attribute.String("firedrill.feature", h.Feature), attribute.StringSlice("firedrill.tags", h.Tags),
		attribute.String("code.file.path", h.File), attribute.Int("code.line.number", h.Line),
		attribute.String("firedrill.outcome", outcome), attribute.String("firedrill.reason", reason),
	}, func(ctx context.Context, s trace.Span) {
		t.notes(s, h.Notes)
		for _, p := range h.Phases {
			t.span(ctx, "phase: "+p.Name, p.From, p.To, nil, nil)
		}
		for _, f := range h.CombinedFaults() {
			t.fault(ctx, h, f)
		}
		for _, v := range h.Verdicts {
			s.AddEvent("verdict: "+v.Outcome, t.at(h.Ended), trace.WithAttributes(
				attribute.String("firedrill.check", v.Check), attribute.String("firedrill.outcome", v.Outcome), attribute.String("firedrill.observed", v.Observed),
				attribute.String("firedrill.expected", v.Expected), attribute.String("firedrill.reason", v.Reason)))
		}
		setStatus(s, outcome, reason)
	})
}

func (t tracer) fault(ctx context.Context, h *journal.History, f *journal.Injection) {
	healed := f.Healed
	if healed == 0 {
		healed = h.Ended
	}
	t.span(ctx, "fault: "+f.Sentence, f.Injected, healed, []attribute.KeyValue{
		attribute.String("firedrill.fault.kind", f.Kind), attribute.String("firedrill.fault.on", f.On), attribute.String("firedrill.fault.by", f.By),
		attribute.String("firedrill.fault.unit", f.Unit), attribute.Int64("firedrill.fault.seen", f.Seen), attribute.Int64("firedrill.fault.affected", f.Affected),
	}, func(_ context.Context, s trace.Span) {
		if f.Live > 0 {
			s.AddEvent("live", t.at(f.Live))
		}
		if f.Healed == 0 {
			s.SetStatus(codes.Error, "it was not healed")
		}
	})
}

func (t tracer) notes(s trace.Span, notes []journal.TimedNote) {
	for _, n := range notes {
		s.AddEvent("note: "+n.Text, t.at(n.At), trace.WithAttributes(attribute.String("firedrill.note.by", n.By), attribute.String("firedrill.note.kind", n.Kind)))
	}
}

// setStatus marks the span of what failed as an error. A run that proves nothing is no error of the system.
func setStatus(s trace.Span, outcome, reason string) {
	switch outcome {
	case "passed":
		s.SetStatus(codes.Ok, "")
	case "failed":
		s.SetStatus(codes.Error, reason)
	}
}
