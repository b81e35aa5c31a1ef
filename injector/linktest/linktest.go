// Package linktest injects faults from ordinary Go tests. It needs no feature file, no runner and no load:
//
//	l := linktest.New(t, "http", payments.Listener.Addr().String())
//	f := l.Inject(injector.LoseReplies{Pick: injector.Pick{First: 1}})
//	// ... use l.Addr() as the address of payments; f.Affected() is the number of replies that were lost
//
// Any fault of package injector that acts on a link can be injected. Faults on single calls and messages need the
// protocol of the dependency, and TLS if it uses that: the link then ends the TLS of its clients and begins its own.
//
//	l := linktest.New(t, "postgres", address, linktest.TLS(roots)) // roots have signed the certificate of the dependency
//	// ... clients of l.Addr() have to trust l.CA(), or the certificate in the file l.CAFile()
//
// When the test ends, all faults are healed and the
// link is closed. A fault that acted on nothing by then fails the test, because a test whose fault never acted shows
// nothing; see Fault.MayMiss.
package linktest

import (
	"context"
	"crypto/x509"
	"errors"
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

	"github.com/dustin/go-humanize/english"

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
	row      *message.Protocol // nil for "tcp"
	framing  message.Framing
	tls      *link.TLS       // nil if TLS passes through
	target   injector.Target // without ID and counter

	mu        sync.Mutex
	injected  int // including faults that could not be injected
	faults    []*Fault
	unread    failures // connections that are not what the protocol says
	tlsFailed failures // connections on which TLS failed
}

// Option is a property of a link that few need.
type Option func(*Link)

// TLS makes the link end the TLS of its clients and use its own TLS to the dependency, so that faults act on the calls
// and messages inside. The certificate of the dependency has to be signed by roots; nil means the machine's. The link
// presents a certificate for the name that a client asks for and for its own address, signed by a CA that clients have
// to trust: see Link.CA. Clients that present a certificate, or pin one, cannot be served.
//
// TLS begins as each client begins it: at once, or, with "postgres", after asking for it. With "nats" it has to come
// first (TLSHandshakeFirst).
func TLS(roots *x509.CertPool) Option {
	return func(l *Link) { l.tls = &link.TLS{Roots: roots, Failed: l.noteTLSFailure} }
}

// Framing says how the messages of your own protocol are marked, for "lines" and "lengths".
func Framing(f message.Framing) Option { return func(l *Link) { l.framing = f } }

