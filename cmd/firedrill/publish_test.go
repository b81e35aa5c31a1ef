package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A run is sent to the collector and to the Grafana that are named. One that refuses it changes no outcome.
func TestRunIsPublished(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]string{} // by path: the last body
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		got[r.URL.Path] = string(body)
		if r.URL.Path == "/api/annotations" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	defer s.Close()
	p := startWith(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + s.URL}, nil, "run", "../../cmd/firedrill/testdata/vacuous.feature", "--grafana", s.URL)
	require.Equal(t, 3, p.code(t), p.output())
	mu.Lock()
	defer mu.Unlock()
	assert.Contains(t, got["/v1/traces"], "nobody asks for comments")
	assert.Contains(t, got["/api/annotations"], "nobody asks for comments")
	assert.Contains(t, p.errOut.String(), "firedrill: annotate the dashboards of Grafana: POST "+s.URL+"/api/annotations: 403 Forbidden")
	assert.NotContains(t, p.errOut.String(), "send the run as a trace")
}

// An address that cannot be right is refused before the run, not after it.
func TestGrafanaAddressIsChecked(t *testing.T) {
	t.Parallel()
	code, said := firedrill(t, "run", "../../cmd/firedrill/testdata/vacuous.feature", "--grafana", "localhost:3000")
	require.Equal(t, usage, code)
	assert.Contains(t, said, "--grafana: the address of Grafana is a URL such as http://127.0.0.1:3000")
}
