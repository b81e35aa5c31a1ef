package probes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/firedrill-dev/firedrill/injector/process.init.func1.1"))
}

const exposition = `# HELP orders_total Orders.
# TYPE orders_total counter
orders_total{status="ok",code="201"} 40 1712345678000
orders_total{status="ok",code="200"} 2
orders_total{status="failed",note="a } in \"quotes\""} 3
orders_total_created 99
  queue  7.5
empty{} 0
broken NaN
words many
checkouts_total{a="b"} 17 # {trace_id="x"} 1.0
checkouts_total{a="c # {d=\"e\"} 5"} 3 1712345678.5 # {trace_id="y}"} 2.0 1712345678.1
carts_total 19 # {trace_id="x"} 1.0
carts_total_bytes 23 # {} 1.0
spaced {a="b"}	29
`

// serve answers as real services do.
func serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ok":
		fmt.Fprint(w, "all is well")
	case "/down":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "/moved":
		http.Redirect(w, r, "/ok", http.StatusFound)
	case "/json":
		fmt.Fprint(w, `{"data": {"ready": true, "result": [{"value": [1712345678, "12.5"]}], "name": "blue", "none": null}}`)
	case "/metrics":
		fmt.Fprint(w, exposition)
	case "/long":
		fmt.Fprint(w, strings.Repeat("x", maxBody+1))
	case "/cut":
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "less")
	case "/slow":
		<-r.Context().Done()
	}
}

// target returns services to ask: up serves, refusing refuses connections, socket serves at a Unix socket.
func target(t *testing.T) Target {
	t.Helper()
	up := httptest.NewServer(http.HandlerFunc(serve))
	t.Cleanup(up.Close)
	refusing := machine.FreeAddr(t)
	dir, err := os.MkdirTemp("", "probes")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	unix, err := net.Listen("unix", path)
	require.NoError(t, err)
	socket := &httptest.Server{Listener: unix, Config: &http.Server{Handler: http.HandlerFunc(serve), ReadHeaderTimeout: time.Minute}}
	socket.Start()
	t.Cleanup(socket.Close)
	addresses := map[string]string{"up": strings.TrimPrefix(up.URL, "http://"), "refusing": refusing, "socket": "unix:" + path}
	return Target{
		Trust: load.Trust{}, Address: func(service string) string { return addresses[service] },
		Command: func(name string) (process.Spec, error) {
			if name == "unknown" {
				return process.Spec{}, errors.New("there is no such command")
			}
			return process.Spec{Name: name, Args: []string{"sh", "-c", name}, Log: filepath.Join(t.TempDir(), "log")}, nil
		},
	}
}

func value(v float64) *float64 { return &v }

