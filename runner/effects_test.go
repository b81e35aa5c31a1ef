package runner_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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

// stated returns the outcome that a check would have had if the scenario was valid. It may not be, on
// a busy machine or because a third of all orders are refused.
func stated(v journal.Verdict) string {
	if v.Withheld != "" {
		return v.Withheld
	}
	return v.Outcome
}

var ledgerChecks = []check.Check{check.ExactlyOnce{}, check.NoneLost{}, check.NoneTwice{}, check.NoPhantom{}}

// runAll runs experiments in parallel, since they mostly wait, and returns their histories by name. Each
// is a run of its own: in one run, those that are inconclusive would be run again alone.
func runAll(t *testing.T, es ...*scenarios.Experiment) map[string]*journal.History {
	t.Helper()
	histories := make([]*journal.History, len(es))
	slots := make(chan struct{}, 12)
	var runs sync.WaitGroup
	for i, e := range es {
		runs.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, histories[i] = run(t, runner.Options{}, e)
		})
	}
	runs.Wait()
	all := map[string]*journal.History{}
	for _, h := range histories {
		require.NotNil(t, h)
		all[h.Name] = h
	}
	require.Len(t, all, len(es))
	return all
}

// A correct ledger passes however it is listed, an incorrect one fails, and one that proves nothing is
// inconclusive. want holds the outcomes of exactly once, none lost, none twice and no phantom, in this
// order.
func TestLedgers(t *testing.T) {
	t.Parallel()
	const pass, fail, none = "passed", "failed", "inconclusive"
	all := func(outcome string) [4]string { return [4]string{outcome, outcome, outcome, outcome} }
	cases := []struct {
		name    string
		service *ledgerService
		say     func(*scenarios.Builder) // adds sentences other than that effects are read
		want    [4]string
		why     string // part of a reason or, if all passed, of what was observed
	}{
		{"plain", &ledgerService{}, nil, all(pass), "read until 10."},
		{"kept from before", &ledgerService{items: earlierEffects()}, nil, all(pass), "200 were there before the load"},
		{"in changing order, each listed twice", &ledgerService{list: shuffledAndTwice}, nil, all(pass), "listed again with the same id"},
		{"kept, without ids", &ledgerService{items: earlierEffects(), list: withoutIDs}, nil, all(pass), "200 were there before the load"},
		{"null until there is one", &ledgerService{list: nullUntilThereIsOne}, nil, all(pass), ""},
		{"late by 3s", &ledgerService{delay: 3 * time.Second}, nil, all(pass), ""},
		{"later than the default", &ledgerService{delay: time.Hour}, nil, all(none), "effects settle within"},
		{"later than stated", &ledgerService{delay: time.Hour}, func(b *scenarios.Builder) { b.EffectsSettle(time.Second) }, [4]string{fail, fail, none, none}, "acknowledged and lost"},
		{"lost", &ledgerService{loseEvery: 15}, nil, [4]string{fail, fail, pass, pass}, "acknowledged and lost"},
		{"many lost", &ledgerService{loseEvery: 5}, nil, [4]string{fail, fail, none, none}, "the list does not show all effects"},
		{"applied again later", &ledgerService{repeatAfter: 8 * time.Second}, nil, [4]string{fail, pass, fail, pass}, "applied more than once"},
		{"applied again after the last reading", &ledgerService{repeatAfter: time.Minute}, func(b *scenarios.Builder) { b.EffectsSettle(2 * time.Second) }, all(pass), "read until 2."},
		{"applied again, without ids", &ledgerService{repeatAfter: time.Millisecond, list: withoutIDs}, nil, [4]string{fail, pass, fail, pass}, "applied more than once"},
		{"applied again, with the key as id", &ledgerService{repeatAfter: time.Millisecond, list: keyAsID}, nil, [4]string{fail, pass, fail, pass}, "applied more than once"},
		{"the oldest, marked by nothing", &ledgerService{list: oldest(23)}, func(b *scenarios.Builder) { b.EffectsSettle(time.Second) }, all(none), "may be a page"},
		{"a phantom", &ledgerService{list: withExtraEffect("ghost")}, nil, [4]string{pass, pass, pass, fail}, "1 never requested"},
		{"of another run", &ledgerService{list: withExtraEffect("a1b2c3-d4e5f607-7")}, nil, all(pass), "1 have keys of others"},
		{"the first page", &ledgerService{list: onePage}, nil, all(none), "exactly 20 effects are listed"},
		{"other keys", &ledgerService{list: hashedKeys}, nil, all(none), `is "key" the idempotency key of the request?`},
		{"null", &ledgerService{list: respondWith("null")}, nil, all(none), "it is null"},
		{"503, and done", &ledgerService{status: everyThird(503)}, nil, all(pass), ""},
		{"500, and done", &ledgerService{status: everyThird(500)}, nil, all(pass), ""},
		{"422, and done", &ledgerService{status: everyThird(422)}, nil, [4]string{fail, pass, pass, pass}, "refused but applied"},
		{"503 that should mean refused", &ledgerService{status: everyThird(503)}, func(b *scenarios.Builder) { b.Means(503, scenarios.Refused) }, [4]string{fail, pass, pass, pass}, "refused but applied"},
		{"nothing acknowledged", &ledgerService{status: always(303)}, nil, all(none), `add the step: "POST /orders" answers 303`},
		{"303 is expected", &ledgerService{status: always(303)}, func(b *scenarios.Builder) { b.Answers("POST /orders", 303) }, all(pass), ""},
	}
	var es []*scenarios.Experiment
	for _, c := range cases {
		b := drill(c.name, c.service, scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 25}).EffectsFrom("GET /ledger")
		if c.say != nil {
			c.say(b)
		}
		es = append(es, build(t, b.Wait(time.Second).Check(ledgerChecks...)))
	}
	histories := runAll(t, es...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got [4]string
			var texts []string
			for i, k := range ledgerChecks {
				v := verdict(t, histories[c.name], k)
				got[i] = stated(v)
				texts = append(texts, v.Reason, v.Observed)
			}
			assert.Equal(t, c.want, got, "%q", texts)
			assert.Contains(t, strings.Join(texts, "\n"), c.why)
		})
	}
}

