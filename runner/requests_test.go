package runner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// checkoutToken is the environment variable with the token of checkout, which TestMain sets.
const checkoutToken, checkoutTokenValue = "FIREDRILL_TEST_TOKEN", "CANARY-token/1"

// checkout is an order service as people write them: a bearer token, the key in the JSON body, degraded answers marked
// in the JSON body. It writes its token into its log and into its answers.
type checkout struct {
	tax     string // URL of the tax service
	forgets bool   // the deliberate bug: no key is remembered

	mu    sync.Mutex
	known map[string][2]string // by key: body and answer
	n     int
}

func (c *checkout) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fmt.Printf("%s, authorization: %s\n", r.URL, r.Header.Get("Authorization"))
	if r.Header.Get("Authorization") != "Bearer "+os.Getenv(checkoutToken) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	body, _ := io.ReadAll(r.Body)
	var order struct {
		Key    string `json:"idempotency_key"`
		Email  string
		Amount float64
	}
	if json.Unmarshal(body, &order) != nil || order.Key == "" || !strings.Contains(order.Email, "@") || order.Amount <= 0 {
		http.Error(w, "want idempotency_key, email and amount", http.StatusBadRequest)
		return
	}
	estimated := !c.asked(r.Context())
	c.mu.Lock()
	defer c.mu.Unlock()
	was, known := c.known[order.Key]
	if known && was[0] != string(body) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	if !known {
		c.n++
		was = [2]string{string(body), fmt.Sprintf(`{"id": %d, "token": %q, "tax_estimated": %v}`, c.n, os.Getenv(checkoutToken), estimated)}
	}
	if c.known == nil {
		c.known = map[string][2]string{}
	}
	if !c.forgets {
		c.known[order.Key] = was
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, was[1])
}

// asked reports whether the tax service answered.
func (c *checkout) asked(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.tax, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

const checkoutSystem = `services:
  checkout:
    command: ["${self}"]
    env: {ROLE: checkout, ADDR: "127.0.0.1:${port}", TAX: "http://${link:tax-%[1]s}/", BUG: "%[1]s", FIREDRILL_TEST_TOKEN: "CANARY-token/1"}
    depends: {tax-%[1]s: http}
  tax-%[1]s: {}
`

const checkoutFeature = `
Feature: Checkout
  Scenario Outline: <bug>
    Given the system described in "<bug>.yaml"
    And a steady load of 40 requests per second on "POST /v1/checkout?token=${env:FIREDRILL_TEST_TOKEN}" with the body in "order.json"
    And "POST /v1/checkout?token=${env:FIREDRILL_TEST_TOKEN}" answers 201
    And rows are taken from "customers.csv"
    And every request carries the header "Authorization: Bearer ${env:FIREDRILL_TEST_TOKEN}"
    And every request carries a fresh idempotency key in the field "idempotency_key" of its JSON body
    And clients give up after 5s
    And a baseline is measured for 1s
    When calls from "checkout" to "tax-<bug>" answer with status 503 for 1200ms
    Then at least 80% of responses are fallbacks, marked by "tax_estimated: true" in the body during the fault
    And at least 99% of requests succeed
    And requests repeated with the same key get the same response
    And a key reused with a different body is refused with status 422
    Examples:
      | bug    |
      | none   |
      | forget |
`

// A service that was not written for drills is loaded as its clients do: with a token, a key in the JSON body, and
// bodies from files. Keys are sent again at the same place. The token appears in no file, event or output, although
// the service writes it into its log and into its answers.
func TestCheckoutAsItsClientsUseIt(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"a.feature": {Data: []byte(checkoutFeature)}, "none.yaml": {Data: fmt.Appendf(nil, checkoutSystem, "none")}, "forget.yaml": {Data: fmt.Appendf(nil, checkoutSystem, "forget")},
		"order.json":    {Data: []byte(`{"email": "{{row.email}}", "amount": {{random 1 100}}}`)},
		"customers.csv": {Data: []byte("email\na@example.com\n\"b \"\"quoted\"\"@example.com\"\n")},
	}
	var events bytes.Buffer
	var mu sync.Mutex
	tax := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	res := runner.Steadily(t, func() (*runner.Result, error) {
		es, err := language.Parse(language.Source{FS: fsys, Paths: []string{"."}, Handlers: []string{"tax-none", "tax-forget"}, LookupEnv: os.LookupEnv})
		require.NoError(t, err)
		for _, e := range es {
			e.Recovery = 500 * time.Millisecond
		}
		return runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir(), Parallel: 2, Handlers: map[string]http.Handler{"tax-none": tax, "tax-forget": tax}, Watch: func(e journal.Event) {
			raw, _ := json.Marshal(e)
			mu.Lock()
			defer mu.Unlock()
			events.Write(raw)
		}}, es...)
	})
	want := map[string]string{"none": "passed", "forget": "failed"}
	for _, h := range res.Book.Scenarios {
		name := h.Name
		t.Log(name, runner.Failures(h))
		for _, c := range []check.Check{
			check.SameResponse{}, check.KeyReuseRefused{Status: 422},
		} {
			v := verdict(t, h, c)
			assert.Equal(t, want[name], stated(v), "%s: %s: %s %s", name, c, v.Reason, v.Details)
		}
		for _, v := range h.Verdicts {
			if strings.Contains(v.Check, "fallbacks") || strings.Contains(v.Check, "succeed") {
				assert.Equal(t, "passed", stated(v), "%s: %s: %s", name, v.Check, v.Reason)
			}
		}
		raw, err := os.ReadFile(filepath.Join(res.Dir, "scenarios", h.ID, "logs", "checkout.log"))
		require.NoError(t, err)
		assert.Contains(t, string(raw), "authorization: Bearer ***")
	}
	require.NoError(t, reports.Text(&events, res.Book, false))
	assert.NotContains(t, events.String(), "CANARY")
	require.NoError(t, fs.WalkDir(os.DirFS(res.Dir), ".", func(name string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.Type().IsRegular() {
			raw, err := fs.ReadFile(os.DirFS(res.Dir), name)
			require.NoError(t, err)
			assert.NotContains(t, string(raw), "CANARY", name)
		}
		return nil
	}))
}

