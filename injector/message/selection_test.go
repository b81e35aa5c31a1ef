package message_test

import (
	"fmt"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
)

func TestPathsMatch(t *testing.T) {
	for _, c := range []struct {
		template, path string
		want           bool
	}{
		{"/charge", "/charge", true},
		{"/charge", "/charge/", false},
		{"/charge", "/charges", false},
		{"/charge", "/", false},
		{"/orders/{id}", "/orders/17", true},
		{"/orders/{id}", "/orders/", false},
		{"/orders/{id}", "/orders/17/items", false},
		{"/orders/{id}/items", "/orders/17/items", true},
		{"/orders/{id}/*", "/orders/17/items/3", true},
		{"/orders/{id}/*", "/orders/17", false},
		{"/static/*", "/static/a/b.css", true},
		{"/static/*", "/static/", true},
		{"/static/*", "/statics", false},
		{"/static*", "/statics", true},
		{"*", "/anything", true},
		{"/", "/", true},
	} {
		assert.Equal(t, c.want, message.MatchPath(c.template, c.path), "%s %s", c.template, c.path)
	}
}

func TestMatch(t *testing.T) {
	header := http.Header{"Tenant": {"acme"}, "A": {"b"}}
	m := message.Message{Topic: message.Topic{Method: "POST", Path: "/charge"}, Key: "k1", Header: header.Get}
	matches := func(rule message.Rule) bool {
		r, err := relaytest.NewRelay("http", message.Config{})
		require.NoError(t, err)
		rule.Action = message.Twice
		_, err = r.Add(rule)
		require.NoError(t, err)
		return r.Decide(m, message.Ticket{}).Rule() != nil
	}
	for _, c := range []struct {
		match message.Match
		want  bool
	}{
		{message.Match{}, true},
		{message.Match{Method: "post"}, true},
		{message.Match{Method: "GET"}, false},
		{message.Match{Path: "/charge", Key: "k1"}, true},
		{message.Match{Key: "k2"}, false},
		{message.Match{Header: "tenant: acme"}, true},
		{message.Match{Header: "Tenant: other"}, false},
		{message.Match{Header: "B: b"}, false},
	} {
		assert.Equal(t, c.want, matches(message.Rule{Match: c.match}), "%+v", c.match)
	}
}

func TestPathClasses(t *testing.T) {
	for path, want := range map[string]string{
		"/":           "/",
		"/orders/17":  "/orders/{id}",
		"/orders/17/": "/orders/{id}/",
		"/o/550e8400-e29b-41d4-a716-446655440000/x": "/o/{id}/x",
		"/o/deadbeef01":                     "/o/{id}",
		"/o/01ARZ3NDEKTSV4RRFFQ69G5FAV":     "/o/{id}",
		"/o/order-5f0c9bd2a1774c1f9d8e":     "/o/{id}",
		"/v1/orders":                        "/v1/orders",
		"/2fa/face/e2e/add":                 "/2fa/face/e2e/add",
		"/static/application-8f7d6a5b4c.js": "/static/application-8f7d6a5b4c.js",
		"/decade/deadbeef":                  "/decade/deadbeef",
	} {
		assert.Equal(t, want, message.ClassByParts("/")(path), path)
	}
}

// chosenMessages returns the occurrences that a rule chooses among the first n.
func chosenMessages(t *testing.T, rule message.Rule, n int) []int {
	r, err := relaytest.NewRelay("http", message.Config{Link: "a -> b"})
	require.NoError(t, err)
	_, err = r.Add(rule)
	require.NoError(t, err)
	var hits []int
	for i := 1; i <= n; i++ {
		if r.Decide(message.Message{Topic: message.Topic{Method: "POST", Path: "/charge"}}, message.Ticket{}).Rule() != nil {
			hits = append(hits, i)
		}
	}
	return hits
}

func TestCountSelection(t *testing.T) {
	for name, c := range map[string]struct {
		rule message.Rule
		want []int
	}{
		"all":                {message.Rule{}, []int{1, 2, 3, 4, 5, 6}},
		"first":              {message.Rule{First: 2}, []int{1, 2}},
		"every":              {message.Rule{Every: 3}, []int{3, 6}},
		"from":               {message.Rule{From: 5}, []int{5, 6}},
		"to":                 {message.Rule{To: 2}, []int{1, 2}},
		"from to":            {message.Rule{From: 2, To: 4}, []int{2, 3, 4}},
		"every in from to":   {message.Rule{Every: 2, From: 3, To: 5}, []int{4}},
		"another path":       {message.Rule{Match: message.Match{Path: "/other"}}, nil},
		"share of all":       {message.Rule{Share: 1}, []int{1, 2, 3, 4, 5, 6}},
		"share close to nil": {message.Rule{Share: 1e-12}, nil},
	} {
		c.rule.Action = message.LoseReply
		assert.Equal(t, c.want, chosenMessages(t, c.rule, 6), name)
	}
}

