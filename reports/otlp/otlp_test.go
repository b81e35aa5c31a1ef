package otlp

import (
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// server is a collector. It keeps the spans it receives.
type server struct {
	mu       sync.Mutex
	status   int // of each answer; 0 means 200
	header   http.Header
	resource map[string]string
	requests int
	spans    []*v1.Span
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var got collectorv1.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &got) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.header, s.resource = r.Header, map[string]string{}
	for _, of := range got.ResourceSpans {
		for _, a := range of.Resource.Attributes {
			s.resource[a.Key] = a.Value.GetStringValue()
		}
		for _, scope := range of.ScopeSpans {
			s.spans = append(s.spans, scope.Spans...)
		}
	}
	if s.status != 0 {
		w.WriteHeader(s.status)
	}
}

// serve starts a collector that the environment names.
func serve(t *testing.T, status int) *server {
	t.Helper()
	s := &server{status: status}
	listening := httptest.NewServer(s)
	t.Cleanup(listening.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listening.URL)
	return s
}

var began = time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)

// book returns a run of two scenarios.
func book() *journal.Book {
	slow := &journal.Injection{Fault: journal.Fault{ID: "fault-1", Kind: "slow calls", Sentence: `calls from "a" to "b" are delayed`, On: "a -> b", Unit: "calls", Seen: 9, Affected: 4, Live: 5 * time.Second}, Injected: 4 * time.Second, Healed: 7 * time.Second}
	return &journal.Book{
		Run: journal.Run{ID: "run-1", Began: began, Seed: 7, Version: "1.2"},
		Scenarios: []*journal.History{
			{
				Begin: journal.Begin{ID: "s-1", Name: "slow", Feature: "F", File: "a.feature", Line: 3, Tags: []string{"@x"}}, Began: time.Second, Ended: 9 * time.Second,
				Phases:   []journal.Span{{Name: "baseline", From: time.Second, To: 4 * time.Second}},
				Faults:   []*journal.Injection{slow},
				Verdicts: []journal.Verdict{{Check: "at least 99% of requests succeed", Outcome: "failed", Observed: "50%", Reason: "half of them failed"}},
				Notes:    []journal.TimedNote{{At: 6 * time.Second, Note: journal.Note{Text: "the alert rang", By: "ana", Kind: "detected"}}},
				End:      &journal.End{Outcome: "failed", Reason: "1 check failed"},
			},
			{Begin: journal.Begin{ID: "s-2", Name: "idle"}, Began: 9 * time.Second, Ended: 20 * time.Second, Faults: []*journal.Injection{{Fault: journal.Fault{ID: "fault-1", Sentence: "a crash"}, Injected: 10 * time.Second}}, End: &journal.End{Outcome: "inconclusive"}},
		},
	}
}

// described returns a line for a span: its parent, name, seconds and status.
func described(all []*v1.Span, s *v1.Span) string {
	parent := hex.EncodeToString(s.ParentSpanId)
	for _, p := range all {
		if string(p.SpanId) == string(s.ParentSpanId) {
			parent = p.Name
		}
	}
	seconds := func(ns uint64) float64 { return time.Unix(0, int64(ns)).Sub(began).Seconds() } //nolint:gosec // a time
	line := fmt.Sprintf("%s > %s %.0f-%.0f %s", parent, s.Name, seconds(s.StartTimeUnixNano), seconds(s.EndTimeUnixNano), s.Status.GetCode())
	for _, e := range s.Events {
		line += fmt.Sprintf("; %.0f %s", seconds(e.TimeUnixNano), e.Name)
	}
	return line
}

func TestTrace(t *testing.T) {
	s := serve(t, 0)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
	t.Setenv("TRACEPARENT", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.True(t, Asked())
	require.NoError(t, Send(t.Context(), book()))
	var lines []string
	for _, span := range s.spans {
		assert.Equal(t, "0af7651916cd43dd8448eb211c80319c", hex.EncodeToString(span.TraceId))
		lines = append(lines, described(s.spans, span))
	}
	assert.ElementsMatch(t, []string{
		"b7ad6b7169203331 > firedrill run 0-20 STATUS_CODE_ERROR",
		"firedrill run > slow 1-9 STATUS_CODE_ERROR; 6 note: the alert rang; 9 verdict: failed",
		"slow > phase: baseline 1-4 STATUS_CODE_UNSET",
		`slow > fault: calls from "a" to "b" are delayed 4-7 STATUS_CODE_UNSET; 5 live`,
		"firedrill run > idle 9-20 STATUS_CODE_UNSET",
		"idle > fault: a crash 10-20 STATUS_CODE_ERROR",
	}, lines)
	assert.Equal(t, "secret", s.header.Get("Authorization"))
	assert.Equal(t, "firedrill", s.resource["service.name"])
	assert.Equal(t, "staging", s.resource["deployment.environment.name"])
}

// More spans than fit into a request, and more events than OpenTelemetry keeps by default.
func TestNothingIsLost(t *testing.T) {
	s := serve(t, 0)
	b := book()
	for i := range 300 {
		b.Scenarios[0].Phases = append(b.Scenarios[0].Phases, journal.Span{Name: fmt.Sprint(i)})
		b.Scenarios[1].Phases = append(b.Scenarios[1].Phases, journal.Span{Name: fmt.Sprint(i)})
		b.Scenarios[0].Verdicts = append(b.Scenarios[0].Verdicts, journal.Verdict{Outcome: "passed"})
	}
	require.NoError(t, Send(t.Context(), b))
	assert.Len(t, s.spans, 606)
	assert.Equal(t, 2, s.requests)
	for _, span := range s.spans {
		if span.Name == "slow" {
			assert.Len(t, span.Events, 302)
		}
	}
}

func TestErrors(t *testing.T) {
	serve(t, http.StatusUnauthorized)
	require.ErrorContains(t, Send(t.Context(), book()), "send the run as a trace: ")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	require.EqualError(t, Send(t.Context(), book()), `send the run as a trace: OTEL_EXPORTER_OTLP_PROTOCOL="grpc": only http/protobuf is supported, which collectors receive at port 4318`)
}

func TestAsked(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	assert.False(t, Asked())
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")
	assert.True(t, Asked())
	t.Setenv("OTEL_SDK_DISABLED", "true")
	assert.False(t, Asked())
}