// New opens a link to the dependency at upstream, a host:port or unix:path, and closes it when the test ends.
//
// The protocol is that of the dependency: "http", "grpc", "redis", "nats", "postgres", "lines", "lengths", "udp", "dns"
// or "statsd". With it, faults act on single calls or messages. "tcp" forwards bytes, TLS included, so that only faults
// on connections and traffic act. An unknown protocol ends the test.
//
// Random choices, such as those of Pick.Share, depend on the environment variable FIREDRILL_SEED, an integer that is 1
// if it is not set, and on nothing that differs between runs.
func New(t testing.TB, protocol, upstream string, options ...Option) *Link {
	t.Helper()
	l := &Link{t: t, upstream: upstream}
	for _, option := range options {
		option(l)
	}
	closeLink, err := l.open(protocol)
	if err != nil {
		t.Fatalf("linktest: open a link to %q: %v", upstream, err)
	}
	t.Cleanup(func() {
		l.Heal()
		if err := closeLink(); err != nil {
			t.Errorf("linktest: close the link to %q: %v", upstream, err)
		}
		l.awaitCounts()
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
	l.row = protocols.All().Find(protocol)
	switch row := l.row; {
	case row == nil && protocol != "tcp":
		return nil, fmt.Errorf("unknown protocol %q: use one of %s", protocol, known())
	case row == nil && l.tls != nil:
		return nil, fmt.Errorf("the protocol is tcp, which forwards TLS as bytes: leave linktest.TLS out, or name what is inside: %s", known())
	case row != nil && row.UDP && l.tls != nil:
		return nil, fmt.Errorf("%s goes over UDP, where there is no TLS: leave linktest.TLS out", protocol)
	case row == nil && l.framing != message.Framing{}:
		return nil, errors.New("the protocol is tcp, which has no messages: leave linktest.Framing out, or use lines or lengths")
	case row != nil && row.UDP:
		if err := row.CheckFraming(l.framing); err != nil {
			return nil, err
		}
		open, err := datagram.Open(datagram.Config{Name: name, Protocol: protocol, Upstream: l.upstream})
		if err != nil {
			return nil, err
		}
		l.addr, l.target.Datagrams, l.target.Relay = open.Addr(), open, open.Relay()
		return open.Close, nil
	}
	cfg := link.Config{Name: name, Upstream: l.upstream, TLS: l.tls}
	if l.tls != nil {
		l.tls.Request, l.tls.Grant = l.row.TLSRequest, l.row.TLSGrant
		if l.tls.CA, err = link.NewCA(); err != nil {
			return nil, err
		}
	}
	if l.row != nil {
		relay, err := message.New(*l.row, message.Config{Link: name, Framing: l.framing, Calls: l.noteUnread})
		if err != nil {
			return nil, fmt.Errorf("%w%s", err, l.framingHint())
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

// CA returns the certificate authority that clients have to trust. It ends the test if the link was opened without TLS.
func (l *Link) CA() *x509.CertPool {
	l.t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(l.caPEM())
	return pool
}

// CAFile returns a file with the certificate of CA in PEM format, for programs and connection strings. It is removed
// when the test ends.
func (l *Link) CAFile() string {
	l.t.Helper()
	file := filepath.Join(l.t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, l.caPEM(), 0o644); err != nil { //nolint:gosec // a certificate is public
		l.t.Fatalf("linktest: write the CA of the link to %q: %v", l.upstream, err)
	}
	return file
}

func (l *Link) caPEM() []byte {
	l.t.Helper()
	if l.tls == nil {
		l.t.Fatalf("linktest: the link to %q has no CA, because it does not end TLS: pass linktest.TLS to linktest.New", l.upstream)
	}
	return l.tls.CA.PEM()
}

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
	if on := fault.Kind().On; l.row == nil && (on == "calls" || on == "messages") {
		l.t.Fatalf("linktest: %s: the link's protocol is tcp, which has no %s: pass linktest.New one of %s, or inject a fault on connections or traffic", f.sentence, on, known())
	}
	if f.heal, err = fault.Inject(l.t.Context(), target); err != nil {
		l.t.Fatalf("linktest: %s: %v%s", f.sentence, err, l.framingHint())
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

// awaitCounts waits until all that the faults did is counted. A copy is counted once it is written, which its receiver
// may notice first.
func (l *Link) awaitCounts() {
	if l.target.Relay == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), healBound)
	defer cancel()
	_, _, _ = l.target.Relay.Quiesce(ctx) // of a closed link: nothing is held
}

// reportMissed fails the test for each fault that acted on nothing, unless the test was skipped. If the test failed
// anyway, it logs them: they may be the reason.
func (l *Link) reportMissed() {
	if l.t.Skipped() {
		return
	}
	report := l.t.Errorf
	if l.t.Failed() {
		report = l.t.Logf
	}
	for _, f := range l.faults {
		if why := f.missed(); why != "" {
			report("%s: %s: %s", f.where, f.sentence, why)
		}
	}
}

// known returns the protocols that a link can have.
func known() string { return strings.Join(protocols.All().Names(), ", ") }

// framingHint returns what to add to an error if a declared framing may be what is missing.
func (l *Link) framingHint() string {
	if l.row == nil || l.row.Frames == nil || l.framing.Lockstep {
		return ""
	}
	return " (linktest.Framing declares the framing)"
}

// failures counts connections that failed in the same way, and keeps the first reason.
type failures struct {
	n     int
	first string
}

func (f *failures) add(why string) {
	if f.n++; f.n == 1 {
		f.first = why
	}
}

// noteUnread is called for each call or message, and for each connection that is no longer parsed.
func (l *Link) noteUnread(c message.Call) {
	if c.Op == "" && c.Skipped != "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.unread.add(c.Skipped)
	}
}

func (l *Link) noteTLSFailure(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tlsFailed.add(err.Error())
}

// unreadable describes the connections that no fault on calls or messages could act on, and what to do about them. It
// returns "" if there were none.
func (l *Link) unreadable() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.tlsFailed.n > 0:
		return fmt.Sprintf("TLS failed on %s: %s; clients have to trust Link.CA, and linktest.TLS has to be passed the CA of the dependency",
			english.Plural(l.tlsFailed.n, "connection", ""), l.tlsFailed.first)
	case l.unread.n > 0 && l.tls == nil:
		return fmt.Sprintf("%s passed as bytes: %s; if it is TLS, pass linktest.TLS to linktest.New", english.Plural(l.unread.n, "connection", ""), l.unread.first)
	case l.unread.n > 0:
		return fmt.Sprintf("%s passed as bytes: %s; is %s the protocol?", english.Plural(l.unread.n, "connection", ""), l.unread.first, l.row.Name)
	}
	return ""
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