// A share chooses the right number of messages, within six standard deviations, and each seed chooses different
// ones.
func TestShareIsExact(t *testing.T) {
	const n = 20000
	for _, share := range []float64{.01, .2, .5, .9} {
		hits := chosenMessages(t, message.Rule{Action: message.LoseReply, Share: share, Seed: 42}, n)
		assert.InDelta(t, n*share, len(hits), 6*math.Sqrt(n*share*(1-share)))
		assert.Equal(t, hits, chosenMessages(t, message.Rule{Action: message.LoseReply, Share: share, Seed: 42}, n))
		assert.NotEqual(t, hits, chosenMessages(t, message.Rule{Action: message.LoseReply, Share: share, Seed: 43}, n))
		assert.NotEqual(t, hits, chosenMessages(t, message.Rule{ID: "another", Action: message.LoseReply, Share: share, Seed: 42}, n))
	}
}

func TestDelaysAddUpAndFirstOtherRuleActs(t *testing.T) {
	r, err := relaytest.NewRelay("http", message.Config{})
	require.NoError(t, err)
	for i, do := range []message.Rule{{Action: message.Delay, By: 1}, {Action: message.Answer, Status: 500, From: 2}, {Action: message.LoseReply}, {Action: message.Delay, By: 2}} {
		do.ID = fmt.Sprint(i)
		_, err = r.Add(do)
		require.NoError(t, err)
	}
	var got []string
	for range 2 {
		c := r.Decide(message.Message{Topic: message.Topic{Method: "GET", Path: "/"}}, message.Ticket{})
		require.Len(t, c.Delays, 2)
		got = append(got, c.Rule().ID)
	}
	assert.Equal(t, []string{"2", "1"}, got)
}

func TestInvalidRulesAreRejected(t *testing.T) {
	r, err := relaytest.NewRelay("http", message.Config{Link: "orders -> payments"})
	require.NoError(t, err)
	for name, rule := range map[string]message.Rule{
		"nothing":             {},
		"unknown":             {Action: "bend"},
		"share":               {Action: message.LoseReply, Share: 1.1},
		"share not a number":  {Action: message.LoseReply, Share: math.NaN()},
		"negative share":      {Action: message.LoseReply, Share: -.1},
		"from after to":       {Action: message.LoseReply, From: 3, To: 2},
		"ending":              {Action: message.LoseReply, EndWith: "bang"},
		"no delay":            {Action: message.Delay},
		"jitter beyond delay": {Action: message.Delay, By: 1, Jitter: 2},
		"interim status":      {Action: message.Answer, Status: 100},
		"no status":           {Action: message.Answer},
		"no wait":             {Action: message.Reorder},
		"second and late":     {Action: message.Twice, Second: true, Late: time.Second},
		"late in the past":    {Action: message.Twice, Late: -time.Second},
	} {
		rule.ID = "fault-1"
		_, err := r.Add(rule)
		if assert.Error(t, err, name) {
			assert.Contains(t, err.Error(), `add rule "fault-1" to link "orders -> payments"`)
		}
	}
}

// Healing twice has no further effect, and a healed rule counts nothing.
func TestHealingTwice(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	count, heal := f.AddRule(t, message.Rule{Action: message.Answer, Status: 500})
	heal()
	heal()
	p := relaytest.Connect(t, f.Addr)
	p.Send(relaytest.HTTPRequest("GET", "/a"), false)
	assert.Contains(t, p.ReadReply(), "1 /a")
	assert.Equal(t, evidence.Tally{Unit: "calls"}, relaytest.PlainTally(count))
}

func TestProtocolTable(t *testing.T) {
	names := ""
	for _, p := range protocols.All() {
		assert.NotEmpty(t, p.Means)
		assert.NotEmpty(t, p.Actions)
		assert.Less(t, names, p.Name, "sorted by name")
		names = p.Name
		r, err := message.New(p, relaytest.Cases[p.Name].Cfg)
		require.NoError(t, err)
		require.NotNil(t, r)
	}
}
