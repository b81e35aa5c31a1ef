package runner_test

import (
	"context"
	"net/http"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
)

// Callers with `listen: shared` have one link to a dependency, at a free port, and other dependencies have links of their
// own.
func TestSharedLinkHasOneFreePort(t *testing.T) {
	t.Parallel()
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	r, err := runner.Run(t.Context(), runner.Options{
		FS: fstest.MapFS{"system.yaml": {Data: []byte(`
services:
  orders: {address: "127.0.0.1:1", serves: [/], depends: {pay: {protocol: http, listen: shared}}}
  refunds: {address: "127.0.0.1:1", depends: {pay: {protocol: http, listen: shared}, stock: {protocol: http, listen: shared}}}
  pay: {address: "127.0.0.1:1"}
  stock: {address: "127.0.0.1:1"}
`)}, "a.feature": {Data: []byte(`Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And the links are compared
    And a steady load of 20 requests per second on "GET /"
    When 1s passes
    Then at least 90% of requests succeed
`)}},
		Paths: []string{"a.feature"}, Dir: t.TempDir(), Handlers: map[string]http.Handler{"orders": ok, "refunds": ok, "pay": ok, "stock": ok},
		Steps: []runner.Step{{Pattern: "^the links are compared$", Do: func(ctx context.Context) error {
			s := runner.FromContext(ctx)
			shared := s.Link("orders", "pay")
			require.NotEmpty(t, shared)
			assert.Equal(t, shared, s.Link("refunds", "pay"))
			assert.NotEqual(t, shared, s.Link("refunds", "stock"))
			resp, err := http.Get("http://" + shared + "/")
			if err != nil {
				return err
			}
			return resp.Body.Close()
		}}},
	})
	require.NoError(t, err)
	h := r.Book.Scenarios[0]
	assert.Empty(t, h.End.Reason)
	assert.Empty(t, h.Troubles)
}
