package load

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// Values are escaped as their place requires, whatever they contain.
func TestPlaceholdersAreEscaped(t *testing.T) {
	t.Parallel()
	odd := "a\"b\\c\nd & é/?"
	l := scenarios.Load{
		Key:     scenarios.HeaderKey("Idempotency-Key"),
		Rows:    []scenarios.Row{{"name": scenarios.StringValue("x"), "age": scenarios.TextValue("x")}, {"name": scenarios.StringValue(odd), "age": scenarios.TextValue("31")}},
		Headers: []scenarios.Header{{Name: "X-Age", Value: "age {{row.age}}"}, {Name: "Authorization", Value: "Bearer ${env:TOKEN}"}, {Name: "Host", Value: "shop.example"}},
		Mix: []scenarios.Route{{
			Method: "POST", Path: "/p/{{row.name}}?q={{row.name}}&n={{n}}", Share: 1,
			Body: `{"quoted": "<{{row.name}}>", "bare": {{row.name}}, "age": {{row.age}}, "key": {{key}}, "token": "${env:TOKEN}"}`,
		}},
	}
	var path, query, age, token, host string
	client, k, requests := clientOn(t, l, func(_ http.ResponseWriter, r *http.Request) {
		path, query, age, token, host = r.URL.Path, r.URL.Query().Get("q"), r.Header.Get("X-Age"), r.Header.Get("Authorization"), r.Host
	})
	client.Env = map[string]string{"TOKEN": `s"ecret`}
	client.Do(1, time.Now())
	require.Equal(t, Acknowledged, k.all[0].Outcome)
	assert.Equal(t, []string{"/p/" + odd, odd, "age 31", `Bearer s"ecret`, "shop.example"}, []string{path, query, age, token, host})
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(requests()[0].body), &body), requests()[0].body)
	assert.Equal(t, map[string]any{"quoted": "<" + odd + ">", "bare": odd, "age": 31.0, "key": "run-1", "token": `s"ecret`}, body)
	assert.Equal(t, "application/json", requests()[0].kind, "the default type of a body")
}

// Random numbers are within their limits, the same for every attempt and every run with the seed, and differ between
// requests and positions.
func TestRandomNumbers(t *testing.T) {
	t.Parallel()
	l := scenarios.Load{Retries: 1, Mix: []scenarios.Route{{Method: "POST", Path: "/", Body: `[{{random 1 3}},{{random 1 1000000}},{{random 1 1000000}}]`, Share: 1}}}
	bodies := func() (all []string) {
		client, _, requests := clientOn(t, l, status(503), status(200))
		for n := range uint64(60) {
			client.Do(n, time.Now())
		}
		for _, r := range requests() {
			all = append(all, r.body)
		}
		return all
	}
	first := bodies()
	require.Len(t, first, 61)
	assert.Equal(t, first[0], first[1], "a retry")
	assert.Equal(t, first, bodies())
	small, large := map[int]bool{}, map[int]bool{}
	for _, text := range first[1:] {
		var numbers [3]int
		require.NoError(t, json.Unmarshal([]byte(text), &numbers))
		small[numbers[0]], large[numbers[1]], large[numbers[2]] = true, true, true
	}
	assert.Equal(t, map[int]bool{1: true, 2: true, 3: true}, small)
	assert.Len(t, large, 120)
}

// The body of another request is one that differs, if there is any.
func TestOtherBody(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]uint64{`{"n": {{n}}}`: 4, `{"who": "{{row.who}}"}`: 5, `{"key": "{{key}}"}`: 0} {
		rows := []scenarios.Row{{"who": scenarios.StringValue("a")}, {"who": scenarios.StringValue("a")}, {"who": scenarios.StringValue("b")}}
		client, _, _ := clientOn(t, scenarios.Load{Key: scenarios.HeaderKey("K"), Rows: rows, Mix: []scenarios.Route{{Method: "POST", Path: "/", Body: body, Share: 1}}}, status(200))
		got, ok := client.OtherBody(3)
		assert.Equal(t, want, got, body)
		assert.Equal(t, want > 0, ok)
	}
}

