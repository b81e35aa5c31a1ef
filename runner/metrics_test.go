package runner_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// freePort returns a port that is not in use.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	return port
}

// scrape reads one series. ok is false while the series does not exist.
func scrape(address, series string) (value float64, ok bool) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return 0, false
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindSubmatch(page)
	if err != nil || found == nil {
		return 0, false
	}
	value, err = strconv.ParseFloat(string(found[1]), 64)
	return value, err == nil
}

func TestMetricsDuringARun(t *testing.T) {
	t.Parallel()
	address := "127.0.0.1:" + freePort(t)
	e := build(t, drill("measured", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", injector.SlowCalls{By: 20 * time.Millisecond}).For(time.Minute).
		Check(check.Success{Ratio: 0.9}))
	const affected = `firedrill_fault_affected_total{fault="fault-1",kind="slow calls",on="clients -> orders",scenario="measured",unit="calls"}`
	first := 0.0
	res := runner.Steadily(t, func() (res *runner.Result, err error) {
		seen, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			o := runner.Options{Dir: t.TempDir(), Metrics: address, HealRequested: func(context.Context) <-chan struct{} { return seen }}
			res, err = runner.RunExperiments(t.Context(), o, e)
		}()
		if !awaitSeries(ended, address, affected, 0, &first) {
			return res, err
		}
		now := 0.0
		require.True(t, awaitSeries(ended, address, affected, first, &now), "it does not rise")
		for series, least := range map[string]float64{
			`firedrill_fault_live{fault="fault-1",kind="slow calls",on="clients -> orders",scenario="measured"}`:                         1,
			`firedrill_fault_delay_seconds{fault="fault-1",kind="slow calls",on="clients -> orders",quantile="0.5",scenario="measured"}`: 0.019,
			`firedrill_link_connections_total{link="clients -> orders",scenario="measured"}`:                                             1,
			`firedrill_link_bytes_total{direction="to server",link="clients -> orders",scenario="measured"}`:                             100,
		} {
			got, ok := scrape(address, series)
			assert.True(t, ok, series)
			assert.GreaterOrEqual(t, got, least, series)
		}
		close(seen) // heals the fault, and the run ends
		<-ended
		return res, err
	})
	h := res.Book.Scenarios[0]
	require.NotEmpty(t, h.Faults)
	require.Positive(t, first)
	assert.Greater(t, float64(h.Faults[0].Affected), first)
	assert.EqualValues(t, h.Faults[0].Affected, h.Faults[0].Delayed)
	assert.GreaterOrEqual(t, h.Faults[0].DelayP50, 19*time.Millisecond)
	require.Len(t, h.Traffic, 1)
	_, err := net.DialTimeout("tcp", address, time.Second)
	assert.Error(t, err, "metrics are served after the run")
}

// awaitSeries waits until a series is larger than least. It returns false if the run ends before that.
func awaitSeries(ended <-chan struct{}, address, series string, least float64, value *float64) bool {
	for {
		if *value, _ = scrape(address, series); *value > least {
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestUnusableMetricsAddressStartsNothing(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	for address, why := range map[string]string{taken.Addr().String(): "in use", ":" + port: "in use", "9464": "host and port", "127.0.0.1:x": "x"} {
		dir := t.TempDir()
		res, err := runner.RunExperiments(t.Context(), runner.Options{Dir: dir, Metrics: address}, build(t, drill("unmeasured", &orders{}, scenarios.Load{}).Wait(time.Second)))
		require.Nil(t, res)
		require.ErrorContains(t, err, why)
		require.ErrorContains(t, err, `"`+address+`"`)
		assert.NoFileExists(t, dir+"/latest")
	}
}