// Nothing is sent to a system whose effects cannot be read.
func TestInvalidLedgerIsReportedBeforeTheLoad(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		b   *ledgerService
		why string
	}{
		"text":         {&ledgerService{list: respondWith("hello")}, "it is not JSON"},
		"nothing":      {&ledgerService{list: respondWith("")}, "the body is empty"},
		"another form": {&ledgerService{list: renamedFields, items: earlierEffects()}, `has no "key" (it has "idempotency_key", "order")`},
		"an error":     {&ledgerService{list: func(w http.ResponseWriter, _ []item) { w.WriteHeader(http.StatusInternalServerError) }}, "status 500"},
	}
	var es []*scenarios.Experiment
	for name, c := range cases {
		es = append(es, build(t, drill(name, c.b, keyedLoad()).EffectsFrom("GET /ledger").Wait(time.Minute).Check(ledgerChecks...)))
	}
	for name, h := range runAll(t, es...) {
		assert.Equal(t, "inconclusive", h.End.Outcome, name)
		assert.Contains(t, strings.Join(h.Troubles, "\n"), "read effects from GET /ledger before the load: ", name)
		for _, k := range ledgerChecks {
			v := verdict(t, h, k)
			assert.Equal(t, "inconclusive", v.Outcome, name)
			assert.Contains(t, v.Reason, cases[name].why)
		}
		assert.Zero(t, cases[name].b.orders, name)
	}
}

// An empty list is valid, so errors in its items are found only later.
func TestInvalidLedgerIsReportedAfterTheLoad(t *testing.T) {
	t.Parallel()
	_, h := run(t, runner.Options{}, build(t, drill("renamed", &ledgerService{list: renamedFields}, keyedLoad()).EffectsFrom("GET /ledger").EffectsSettle(time.Second).Wait(time.Second).Check(ledgerChecks...)))
	for _, k := range ledgerChecks {
		v := verdict(t, h, k)
		assert.Equal(t, "inconclusive", v.Outcome)
		assert.Contains(t, v.Reason, `item 1 has no "key" (it has "idempotency_key", "order")`)
	}
}