func TestKeyInTheQuery(t *testing.T) {
	t.Parallel()
	client, _, requests := clientOn(t, scenarios.Load{Key: scenarios.Key{In: scenarios.InQuery, Name: "the key"}, Mix: []scenarios.Route{
		{Method: "POST", Path: "/a", Share: 0.5}, {Method: "POST", Path: "/a?b=1", Share: 0.5},
	}}, status(200))
	for n := range uint64(20) {
		client.Do(n, time.Now())
	}
	seen := map[string]bool{}
	for _, r := range requests() {
		path, key, _ := strings.Cut(r.path, "the+key=run-")
		seen[path] = true
		assert.NotEmpty(t, key)
		assert.Empty(t, r.key)
	}
	assert.Equal(t, map[string]bool{"/a?": true, "/a?b=1&": true}, seen)
}

// chainOf is a load of a chain: create, then pay, then read.
func chainOf(retries int) scenarios.Load {
	return scenarios.Load{Retries: retries, Key: scenarios.HeaderKey("Idempotency-Key"), Mix: []scenarios.Route{{
		Method: "POST", Path: "/orders", Body: `{"n": {{n}}}`, Share: 1, Keep: []scenarios.Kept{{Name: "order", Path: "$.orders[0].id"}},
		Then: []scenarios.Route{{Method: "POST", Path: "/orders/{{order}}/pay", Body: `{"order": {{order}}, "text": "{{order}}"}`}, {Method: "GET", Path: "/orders/{{order}}"}},
	}}}
}

func created(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"orders": [{"id": "o/1"}]}`)
}

// A chain is one request: each of its steps has attempts and a key of its own, and it is acknowledged with the last.
func TestChains(t *testing.T) {
	t.Parallel()
	client, k, requests := clientOn(t, chainOf(2), created, status(503), status(200), status(200))
	client.Do(5, time.Now())
	require.Len(t, k.all, 1)
	e := k.all[0]
	assert.Equal(t, "POST /orders", e.Route)
	assert.Equal(t, []any{Acknowledged, 1, 4}, []any{e.Outcome, e.Retries, e.Wire})
	var steps, statuses []int
	for _, a := range e.Attempts {
		steps, statuses = append(steps, a.Step), append(statuses, a.Status)
	}
	assert.Equal(t, []int{0, 1, 1, 2}, steps)
	assert.Equal(t, []int{201, 503, 200, 200}, statuses)
	var keys, paths []string
	for _, r := range requests() {
		keys, paths = append(keys, r.key), append(paths, r.path)
	}
	assert.Equal(t, []string{"run-5", "2.run-5", "2.run-5", "3.run-5"}, keys)
	assert.Equal(t, []string{"/orders", "/orders/o%2F1/pay", "/orders/o%2F1/pay", "/orders/o%2F1"}, paths)
	assert.Equal(t, `{"order": "o/1", "text": "o/1"}`, requests()[1].body)
	assert.True(t, IsRunKey("2.0a1b2c-00112233-7"), "an effect of a later step is not a phantom")
}

// A step that is not acknowledged ends its chain. The chain is refused only if nothing was changed before.
func TestOutcomesOfChains(t *testing.T) {
	t.Parallel()
	none := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"orders": []}`) }
	for name, c := range map[string]struct {
		answers  []http.HandlerFunc
		outcome  Outcome
		kind     string
		attempts int
	}{
		"refused at first":        {[]http.HandlerFunc{status(400)}, Refused, "status 400", 1},
		"refused later":           {[]http.HandlerFunc{created, status(404)}, Ambiguous, "status 404", 2},
		"unknown at the end":      {[]http.HandlerFunc{created, status(200), hangUp}, Ambiguous, "closed", 3},
		"without the kept value":  {[]http.HandlerFunc{none}, Ambiguous, "no order in the answer", 1},
		"an answer without JSON":  {[]http.HandlerFunc{status(200)}, Ambiguous, "no order in the answer", 1},
		"all steps are confirmed": {[]http.HandlerFunc{created, status(200), status(200)}, Acknowledged, "", 3},
	} {
		client, k, _ := clientOn(t, chainOf(0), c.answers...)
		client.Do(5, time.Now())
		assert.Equal(t, []any{c.outcome, c.kind, c.attempts}, []any{k.all[0].Outcome, k.all[0].Kind, len(k.all[0].Attempts)}, name)
	}
}

func redirect(code int, to string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", to); w.WriteHeader(code) }
}

