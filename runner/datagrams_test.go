package runner

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// newDNSServer starts a DNS server that knows every name and counts queries.
func newDNSServer(t *testing.T) (addr string, queries *atomic.Int64) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	queries = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<10)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			queries.Add(1)
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}}}
			}
			if raw, err := m.Pack(); err == nil {
				_, _ = c.WriteToUDPAddrPort(raw, from)
			}
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-done })
	return c.LocalAddr().String(), queries
}

// drillDNS runs one feature against a front that looks up a name for each request, through its link to
// a DNS server.
func drillDNS(t *testing.T, steps string) (h *journal.History, queries *atomic.Int64) {
	t.Helper()
	h = steadily(t, func() (*Result, error) {
		var addr string
		addr, queries = newDNSServer(t)
		var link atomic.Value
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, link.Load().(string))
		}}
		// A new name for each request: Go's resolver merges concurrent lookups of one name, and thus their loss.
		var n atomic.Int64
		front := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			if _, err := resolver.LookupIP(ctx, "ip4", fmt.Sprintf("%d.example.test.", n.Add(1))); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
				return
			}
			fmt.Fprint(w, "done")
		})
		system := fmt.Sprintf("services:\n  front: {address: \"127.0.0.1:1\", serves: [/], depends: {names: dns}}\n  names: {address: %q}\n", addr)
		text := "Feature: A\n  Scenario: S\n    Given the system described in \"system.yaml\"\n    And a steady load of 50 requests per second on \"GET /\"\n    And the link is known\n    And a baseline is measured for 1s\n" + steps
		return Run(t.Context(), Options{
			FS: fstest.MapFS{"a.feature": {Data: []byte(text)}, "system.yaml": {Data: []byte(system)}}, Paths: []string{"a.feature"}, Seed: 7, Dir: t.TempDir(),
			Handlers: map[string]http.Handler{"front": front},
			Steps:    []Step{{`^the link is known$`, func(ctx context.Context) error { link.Store(FromContext(ctx).Link("front", "names")); return nil }}},
		})
	})
	return h, queries
}

// A front that queries DNS for each request fails as often as DNS answers with an error, and as long
// as answers are lost. The journal records each of them.
func TestFaultsOnDNS(t *testing.T) {
	t.Parallel()
	h, asked := drillDNS(t, `    When 30% of messages from "front" to "names" are answered with "SERVFAIL" for 1500ms
    And messages from "names" to "front" are lost for 1s
    And 2s pass
    Then at least 10 messages from "front" to "names" were affected by the fault
    And at least 20 messages from "names" to "front" were affected by the fault
    And at least 99% of requests succeed after healing
    And at least 90% of requests succeed during the fault
`)
	require.Len(t, h.Faults, 2)
	assert.Equal(t, "front -> names", h.Faults[0].On)
	assert.Equal(t, "names -> front", h.Faults[1].On)
	requireVerdicts(t, h, "at least 90% of requests succeed during the fault")
	answered, lost := h.Faults[0].Affected, h.Faults[1].Affected
	applied := map[string]int64{}
	for _, m := range h.Messages {
		if m.Stage == "applied" {
			applied[m.Detail]++
			assert.Regexp(t, `^A \d+\.example\.test$`, m.Op)
			assert.Equal(t, m.Fault == "fault-1", m.ToServer)
		}
	}
	assert.Equal(t, map[string]int64{"answered with SERVFAIL": answered, "lost": lost}, applied)
	require.Len(t, h.Accounts, 2)
	for _, b := range h.Accounts {
		if b.ToServer {
			assert.Equal(t, b.Delivered, asked.Load(), "what went out has arrived")
			assert.Equal(t, answered, b.Dropped)
		} else {
			assert.Equal(t, answered, b.Injected)
			assert.Equal(t, lost, b.Dropped)
		}
	}
	require.Len(t, h.Losses, 1)
	assert.Equal(t, "front -> names", h.Losses[0].Link)
	assert.Zero(t, h.Losses[0].Unattributed())
}

// A refused port is closed during the fault and open again after healing.
func TestRefusingDNSServer(t *testing.T) {
	t.Parallel()
	h, _ := drillDNS(t, "    When \"names\" refuses connections from \"front\" for 1s\n    And 1s pass\n    Then at least 99% of requests succeed after healing\n    And at least 1 connections from \"front\" to \"names\" were affected by the fault\n")
	requireVerdicts(t, h, "")
}

// requireVerdicts requires that all verdicts on checks of the feature passed but the one named fails,
// and that the accounting of the relay adds up. It ignores whether the load was steady, as on a busy
// machine it may not be.
func requireVerdicts(t *testing.T, h *journal.History, fails string) {
	t.Helper()
	for _, v := range h.Verdicts {
		switch {
		case v.Check == fails:
			assert.Equal(t, "failed", v.Outcome, failures(h))
		case v.Step != "" || v.Kind == "accounts add up" || v.Kind == "faults acted" || v.Kind == "healed":
			assert.Equal(t, "passed", v.Outcome, "%s\n%s", v.Check, strings.Join(failures(h), "\n"))
		}
	}
}
