package runner_test

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// cashier answers a known key as before and rejects it with another body. Its key function returns the
// key of a request.
type cashier struct {
	keyOf   func(r *http.Request, body []byte) string
	forgets *atomic.Bool // while set, keys are not remembered: the deliberate bug

	mu         sync.Mutex
	known      map[string][2]string // by key: body and answer
	n          int
	withoutKey int // number of requests without a key
}

// reset forgets all requests, before the same drill is run again.
func (s *cashier) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known, s.n, s.withoutKey = nil, 0, 0
}

func (s *cashier) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	key := s.keyOf(r, body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string][2]string{}
	}
	if key == "" {
		s.withoutKey++
	}
	if was, seen := s.known[key]; seen {
		if was[0] != string(body) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		_, _ = io.WriteString(w, was[1])
		return
	}
	s.n++
	answer := "order " + time.Now().String()
	if s.forgets == nil || !s.forgets.Load() {
		s.known[key] = [2]string{string(body), answer}
	}
	_, _ = io.WriteString(w, answer)
}

func inHeader(r *http.Request, _ []byte) string { return r.Header.Get("Idempotency-Key") }

func inBody(_ *http.Request, body []byte) string {
	var order struct{ Order string }
	_ = json.Unmarshal(body, &order)
	return order.Order
}

func inPath(r *http.Request, _ []byte) string { return r.URL.Path }

// A service that rejects a key with another body, and answers the same to the same request, passes
// wherever the key is placed.
func TestProbesWithAnotherBody(t *testing.T) {
	t.Parallel()
	same, other := check.SameResponse{}, check.KeyReuseRefused{Status: 422}
	orders := scenarios.Route{Method: "POST", Path: "/orders", Body: `{"n": {{n}}}`}
	keyInBody := scenarios.Route{Method: "POST", Path: "/orders", Body: `{"order": "{{key}}", "n": {{n}}}`}
	put := scenarios.Route{Method: "PUT", Path: "/orders/{{key}}", Body: `{"n": {{n}}}`}
	numbered := scenarios.Route{Method: "PUT", Path: "/orders/{{n}}", Body: `{"n": {{n}}}`}
	reads := scenarios.Route{Method: "GET", Path: "/orders"}
	header := scenarios.HeaderKey("Idempotency-Key")
	cashiers := map[string]*cashier{}
	var es []*scenarios.Experiment
	for name, c := range map[string]struct {
		keyOf func(*http.Request, []byte) string
		key   scenarios.Key
		mix   []scenarios.Route
	}{
		"header": {inHeader, header, []scenarios.Route{orders}}, "body": {inBody, header, []scenarios.Route{keyInBody}}, "path": {inPath, header, []scenarios.Route{put}},
		"number in the path": {inPath, header, []scenarios.Route{numbered}}, "beside reads": {inHeader, header, []scenarios.Route{orders, reads}},
		"field": {inBody, scenarios.Key{In: scenarios.InBody, Name: "order"}, []scenarios.Route{orders}}, "path only": {inPath, scenarios.Key{In: scenarios.InPath}, []scenarios.Route{put}},
		"query": {func(r *http.Request, _ []byte) string { return r.URL.Query().Get("key") }, scenarios.Key{In: scenarios.InQuery, Name: "key"}, []scenarios.Route{orders}},
	} {
		cashiers[name] = &cashier{keyOf: c.keyOf}
		es = append(es, build(t, drill(name, cashiers[name], scenarios.Load{Key: c.key, Rate: 100, Mix: c.mix}).Wait(time.Second).Check(same, other)))
	}
	for name, h := range runAll(t, es...) {
		for _, c := range []check.Check{same, other} {
			assert.Equal(t, "passed", stated(verdict(t, h, c)), "%s: %s %s", name, c, verdict(t, h, c).Reason)
		}
		assert.Len(t, h.Probes, 40, name)
		if name != "beside reads" {
			assert.Equal(t, h.Load.Sent, cashiers[name].n, "%s: no probe is a new order", name)
		}
		assert.Zero(t, cashiers[name].withoutKey, name)
	}
}

