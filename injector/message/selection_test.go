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

func TestWhatAMatchPicks(t *testing.T) {
	r, err := New("http", Config{})
	require.NoError(t, err)
	h := &head{raw: []byte("POST /charge HTTP/1.1\r\nTenant:  acme \r\nA: b\r\n\r\n")}
	m := message{method: "POST", path: "/charge", key: "k1", header: h.header}
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
		assert.Equal(t, c.want, r.picks(&live{Rule: Rule{Match: c.match}}, m), "%+v", c.match)
	}
	assert.False(t, r.picks(&live{Rule: Rule{Dir: ToClient}}, m), "it travels the other way")
}

func TestPathsOfOneClass(t *testing.T) {
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

// which tells the occurrences that a rule hits among the first n.
func which(t *testing.T, rule Rule, n int) []int {
	r, err := New("http", Config{Link: "a -> b"})
	require.NoError(t, err)
	_, err = r.Add(rule)
	require.NoError(t, err)
	var hits []int
	for i := 1; i <= n; i++ {
		if r.decide(message{method: "POST", path: "/charge"}).rule != nil {
			hits = append(hits, i)
		}
	}
	return hits
}

func TestCountsChoose(t *testing.T) {
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
		c.rule.Do = LoseReply
		assert.Equal(t, c.want, which(t, c.rule, 6), name)
	}
}

// A share hits as many as it says, within six standard deviations, and each seed hits others.
func TestAShareIsWhatItSays(t *testing.T) {
	const n = 20000
	for _, share := range []float64{.01, .2, .5, .9} {
		hits := which(t, Rule{Do: LoseReply, Share: share, Seed: 42}, n)
		assert.InDelta(t, n*share, len(hits), 6*math.Sqrt(n*share*(1-share)))
		assert.Equal(t, hits, which(t, Rule{Do: LoseReply, Share: share, Seed: 42}, n))
		assert.NotEqual(t, hits, which(t, Rule{Do: LoseReply, Share: share, Seed: 43}, n))
		assert.NotEqual(t, hits, which(t, Rule{ID: "another", Do: LoseReply, Share: share, Seed: 42}, n))
	}
}

// A jitter is uniform around the delay: within [By-Jitter, By+Jitter], with the mean and spread that follow.
func TestJitterIsUniform(t *testing.T) {
	l := &live{Rule: Rule{Do: Delay, By: 100, Jitter: 40, Seed: 3}}
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

func TestDelaysComposeAndTheFirstOtherDecides(t *testing.T) {
	r, err := New("http", Config{})
	require.NoError(t, err)
	for i, do := range []Rule{{Do: Delay, By: 1}, {Do: Answer, Status: 500, From: 2}, {Do: LoseReply}, {Do: Delay, By: 2}} {
		do.ID = fmt.Sprint(i)
		_, err = r.Add(do)
		require.NoError(t, err)
	}
	var got []string
	for range 2 {
		c := r.decide(message{method: "GET", path: "/"})
		require.Len(t, c.delays, 2)
		got = append(got, c.rule.ID)
	}
	assert.Equal(t, []string{"2", "1"}, got)
}

func TestWrongRulesAreRefused(t *testing.T) {
	r, err := New("http", Config{Link: "orders -> payments"})
	require.NoError(t, err)
	for name, rule := range map[string]Rule{
		"nothing":             {},
		"unknown":             {Do: "bend"},
		"share":               {Do: LoseReply, Share: 1.1},
		"share not a number":  {Do: LoseReply, Share: math.NaN()},
		"negative share":      {Do: LoseReply, Share: -.1},
		"from after to":       {Do: LoseReply, From: 3, To: 2},
		"ending":              {Do: LoseReply, Then: "bang"},
		"no delay":            {Do: Delay},
		"jitter beyond delay": {Do: Delay, By: 1, Jitter: 2},
		"interim status":      {Do: Answer, Status: 100},
		"no status":           {Do: Answer},
		"no wait":             {Do: Reorder},
		"second and late":     {Do: Twice, Second: true, Late: time.Second},
		"late in the past":    {Do: Twice, Late: -time.Second},
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

// Healing twice is once, and a healed rule looks at nothing.
func TestHealingTwice(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, heal := f.live(t, Rule{Do: Answer, Status: 500})
	heal()
	heal()
	p := connect(t, f.addr)
	p.send(request("GET", "/a"), false)
	assert.Contains(t, p.reply(), "1 /a")
	assert.Equal(t, evidence.Tally{Unit: "calls"}, plain(count))
}

func TestTheTableOfProtocols(t *testing.T) {
	names := ""
	for _, p := range Protocols() {
		assert.NotEmpty(t, p.Means)
		assert.NotEmpty(t, p.Do)
		assert.Less(t, names, p.Name, "sorted by name")
		names = p.Name
		r, err := New(p.Name, dialects[p.Name].cfg)
		require.NoError(t, err)
		require.NotNil(t, r)
	}
}
