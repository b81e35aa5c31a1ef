package effects

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// changing returns a source whose list a test changes.
func changing(all *[]journal.Effect) Reader {
	return Reader{Read: func(ctx context.Context, each func(journal.Effect) error) error {
		return listOf(*all...).Read(ctx, each)
	}}
}

func TestReadingsAreTheSameInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values, same  bool
		first, second []journal.Effect
	}{
		"another order":             {false, true, []journal.Effect{{Key: "k-1", ID: "a"}, {Key: "k-2"}}, []journal.Effect{{Key: "k-2"}, {Key: "k-1", ID: "a"}}},
		"listed again with its ID":  {false, true, []journal.Effect{{Key: "k-1", ID: "a"}}, []journal.Effect{{Key: "k-1", ID: "a"}, {Key: "k-1", ID: "a"}}},
		"applied again":             {false, false, []journal.Effect{{Key: "k-1"}}, []journal.Effect{{Key: "k-1"}, {Key: "k-1"}}},
		"applied again, another ID": {false, false, []journal.Effect{{Key: "k-1", ID: "a"}}, []journal.Effect{{Key: "k-1", ID: "a"}, {Key: "k-1", ID: "b"}}},
		"another ID":                {false, false, []journal.Effect{{Key: "k-1", ID: "a"}}, []journal.Effect{{Key: "k-1", ID: "b"}}},
		"exchanged IDs":             {false, false, []journal.Effect{{Key: "k-1", ID: "a"}, {Key: "k-2", ID: "b"}}, []journal.Effect{{Key: "k-1", ID: "b"}, {Key: "k-2", ID: "a"}}},
		"another value":             {false, true, []journal.Effect{{Key: "k-1", Value: "1"}}, []journal.Effect{{Key: "k-1", Value: "2"}}},
		"another value, compared":   {true, false, []journal.Effect{{Key: "k-1", Value: "1"}}, []journal.Effect{{Key: "k-1", Value: "2"}}},
		"exchanged values":          {true, false, []journal.Effect{{Key: "k-1", Value: "1"}, {Key: "k-2", Value: "2"}}, []journal.Effect{{Key: "k-1", Value: "2"}, {Key: "k-2", Value: "1"}}},
	} {
		listed := c.first
		l := NewLedger(Source{Scenario: "k-", Values: c.values, Reader: changing(&listed)})
		first, err := l.Read(t.Context())
		require.NoError(t, err)
		listed = c.second
		second, err := l.Read(t.Context())
		require.NoError(t, err)
		assert.Equal(t, c.same, second.same(first), name)
	}
}

// Effects that are listed again with their ID are folded in a list of any length, also if one key has very many.
func TestEffectsListedAgainAreFolded(t *testing.T) {
	t.Parallel()
	var listed []journal.Effect
	for range 3 {
		for i := range 30_000 {
			listed = append(listed, journal.Effect{Key: "k-same", ID: "o-" + strconv.Itoa(i)}, journal.Effect{Key: "k-" + strconv.Itoa(i), ID: "o"})
		}
	}
	listed = append(listed, journal.Effect{Key: "k-1"}, journal.Effect{Key: "k-1"})
	began := time.Now()
	r, err := NewLedger(Source{Scenario: "k-", Reader: listOf(listed...)}).Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []int{60_002, 120_000, 60_002, 180_002}, []int{r.Effects.Len(), r.folded, r.own, r.listed})
	once, err := NewLedger(Source{Scenario: "k-", Reader: listOf(append(listed[:60_000:60_000], listed[180_000:]...)...)}).Read(t.Context())
	require.NoError(t, err)
	assert.Equal(t, once.Effects.Slice(), r.Effects.Slice())
	assert.Less(t, time.Since(began), 20*time.Second)
}

