package runner

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// orderBook takes orders by calls of a function. Every fourth order is applied, and its caller learns nothing at first.
type orderBook struct {
	naive bool // the deliberate bug: an order that is placed again is applied again

	mu      sync.Mutex
	effects []map[string]string
	tries   map[string]int
}

func (b *orderBook) place(_ context.Context, r Request) Outcome {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tries == nil {
		b.tries = map[string]int{}
	}
	if b.tries[r.Key]++; b.naive || b.tries[r.Key] == 1 {
		b.effects = append(b.effects, map[string]string{"key": r.Key})
	}
	if r.N%4 == 0 && b.tries[r.Key] == 1 {
		return NotKnown("no answer")
	}
	return Acknowledged("placed")
}

func (b *orderBook) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = json.NewEncoder(w).Encode(append([]map[string]string{}, b.effects...))
}

const functionFeature = `Feature: A
  Scenario: S
    Given the service "shop" at "http://127.0.0.1:1"
    And clients retry failed requests up to 3 times with the same key
    And applied effects are read from "GET /ledger"
    And effects settle within 100ms
    When 100 calls of the function "place order" are made, 10 at a time
    Then every acknowledged request is applied exactly once
    And at least 99% of "place order" requests succeed
    And failures are only of these kinds:
      | kind            | at most |
      | error no-answer | 30%     |
`

func TestLoadOfAFunction(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		naive   bool
		outcome string
	}{"right": {false, "passed"}, "applied twice": {true, "failed"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := steadily(t, func() (*Result, error) {
				book := &orderBook{naive: c.naive}
				return Run(t.Context(), Options{
					FS: fstest.MapFS{"a.feature": {Data: []byte(functionFeature)}}, Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
					Handlers: map[string]http.Handler{"shop": book}, Funcs: map[string]Func{"place order": book.place},
				})
			})
			byCheck := map[string]journal.Verdict{}
			for _, v := range h.Verdicts {
				byCheck[v.Check] = v
			}
			v := byCheck["every acknowledged request is applied exactly once"]
			assert.Equal(t, c.outcome, v.Outcome, "%s; %s", v.Observed, v.Reason)
			assert.Equal(t, "passed", byCheck[`at least 99% of "place order" requests succeed`].Outcome)
			assert.Equal(t, 25, h.Load.Retries)
			assert.Equal(t, 125, h.Load.Wire)
		})
	}
}

// The same in Go, with an open load and users who call.
func TestLoadOfAFunctionInGo(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]func(b *scenarios.Builder) *scenarios.Builder{
		"open": func(b *scenarios.Builder) *scenarios.Builder { return b.LoadFunc(50, "place order") },
		"closed": func(b *scenarios.Builder) *scenarios.Builder {
			return b.Load(scenarios.Load{Shape: scenarios.Closed, Users: 2, Think: 20 * time.Millisecond, Mix: []scenarios.Route{{Kind: scenarios.FuncKind, Path: "place order"}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := &orderBook{}
			e, err := load(scenarios.New("calls").System(scenarios.System{Services: []scenarios.Service{{Name: "shop", Handler: book}}})).
				EffectsFrom("GET /ledger").EffectsSettle(100 * time.Millisecond).Wait(time.Second).
				Check(check.NoneTwice{}).Build()
			require.NoError(t, err)
			res, err := RunExperiments(t.Context(), Options{Seed: 7, Dir: t.TempDir(), Funcs: map[string]Func{"place order": book.place}}, e)
			require.NoError(t, err)
			h := res.Book.Scenarios[0]
			assert.Greater(t, h.Load.Sent, 20)
			assert.Positive(t, h.Requests.Len())
			assert.Equal(t, "place order", h.Requests.At(0).Route)
		})
	}
}

// A function that panics is a mistake of the test, and says nothing about the system.
func TestFunctionThatPanics(t *testing.T) {
	t.Parallel()
	res, err := Run(t.Context(), Options{
		FS: fstest.MapFS{"a.feature": {Data: []byte(functionFeature)}}, Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
		Handlers: map[string]http.Handler{"shop": &orderBook{}}, Funcs: map[string]Func{"place order": func(context.Context, Request) Outcome { panic("oops") }},
	})
	require.NoError(t, err)
	assert.Equal(t, "inconclusive", res.Outcome)
	h := res.Book.Scenarios[0]
	assert.Equal(t, 100, h.Load.Unsent)
	assert.Equal(t, map[string]int{`the function "place order" panicked (mend the function)`: 100}, h.Load.GeneratorErrors)
}

func TestFunctionThatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := Run(t.Context(), Options{
		FS: fstest.MapFS{"a.feature": {Data: []byte(functionFeature)}}, Paths: []string{"a.feature"}, Dir: t.TempDir(),
		Handlers: map[string]http.Handler{"shop": &orderBook{}}, Funcs: map[string]Func{"place orders": (&orderBook{}).place},
	})
	require.ErrorContains(t, err, `there is no such function in runner.Options.Funcs: did you mean "place orders"?`)
}

const functionOverLink = `Feature: A
  Scenario: S
    Given the service "shop" at "http://127.0.0.1:1"
    And "clients" depends on "shop" over http
    And clients retry failed requests up to 3 times with the same key
    And applied effects are read from "GET /ledger"
    And effects settle within 100ms
    When 30% of calls caused by "place order" requests from "clients" to "shop" answer with status 500
    And 60 calls of the function "place order" are made, 10 at a time
    Then every acknowledged request is applied exactly once
    And at least 90% of "place order" requests succeed
`

// A function finds the link to a service, so that faults act on the calls that it makes, and can be selected by their cause.
func TestFunctionOverALink(t *testing.T) {
	t.Parallel()
	book := &orderBook{}
	mux := http.NewServeMux()
	mux.Handle("GET /ledger", book)
	mux.HandleFunc("POST /orders/{key}", func(_ http.ResponseWriter, r *http.Request) {
		book.place(r.Context(), Request{N: 1, Key: r.PathValue("key")})
	})
	place := func(ctx context.Context, r Request) Outcome {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+FromContext(ctx).Link("clients", "shop")+"/orders/"+r.Key, nil)
		if err != nil {
			return Refused("no-link")
		}
		req.Header.Set("Traceparent", r.Trace)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return NotKnown("no-answer")
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return NotKnown(resp.Status)
		}
		return Acknowledged(r.Key)
	}
	h := steadily(t, func() (*Result, error) {
		return Run(t.Context(), Options{
			FS: fstest.MapFS{"a.feature": {Data: []byte(functionOverLink)}}, Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
			Handlers: map[string]http.Handler{"shop": mux}, Funcs: map[string]Func{"place order": place},
		})
	})
	assert.Empty(t, h.Load.GeneratorErrors)
	for _, v := range h.Verdicts {
		assert.Equal(t, "passed", v.Outcome, "%s: %s; %s", v.Check, v.Observed, v.Reason)
	}
	assert.Positive(t, h.Load.Retries)
}
