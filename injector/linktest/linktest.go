// Package linktest injects faults from ordinary Go tests. It needs no feature file, no runner and no load:
//
//	l := linktest.New(t, "http", payments.Listener.Addr().String())
//	f := l.Inject(injector.LoseReplies{Pick: injector.Pick{First: 1}})
//	// ... use l.Addr() as the address of payments; f.Affected() is the number of replies that were lost
//
// Any fault of package injector that acts on a link can be injected. When the test ends, all faults are healed and the
// link is closed. A fault that acted on nothing by then fails the test, because a test whose fault never acted shows
// nothing; see Fault.MayMiss.
package linktest

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
)

// healBound is the time that healing one fault may take. Healing does not wait for peers, so it is never needed.
const healBound = 10 * time.Second

// Link is a proxy between the code under test and one dependency. Its methods may be called concurrently, but those
// that can end the test (Inject, and Heal) only from goroutines that may call t.FailNow.
type Link struct {
	t        testing.TB
	addr     string
	upstream string
	target   injector.Target // without ID and counter

	mu       sync.Mutex
	injected int // including faults that could not be injected
	faults   []*Fault
}

// New opens a link to the dependency at upstream, a host:port or unix:path, and closes it when the test ends.
//
// The protocol is that of the dependency: "http", "grpc", "redis", "nats", "postgres", "lines", "udp", "dns" or
// "statsd". With it, faults act on single calls or messages. "tcp" forwards bytes, so that only faults on connections
// and traffic act; it is right for TLS. An unknown protocol ends the test.
//
// Random choices, such as those of Pick.Share, depend on the environment variable FIREDRILL_SEED, an integer that is 1
// if it is not set, and on nothing that differs between runs.
func New(t testing.TB, protocol, upstream string) *Link {
	t.Helper()
	l := &Link{t: t, upstream: upstream}
	closeLink, err := l.open(protocol)
	if err != nil {
		t.Fatalf("linktest: open a link to %q: %v", upstream, err)
	}
	t.Cleanup(func() {
		l.Heal()
		if err := closeLink(); err != nil {
			t.Errorf("linktest: close the link to %q: %v", upstream, err)
		}
		l.reportMissed()
	})
	return l
}

// open opens the link and sets its address and target.
func (l *Link) open(protocol string) (closeLink func() error, err error) {
	l.target.Seed = 1
	if text := os.Getenv("FIREDRILL_SEED"); text != "" {
		if l.target.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			return nil, fmt.Errorf("read $FIREDRILL_SEED: %q is not a non-negative integer", text)
		}
	}
	if _, _, err := net.SplitHostPort(l.upstream); err != nil && !strings.HasPrefix(l.upstream, "unix:") {
		return nil, fmt.Errorf("it is not host:port or unix:path (of an httptest.Server, pass s.Listener.Addr().String()): %w", err)
	}
	const name = "test -> dependency" // part of random choices, so it holds no port
	row := protocols.All().Find(protocol)
	switch {
	case row == nil && protocol != "tcp":
		return nil, fmt.Errorf("unknown protocol %q: use one of %s", protocol, strings.Join(protocols.All().Names(), ", "))
	case row != nil && row.UDP:
		open, err := datagram.Open(datagram.Config{Name: name, Protocol: protocol, Upstream: l.upstream})
		if err != nil {
			return nil, err
		}
		l.addr, l.target.Datagrams, l.target.Relay = open.Addr(), open, open.Relay()
		return open.Close, nil
	}
	cfg := link.Config{Name: name, Upstream: l.upstream}
	if row != nil {
		relay, err := message.New(*row, message.Config{Link: name})
		if err != nil {
			return nil, err
		}
		l.target.Relay = relay
		cfg.Serve = func(ctx context.Context, c link.Conn, dial func(context.Context) (net.Conn, error)) {
			relay.Serve(ctx, c, dial)
		}
	}
	open, err := link.Open(cfg)
	if err != nil {
		return nil, err
	}
	l.addr, l.target.Link = open.Addr(), open
	return open.Close, nil
}

// Addr returns the address that the code under test has to use instead of the dependency's: a host:port on loopback.
func (l *Link) Addr() string { return l.addr }

