package source

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{"64 KB": 64_000, "64KiB": 65_536, "512 B": 512, "1.5 MB": 1_500_000, "2 GiB": 2 << 30, "7 bytes": 7} {
		got, err := ParseSize(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "64", "64 K", "0 KB", "-1 B", "1e30 GB", "9999999 GB", "0.1 B"} {
		_, err := ParseSize(s)
		assert.Error(t, err, s)
	}
}

func TestLimits(t *testing.T) {
	for s, want := range map[string]int64{"4 KB": 4000, "1 B": 1, "2 MB": 2_000_000} {
		size, d, err := ParseLimit(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, size, s)
		assert.Zero(t, d, s)
	}
	for s, want := range map[string]time.Duration{"2s": 2 * time.Second, "2 m": 2 * time.Minute, "1m30s": 90 * time.Second} {
		size, d, err := ParseLimit(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, d, s)
		assert.Zero(t, size, s)
	}
	for s, want := range map[string]string{"4": "neither", "4 bananas": "neither", "0 KB": "not a size", "0s": "above 0", "": "neither"} {
		_, _, err := ParseLimit(s)
		require.ErrorContains(t, err, want, s)
	}
}

func TestDelays(t *testing.T) {
	for s, want := range map[string]time.Duration{"0ms": 0, "0 seconds": 0, "5ms": 5 * time.Millisecond} {
		got, err := ParseDelay(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"0", "-1ms", "48h"} {
		_, err := ParseDelay(s)
		assert.Error(t, err, s)
	}
}

func TestShares(t *testing.T) {
	for s, want := range map[string]float64{"0%": 0, "99.9%": 0.999, "100%": 1, "12.5%": 0.125, "0.001%": 0.00001} {
		got, err := ParsePercent(s)
		require.NoError(t, err, s)
		assert.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "%", "5", "-1%", "100.1%", "NaN%", "1.2.3%"} {
		_, err := ParsePercent(s)
		assert.Error(t, err, s)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"orders", "payments", "recs", "db"}
	for word, want := range map[string]string{"ordres": "orders", "Payments": "payments", "pay": "payments", "rec": "recs", "bd": "", "x": "", "moonshine": ""} {
		assert.Equal(t, want, Nearest(word, names), word)
	}
}

// Comparing two words of 100,000 characters takes minutes, and a file may hold longer ones.
func TestLongWordsAreNotCompared(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	assert.Empty(t, Nearest(long, []string{long + "y", "x"}))
	assert.Equal(t, "payments", Nearest("payment", []string{long, "payments"}))
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"ab", "", 2}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"abc", "xabc", 1}, {"kitten", "sitting", 3}, {"é", "e", 1}} {
		assert.Equal(t, c.want, Distance(c.a, c.b), "%q %q", c.a, c.b)
	}
}
