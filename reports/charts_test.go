package reports

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func TestTicks(t *testing.T) {
	for length, want := range map[time.Duration]time.Duration{
		3 * time.Second: time.Second, 15 * time.Second: 2 * time.Second, 45 * time.Second: 5 * time.Second, 90 * time.Second: 10 * time.Second, 2 * time.Minute: 15 * time.Second,
		4 * time.Minute: 30 * time.Second, 10 * time.Minute: time.Minute, time.Hour: 10 * time.Minute, 8 * time.Hour: time.Hour, 30 * time.Hour: 3 * time.Hour,
	} {
		assert.Equal(t, want, roundTime(length/10), length)
	}
	for at, want := range map[time.Duration]string{0: "+0s", 45 * time.Second: "+45s", 5 * time.Minute: "+5m", 330 * time.Second: "+5m30s", 2 * time.Hour: "+2h", 90 * time.Minute: "+1h30m"} {
		assert.Equal(t, want, tick(at))
	}
	for v, want := range map[float64]float64{0.3: 0.5, 1: 1, 1.1: 2, 30: 50, 66: 100} {
		assert.InDelta(t, want, roundStep(v), 1e-9)
	}
}

// long returns a history of requests for some time, with a fault in its middle.
func long(duration time.Duration) *journal.History {
	h := &journal.History{Begin: journal.Begin{ID: "long", Name: "long"}, Ended: duration, Seqs: map[string][]uint64{}, End: &journal.End{Outcome: "passed"}}
	from, to := duration/3, duration*2/3
	h.Phases = []journal.Span{{Name: "baseline", To: from}, {Name: "fault", From: from, To: to}, {Name: "recovery", From: to, To: duration}}
	h.Faults = []*journal.Injection{{Injected: from, Healed: to, Fault: journal.Fault{ID: "f", Kind: "slow calls", Sentence: "calls are slow", On: "orders -> payments", Unit: "calls", Seen: 9, Affected: 9}}}
	for at := time.Duration(0); at < duration; at += time.Second {
		w := journal.Before
		if at >= from {
			w = journal.During
		}
		if at >= to {
			w = journal.After
		}
		n := int(at / time.Second)
		var latency []journal.Bucket
		for i := range 12 {
			latency = append(latency, journal.Bucket{Up: time.Duration(math.Pow(1.7, float64(i+n%4)) * 1e6), N: int64(20 + i)})
		}
		for _, route := range []string{"GET /page", "POST /orders"} {
			h.Samples = append(h.Samples, journal.Sample{From: at, To: at + time.Second, Window: w, Route: route, Sent: 306, OK: 300 - n%7, Ambiguous: 6 + n%7, Errors: map[string]int{"timeout": 3 + n%7, "status 503": 3}, Latency: latency, Good: latency})
		}
		for _, link := range []string{"orders -> payments", "front -> orders", "front -> ads"} {
			h.Calls = append(h.Calls, journal.Calls{From: at, To: at + time.Second, Window: w, Link: link, Calls: 300 + n%9, Duration: latency})
		}
	}
	return h
}

// TestSlicesAreMerged: nothing gets lost, windows are not mixed, and a chart has a bounded number of slices.
func TestSlicesAreMerged(t *testing.T) {
	for _, d := range []time.Duration{20 * time.Second, 119 * time.Second, 10 * time.Minute, time.Hour, 24 * time.Hour} {
		h := long(d)
		all := seconds(newAxis(h))
		assert.LessOrEqual(t, len(all), maxSlices+4, d)
		sent, calls := 0, 0
		for i, s := range all {
			sent += s.Sent
			calls += s.calls["front -> ads"]
			require.Less(t, s.from, s.to)
			if i > 0 {
				require.LessOrEqual(t, all[i-1].to, s.from)
			}
		}
		assert.Equal(t, h.Total("", "").Sent, sent, d)
		assert.Equal(t, h.CallsTotal("", func(l string) bool { return l == "front -> ads" }).Calls, calls)
	}
	assert.Equal(t, 20, len(seconds(newAxis(long(20*time.Second)))), "a slice for each second")
}

// coordinates are those of paths: "M60 8", "H668", "V118".
var coordinates = regexp.MustCompile(`[MHV](\d+)`)

// TestDrawingsStayInside: nothing is drawn beside the charts, whatever the figures are.
func TestDrawingsStayInside(t *testing.T) {
	h := long(10 * time.Minute)
	huge := 1e12
	h.Observations = []journal.Observation{{Probe: "queue", Asked: time.Minute, Value: &huge}, {Probe: "queue", Asked: 2 * time.Minute, Value: new(float64)}}
	h.Samples[40].Latency = []journal.Bucket{{Up: 1, N: 1}, {Up: time.Hour, N: 9}}
	h.Verdicts = []journal.Verdict{{Kind: "latency", Expected: "below 1ns"}, {Kind: "latency", Expected: "below 40h"}, {Kind: "latency", Expected: "within 3 times the baseline"}}
	common := &shared{}
	all := charts(h, "s1", []moment{{At: time.Hour, Card: 1, ID: "a"}, {At: 0, Card: 2, ID: "b"}}, nil, common)
	require.NotEmpty(t, common.drawings)
	for _, c := range append(all, chart{Title: "in common", SVG: common.SVG()}) {
		for _, m := range coordinates.FindAllStringSubmatch(string(c.SVG), -1) {
			n, err := strconv.Atoi(m[1])
			require.NoError(t, err)
			require.LessOrEqual(t, n, chartWidth, "%s: %s", c.Title, m[0])
		}
		assert.NotContains(t, string(c.SVG), "NaN")
		assert.NotContains(t, string(c.SVG), "Inf")
		assert.NotRegexp(t, `[MHVhv ]-\d{3}`, strings.ReplaceAll(string(c.SVG), "h-", "h"), c.Title)
	}
	assert.Equal(t, []time.Duration{1, 40 * time.Hour}, limitsOf(h))
}