// TestAnswers is the conformance test of the table of kinds: each answers yes or a number, no, nothing, and reports an
// error of this machine as such.
func TestAnswers(t *testing.T) {
	at := target(t)
	type probe = scenarios.Probe
	const quick = 100 * time.Millisecond
	metric := func(series string) probe { return probe{Metric: "up GET /metrics", Series: series} }
	covered := map[string]map[string]bool{}
	for _, c := range []struct {
		probe probe
		want  Answer
	}{
		{probe{HTTP: "up GET /ok"}, Answer{Yes: true, Detail: "status 200"}},
		{probe{HTTP: "socket GET /ok"}, Answer{Yes: true, Detail: "status 200"}},
		{probe{HTTP: "up GET /ok", Contains: "well"}, Answer{Yes: true, Detail: "status 200"}},
		{probe{HTTP: "up GET /ok", Contains: "ill"}, Answer{Detail: `status 200, and the body does not contain "ill"`}},
		{probe{HTTP: "up GET /down"}, Answer{Detail: "status 503"}},
		{probe{HTTP: "up GET /moved"}, Answer{Detail: "status 302"}},
		{probe{HTTP: "up GET /down", Status: 503}, Answer{Yes: true, Detail: "status 503"}},
		{probe{HTTP: "up GET /ok", Status: 503}, Answer{Detail: "status 200"}},
		{probe{HTTP: "up GET /json", JSON: "data.ready", Is: "true"}, Answer{Yes: true, Detail: "status 200, and data.ready is true"}},
		{probe{HTTP: "up GET /json", JSON: "data.name", Is: "green"}, Answer{Detail: "status 200, and data.name is blue"}},
		{probe{HTTP: "up GET /json", JSON: "data.result.1.value", Is: "1"}, Answer{Unanswered: "there is nothing at data.result.1"}},
		{probe{HTTP: "up GET /ok", JSON: "data", Is: "1"}, Answer{Unanswered: "the answer is not JSON: invalid character 'a' looking for beginning of value"}},
		{probe{HTTP: "up GET /long"}, Answer{Unanswered: "status 200, with a body of more than 4 MiB", Status: 200}},
		{probe{HTTP: "up GET /cut"}, Answer{Unanswered: "unexpected EOF", Status: 200}},
		{probe{HTTP: "up GET /slow", Within: quick}, Answer{Unanswered: "no answer within 100ms"}},
		{probe{HTTP: "refusing GET /ok"}, Answer{Unanswered: "connection refused"}},

		{probe{TCP: "up"}, Answer{Yes: true, Detail: "accepted"}},
		{probe{TCP: "socket"}, Answer{Yes: true, Detail: "accepted"}},
		{probe{TCP: "refusing"}, Answer{Detail: "connection refused"}},

		{probe{Command: "exit 0"}, Answer{Yes: true, Detail: "exit status 0"}},
		{probe{Command: "echo in; echo sync"}, Answer{Yes: true, Detail: "exit status 0: sync"}},
		{probe{Command: "echo lagging; exit 3"}, Answer{Detail: "exit status 3: lagging"}},
		{probe{Command: "sleep 1000", Within: quick}, Answer{Unanswered: "no answer within 100ms"}},
		{probe{Command: "unknown"}, Answer{Local: "there is no such command"}},

		{metric("queue"), Answer{Value: value(7.5)}},
		{metric("empty"), Answer{Value: value(0)}},
		{metric("orders_total"), Answer{Value: value(45)}},
		{metric(`orders_total{status="ok"}`), Answer{Value: value(42)}},
		{metric(`orders_total{code="201", status="ok"}`), Answer{Value: value(40)}},
		{metric(`orders_total{note="a } in \"quotes\""}`), Answer{Value: value(3)}},
		{metric("checkouts_total"), Answer{Value: value(20)}},
		{metric(`checkouts_total{a="b"}`), Answer{Value: value(17)}},
		{metric(`checkouts_total{a="c # {d=\"e\"} 5"}`), Answer{Value: value(3)}},
		{metric(`checkouts_total{trace_id="x"}`), Answer{Unanswered: `there is no series checkouts_total{trace_id="x"}`}},
		{metric("carts_total"), Answer{Value: value(19)}},
		{metric("carts_total{}"), Answer{Value: value(19)}},
		{metric("spaced"), Answer{Value: value(29)}},
		{metric("carts_total 19"), Answer{Unanswered: `"carts_total 19" is not a series: write name{label="value"}`}},
		{metric("orders"), Answer{Unanswered: "there is no series orders"}},
		{metric(`orders_total{status=ok}`), Answer{Unanswered: `"orders_total{status=ok}" is not a series: write name{label="value"}`}},
		{metric("broken"), Answer{Unanswered: "the value is NaN"}},
		{metric("words"), Answer{Unanswered: `the value of words is "many", which is not a number`}},
		{probe{Metric: "up GET /json", JSON: "data.result.0.value.1"}, Answer{Value: value(12.5)}},
		{probe{Metric: "up GET /json", JSON: "data.name"}, Answer{Unanswered: "data.name is blue, which is not a number"}},
		{probe{Metric: "up GET /down", Series: "queue"}, Answer{Unanswered: "status 503"}},
		{probe{Metric: "refusing GET /metrics", Series: "queue"}, Answer{Unanswered: "connection refused"}},
	} {
		p := c.probe
		if p.Within == 0 {
			p.Within = time.Minute // whatever else this machine does
		}
		name := fmt.Sprint(p.HTTP, p.TCP, p.Command, p.Metric, " ", p.Series, p.JSON, p.Contains, p.Status)
		t.Run(name, func(t *testing.T) {
			for _, k := range kinds {
				if !k.is(p) {
					continue
				}
				got := once(t.Context(), p.Patience(), k.asker(p, at))
				assert.Equal(t, c.want, got)
				if covered[k.name] == nil {
					covered[k.name] = map[string]bool{}
				}
				covered[k.name][classOf(got)] = true
			}
		})
	}
	for _, k := range kinds {
		assert.True(t, covered[k.name]["yes"], "%s: yes, or a number", k.name)
		assert.True(t, covered[k.name]["no"], "%s: no, or no answer", k.name)
	}
}

func classOf(a Answer) string {
	switch {
	case a.Local != "":
		return "local"
	case a.Yes, a.Value != nil:
		return "yes"
	}
	return "no"
}

// An error of this machine is not an answer of the service.
func TestLocalErrors(t *testing.T) {
	for err, want := range map[string]error{
		"too many open files":   &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", errnoFiles)},
		"no local address left": &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errnoAddress)},
	} {
		a := failure(want)
		assert.Contains(t, a.Local, err)
		assert.Empty(t, a.Unanswered)
	}
	assert.Equal(t, Answer{Unanswered: "no answer within 1s"}, once(t.Context(), time.Second, func(ctx context.Context) Answer {
		<-ctx.Done()
		return failure(ctx.Err())
	}))
}