// A run whose requests need a variable that is not set does not start.
func TestVariableThatIsNotSet(t *testing.T) {
	t.Parallel()
	e := build(t, drill("no token", &orders{}, scenarios.Load{}).Wait(time.Second))
	e.Load.Headers = []scenarios.Header{{Name: "Authorization", Value: "Bearer ${env:FIREDRILL_TEST_NOT_SET}"}}
	dir := t.TempDir()
	_, err := runner.RunExperiments(t.Context(), runner.Options{Dir: dir}, e)
	require.ErrorContains(t, err, `scenario "no token": the environment variable FIREDRILL_TEST_NOT_SET is not set`)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// shop takes an order and its payment, and lists what each of them applied.
type shop struct {
	twice bool // the deliberate bug: every tenth order is applied twice

	mu      sync.Mutex
	effects []journal.Effect
	orders  map[string]bool // by number; true if paid
}

func (s *shop) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.effects, s.orders = nil, nil
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	apply := func() {
		s.effects = append(s.effects, journal.Effect{Key: r.Header.Get("Idempotency-Key"), ID: fmt.Sprint("e", len(s.effects))})
	}
	id := strings.Split(r.URL.Path+"//", "/")[2]
	paid, known := s.orders[id]
	switch {
	case r.URL.Path == "/ledger":
		_ = json.NewEncoder(w).Encode(append([]journal.Effect{}, s.effects...))
	case r.URL.Path == "/orders":
		if s.orders == nil {
			s.orders = map[string]bool{}
		}
		if apply(); s.twice && len(s.orders)%10 == 0 {
			apply()
		}
		number := fmt.Sprint(len(s.orders))
		s.orders[number] = false
		_, _ = fmt.Fprintf(w, `{"order": {"number": %q}}`, number)
	case !known:
		w.WriteHeader(http.StatusNotFound)
	case strings.HasSuffix(r.URL.Path, "/pay"):
		apply()
		s.orders[id] = true
	case !paid:
		w.WriteHeader(http.StatusConflict)
	}
}

// A chain is judged as one request, by the effect of its first step. Effects of later steps are those of other keys.
func TestChainsAreJudged(t *testing.T) {
	t.Parallel()
	load := scenarios.Load{Key: scenarios.HeaderKey("Idempotency-Key"), Rate: 25, Mix: []scenarios.Route{{
		Method: "POST", Path: "/orders", Keep: []scenarios.Kept{{Name: "number", Path: "order.number"}},
		Then: []scenarios.Route{{Method: "POST", Path: "/orders/{{number}}/pay"}, {Method: "GET", Path: "/orders/{{number}}"}},
	}}}
	once, phantom := check.ExactlyOnce{}, check.NoPhantom{}
	var es []*scenarios.Experiment
	counted := load
	counted.Shape, counted.Rate = scenarios.Counted, 0
	for name, twice := range map[string]bool{"sound": false, "twice": true} {
		es = append(es, build(t, drill(name, &shop{twice: twice}, load).EffectsFrom("GET /ledger").EffectsSettle(time.Second).Wait(time.Second).Check(once, phantom)))
		es = append(es, build(t, drill(name+", counted", &shop{twice: twice}, counted).EffectsFrom("GET /ledger").EffectsSettle(time.Second).Send(20, 4).Check(once, phantom)))
	}
	all := runAll(t, es...)
	for name, want := range map[string]string{"sound": "passed", "sound, counted": "passed", "twice": "failed", "twice, counted": "failed"} {
		assert.Equal(t, want, stated(verdict(t, all[name], once)), "%s: %s", name, verdict(t, all[name], once).Reason)
		assert.Equal(t, "passed", stated(verdict(t, all[name], phantom)), "%s: %s", name, verdict(t, all[name], phantom).Reason)
		for _, r := range all[name].Requests.All() {
			require.Equal(t, "acknowledged", r.Outcome)
			require.Len(t, r.Attempts, 3)
			require.Equal(t, 2, r.Attempts[2].Step)
		}
		assert.Equal(t, 3*all[name].Load.Sent, all[name].Load.Wire)
	}
}