// The service remembers all keys except those of the fault.
func TestProbesFindKeysLostDuringTheFault(t *testing.T) {
	t.Parallel()
	forgets := &atomic.Bool{}
	watch := func(e journal.Event) {
		if e.Fault != nil && (e.Fault.Stage == "live" || e.Fault.Stage == "healed") {
			forgets.Store(e.Fault.Stage == "live")
		}
	}
	same, other := check.SameResponse{}, check.KeyReuseRefused{Status: 422}
	e := build(t, drill("forgetful", &cashier{keyOf: inHeader, forgets: forgets}, scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 40}).
		Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).For(2*time.Second).Check(same, other))
	_, h := run(t, runner.Options{Watch: watch}, e)
	for _, c := range []check.Check{same, other} {
		assert.Equal(t, "failed", stated(verdict(t, h, c)), verdict(t, h, c).Reason)
	}
	require.Len(t, h.Probes, 40)
	atHealing := 0
	for _, p := range h.Probes {
		if p.Window == journal.AtHealing {
			atHealing++
			continue
		}
		assert.Equal(t, journal.During, p.Window)
	}
	if len(h.Pauses) == 0 { // a stall keeps many requests in flight until healing
		assert.LessOrEqual(t, atHealing, 2, "requests of 1 ms, 25 ms apart")
	}
}

// A service that remembers all answers is not blamed for those that a fault changed on their way to the clients.
func TestProbesOfAlteredAnswers(t *testing.T) {
	t.Parallel()
	same, other := check.SameResponse{}, check.KeyReuseRefused{Status: 422}
	e := build(t, drill("altered", &cashier{keyOf: inHeader}, scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 40}).
		Inject("clients", "orders", injector.CorruptReplies{}).For(2*time.Second).Check(same, other))
	_, h := run(t, runner.Options{}, e)
	v := verdict(t, h, same)
	assert.Equal(t, "inconclusive", stated(v), v.Reason)
	assert.Contains(t, v.Reason, `which may be because "replies from \"orders\" to \"clients\" are corrupted" changed`)
	assert.Equal(t, "passed", stated(verdict(t, h, other)), verdict(t, h, other).Reason)
}

// Without an acknowledged key nothing can be sent again, and without a key of the fault nothing is
// proved about the fault.
func TestProbesWithoutKeys(t *testing.T) {
	t.Parallel()
	same, other := check.SameResponse{}, check.KeyReuseRefused{Status: 422}
	refusing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 25, GiveUp: time.Second}
	var all map[string]*journal.History
	for range 1 + runner.Repeats {
		all = runAll(t,
			build(t, drill("refused", refusing, load).Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).For(time.Second).Check(same, other)),
			build(t, drill("lost", &cashier{keyOf: inHeader}, load).Inject("clients", "orders", injector.LoseRequests{}).For(2*time.Second).Check(same, other)))
		if !slices.ContainsFunc(all["lost"].Probes, func(p journal.Probe) bool { return p.Window == journal.AtHealing }) {
			break
		} // else this machine was busy: a request that was due before healing was sent after it, and acknowledged
	}
	for name, why := range map[string]string{"refused": "no key could be sent again", "lost": "was acknowledged during the fault"} {
		for _, c := range []check.Check{same, other} {
			assert.Equal(t, "inconclusive", stated(verdict(t, all[name], c)), name)
			assert.Contains(t, verdict(t, all[name], c).Reason, why)
		}
	}
}

// repeatedAnswer handles known keys with a given function.
func repeatedAnswer(answer func(w http.ResponseWriter, known *cashier, r *http.Request)) http.Handler {
	known := &cashier{keyOf: inHeader}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		known.mu.Lock()
		_, seen := known.known[inHeader(r, nil)]
		known.mu.Unlock()
		if seen {
			answer(w, known, r)
			return
		}
		known.ServeHTTP(w, r)
	})
}

