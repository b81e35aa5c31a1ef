package language

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{"800ms": 800 * time.Millisecond, "2s": 2 * time.Second, "5m": 5 * time.Minute, "1 minute": time.Minute, "30 seconds": 30 * time.Second,
		"1.5h": 90 * time.Minute, "1m30s": 90 * time.Second, "1h1m1s": time.Hour + time.Minute + time.Second, "20 µs": 20 * time.Microsecond, "24h": 24 * time.Hour} {
		d, out := parseSentence(t, s+" pass", nil, "")
		require.NoError(t, out.Err(), s)
		assert.Equal(t, scenarios.Wait{For: want}, d.Steps[0].Do, s)

		d, out = parseSentence(t, injector.Duration(want)+" pass", nil, "")
		require.NoError(t, out.Err(), s)
		assert.Equal(t, scenarios.Wait{For: want}, d.Steps[0].Do, "as it is printed: %s", injector.Duration(want))
	}
	for _, s := range []string{"", "5", "s", "5 parsecs", "0s", "-1s", "25h", "1e9h", "NaNs", "9999999999999999999h", "1.2.3s", "1,5s"} {
		_, err := source.ParseDuration(s)
		assert.Error(t, err, s)
	}
	for d, want := range map[time.Duration]string{90 * time.Second: "1m30s", 5 * time.Minute: "5m", 2 * time.Hour: "2h", 10 * time.Second: "10s", time.Hour + 30*time.Second: "1h0m30s", 0: "0s"} {
		assert.Equal(t, want, injector.Duration(d))
	}
}
