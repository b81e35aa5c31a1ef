package standin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// send sends a request to a handler. headers are names and values in turn.
func send(h http.Handler, method, path, body string, headers ...string) (status int, answer string, got http.Header) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String(), w.Header()
}

func applied(t *testing.T, s *StandIn) []journal.Effect {
	t.Helper()
	var all []journal.Effect
	require.NoError(t, s.List(func(e journal.Effect) error { all = append(all, e); return nil }))
	return all
}

func charging(in scenarios.StandIn, key scenarios.Key) *StandIn {
	in.Routes = []scenarios.StandInRoute{
		{Method: "POST", Path: "/charge", Status: 201, Body: `{"id": {{n}}, "of": "{{key}}"}`, Headers: map[string]string{"X-Bank": "b"}},
		{Method: "GET", Path: "/charges/{id}"},
		{Method: "POST", Path: "/declined", Status: 402},
	}
	return New(scenarios.Service{Name: "payments", StandIn: &in}, key)
}

func TestStandIn(t *testing.T) {
	t.Parallel()
	s := charging(scenarios.StandIn{Key: "$.order.key", Once: "Idempotency-Key", Value: "$.amount"}, scenarios.Key{})
	charge := `{"order": {"key": "k-1"}, "amount": 12.5}`
	status, body, header := send(s, "POST", "/charge", charge, "Idempotency-Key", "a")
	assert.Equal(t, 201, status)
	assert.Equal(t, `{"id": 1, "of": "k-1"}`, body)
	assert.Equal(t, "application/json", header.Get("Content-Type"))
	assert.Equal(t, "b", header.Get("X-Bank"))
	_, again, _ := send(s, "POST", "/charge", charge, "Idempotency-Key", "a")
	assert.Equal(t, body, again, "the same key gets the same answer")
	send(s, "POST", "/charge", charge, "Idempotency-Key", "b")
	send(s, "POST", "/charge", charge)
	status, _, _ = send(s, "GET", "/charges/7?x=1", "")
	assert.Equal(t, 200, status)
	status, _, _ = send(s, "POST", "/declined", charge)
	assert.Equal(t, 402, status)
	assert.Equal(t, []journal.Effect{{Key: "k-1", ID: "1", Value: "12.5"}, {Key: "k-1", ID: "2", Value: "12.5"}, {Key: "k-1", ID: "3", Value: "12.5"}}, applied(t, s))

	assert.Empty(t, s.Unanswered())
	for range 2 {
		status, _, _ = send(s, "GET", "/charges/7/more", "")
		assert.Equal(t, 404, status)
	}
	_, quoted, _ := send(s, "POST", "/charge", `{"order": {"key": "k\""}}`)
	assert.Equal(t, `{"id": 6, "of": "k\""}`, quoted)
	send(s, "PUT", "/charge", "")
	assert.Equal(t, `the stand-in "payments" answered requests of routes that it does not have with status 404: GET /charges/7/more (2), PUT /charge (1)`, s.Unanswered())
	assert.Len(t, applied(t, s), 4)

	send(s, "POST", "/charge", "{}")
	assert.ErrorContains(t, s.List(func(journal.Effect) error { return nil }), `1 requests to the stand-in "payments" carried no key at "$.order.key" of a JSON body`)
}

// Without a place of its own, the key is where the load carries it.
func TestKeyOfAStandIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		key        scenarios.Key
		path, body string
		headers    []string
	}{
		"header": {scenarios.HeaderKey("X-Key"), "/charge", "", []string{"X-Key", "k"}},
		"body":   {scenarios.Key{In: scenarios.InBody, Name: "order.key"}, "/charge", `{"order": {"key": "k"}}`, nil},
		"query":  {scenarios.Key{In: scenarios.InQuery, Name: "key"}, "/charge?key=k", "", nil},
		"none":   {scenarios.Key{}, "/charge", "", []string{"Idempotency-Key", "k"}},
	} {
		s := charging(scenarios.StandIn{}, c.key)
		send(s, "POST", c.path, c.body, c.headers...)
		assert.Equal(t, []journal.Effect{{Key: "k", ID: "1"}}, applied(t, s), name)
	}
}
