package grafana

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestAnnotate(t *testing.T) {
	t.Parallel()
	began := time.UnixMilli(1_000_000)
	b := &journal.Book{Run: journal.Run{ID: "run-1", Began: began}, Scenarios: []*journal.History{{
		Begin: journal.Begin{ID: "s", Name: "slow payments"}, Began: time.Second, Ended: 9 * time.Second, End: &journal.End{Outcome: "failed"},
		Verdicts: []journal.Verdict{{Kind: "success", Outcome: "failed"}},
		Faults: []*journal.Injection{
			{Fault: journal.Fault{ID: "fault-1", Sentence: "payments hang"}, Injected: 2 * time.Second, Healed: 5 * time.Second},
			{Fault: journal.Fault{ID: "fault-2", Sentence: "payments crash"}, Injected: 6 * time.Second},
		},
	}}}
	var got []annotation
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a annotation
		assert.Equal(t, "POST /grafana/api/annotations", r.Method+" "+r.URL.Path)
		assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&a))
		got = append(got, a)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"message":"no permission"}` + "\n"))
	}))
	defer s.Close()
	require.NoError(t, Annotate(t.Context(), s.URL+"/grafana/", "secret", b))
	assert.Equal(t, []annotation{
		{1_001_000, 1_009_000, []string{"firedrill", "scenario"}, "slow payments: failed (run run-1)"},
		{1_002_000, 1_005_000, []string{"firedrill", "fault"}, "payments hang"},
		{1_006_000, 1_009_000, []string{"firedrill", "fault"}, "payments crash (not healed)"},
	}, got)

	got, status = nil, http.StatusForbidden
	require.EqualError(t, Annotate(t.Context(), s.URL+"/grafana", "secret", b), "annotate the dashboards of Grafana: POST "+s.URL+`/grafana/api/annotations: 403 Forbidden: {"message":"no permission"}`)
	assert.Len(t, got, 1, "the first error ends it")

	redirecting := httptest.NewServer(http.RedirectHandler(s.URL+"/grafana/api/annotations", http.StatusMovedPermanently))
	defer redirecting.Close()
	withPassword := strings.Replace(redirecting.URL, "http://", "http://ana:hunter2@", 1)
	err := Annotate(t.Context(), withPassword, "", b)
	require.ErrorContains(t, err, "301 Moved Permanently")
	assert.NotContains(t, err.Error(), "hunter2")
	assert.Len(t, got, 1, "nothing is asked where a redirect leads")
}

func TestCheckAddress(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"http://127.0.0.1:3000", "https://grafana.example.com/grafana/"} {
		require.NoError(t, CheckAddress(good))
	}
	for _, bad := range []string{"127.0.0.1:3000", "localhost:3000", "grafana", "http://", "file:///etc", "http://a b"} {
		require.Error(t, CheckAddress(bad), bad)
	}
}