// Inject makes a fault live, for connections that exist and new ones, and returns as soon as it acts. Faults that are
// live at the same time act together. A fault that cannot act on the link, such as one on calls where the protocol is
// "tcp", ends the test.
func (l *Link) Inject(fault injector.Fault) *Fault {
	l.t.Helper()
	f := &Fault{l: l, fault: fault, sentence: fault.Say("test", l.upstream), where: caller()}
	target := l.target
	f.count = evidence.NewCounter(fault.Kind().On)
	l.mu.Lock()
	l.injected++
	target.ID, target.Count = fmt.Sprint("fault ", l.injected), f.count
	l.mu.Unlock()
	var err error
	if f.heal, err = fault.Inject(l.t.Context(), target); err != nil {
		l.t.Fatalf("linktest: %s: %v", f.sentence, err)
	}
	l.mu.Lock()
	l.faults = append(l.faults, f)
	l.mu.Unlock()
	l.t.Logf("injected: %s", f.sentence)
	return f
}

// Heal heals all live faults, in the reverse order of their injection.
func (l *Link) Heal() {
	l.t.Helper()
	l.mu.Lock()
	faults := l.faults
	l.mu.Unlock()
	for i := len(faults) - 1; i >= 0; i-- {
		faults[i].Heal()
	}
}

// reportMissed fails the test for each fault that acted on nothing, unless the test failed or was skipped anyway.
func (l *Link) reportMissed() {
	if l.t.Failed() || l.t.Skipped() {
		return
	}
	for _, f := range l.faults {
		if why := f.missed(); why != "" {
			l.t.Errorf("%s: %s: %s", f.where, f.sentence, why)
		}
	}
}

// Fault is a fault that was injected.
type Fault struct {
	l        *Link
	fault    injector.Fault
	sentence string // of a feature file
	where    string // file:line of the call of Inject
	count    *evidence.Counter
	heal     injector.Heal

	mu              sync.Mutex
	healed, mayMiss bool
}

// Heal ends the fault: what it held back is forwarded. It returns when the fault does not act any more. Further calls do
// nothing. Without it, the fault lives until the test ends.
func (f *Fault) Heal() {
	f.l.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.healed {
		return
	}
	f.healed = true
	ctx, cancel := context.WithTimeout(context.Background(), healBound) // t.Context is done when the test ends
	defer cancel()
	if err := f.heal(ctx); err != nil {
		f.l.t.Errorf("%s: heal %s: %v", f.where, f.sentence, err)
	}
}

// Affected returns how many calls, messages, connections or chunks of traffic the fault has acted on. What a fault
// delays or holds is counted when it is released at the latest. For injector.Refuse it is a lower bound: connects that
// the operating system refuses reach no link.
func (f *Fault) Affected() int64 { return f.count.Tally().Affected }

// Tally returns everything that was counted, such as delays, and how often each operation was affected.
func (f *Fault) Tally() evidence.Tally { return f.count.Tally() }

// MayMiss allows the fault to act on nothing. It returns the fault.
func (f *Fault) MayMiss() *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mayMiss = true
	return f
}

// missed returns what shows that the fault acted on nothing, or "" if it acted or need not act.
func (f *Fault) missed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.count.Tally()
	if _, uncounted := f.fault.(injector.Refuse); uncounted || f.mayMiss || t.Affected > 0 {
		return ""
	}
	why := fmt.Sprintf("it acted on none of the %d %s that passed", t.Seen, t.Unit)
	for reason, n := range t.Skipped {
		why += fmt.Sprintf("; %d were chosen but left alone: %s", n, reason)
	}
	switch {
	case t.Idle > 0:
		why += fmt.Sprintf("; %d connections were not in use when it changed them", t.Idle)
	case t.Seen == 0:
		why += fmt.Sprintf(": does the code under test use %s, the address of the link, while the fault is live?", f.l.addr)
	default:
		why += ": select more of them, or call MayMiss if the test is right without the fault"
	}
	return why
}

// caller returns file:line of the first caller outside this file.
func caller() string {
	_, self, _, _ := runtime.Caller(0)
	for skip := 1; ; skip++ {
		_, file, line, ok := runtime.Caller(skip)
		if !ok {
			return "?"
		}
		if file != self {
			return fmt.Sprintf("%s:%d", filepath.Base(file), line)
		}
	}
}
