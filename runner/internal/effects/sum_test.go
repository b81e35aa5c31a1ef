package effects

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
)

func readTotal(t *testing.T, body string, header http.Header) (Total, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, values := range header {
			w.Header()[name] = values
		}
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	return ReadTotal(t.Context(), load.Trust{}, http.MethodGet, server.URL, "balance")
}

func TestTotals(t *testing.T) {
	for body, want := range map[string]string{
		`[]`: "0",
		`[{"balance": 0.1}, {"balance": 0.2}, {"balance": -0.3}]`:             "0",
		`[{"balance": "12.50"}, {"balance": 7}]`:                              "19.5",
		`[{"balance": 9007199254740993}, {"balance": 0.0000000000000000001}]`: "9007199254740993.0000000000000000001",
		`[{"balance": 1.5e3}]`:                                                "1500",
		` {"accounts": [{"id": 1, "balance": 4}], "total": 1, "next": null}`:  "4",
	} {
		got, err := readTotal(t, body, nil)
		require.NoError(t, err, body)
		require.Equal(t, want, got.String(), body)
	}
	for body, why := range map[string]string{
		``: "no list", `null`: "no list", `7`: "no list", `{`: "not JSON", `[1]`: "not a JSON array of objects", `{"a": [], "b": []}`: "several arrays",
		`[{"balance": 1}, {}]`:        `item 2 has a "balance" that is not a decimal number`,
		`[{"balance": null}]`:         "item 1 has",
		`[{"balance": "1/3"}]`:        "item 1 has",
		`[{"balance": 1e999999}]`:     "item 1 has",
		`{"a": [], "has_more": true}`: `its field "has_more" is true`,
		`{"a": [], "total": 7}`:       "total of 7",
	} {
		_, err := readTotal(t, body, nil)
		require.ErrorContains(t, err, why, body)
	}
	_, err := readTotal(t, `[]`, http.Header{"Link": {`</accounts?page=2>; rel="next"`}})
	require.ErrorContains(t, err, "next page")
}

func TestTotalsOfTheSameValues(t *testing.T) {
	total := func(body string) Total {
		got, err := readTotal(t, body, nil)
		require.NoError(t, err)
		return got
	}
	one := total(`[{"balance": 1}, {"balance": 2.0}]`)
	require.True(t, one.SameValues(total(`[{"balance": "2"}, {"balance": 1}]`)))
	require.False(t, one.SameValues(total(`[{"balance": 0}, {"balance": 3}]`)))
	require.False(t, one.SameValues(total(`[{"balance": 1}, {"balance": 2}, {"balance": 0}]`)))
}