// An answer that leaves the outcome open, or means "not now", says nothing about the key, and the key
// is sent again. An answer that the check expects, or that persists and concerns the key, is final.
func TestProbesOfBusyService(t *testing.T) {
	t.Parallel()
	busy := func(status int) http.Handler {
		return repeatedAnswer(func(w http.ResponseWriter, _ *cashier, _ *http.Request) { w.WriteHeader(status) })
	}
	first := func(status, n int) http.Handler { // the first n repetitions get the status, as after broken connections
		var count atomic.Int64
		return repeatedAnswer(func(w http.ResponseWriter, known *cashier, r *http.Request) {
			if count.Add(1) <= int64(n) {
				w.WriteHeader(status)
				return
			}
			known.ServeHTTP(w, r)
		})
	}
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 40}
	same, other := check.SameResponse{}, check.KeyReuseRefused{Status: 429}
	var es []*scenarios.Experiment
	for name, h := range map[string]http.Handler{
		"503": busy(503), "429": busy(429), "500": busy(500), "408": busy(408), "409": busy(409), "404": busy(404),
	} {
		es = append(es, build(t, drill(name, h, load).Wait(time.Second).Check(same, other)))
	}
	for name, h := range map[string]http.Handler{"one 500": first(500, 1), "eight 500": first(500, 8), "thirty 409": first(409, 30), "ten 425": first(425, 10)} {
		es = append(es, build(t, drill(name, h, load).Wait(time.Second).Check(same, check.KeyReuseRefused{Status: 422})))
	}
	all := runAll(t, es...)
	for name, want := range map[string][2]string{
		"503": {"inconclusive", "inconclusive"}, "429": {"inconclusive", "passed"}, "500": {"inconclusive", "inconclusive"}, "408": {"inconclusive", "inconclusive"},
		"409": {"failed", "failed"}, "404": {"failed", "failed"},
		"one 500": {"passed", "passed"}, "eight 500": {"passed", "passed"}, "thirty 409": {"passed", "passed"}, "ten 425": {"passed", "passed"},
	} {
		for i, v := range all[name].Verdicts[len(all[name].Verdicts)-2:] {
			assert.Equal(t, want[i], stated(v), "%s: %s: %s", name, v.Check, v.Reason)
		}
	}
	assert.Contains(t, verdict(t, all["500"], same).Reason, "status 500 each time")
	assert.Contains(t, verdict(t, all["404"], same).Details[0], ": status 404, and 200 at first")
}

// 200 and 201 mean the same to a client if the body is the same. Another body is another answer.
func TestReplayWithAnotherStatus(t *testing.T) {
	t.Parallel()
	replays := func(body string) http.Handler {
		return repeatedAnswer(func(w http.ResponseWriter, known *cashier, r *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			if body != "" {
				_, _ = io.WriteString(w, body)
				return
			}
			known.mu.Lock()
			defer known.mu.Unlock()
			_, _ = io.WriteString(w, known.known[inHeader(r, nil)][1])
		})
	}
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 40}
	same := check.SameResponse{}
	all := runAll(t,
		build(t, drill("same body", replays(""), load).Wait(time.Second).Check(same)),
		build(t, drill("another body", replays("order of 1900, token=abc\x1b"), load).Wait(time.Second).Check(same)))
	assert.Equal(t, "passed", stated(verdict(t, all["same body"], same)), verdict(t, all["same body"], same).Reason)
	v := verdict(t, all["another body"], same)
	assert.Equal(t, "failed", stated(v))
	assert.Regexp(t, `another body: order of 1900, token=\*\*\* instead of order 20.* \(status 202, and 200 at first\)`, v.Details[0])
}

// A service that has forgotten a key applies the request again. Its answer is the same, since it
// contains no order number.
func TestProbesFindReappliedKeys(t *testing.T) {
	t.Parallel()
	same, once := check.SameResponse{}, check.ExactlyOnce{}
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 40}
	all := runAll(t,
		build(t, drill("forgets", &orders{forgets: true}, load).EffectsFrom("GET /ledger").EffectsSettle(time.Second).Wait(time.Second).Check(same, once)),
		build(t, drill("remembers", &orders{}, load).EffectsFrom("GET /ledger").EffectsSettle(time.Second).Wait(time.Second).Check(same, once)))
	for _, c := range []check.Check{same, once} {
		v := verdict(t, all["forgets"], c)
		assert.Equal(t, "failed", stated(v), v.Reason)
		assert.Contains(t, v.Reason, "applied again")
		assert.Regexp(t, `1 more effect \(o-\d+\) since it was sent again`, v.Details[0])
		v = verdict(t, all["remembers"], c)
		assert.Equal(t, "passed", stated(v), v.Reason)
	}
}

// Clients with enough patience get their answers when the fault is healed, and these answers show the
// effect of the fault.
func TestRequestsReleasedByHealingMetTheFault(t *testing.T) {
	t.Parallel()
	same, once := check.SameResponse{}, check.ExactlyOnce{}
	_, h := run(t, runner.Options{}, build(t, drill("released", &orders{}, scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 40}).
		EffectsFrom("GET /ledger").EffectsSettle(time.Second).Inject("clients", "orders", injector.CutOff{}).For(1500*time.Millisecond).Check(same, once)))
	for _, c := range []check.Check{same, once} {
		assert.Equal(t, "passed", stated(verdict(t, h, c)), verdict(t, h, c).Reason)
	}
}
