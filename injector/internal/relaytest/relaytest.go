// Package relaytest holds what the tests of relays have in common: links with a relay, raw clients and servers,
// conversations, and real servers of each protocol.
package relaytest

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Main runs the tests of a package. They may use the protocols by name. It fails if goroutines are left.
func Main(m *testing.M, protocols ...message.Protocol) {
	table = protocols
	message.CheckTickets()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(Starter))
}

// Starter is the goroutine that starts processes; it never ends.
const Starter = "github.com/firedrill-dev/firedrill/injector/process.init.func1.1"

const (
	Patience = time.Minute            // limit for what must happen
	Quiet    = 100 * time.Millisecond // how long a peer must receive nothing
)

// Recording is a relay whose evidence and calls are recorded.
type Recording struct {
	*message.Relay

	mu      sync.Mutex
	events  []evidence.Event
	calls   []message.Call
	streams []message.Call
}

// Event records evidence.
func (f *Recording) Event(e evidence.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
}

// Call records a call.
func (f *Recording) Call(c message.Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
}

// Stream records the beginning of a stream.
func (f *Recording) Stream(c message.Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams = append(f.streams, c)
}

// TestLink is a relay on a link.
type TestLink struct {
	Recording
	Addr string
	Link *link.Link
}

func OpenProtocol(t testing.TB, p message.Protocol, upstream string, cfg message.Config) *TestLink {
	t.Helper()
	return OpenLinkOn(t, p, link.Config{Upstream: upstream}, cfg)
}

// OpenLinkOn opens a link with a configuration, for example with TLS.
func OpenLinkOn(t testing.TB, p message.Protocol, on link.Config, cfg message.Config) *TestLink {
	t.Helper()
	f := &TestLink{}
	if cfg.Link == "" {
		cfg.Link = "orders -> payments"
	}
	if cfg.Sink == nil { // the evidence of tests with many messages is not kept
		cfg.Sink, cfg.Calls, cfg.Streams = f.Event, f.Call, f.Stream
	}
	r, err := message.New(p, cfg)
	require.NoError(t, err)
	f.Relay = r
	t.Cleanup(func() { f.CheckAccounts(t) }) // after the link has been closed
	f.Link = serveLinkOn(t, on, func(ctx context.Context, c link.Conn, dial message.Dial) { r.Serve(ctx, c, dial) })
	f.Addr = f.Link.Addr()
	return f
}

// ServeLink opens a link whose connections are handled by serve. It is closed after the test.
func ServeLink(t testing.TB, upstream string, serve func(context.Context, link.Conn, message.Dial)) *link.Link {
	t.Helper()
	return serveLinkOn(t, link.Config{Upstream: upstream}, serve)
}

func serveLinkOn(t testing.TB, on link.Config, serve func(context.Context, link.Conn, message.Dial)) *link.Link {
	t.Helper()
	on.Name = "orders -> payments"
	on.Serve = func(ctx context.Context, c link.Conn, dial func(context.Context) (net.Conn, error)) {
		serve(ctx, c, dial)
	}
	l, err := link.Open(on)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// CheckAccounts quiesces the relay and checks that the accounts add up.
func (f *Recording) CheckAccounts(t testing.TB) (toServer, toClient evidence.Accounts) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	s, c, err := f.Quiesce(ctx)
	require.NoError(t, err)
	for _, b := range []evidence.Accounts{s, c} {
		assert.Empty(t, b.Wrong(), "to server %+v, to client %+v", s, c)
	}
	return s, c
}

// WaitPending waits until n messages to the server, or copies of them, are in the relay's hands.
func (f *Recording) WaitPending(t testing.TB, n int64) {
	t.Helper()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	WaitUntil(t, "messages are pending", func() bool {
		toServer, _, _ := f.Quiesce(now)
		return toServer.Pending == n
	})
}

// WaitAnswerPending waits until an answer is in the relay's hands.
func (f *Recording) WaitAnswerPending(t testing.TB) {
	t.Helper()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	WaitUntil(t, "an answer is pending", func() bool {
		_, toClient, _ := f.Quiesce(now)
		return toClient.Pending == 1
	})
}

// WaitClosed waits until the relay has noticed that a sender of direction d ended its connection.
func (f *Recording) WaitClosed(t testing.TB, d message.Dir) {
	t.Helper()
	WaitUntil(t, "the relay notices that a sender "+d.String()+" is gone", func() bool { return f.SendersClosed(d) > 0 })
}

// AddRule adds a rule with a counter.
func (f *Recording) AddRule(t testing.TB, r message.Rule) (count *evidence.Counter, heal func()) {
	t.Helper()
	if r.ID == "" {
		r.ID = "fault-1"
	}
	r.Count = evidence.NewCounter("calls")
	undo, err := f.Add(r)
	require.NoError(t, err)
	return r.Count, func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		require.NoError(t, undo(ctx))
	}
}

// Events returns the evidence so far.
func (f *Recording) Events() []evidence.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

// Recorded returns the evidence of a stage so far.
func (f *Recording) Recorded(stage evidence.Stage) []evidence.Event {
	return slices.DeleteFunc(f.Events(), func(e evidence.Event) bool { return e.Stage != stage })
}

// FinishedCalls returns the calls that have ended, in the order of their starts: a call is
// recorded after its client has seen it end, so that the order of ends is not that of the record.
func (f *Recording) FinishedCalls() []message.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := slices.Clone(f.calls)
	slices.SortStableFunc(calls, func(a, b message.Call) int { return a.Start.Compare(b.Start) })
	return calls
}

// BegunStreams returns the streams that have begun, in the order of their beginnings.
func (f *Recording) BegunStreams() []message.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.streams)
}

// Set sets a variable for the rest of a test.
func Set[T any](t testing.TB, variable *T, value T) {
	before := *variable
	*variable = value
	t.Cleanup(func() { *variable = before })
}

// WaitUntil waits for a condition.
func WaitUntil(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			require.FailNow(t, "did not come about: "+what)
		}
	}
}