// Several scenarios run in parallel and another after them, on a system that keeps running. None is
// judged by the effects of another scenario or of other users.
func TestScenariosShareLedger(t *testing.T) {
	t.Parallel()
	b := &ledgerService{}
	server := httptest.NewServer(b)
	defer server.Close()
	done := make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
				b.apply(fmt.Sprint("other user ", i))
			}
		}
	})
	defer other.Wait()
	defer close(done)
	experiment := func(name string) *scenarios.Experiment {
		return build(t, scenarios.New(name).
			System(scenarios.System{
				Services: []scenarios.Service{{Name: "orders", Address: strings.TrimPrefix(server.URL, "http://"), Serves: []string{"/"}}},
				Links:    []scenarios.Link{{From: "clients", To: "orders", Protocol: "http"}},
			}).
			Load(scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 20, GiveUp: 30 * time.Second, Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Share: 1}}}).
			EffectsFrom("GET /ledger").EffectsSettle(2*time.Second).Wait(2*time.Second).Check(ledgerChecks...))
	}
	for range 2 {
		res, err := runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir(), Parallel: 2}, experiment("one"), experiment("two"))
		require.NoError(t, err)
		require.Len(t, res.Book.Scenarios, 2)
		for _, h := range res.Book.Scenarios {
			for _, k := range ledgerChecks {
				v, want := verdict(t, h, k), "passed"
				if k == (check.NoPhantom{}) { // the effects of the other user might be phantoms
					want = "inconclusive"
				}
				assert.Equal(t, want, stated(v), "%s: %s", k, v.Reason)
			}
			assert.Equal(t, h.Requests.Len(), h.Effects.Len())
			assert.Positive(t, h.EffectsRead.Others)
		}
	}
}

// A form answers 303. The reason names the sentence that makes it count as success, and with that
// sentence the same system passes.
func TestRedirectAsSuccess(t *testing.T) {
	t.Parallel()
	form := func() *scenarios.Builder {
		return drill("a form", &ledgerService{status: always(303)}, scenarios.Load{Rate: 25}).Wait(time.Second)
	}
	success := check.Success{Ratio: 0.99}
	_, h := run(t, runner.Options{}, build(t, form().Check(success)))
	assert.Equal(t, "failed", stated(verdict(t, h, success)))
	assert.Contains(t, verdict(t, h, success).Reason, `answers with status 303 do not count as success: if they are expected, add the step: "POST /orders" answers 303`)
	declared := drill("a form", &ledgerService{status: always(303)}, scenarios.Load{Rate: 25}).Answers("POST /orders", 201, 303).Wait(time.Second)
	_, h = run(t, runner.Options{}, build(t, declared.Check(success)))
	assert.Equal(t, "passed", stated(verdict(t, h, success)), verdict(t, h, success).Reason)
	sent, ok := 0, 0
	for _, s := range h.Samples {
		sent, ok = sent+s.Sent, ok+s.OK
	}
	assert.Equal(t, h.Load.Sent, sent)
	assert.Equal(t, sent, ok)
}

// A fault that changes keys on their way to the service makes it neither lose requests nor make up effects.
func TestKeysChangedOnTheWay(t *testing.T) {
	t.Parallel()
	ledger := &ledgerService{}
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		key := inBody(r, body)
		if r.Method == http.MethodPost && key == "" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		r.Header.Set("Idempotency-Key", key)
		ledger.ServeHTTP(w, r)
	})
	e := build(t, drill("damaged", service, scenarios.Load{Key: scenarios.Key{In: scenarios.InBody, Name: "order"}, Rate: 40}).EffectsFrom("GET /ledger").
		Inject("clients", "orders", injector.CorruptCalls{}).For(time.Second).Check(ledgerChecks...))
	_, h := run(t, runner.Options{}, e)
	for _, c := range []check.Check{check.ExactlyOnce{}, check.NoneLost{}} {
		v := verdict(t, h, c)
		assert.Equal(t, "inconclusive", stated(v), v.Reason)
		assert.Regexp(t, `^[1-9]\d* acknowledged and lost(, \d+ refused but applied)?, which may be because "calls from .* are corrupted" changed keys`, v.Reason)
	}
	for _, c := range []check.Check{check.NoneTwice{}, check.NoPhantom{}} { // few changed keys look like those of a run
		assert.NotEqual(t, "failed", stated(verdict(t, h, c)), verdict(t, h, c).Reason)
	}
}
