package scenarios

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// threeServices returns a file with a system of three services.
func threeServices() fstest.MapFS {
	return fstest.MapFS{"system.yaml": {Data: []byte(`services:
  front: {command: [front], serves: [/catalog], depends: {orders: http}}
  orders: {command: [orders], serves: [/orders], depends: {payments: http}}
  payments: {command: [payments]}
`)}}
}

func TestBuilderReportsTheCallingLine(t *testing.T) {
	_, err := New("b").
		ReadSystem(threeServices(), "system.yaml").
		Inject("orders", "paymens", injector.Refuse{}).For(time.Second).
		Check(check.Success{Ratio: 1}).
		Build()
	require.ErrorContains(t, err, "builder_test.go:")
	require.ErrorContains(t, err, `did you mean "payments"?`)
	require.ErrorContains(t, err, "there is no load")
}

func TestBuilderRejects(t *testing.T) {
	base := func() *Builder {
		return New("b").System(system.System{Services: []system.Service{{Name: "a", Address: "127.0.0.1:80"}, {Name: "p", Command: []string{"p"}}}, Links: []system.Link{{From: "a", To: "p", Protocol: "http"}}})
	}
	route := []Route{{Method: "GET", Path: "/"}}
	for name, c := range map[string]struct {
		b    *Builder
		what string
	}{
		"for nothing":       {New("b").For(time.Second), "no injection before it"},
		"for after a wait":  {base().Wait(time.Second).For(time.Second), "needs an injection"},
		"no wait":           {base().Wait(0), "above 0"},
		"no routes":         {base().Load(Load{Rate: 5}).Wait(time.Second), "has no routes"},
		"no rate":           {base().Load(Load{Mix: route}).Wait(time.Second), "above 0"},
		"shares":            {base().Load(Load{Rate: 5, Mix: []Route{{Method: "GET", Path: "/", Share: 0.4}}}).Wait(time.Second), "sum to 40%"},
		"wrong route":       {base().Load(Load{Rate: 5, Mix: []Route{{Path: "/"}}}).Wait(time.Second), "is not a method"},
		"wrong header":      {base().Load(Load{Rate: 5, Mix: route, Key: HeaderKey("a b")}).Wait(time.Second), "name of a header"},
		"no pause":          {base().Load(Load{Rate: 5, Mix: route, Retries: 1, Policy: RetryPolicy{BackOff: BackOff{Most: 1}}}).Wait(time.Second), "a pause has to last longer"},
		"a negative time":   {base().Load(Load{Rate: 5, Mix: route, Policy: RetryPolicy{Hedge: -1}}).Wait(time.Second), "a time-out has to be above 0"},
		"a budget of 200%":  {base().Load(Load{Rate: 5, Mix: route, Retries: 1, Policy: RetryPolicy{Budget: 2}}).Wait(time.Second), "not a share of the requests"},
		"nothing to retry":  {base().Load(Load{Rate: 5, Mix: route, Policy: RetryPolicy{Only: []string{"503"}}}).Wait(time.Second), "clients do not retry"},
		"an unknown error":  {base().Load(Load{Rate: 5, Mix: route, Retries: 1, Policy: RetryPolicy{Only: []string{"503 or 429"}}}).Wait(time.Second), "nothing called \"503 or 429\""},
		"wrong effects":     {base().EffectsFrom("/ledger").Wait(time.Second), "is not a route"},
		"no time to settle": {base().EffectsFrom("GET /ledger").EffectsSettle(0).Wait(time.Second), "above 0 to settle"},
		"no status":         {base().Load(Load{Rate: 5, Mix: route}).Answers("GET /").Wait(time.Second), "no status"},
		"a wrong status":    {base().Load(Load{Rate: 5, Mix: route}).Answers("GET /", 42).Wait(time.Second), "42 is not a status"},
		"answers elsewhere": {base().Load(Load{Rate: 5, Mix: route}).Answers("GET /x", 200).Wait(time.Second), "no load runs on"},
		"no outcome":        {base().Load(Load{Rate: 5, Mix: route}).Means(503, "perhaps").Wait(time.Second), "is not an outcome"},
		"both":              {base().Load(Load{Rate: 5, Mix: route}).Answers("GET /", 303).Means(303, Refused).Wait(time.Second), "say one of the two"},
		"no system":         {New("b").Wait(time.Second), "no system"},
		"no steps":          {New("b"), "no steps"},
		"a broken system":   {New("b").System(system.System{Services: []system.Service{{Name: "x"}}}).Wait(time.Second), "neither a command"},
		"a missing file":    {New("b").ReadSystem(fstest.MapFS{}, "system.yaml").Wait(time.Second), "cannot be read"},
		"crash at address":  {base().Inject("", "a", injector.Crash{}).For(time.Second), "was not started"},
		"a short ramp":      {base().Inject("a", "p", injector.Ramp{End: time.Second, Over: 5 * time.Second}).For(time.Second), "before the ramp comes to its end"},
		"the wrong way":     {base().Inject("p", "a", injector.LoseReplies{}).For(time.Second), `did you mean from "a" to "p"?`},
		"nothing to resume": {base().Resume("p"), "no hang"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := c.b.Build()
			require.ErrorContains(t, err, c.what)
			assert.Nil(t, e)
		})
	}
}

func TestRoughDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0 s", 9400 * time.Millisecond: "9 s", time.Minute: "1 min", 70 * time.Second: "1 min 10 s"} {
		assert.Equal(t, want, roughDuration(d))
	}
}

func TestBuilderRejectsWrongToxic(t *testing.T) {
	_, err := New("b").ReadSystem(threeServices(), "system.yaml").Inject("orders", "payments", injector.Toxic{Name: "latency", Attributes: "latency=-5"}).For(time.Second).Build()
	require.ErrorContains(t, err, "latency is -5")
}

// TestPhantomsOfASharedSystem: the plan warns that effects of other users may look like phantoms, unless the
// scenario starts the whole system.
func TestPhantomsOfASharedSystem(t *testing.T) {
	for name, c := range map[string]struct {
		orders system.Service
		warned bool
	}{
		"started":      {system.Service{Name: "orders", Command: []string{"orders"}, Serves: []string{"/"}}, false},
		"runs already": {system.Service{Name: "orders", Address: "127.0.0.1:80", Serves: []string{"/"}}, true},
	} {
		e, err := New("b").
			System(system.System{Services: []system.Service{c.orders}, Links: []system.Link{{From: "clients", To: "orders", Protocol: "http"}}}).
			Load(Load{Rate: 40, Key: HeaderKey("Idempotency-Key"), Mix: []Route{{Method: "POST", Path: "/orders", Share: 1}}}).
			EffectsFrom("GET /ledger").
			Wait(time.Second).
			Check(check.NoneLost{}, check.NoPhantom{}).
			Build()
		require.NoError(t, err, name)
		warned := strings.Contains(e.Warnings.Error(), "others may use them")
		assert.Equal(t, c.warned, warned, "%s: %q", name, e.Warnings)
	}
}

// TestPlanWarnsOfTooFewRequests: the plan warns of inconclusive checks, and a recovery is watched until it has
// enough requests.
func TestPlanWarnsOfTooFewRequests(t *testing.T) {
	few := func(rate float64, baseline time.Duration, c check.Check) *Experiment {
		e, err := New("few").ReadSystem(threeServices(), "system.yaml").
			Load(Load{Rate: rate, Mix: []Route{{Method: "GET", Path: "/catalog"}}}).Baseline(baseline).
			Inject("orders", "payments", injector.SlowCalls{By: time.Millisecond}).For(10 * time.Second).
			Check(c).Build()
		require.NoError(t, err)
		return e
	}
	whole, recovers := check.Success{Ratio: 0.99}, check.Recovers{Route: "GET /catalog", Within: 2 * time.Second}
	require.Empty(t, few(20, time.Second, whole).Warnings)
	for code, c := range map[string]struct {
		e    *Experiment
		text string
	}{
		"baseline-unsteady": {few(20, 500*time.Millisecond, whole), "about 10 requests are expected in the baseline of 500ms, and 20 are needed: nothing will be injected; measure it for longer"},
		"too-few-requests":  {few(1, time.Minute, whole), "at least 99% of requests succeed: about 10 requests are expected to meet the fault, and 20 are needed: the run will be inconclusive"},
	} {
		require.Len(t, c.e.Warnings, 1)
		require.Equal(t, code, c.e.Warnings[0].Code)
		require.Equal(t, c.text, c.e.Warnings[0].What)
	}

	require.Equal(t, 8*time.Second, few(20, 5*time.Second, recovers).Recovery)
	slow := few(2, 20*time.Second, recovers)
	require.Equal(t, 16*time.Second, slow.Recovery)
	require.Empty(t, slow.Warnings)
	require.Len(t, few(0.5, time.Minute, recovers).Warnings, 1)
}

// TestProtocolOfOnesOwn builds a link with a protocol that no table has.
func TestProtocolOfOnesOwn(t *testing.T) {
	own := *protocols.All().Find("lines")
	own.Name = "mine"
	build := func(row message.Protocol) (*Experiment, error) {
		return New("b").
			System(system.System{Services: []system.Service{{Name: "a", Address: "localhost:1"}, {Name: "b", Address: "localhost:2"}}, Links: []system.Link{{From: "a", To: "b", Row: &row}}}).
			Inject("a", "b", injector.LoseMessages{}).For(time.Second).Build()
	}
	e, err := build(own)
	require.NoError(t, err)
	var plan strings.Builder
	require.NoError(t, Plan(&plan, []*Experiment{e}))
	require.Contains(t, plan.String(), "open a -> b (mine)")
	own.Serve = nil
	_, err = build(own)
	require.ErrorContains(t, err, `protocol "mine": Serve, Matches and Class are required`)
}
