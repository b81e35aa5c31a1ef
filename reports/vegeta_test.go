package reports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	vegeta "github.com/tsenart/vegeta/v12/lib"
	"github.com/tsenart/vegeta/v12/lib/plot"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// decodeVegeta passes each result to see, as vegeta's own commands read a file of results.
func decodeVegeta(t testing.TB, r io.Reader, see func(*vegeta.Result)) {
	decode := vegeta.DecoderFor(r)
	require.NotNil(t, decode, "vegeta recognizes the encoding")
	for {
		var result vegeta.Result
		err := decode(&result)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		see(&result)
	}
}

// TestVegetaReadsAttempts: what vegeta report and vegeta plot compute are the figures of the journal.
func TestVegetaReadsAttempts(t *testing.T) {
	b := samples(t)["failed"]
	var metrics vegeta.Metrics
	page := plot.New(plot.Title("attempts"))
	byError := map[string]int{}
	decodeVegeta(t, bytes.NewReader(render(t, writeVegeta, b)), func(r *vegeta.Result) {
		metrics.Add(r)
		require.NoError(t, page.Add(r), "in order")
		byError[r.Error]++
		assert.Equal(t, "orders--failed", r.Attack)
		assert.Equal(t, "POST /orders", r.Method+" "+r.URL)
	})
	metrics.Close()
	page.Close()

	h := b.Scenarios[0]
	var longest, total time.Duration
	attempts, errors := uint64(0), 0
	for _, r := range h.Requests.All() {
		for _, a := range r.Attempts {
			attempts++
			total += a.Took
			longest = max(longest, a.Took)
			if a.Error != "" {
				errors++
			}
		}
	}
	assert.Equal(t, uint64(80), attempts)
	assert.Equal(t, attempts, metrics.Requests)
	assert.Equal(t, map[string]int{"0": 40, "201": 40}, metrics.StatusCodes)
	assert.Equal(t, map[string]int{"timeout": errors, "": 40}, byError)
	assert.Equal(t, []string{"timeout"}, metrics.Errors)
	assert.InDelta(t, 0.5, metrics.Success, 0)
	assert.Equal(t, longest, metrics.Latencies.Max)
	assert.Equal(t, total, metrics.Latencies.Total)
	assert.Equal(t, b.Run.Began.Add(5*time.Second), metrics.Earliest.UTC())
	assert.Equal(t, time.Second, metrics.Duration, "from the first to the last start")

	var text, drawn bytes.Buffer
	require.NoError(t, vegeta.NewTextReporter(&metrics).Report(&text))
	assert.Contains(t, text.String(), "50.00%")
	_, err := page.WriteTo(&drawn)
	require.NoError(t, err)
	assert.Contains(t, drawn.String(), "orders--failed: ERROR")
	assert.Equal(t, "2,160 of 2,200 requests are missing: the journal has single requests only if they carry an idempotency key", vegetaLacks(b))
}

func TestVegetaResultOfEachAttempt(t *testing.T) {
	for name, test := range map[string]struct {
		outcome string
		a       journal.Attempt
		code    uint16
		problem string
	}{
		"answered":             {"acknowledged", journal.Attempt{Status: 201}, 201, ""},
		"status of an error":   {"refused", journal.Attempt{Status: 503}, 503, "503 Service Unavailable"},
		"error of the journal": {"ambiguous", journal.Attempt{Error: "reset"}, 0, "reset"},
		"no HTTP":              {"acknowledged", journal.Attempt{}, 200, ""},
		"no HTTP, and refused": {"refused", journal.Attempt{}, 0, ""},
		"hostile":              {"ambiguous", journal.Attempt{Error: "a\x1b[31m\n"}, 0, `a\x1b[31m `},
	} {
		got := vegetaResult(time.Unix(0, 0), "attack", 3, journal.Request{Route: "PUT /x", Outcome: test.outcome, Attempts: []journal.Attempt{test.a}}, 0)
		assert.Equal(t, test.code, got.Code, name)
		assert.Equal(t, test.problem, got.Error, name)
		assert.Equal(t, "PUT /x", got.Method+" "+got.URL, name)
	}
	assert.Equal(t, "subject", vegetaResult(time.Unix(0, 0), "", 0, journal.Request{Route: "subject", Attempts: []journal.Attempt{{}}}, 0).URL)
}

// TestVegetaOrdersAttempts: a plot needs numbers without gaps in the order in which attempts began; rows are in the order in
// which requests ended.
func TestVegetaOrdersAttempts(t *testing.T) {
	h := &journal.History{}
	h.ID = "s"
	const n = 3000
	for i := range n {
		began := time.Duration((i*7919)%n) * time.Millisecond
		h.Requests.Add(journal.Request{Key: fmt.Sprint("k-", i), Route: "GET /", Due: began, Outcome: "acknowledged", Attempts: []journal.Attempt{{At: began + time.Second, Took: 1, Status: 503}, {At: began + 2*time.Second, Took: 2, Status: 200}}})
	}
	next, last := uint64(0), time.Time{}
	decodeVegeta(t, bytes.NewReader(render(t, writeVegeta, &journal.Book{Scenarios: []*journal.History{h}})), func(r *vegeta.Result) {
		assert.Equal(t, next, r.Seq)
		assert.False(t, r.Timestamp.Before(last))
		next, last = next+1, r.Timestamp
	})
	assert.Equal(t, uint64(2*n), next)
}

func TestVegetaOfHostileText(t *testing.T) {
	b := samples(t)["failed"]
	poison(reflect.ValueOf(b))
	raw := render(t, writeVegeta, b)
	assert.NotRegexp(t, "[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202e]", string(raw))
	decodeVegeta(t, bytes.NewReader(raw), func(r *vegeta.Result) {
		assert.Contains(t, r.URL, `\x1b]0;owned`)
		assert.NotContains(t, r.URL, "\u202e")
	})
}

// counting counts what is written, and keeps nothing.
type counting struct{ lines, most int }

func (c *counting) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte("\n"))
	c.most = max(c.most, len(p))
	return len(p), nil
}

// TestVegetaStreams: results are written as they are made, in small pieces.
func TestVegetaStreams(t *testing.T) {
	h := &journal.History{}
	const n = 100_000
	for i := range n {
		h.Requests.Add(journal.Request{Key: fmt.Sprint("k-", i), Route: "GET /", Due: time.Duration(i), Outcome: "acknowledged", Attempts: []journal.Attempt{{At: time.Duration(i), Took: 1, Status: 200}}})
	}
	var out counting
	require.NoError(t, writeVegeta(&out, &journal.Book{Scenarios: []*journal.History{h}}))
	assert.Equal(t, n, out.lines)
	assert.LessOrEqual(t, out.most, 64<<10)
}
