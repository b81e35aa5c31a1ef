package message

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
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
		assert.Equal(t, c.want, matchPath(c.template, c.path), "%s %s", c.template, c.path)
	}
}

func TestMatch(t *testing.T) {
	r, err := New("http", Config{})
	require.NoError(t, err)
	h := &head{raw: []byte("POST /charge HTTP/1.1\r\nTenant:  acme \r\nA: b\r\n\r\n")}
	m := Message{method: "POST", path: "/charge", key: "k1", header: h.header}
	for _, c := range []struct {
		match Match
		want  bool
	}{
		{Match{}, true},
		{Match{Method: "post"}, true},
		{Match{Method: "GET"}, false},
		{Match{Path: "/charge", Key: "k1"}, true},
		{Match{Key: "k2"}, false},
		{Match{Header: "tenant: acme"}, true},
		{Match{Header: "Tenant: other"}, false},
		{Match{Header: "B: b"}, false},
	} {
		assert.Equal(t, c.want, r.matches(&Live{Rule: Rule{Match: c.match}}, m), "%+v", c.match)
	}
	assert.False(t, r.matches(&Live{Rule: Rule{Dir: ToClient}}, m), "it travels the other way")
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
		assert.Equal(t, want, parts("/")(path), path)
	}
}

// chosenMessages returns the occurrences that a rule chooses among the first n.
func chosenMessages(t *testing.T, rule Rule, n int) []int {
	r, err := New("http", Config{Link: "a -> b"})
	require.NoError(t, err)
	_, err = r.Add(rule)
	require.NoError(t, err)
	var hits []int
	for i := 1; i <= n; i++ {
		if r.decide(Message{method: "POST", path: "/charge"}).rule != nil {
			hits = append(hits, i)
		}
	}
	return hits
}

func TestCountSelection(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		want []int
	}{
		"all":                {Rule{}, []int{1, 2, 3, 4, 5, 6}},
		"first":              {Rule{First: 2}, []int{1, 2}},
		"every":              {Rule{Every: 3}, []int{3, 6}},
		"from":               {Rule{From: 5}, []int{5, 6}},
		"to":                 {Rule{To: 2}, []int{1, 2}},
		"from to":            {Rule{From: 2, To: 4}, []int{2, 3, 4}},
		"every in from to":   {Rule{Every: 2, From: 3, To: 5}, []int{4}},
		"another path":       {Rule{Match: Match{Path: "/other"}}, nil},
		"share of all":       {Rule{Share: 1}, []int{1, 2, 3, 4, 5, 6}},
		"share close to nil": {Rule{Share: 1e-12}, nil},
	} {
		c.rule.Action = LoseReply
		assert.Equal(t, c.want, chosenMessages(t, c.rule, 6), name)
	}
}

// A share chooses the right number of messages, within six standard deviations, and each seed chooses different
// ones.
func TestShareIsExact(t *testing.T) {
	const n = 20000
	for _, share := range []float64{.01, .2, .5, .9} {
		hits := chosenMessages(t, Rule{Action: LoseReply, Share: share, Seed: 42}, n)
		assert.InDelta(t, n*share, len(hits), 6*math.Sqrt(n*share*(1-share)))
		assert.Equal(t, hits, chosenMessages(t, Rule{Action: LoseReply, Share: share, Seed: 42}, n))
		assert.NotEqual(t, hits, chosenMessages(t, Rule{Action: LoseReply, Share: share, Seed: 43}, n))
		assert.NotEqual(t, hits, chosenMessages(t, Rule{ID: "another", Action: LoseReply, Share: share, Seed: 42}, n))
	}
}

// Jitter is uniformly distributed within [By-Jitter, By+Jitter], with the corresponding mean and spread.
func TestJitterIsUniform(t *testing.T) {
	l := &Live{Rule: Rule{Action: Delay, By: 100, Jitter: 40, Seed: 3}}
	const n = 10000
	var sum, squares float64
	for i := range uint64(n) {
		d := float64(l.delayOf("a -> b", "GET", "/", i))
		assert.True(t, d >= 60 && d <= 140)
		sum += d
		squares += d * d
	}
	mean := sum / n
	assert.InDelta(t, 100, mean, 1.5)
	assert.InDelta(t, 80/math.Sqrt(12), math.Sqrt(squares/n-mean*mean), 1)
}

func TestDelaysAddUpAndFirstOtherRuleActs(t *testing.T) {
	r, err := New("http", Config{})
	require.NoError(t, err)
	for i, do := range []Rule{{Action: Delay, By: 1}, {Action: Answer, Status: 500, From: 2}, {Action: LoseReply}, {Action: Delay, By: 2}} {
		do.ID = fmt.Sprint(i)
		_, err = r.Add(do)
		require.NoError(t, err)
	}
	var got []string
	for range 2 {
		c := r.decide(Message{method: "GET", path: "/"})
		require.Len(t, c.delays, 2)
		got = append(got, c.rule.ID)
	}
	assert.Equal(t, []string{"2", "1"}, got)
}

func TestInvalidRulesAreRejected(t *testing.T) {
	r, err := New("http", Config{Link: "orders -> payments"})
	require.NoError(t, err)
	for name, rule := range map[string]Rule{
		"nothing":             {},
		"unknown":             {Action: "bend"},
		"share":               {Action: LoseReply, Share: 1.1},
		"share not a number":  {Action: LoseReply, Share: math.NaN()},
		"negative share":      {Action: LoseReply, Share: -.1},
		"from after to":       {Action: LoseReply, From: 3, To: 2},
		"ending":              {Action: LoseReply, EndWith: "bang"},
		"no delay":            {Action: Delay},
		"jitter beyond delay": {Action: Delay, By: 1, Jitter: 2},
		"interim status":      {Action: Answer, Status: 100},
		"no status":           {Action: Answer},
		"no wait":             {Action: Reorder},
		"second and late":     {Action: Twice, Second: true, Late: time.Second},
		"late in the past":    {Action: Twice, Late: -time.Second},
	} {
		rule.ID = "fault-1"
		_, err := r.Add(rule)
		if assert.Error(t, err, name) {
			assert.Contains(t, err.Error(), `add rule "fault-1" to link "orders -> payments"`)
		}
	}
	_, err = New("smoke signals", Config{Link: "a -> b"})
	require.Error(t, err)
	assert.Contains(t, err.Error(), `"smoke signals" is not known; known are dns, grpc, http`)
}

// Healing twice has no further effect, and a healed rule counts nothing.
func TestHealingTwice(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	count, heal := f.addRule(t, Rule{Action: Answer, Status: 500})
	heal()
	heal()
	p := connect(t, f.addr)
	p.send(request("GET", "/a"), false)
	assert.Contains(t, p.readReply(), "1 /a")
	assert.Equal(t, evidence.Tally{Unit: "calls"}, plain(count))
}

func TestProtocolTable(t *testing.T) {
	names := ""
	for _, p := range Protocols() {
		assert.NotEmpty(t, p.Means)
		assert.NotEmpty(t, p.Actions)
		assert.Less(t, names, p.Name, "sorted by name")
		names = p.Name
		r, err := New(p.Name, dialects[p.Name].cfg)
		require.NoError(t, err)
		require.NotNil(t, r)
	}
}
