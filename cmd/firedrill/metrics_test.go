package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/runner"
)

// scrape returns the page of metrics, or "" while nothing is served.
func scrape(address string) string {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(page)
}

func TestMetricsOfFaultsAndLinks(t *testing.T) {
	t.Parallel()
	m, err := serveMetrics(":0", func() []runner.Counts {
		return []runner.Counts{{
			Scenario: "measured",
			Faults: []runner.FaultCounts{{
				Fault: "fault-1", Kind: "slow calls", On: "clients -> orders", Live: true,
				Tally: evidence.Tally{
					Unit: "calls", Seen: 7, Affected: 5, Connections: 3, BytesSeen: 70, BytesAffected: 50,
					Delayed: 5, DelayP50: 20 * time.Millisecond, DelayP99: 30 * time.Millisecond, Worst: 40 * time.Millisecond,
				},
			}, {Fault: "fault-2", Kind: "crash", On: "orders", Tally: evidence.Tally{Unit: "service"}}},
			Links: []runner.LinkCounts{{
				Link:     "clients -> orders",
				Counters: link.Counters{Opened: 9, Live: 2, Resets: 1, DialErrors: 4, BytesToServer: 100, BytesToClient: 200},
			}},
		}}
	})
	require.NoError(t, err)
	defer m.close()
	require.Regexp(t, `^127\.0\.0\.1:\d+$`, m.address, "without a host, only this machine")

	var got []string
	for line := range strings.Lines(scrape(m.address)) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	const fault1 = `fault="fault-1",kind="slow calls",on="clients -> orders"`
	const fault2 = `{fault="fault-2",kind="crash",on="orders",scenario="measured"`
	const ofLink = `link="clients -> orders",scenario="measured"} `
	require.ElementsMatch(t, []string{
		`firedrill_fault_live{` + fault1 + `,scenario="measured"} 1`,
		`firedrill_fault_seen_total{` + fault1 + `,scenario="measured",unit="calls"} 7`,
		`firedrill_fault_affected_total{` + fault1 + `,scenario="measured",unit="calls"} 5`,
		`firedrill_fault_connections_affected_total{` + fault1 + `,scenario="measured"} 3`,
		`firedrill_fault_bytes_seen_total{` + fault1 + `,scenario="measured"} 70`,
		`firedrill_fault_bytes_affected_total{` + fault1 + `,scenario="measured"} 50`,
		`firedrill_fault_delay_seconds{` + fault1 + `,quantile="0.5",scenario="measured"} 0.02`,
		`firedrill_fault_delay_seconds{` + fault1 + `,quantile="0.99",scenario="measured"} 0.03`,
		`firedrill_fault_delay_seconds{` + fault1 + `,quantile="1",scenario="measured"} 0.04`,
		`firedrill_fault_live` + fault2 + `} 0`,
		`firedrill_fault_seen_total` + fault2 + `,unit="service"} 0`,
		`firedrill_fault_affected_total` + fault2 + `,unit="service"} 0`,
		`firedrill_fault_connections_affected_total` + fault2 + `} 0`,
		`firedrill_fault_bytes_seen_total` + fault2 + `} 0`,
		`firedrill_fault_bytes_affected_total` + fault2 + `} 0`,
		`firedrill_link_connections_total{` + ofLink + `9`,
		`firedrill_link_connections{` + ofLink + `2`,
		`firedrill_link_resets_total{` + ofLink + `1`,
		`firedrill_link_dials_failed_total{` + ofLink + `4`,
		`firedrill_link_bytes_total{direction="to server",` + ofLink + `100`,
		`firedrill_link_bytes_total{direction="to client",` + ofLink + `200`,
	}, got)

	address := m.address
	m.close()
	_, err = net.DialTimeout("tcp", address, time.Second)
	require.Error(t, err, "metrics are served after close")
}

func TestMetricsDuringARun(t *testing.T) {
	t.Parallel()
	address := machine.FreeAddr(t)
	p := start(t, "", "run", "../../cmd/firedrill/testdata/vacuous.feature", "--metrics", address)
	require.Eventually(t, func() bool {
		return strings.Contains(scrape(address), `firedrill_link_connections_total{link="front -> comments"`)
	}, time.Minute, 20*time.Millisecond, "the run serves no metrics\n%s", p.errOut)
	require.NoError(t, p.cmd.Process.Signal(os.Interrupt))
	require.Equal(t, 130, p.code(t), p.output())
	require.Empty(t, scrape(address), "metrics are served after the run")
}

// TestMetricsOnlyForThisMachine: a page in a browser reads no metrics through a name that leads here, nor from another site. Where
// other machines may read them, any name is accepted.
func TestMetricsOnlyForThisMachine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listen, host, origin string
		status               int
	}{
		{"127.0.0.1:0", "", "", http.StatusOK},
		{"127.0.0.1:0", "rebound.example", "", http.StatusForbidden},
		{"127.0.0.1:0", "", "http://evil.example", http.StatusForbidden},
		{"0.0.0.0:0", "build-7.example:9464", "", http.StatusOK},
	} {
		m, err := serveMetrics(c.listen, func() []runner.Counts { return nil })
		require.NoError(t, err)
		_, port, err := net.SplitHostPort(m.address)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+port+"/metrics", nil)
		require.NoError(t, err)
		if req.Host = c.host; c.origin != "" {
			req.Header.Set("Origin", c.origin)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, c.status, resp.StatusCode, "%v", c)
		m.close()
	}
}

func TestUnusableMetricsAddress(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	for address, why := range map[string]string{taken.Addr().String(): "in use", ":" + port: "in use", "9464": "host and port", "127.0.0.1:x": "x"} {
		m, err := serveMetrics(address, nil)
		require.Nil(t, m)
		require.ErrorContains(t, err, why)
		require.ErrorContains(t, err, fmt.Sprintf("%q", address))
	}
}
