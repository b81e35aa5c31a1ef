package linktest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/linktest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(relaytest.Starter)) }

// ledger is a dependency that counts the charges that it made.
func ledger(t testing.TB) (addr string, charges *atomic.Int64) {
	charges = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, charges.Add(1))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), charges
}

// charge is the code under test: a client without connections of its own.
func charge(addr string, timeout time.Duration) error {
	client := http.Client{Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+addr+"/charge", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return err
}

const patience = time.Minute // how long a test waits for what must happen

func TestFaultsOnCalls(t *testing.T) {
	t.Parallel()
	addr, charges := ledger(t)
	l := linktest.New(t, "http", addr)
	require.NoError(t, charge(l.Addr(), patience))

	lost := l.Inject(injector.LoseReplies{Pick: injector.Pick{First: 1}})
	require.Error(t, charge(l.Addr(), patience))
	require.EqualValues(t, 2, charges.Load(), "the work was done")
	require.NoError(t, charge(l.Addr(), patience))
	require.EqualValues(t, 1, lost.Affected())
	require.Equal(t, map[string]int64{"POST /charge": 1}, lost.Tally().Ops)
	lost.Heal()
	lost.Heal()

	busy := l.Inject(injector.Answer{Status: 503, Pick: injector.Pick{Match: message.Match{Method: "POST"}}})
	require.EqualError(t, charge(l.Addr(), patience), "503 Service Unavailable")
	l.Heal()
	require.NoError(t, charge(l.Addr(), patience))
	require.EqualValues(t, 1, busy.Affected(), "a healed fault acts no more")
	require.EqualValues(t, 4, charges.Load())
}

func TestFaultsOnTraffic(t *testing.T) {
	t.Parallel()
	addr, _ := ledger(t)
	l := linktest.New(t, "tcp", addr)
	slow := l.Inject(injector.SlowTraffic{By: time.Minute})
	require.ErrorIs(t, charge(l.Addr(), 2*time.Second), context.DeadlineExceeded)
	slow.Heal()
	require.Positive(t, slow.Affected())

	cut := l.Inject(injector.CutOff{Dir: link.ToClient})
	require.ErrorIs(t, charge(l.Addr(), 2*time.Second), context.DeadlineExceeded)
	cut.Heal()
	require.Positive(t, cut.Affected())

	l.Inject(injector.Reset{})
	require.Error(t, charge(l.Addr(), patience))
	l.Heal()
	require.NoError(t, charge(l.Addr(), patience))
}

// A refused port is never reported as a fault that did nothing: refused connects reach no link.
func TestRefusedFromTheBeginning(t *testing.T) {
	t.Parallel()
	addr, _ := ledger(t)
	l := linktest.New(t, "http", addr)
	down := l.Inject(injector.Refuse{})
	require.ErrorIs(t, charge(l.Addr(), patience), syscall.ECONNREFUSED)
	down.Heal()
	require.NoError(t, charge(l.Addr(), patience))
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer server.Close()
	l := linktest.New(t, "udp", server.LocalAddr().String())
	twice := l.Inject(injector.MessagesTwice{})
	client, err := net.Dial("udp", l.Addr())
	require.NoError(t, err)
	defer client.Close()
	_, err = io.WriteString(client, "tick")
	require.NoError(t, err)
	require.NoError(t, server.SetReadDeadline(time.Now().Add(patience)))
	for range 2 {
		buf := make([]byte, 16)
		n, _, err := server.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, "tick", string(buf[:n]))
	}
	require.Eventually(t, func() bool { return twice.Affected() == 1 }, patience, time.Millisecond)
}

// TestSharesDependOnTheSeed verifies that a share selects the same calls on every link, and others with another seed.
func TestSharesDependOnTheSeed(t *testing.T) {
	addr, _ := ledger(t)
	chosen := func(seed string) (calls string) {
		t.Setenv("FIREDRILL_SEED", seed)
		l := linktest.New(t, "http", addr)
		f := l.Inject(injector.LoseRequests{Pick: injector.Pick{Share: 0.5}})
		for range 40 {
			calls += map[bool]string{true: "x", false: "."}[charge(l.Addr(), patience) != nil]
		}
		require.EqualValues(t, strings.Count(calls, "x"), f.Affected())
		return calls
	}
	first := chosen("")
	require.Equal(t, first, chosen("1"))
	require.NotEqual(t, first, chosen("2"))
}

// recorder is a test whose outcome is recorded instead of reported.
type recorder struct {
	testing.TB
	lines    []string
	logged   []string
	cleanups []func()
	failed   bool
	skipped  bool
}

func (r *recorder) Helper()          {}
func (r *recorder) Failed() bool     { return r.failed }
func (r *recorder) Skipped() bool    { return r.skipped }
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Logf(format string, args ...any) {
	r.logged = append(r.logged, fmt.Sprintf(format, args...))
}