// An effect that one reading listed and a later one did not shows that the list is a part.
func TestVanishedEffects(t *testing.T) {
	t.Parallel()
	listed := []journal.Effect{{Key: "k-1", ID: "a"}, {Key: "k-2"}}
	l := NewLedger(Source{Scenario: "k-", Reader: changing(&listed)})
	var e Expected
	for i := range 3 {
		e.Requests.Add(acknowledgedFor(fmt.Sprint("k-", i), time.Second, time.Second))
	}
	e.Limit, e.Stated = time.Hour, true
	w := l.NewWait(e, 0)
	require.False(t, w.ReadOnce(t.Context(), 5*time.Second))
	assert.Equal(t, 1, w.missing.n)
	for _, next := range [][]journal.Effect{{{Key: "k-2"}, {Key: "k-1", ID: "a"}}, {{Key: "k-2"}, {Key: "k-1", ID: "a"}, {Key: "k-1", ID: "b"}}} {
		listed = next
		require.False(t, w.ReadOnce(t.Context(), 6*time.Second))
		assert.Zero(t, w.vanished)
	}
	listed = []journal.Effect{{Key: "k-2"}, {Key: "k-1", ID: "b"}}
	require.False(t, w.ReadOnce(t.Context(), 7*time.Second))
	fact, all := w.Result()
	assert.Contains(t, fact.Doubt, "1 effects were listed before and are missing now")
	assert.Equal(t, listed, all.Slice())
}

// growingPages lists effects in pages of ten. Between two of its pages a further effect is applied.
type growingPages struct{ applied atomic.Int64 }

func (p *growingPages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.FormValue("from"))
	n := int(p.applied.Add(1))
	_, _ = fmt.Fprint(w, `{"effects":[`)
	to := min(from+10, n)
	for i := from; i < to; i++ {
		if i > from {
			_, _ = fmt.Fprint(w, ",")
		}
		_, _ = fmt.Fprintf(w, `{"key":"k-%d","id":%d}`, i, i)
	}
	if to < n {
		_, _ = fmt.Fprintf(w, `],"next":"/ledger?from=%d"}`, to)
	} else {
		_, _ = fmt.Fprint(w, `],"next":null}`)
	}
}

// A list that grows while its pages are read is read to its end as it is then, and until it has settled.
func TestPagesThatGrowWhileTheyAreRead(t *testing.T) {
	t.Parallel()
	pages := &growingPages{}
	pages.applied.Store(28)
	server := httptest.NewServer(pages)
	defer server.Close()
	place := Place{EffectSource: system.EffectSource{Kind: "http", At: "orders GET /ledger", Settings: map[string]string{"next": "next"}}, URL: server.URL + "/ledger"}
	r, err := Open(Kinds(), place, nil)
	require.NoError(t, err)
	var e Expected
	for i := range 34 {
		e.Requests.Add(acknowledgedFor(fmt.Sprint("k-", i), 0, time.Second))
	}
	e.Limit = time.Hour
	w := NewLedger(Source{Reader: r, Scenario: "k-"}).NewWait(e, 0)
	require.False(t, w.ReadOnce(t.Context(), 10*time.Second))
	assert.Equal(t, 32, w.latest.Effects.Len(), "29 were there at the first page, and 32 at the fourth")
	assert.Equal(t, 2, w.missing.n)
	require.False(t, w.ReadOnce(t.Context(), 11*time.Second), "all are there, but the list has changed")
	assert.Equal(t, 36, w.latest.Effects.Len())
	assert.Zero(t, w.missing.n)
	assert.Zero(t, w.vanished)
}

// A reading that fails leaves the last one as it was.
func TestFailedReadingIsNotKept(t *testing.T) {
	t.Parallel()
	fails := false
	l := NewLedger(Source{Scenario: "k-", Reader: Reader{Read: func(_ context.Context, each func(journal.Effect) error) error {
		if err := each(journal.Effect{Key: "k-1", ID: strconv.FormatBool(fails)}); err != nil || !fails {
			return err
		}
		return errors.New("the connection broke")
	}}})
	w := l.NewWait(Expected{Limit: time.Second}, 0)
	require.True(t, w.ReadOnce(t.Context(), time.Second))
	fails = true
	w.ReadOnce(t.Context(), 2*time.Second)
	fact, all := w.Result()
	assert.Equal(t, "the connection broke", fact.Error)
	assert.Equal(t, []journal.Effect{{Key: "k-1", ID: "false"}}, all.Slice())
}
