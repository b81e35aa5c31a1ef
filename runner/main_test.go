package runner_test

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// One thread starts all processes and never exits, since a process is killed when the thread that
// started it exits.
func TestMain(m *testing.M) {
	if role := os.Getenv("ROLE"); role != "" {
		playRole(role)
	}
	_ = os.Setenv(checkoutToken, checkoutTokenValue)
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue { // drills wait for most of their time
		_ = flag.Set("test.parallel", strconv.Itoa(runtime.GOMAXPROCS(0)+2))
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/firedrill-dev/firedrill/injector/process.init.func1.1"))
}

// orders is a service in this process that applies one order per key, unless it is set to forget keys.
type orders struct {
	forgets bool // the deliberate bug

	mu      sync.Mutex
	seen    map[string]int // by key: number of requests received
	arrived int
	effects []journal.Effect
}

func (o *orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.URL.Path == "/ledger" {
		_, _ = io.WriteString(w, "[")
		for i, e := range o.effects {
			_, _ = io.WriteString(w, strings.Repeat(",", min(i, 1))+`{"key":"`+e.Key+`","id":"`+e.ID+`"}`)
		}
		_, _ = io.WriteString(w, "]")
		return
	}
	_, _ = io.Copy(io.Discard, r.Body)
	key := r.Header.Get("Idempotency-Key")
	if o.seen == nil {
		o.seen = map[string]int{}
	}
	o.arrived++
	if o.seen[key]++; o.seen[key] == 1 || o.forgets {
		o.effects = append(o.effects, journal.Effect{Key: key, ID: fmt.Sprint("o-", len(o.effects)+1)})
	}
	_, _ = io.WriteString(w, "ordered "+key)
}

// reset forgets all requests, before the same drill is run again.
func (o *orders) reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen, o.arrived, o.effects = nil, 0, nil
}

// counts returns the number of requests received and of distinct keys.
func (o *orders) counts() (requests, keys int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.arrived, len(o.seen)
}

// drill returns a builder with orders behind a link used by the clients, and a load with keys.
func drill(name string, h http.Handler, l scenarios.Load, sources ...scenarios.DeclaredSource) *scenarios.Builder {
	if l.Rate == 0 && l.Shape != scenarios.Counted {
		l.Rate = 50
	}
	if l.GiveUp == 0 {
		l.GiveUp = 30 * time.Second // on a machine that pauses, requests become late but do not fail
	}
	if l.Mix == nil {
		l.Mix = []scenarios.Route{{Method: "POST", Path: "/orders", Body: `{"n":{{n}}}`, Share: 1}}
	}
	b := scenarios.New(name).
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Handler: h, Serves: []string{"/"}}},
			Links:    []scenarios.Link{{From: "clients", To: "orders", Protocol: "http"}},
			Effects:  sources,
		}).
		Load(l)
	if l.Shape == scenarios.Counted {
		return b
	}
	return b.Baseline(time.Second)
}

func keyedLoad() scenarios.Load {
	return scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Retries: 3}
}

// build builds the experiment with a shorter recovery, which these tests do not check.
func build(t *testing.T, b *scenarios.Builder) *scenarios.Experiment {
	t.Helper()
	e, err := b.Build()
	require.NoError(t, err)
	e.Recovery = min(e.Recovery, 500*time.Millisecond)
	return e
}

// run runs one experiment and returns its history. If it is run a second time, because the machine was
// busy, handlers with a reset method are reset.
func run(t *testing.T, o runner.Options, e *scenarios.Experiment) (*runner.Result, *journal.History) {
	t.Helper()
	res := runner.Steadily(t, func() (*runner.Result, error) {
		for _, s := range e.System.Services {
			if h, ok := s.Handler.(interface{ reset() }); ok {
				h.reset()
			}
		}
		o.Dir = t.TempDir()
		return runner.RunExperiments(t.Context(), o, e)
	})
	require.Len(t, res.Book.Scenarios, 1)
	h := res.Book.Scenarios[0]
	t.Logf("%s: %s", res.Outcome, strings.Join(runner.Failures(h), "\n"))
	return res, h
}

// verdict returns the verdict of a check.
func verdict(t *testing.T, h *journal.History, c check.Check) journal.Verdict {
	t.Helper()
	i := slices.IndexFunc(h.Verdicts, func(v journal.Verdict) bool { return v.Check == c.String() })
	require.GreaterOrEqual(t, i, 0, "no verdict on %q", c)
	return h.Verdicts[i]
}

// featureFS returns a file system with a feature and a system of one service in this process.
func featureFS(feature string) fstest.MapFS {
	return fstest.MapFS{
		"system.yaml": {Data: []byte("services:\n  orders:\n    serves: [/orders, /ledger]\nclients:\n  depends: {orders: http}\n")},
		"a.feature":   {Data: []byte(feature)},
	}
}

func pickShare(share float64) injector.Pick { return injector.Pick{Share: share} }