func (r *recorder) Errorf(format string, args ...any) {
	r.failed = true
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// record runs a test to its end and returns what it reported.
func record(t *testing.T, test func(*recorder)) []string {
	r := &recorder{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		test(r)
	}()
	<-ended
	for i := len(r.cleanups) - 1; i >= 0; i-- {
		r.cleanups[i]()
	}
	return r.lines
}

func TestFailures(t *testing.T) {
	addr, _ := ledger(t)
	calls := func(l *linktest.Link, n int) {
		for range n {
			_ = charge(l.Addr(), patience)
		}
	}
	later := injector.LoseReplies{Pick: injector.Pick{From: 10, To: 11}}
	for name, c := range map[string]struct {
		test func(*recorder)
		want string // in the only line; "" means that the test passes
	}{
		"acted on nothing": {
			func(r *recorder) { l := linktest.New(r, "http", addr); l.Inject(later); calls(l, 3) },
			`replies from "` + addr + `" to "test" are lost after the work was done: it acted on none of the 3 calls that passed`,
		},
		"allowed to act on nothing": {
			func(r *recorder) { l := linktest.New(r, "http", addr); l.Inject(later).MayMiss(); calls(l, 3) }, "",
		},
		"not used": {
			func(r *recorder) { linktest.New(r, "http", addr).Inject(injector.SlowCalls{By: time.Second}) },
			"none of the 0 calls that passed: does the code under test use 127.0.0.1:",
		},
		"failed anyway": {
			func(r *recorder) { linktest.New(r, "http", addr).Inject(later); r.Errorf("another reason") }, "another reason",
		},
		"skipped": {
			func(r *recorder) { linktest.New(r, "http", addr).Inject(later); r.skipped = true }, "",
		},
		"no such protocol": {
			func(r *recorder) { linktest.New(r, "htpp", addr) }, `unknown protocol "htpp": use one of tcp, dns, grpc, http,`,
		},
		"needs a framing": {
			func(r *recorder) { linktest.New(r, "lengths", addr) }, "its width must be 1, 2, 4 or 8 (linktest.Framing declares the framing)",
		},
		"calls over tcp": {
			func(r *recorder) { linktest.New(r, "tcp", addr).Inject(later) },
			"the link's protocol is tcp, which has no calls: pass linktest.New one of tcp, dns, grpc, http,",
		},
		"no known reply": {
			func(r *recorder) { linktest.New(r, "lines", addr).Inject(later) },
			"declare the framing as lockstep (linktest.Framing declares the framing)",
		},
		"framing of http": {
			func(r *recorder) { linktest.New(r, "http", addr, linktest.Framing(message.Framing{Lockstep: true})) },
			"framing of http: only lines and lengths have one to declare",
		},
		"framing of bytes": {
			func(r *recorder) { linktest.New(r, "tcp", addr, linktest.Framing(message.Framing{Lockstep: true})) },
			"leave linktest.Framing out, or use lines or lengths",
		},
		"TLS as bytes": {
			func(r *recorder) { linktest.New(r, "tcp", addr, linktest.TLS(nil)) }, "leave linktest.TLS out, or name what is inside: tcp, dns,",
		},
		"TLS over UDP": {
			func(r *recorder) { linktest.New(r, "dns", addr, linktest.TLS(nil)) }, "dns goes over UDP, where there is no TLS: leave linktest.TLS out",
		},
		"no CA": {
			func(r *recorder) { linktest.New(r, "http", addr).CA() }, "has no CA, because it does not end TLS: pass linktest.TLS to linktest.New",
		},
		"fault on a service": {
			func(r *recorder) { linktest.New(r, "http", addr).Inject(injector.Crash{}) }, "inject a fault on a service",
		},
		"not an address": {
			func(r *recorder) { linktest.New(r, "http", "http://"+addr) }, `it is not host:port or unix:path`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			lines := record(t, c.test)
			if c.want == "" {
				require.Empty(t, lines)
				return
			}
			require.Len(t, lines, 1)
			require.Contains(t, lines[0], c.want)
			if strings.Contains(c.want, "none of") {
				assert.Regexp(t, `^linktest_test\.go:\d+: `, lines[0])
			}
		})
	}
}

func TestSeedIsANumber(t *testing.T) {
	t.Setenv("FIREDRILL_SEED", "x")
	lines := record(t, func(r *recorder) { linktest.New(r, "tcp", "127.0.0.1:1") })
	require.Equal(t, []string{`linktest: open a link to "127.0.0.1:1": read $FIREDRILL_SEED: "x" is not a non-negative integer`}, lines)
}

// TestEndsWithTheTest verifies that the end of a test heals its faults and closes its link.
func TestEndsWithTheTest(t *testing.T) {
	addr, charges := ledger(t)
	var l *linktest.Link
	answers := make(chan error, 1)
	lines := record(t, func(r *recorder) {
		l = linktest.New(r, "http", addr)
		f := l.Inject(injector.SlowCalls{By: time.Hour})
		go func() { answers <- charge(l.Addr(), patience) }()
		require.Eventually(t, func() bool { return f.Tally().Seen > 0 }, patience, time.Millisecond)
	})
	require.Empty(t, lines)
	<-answers // it was answered, or reset when the link closed, but does not wait any more
	require.ErrorIs(t, charge(l.Addr(), patience), syscall.ECONNREFUSED)
	require.LessOrEqual(t, charges.Load(), int64(1))
}

// Faults work in benchmarks, too.
func BenchmarkCharge(b *testing.B) {
	addr, _ := ledger(b)
	l := linktest.New(b, "http", addr)
	for b.Loop() {
		if err := charge(l.Addr(), patience); err != nil {
			b.Fatal(err)
		}
	}
}