func TestShades(t *testing.T) {
	assert.Equal(t, shades-1, shade(9, 9))
	assert.Equal(t, 0, shade(1, 1000))
	last := 0
	for n := int64(1); n <= 100; n++ {
		require.GreaterOrEqual(t, shade(n, 100), last)
		last = shade(n, 100)
	}
	assert.Equal(t, shades-1, last)
}

// TestColoursHaveContrast: at least 3:1 on the cards of both themes.
func TestColoursHaveContrast(t *testing.T) {
	for _, colour := range []string{orange, skyBlue, green, blue, vermillion, purple, grey} {
		for _, background := range []string{"#ffffff", "#1c2024"} {
			a, b := luminance(t, colour), luminance(t, background)
			assert.GreaterOrEqual(t, (math.Max(a, b)+0.05)/(math.Min(a, b)+0.05), 3.0, "%s on %s", colour, background)
		}
	}
}

func luminance(t *testing.T, colour string) float64 {
	var channels [3]float64
	for i := range channels {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		require.NoError(t, err)
		if c := float64(n) / 255; c <= 0.04045 {
			channels[i] = c / 12.92
		} else {
			channels[i] = math.Pow((c+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*channels[0] + 0.7152*channels[1] + 0.0722*channels[2]
}

// TestPageSize: as many scenarios as the catalogue has, a long run with many keys, and many scenarios.
func TestPageSize(t *testing.T) {
	catalogue := newRecording()
	for i := range 28 {
		catalogue.scenario(sampleRun{name: fmt.Sprint("row ", i), outcome: "passed"})
	}
	catalogue.end("passed")
	many := newRecording()
	for i := range 200 {
		many.scenario(sampleRun{name: fmt.Sprint("row ", i), outcome: map[bool]string{true: "failed", false: "passed"}[i%20 == 0]})
	}
	many.end("failed")
	for name, c := range map[string]struct {
		book  *journal.Book
		limit int
	}{
		"28 scenarios":       {catalogue.book(t), 300 << 10},
		"200 scenarios":      {many.book(t), 1950 << 10},
		"an hour, many keys": {&journal.Book{Scenarios: []*journal.History{hour(20_000)}, End: &journal.End{}}, 60 << 10},
	} {
		size := len(render(t, writeHTML, c.book))
		t.Logf("%s: %d KB", name, size>>10)
		assert.Less(t, size, c.limit, name)
	}
}

// hour returns an hour of requests with some keys, one in a thousand of which was applied twice.
func hour(keys int) *journal.History {
	h := long(time.Hour)
	effects := 0
	effect := func(key, id string) {
		h.Effects.Add(journal.Effect{Key: key, ID: id})
		effects++
	}
	for i := range keys {
		due := time.Duration(i) * time.Hour / time.Duration(keys)
		key := fmt.Sprintf("key-%d", i)
		h.Requests.Add(journal.Request{Key: key, Route: "POST /orders", Due: due, Window: journal.During, Outcome: "acknowledged", Attempts: []journal.Attempt{{At: due, Took: 3 * time.Millisecond, Status: 201}}})
		effect(key, fmt.Sprintf("o-%d", i))
		if i%1000 == 0 {
			effect(key, fmt.Sprintf("o-%d", keys+i))
		}
	}
	h.EffectsRead = &journal.Effects{Source: "GET /ledger", Count: effects}
	return h
}

// BenchmarkHour renders an hour with a million keyed requests.
func BenchmarkHour(b *testing.B) {
	book := &journal.Book{Scenarios: []*journal.History{hour(1_000_000)}, End: &journal.End{}}
	b.ReportAllocs()
	for b.Loop() {
		b.ReportMetric(float64(len(render(b, writeHTML, book)))/1000, "KB")
	}
}

// TestMomentaryLoadIsDrawn: requests that all end within a moment are drawn; the rest of a second of a longer load is not.
func TestMomentaryLoadIsDrawn(t *testing.T) {
	h := &journal.History{Began: 0, Ended: 2 * time.Second}
	h.Samples = []journal.Sample{{From: time.Second, To: 1050 * time.Millisecond, Window: journal.During, Sent: 60, OK: 60}}
	all := seconds(newAxis(h))
	assert.Len(t, all, 1)
	h.Samples = append(h.Samples, journal.Sample{From: 0, To: time.Second, Window: journal.During, Sent: 60, OK: 60})
	all = seconds(newAxis(h))
	assert.Len(t, all, 1)
	assert.Equal(t, time.Duration(0), all[0].from)
}