// Redirects are followed only if that was said, to the same address, and each is an attempt on the wire.
func TestRedirects(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		follow  bool
		expect  []int
		answers []http.HandlerFunc
		want    []string
		outcome Outcome
	}{
		"not followed":    {false, nil, []http.HandlerFunc{redirect(303, "/b")}, []string{"POST /a b"}, Ambiguous},
		"see other":       {true, nil, []http.HandlerFunc{redirect(303, "/b?c=1"), status(200)}, []string{"POST /a b", "GET /b?c=1 "}, Acknowledged},
		"found":           {true, nil, []http.HandlerFunc{redirect(302, "b"), status(200)}, []string{"POST /a b", "GET /b "}, Acknowledged},
		"temporary":       {true, nil, []http.HandlerFunc{redirect(307, "/b"), status(200)}, []string{"POST /a b", "POST /b b"}, Acknowledged},
		"then refused":    {true, nil, []http.HandlerFunc{redirect(308, "/b"), status(400)}, []string{"POST /a b", "POST /b b"}, Refused},
		"done, not found": {true, nil, []http.HandlerFunc{redirect(303, "/b"), status(404)}, []string{"POST /a b", "GET /b "}, Ambiguous},
		"expected":        {true, []int{303}, []http.HandlerFunc{redirect(303, "/b")}, []string{"POST /a b"}, Acknowledged},
		"elsewhere":       {true, nil, []http.HandlerFunc{redirect(307, "http://127.0.0.2:1/b")}, []string{"POST /a b"}, Ambiguous},
		"in a circle":     {true, nil, []http.HandlerFunc{redirect(307, "/a")}, []string{"POST /a b", "POST /a b", "POST /a b", "POST /a b", "POST /a b", "POST /a b"}, Ambiguous},
	} {
		client, k, requests := clientOn(t, scenarios.Load{Redirects: c.follow, Mix: []scenarios.Route{{Method: "POST", Path: "/a", Body: "b", Share: 1, Expect: c.expect}}}, c.answers...)
		client.Do(0, time.Now())
		var got []string
		for _, r := range requests() {
			got = append(got, r.method+" "+r.path+" "+r.body)
		}
		assert.Equal(t, c.want, got, name)
		e := k.all[0]
		assert.Equal(t, c.outcome.String(), e.Outcome.String(), name)
		assert.Equal(t, []int{len(c.want), len(c.want), 0}, []int{e.Wire, len(e.Attempts), e.Retries}, name)
		assert.Equal(t, int64(len(c.want)), client.attempts.Load(), name)
	}
}

// Cookies of an answer are sent by later attempts of the same request, and by no other request.
func TestCookies(t *testing.T) {
	t.Parallel()
	for _, keeps := range []bool{true, false} {
		var mu sync.Mutex
		var got []string
		client, _, _ := clientOn(t, scenarios.Load{Cookies: keeps, Retries: 1, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			got = append(got, r.Header.Get("Cookie"))
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "s1"})
			w.WriteHeader([]int{503, 200}[(len(got)-1)%2])
		})
		client.Do(0, time.Now())
		client.Do(1, time.Now())
		want := []string{"", "", "", ""}
		if keeps {
			want = []string{"", "session=s1", "", "session=s1"}
		}
		assert.Equal(t, want, got)
	}
}

// A fallback may be marked by a field of the body, which may be long.
func TestFallbacksMarkedInTheBody(t *testing.T) {
	t.Parallel()
	long := `{"pad": "` + strings.Repeat("x", maxShown) + `", "tax": {"estimated": true, "kind": "rough", "rate": 20}}`
	for mark, want := range map[scenarios.Mark]bool{
		{Name: "tax.estimated", Value: "true", InBody: true}: true, {Name: "$.tax.kind", Value: "rough", InBody: true}: true, {Name: "tax.rate", Value: "20", InBody: true}: true,
		{Name: "tax.estimated", Value: "false", InBody: true}: false, {Name: "estimated", Value: "true", InBody: true}: false, {Name: "tax.estimated", Value: "true"}: false,
	} {
		client, k, _ := clientOn(t, scenarios.Load{Marker: &mark, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, long) })
		client.Do(0, time.Now())
		assert.Equal(t, want, k.all[0].Fallback, mark)
		assert.Empty(t, k.all[0].Body, "a long body is not kept")
	}
	mark := scenarios.Mark{Name: "a", Value: "b", InBody: true}
	client, k, _ := clientOn(t, scenarios.Load{Marker: &mark, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", maxBody+1))
	})
	client.Do(0, time.Now())
	assert.True(t, k.all[0].Unsent, "whether it is a fallback is not known")
	assert.Contains(t, k.all[0].Kind, "longer than 1 MiB")
}
