package runner

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const cutOff = `    When "front" and "back" are cut off from each other for 1500ms
    Then at least 99% of requests succeed
    And no request takes longer than 1s
`

// remoteShop is a shop whose link to the back leads through a proxy of Toxiproxy. The front answers without the back when
// that does not answer within a time.
type remoteShop struct {
	server *machine.Toxiproxy
	api    *toxiproxy.Client
	load   string        // the route that the load asks for
	steps  string        // what happens, and the checks
	waits  time.Duration // how long the front waits for the back; 0 means for any time, which is the bug
	around bool          // the front uses the address of the proxy, and not that of the link
	change func(*Options)
	live   func(t *testing.T) // called once a fault is live
}

func newRemoteShop(t *testing.T) *remoteShop {
	t.Helper()
	server := machine.StartToxiproxy(t)
	return &remoteShop{server: server, api: toxiproxy.NewClient(server.URL), load: "GET /back", steps: cutOff, waits: 200 * time.Millisecond}
}

// run runs the drill. Every run has the proxy created, and deleted.
func (s *remoteShop) run(t *testing.T) (*Result, *journal.History) {
	t.Helper()
	listen := machine.FreeAddr(t)
	system := strings.Replace(shopFile, "{back: http}", fmt.Sprintf("{back: {protocol: http, toxiproxy: {server: %q, proxy: back, listen: %q}}}", s.server.URL, listen), 1)
	feature := "    And a steady load of 50 requests per second on \"" + s.load + "\"\n    And the link is known\n    And a baseline is measured for 1s\n" + s.steps
	r := runShop(t, feature, func(shop *shop, o *Options) {
		o.FS.(fstest.MapFS)["system.yaml"].Data = []byte(system)
		shop.client.Timeout = s.waits
		front := o.Handlers["front"]
		o.Handlers["front"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			front.ServeHTTP(&neverFails{ResponseWriter: w}, r)
		})
		if s.around {
			shop.back = func() string { return listen }
		}
		var once sync.Once
		o.Watch = func(e journal.Event) {
			if s.live != nil && e.Fault != nil && e.Fault.Stage == "live" {
				once.Do(func() { s.live(t) })
			}
		}
		if s.change != nil {
			s.change(o)
		}
	})
	return r, onlyScenario(r)
}

// neverFails answers with status 200 where another one was meant, as a fallback does.
type neverFails struct{ http.ResponseWriter }

func (w *neverFails) WriteHeader(int) { w.ResponseWriter.WriteHeader(http.StatusOK) }

// requireClean verifies that no proxy is left on the server.
func (s *remoteShop) requireClean(t *testing.T) {
	t.Helper()
	proxies, err := s.api.Proxies()
	require.NoError(t, err)
	require.Empty(t, proxies)
}

// A front that gives up passes, and one without a time limit is caught. The calls that met the fault are counted, and
// nothing is left on the server.
func TestDrillThroughToxiproxy(t *testing.T) {
	t.Parallel()
	s := newRemoteShop(t)
	s.steps = strings.Replace(cutOff, "    Then", "    Then at least 10 connections from \"front\" to \"back\" were affected by the fault\n    And", 1)
	r, h := s.run(t)
	require.Equal(t, "passed", r.Outcome, failures(h))
	require.Positive(t, h.Faults[0].Affected)
	s.requireClean(t)
	notes := ""
	for _, n := range h.Notes {
		notes += n.Text + "\n"
	}
	require.Contains(t, notes, `link "front -> back" leads through the proxy "back" of the Toxiproxy server at `+s.server.URL)

	s.waits = 0
	r, h = s.run(t)
	require.Equal(t, "failed", r.Outcome, failures(h))
	require.Contains(t, failures(h)[0], "no request takes longer than 1s")
	s.requireClean(t)
}

// Whether the system survives is not known if the fault met nothing, or may not have been in place.
func TestUnprovenDrillThroughToxiproxy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, s *remoteShop)
		why    string
	}{
		"no traffic": {func(_ *testing.T, s *remoteShop) { s.load = "GET /page" }, "carried nothing that the fault could act on"},
		"around the link": {func(_ *testing.T, s *remoteShop) { s.around = true },
			`does "front" use the address of the link?`},
		"the server was killed": {func(_ *testing.T, s *remoteShop) { s.live = func(*testing.T) { s.server.Kill() } }, "nothing listens there"},
		"a toxic was removed": {func(_ *testing.T, s *remoteShop) {
			s.live = func(t *testing.T) {
				proxy, err := s.api.Proxy("back")
				assert.NoError(t, err)
				assert.NoError(t, proxy.RemoveToxic(proxy.ActiveToxics[0].Name))
			}
		}, "does not have the toxic"},
		"another toxic was put there": {func(_ *testing.T, s *remoteShop) {
			s.live = func(t *testing.T) {
				proxy, err := s.api.Proxy("back")
				assert.NoError(t, err)
				_, err = proxy.AddToxic("theirs", "latency", "downstream", 1, toxiproxy.Attributes{"latency": 1})
				assert.NoError(t, err)
			}
		}, `"theirs" (latency, downstream)`},
		"nothing listens at the server": {func(_ *testing.T, s *remoteShop) { s.server.Kill() }, "start the server"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newRemoteShop(t)
			c.change(t, s)
			r, h := s.run(t)
			require.Equal(t, "inconclusive", r.Outcome, failures(h))
			require.Contains(t, strings.Join(append(failures(h), h.End.Reason), "\n"), c.why)
		})
	}
}

// A toxic that somebody else has put on a proxy is named and left alone, and nothing is measured through it.
func TestToxicOfOthersIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newRemoteShop(t)
	proxy, err := s.api.CreateProxy("back", "127.0.0.1:0", "127.0.0.1:1")
	require.NoError(t, err)
	_, err = proxy.AddToxic("theirs", "latency", "downstream", 1, toxiproxy.Attributes{"latency": 500})
	require.NoError(t, err)
	r, h := s.run(t)
	require.Equal(t, "inconclusive", r.Outcome)
	require.Contains(t, h.End.Reason, `has toxics that this run did not put there, which are left alone: "theirs" (latency, downstream)`)
	require.Empty(t, h.Faults)
	proxy, err = s.api.Proxy("back")
	require.NoError(t, err)
	require.Len(t, proxy.ActiveToxics, 1)
}

// A proxy that leads elsewhere is not taken for that of the dependency.
func TestProxyThatLeadsElsewhere(t *testing.T) {
	t.Parallel()
	s := newRemoteShop(t)
	_, err := s.api.CreateProxy("back", "127.0.0.1:0", "127.0.0.1:1")
	require.NoError(t, err)
	r, h := s.run(t)
	require.Equal(t, "inconclusive", r.Outcome)
	require.Contains(t, h.End.Reason, "leads to 127.0.0.1:1, and not to 127.0.0.1:")
	_, err = s.api.Proxy("back")
	require.NoError(t, err)
}

// A dry run puts no toxic on the proxy, which others may use.
func TestDryRunThroughToxiproxy(t *testing.T) {
	t.Parallel()
	s := newRemoteShop(t)
	s.change = func(o *Options) { o.DryRun = true }
	r, h := s.run(t)
	require.Zero(t, r.ExitCode(), h.End.Reason)
	require.Contains(t, h.Notes[len(h.Notes)-1].Text, "is enabled and has no toxics, and the link answers as \"back\" itself does; the undo was not tried")
	s.requireClean(t)
}

// A run that ends under the fault leaves nothing on the server.
func TestBrokenDrillThroughToxiproxyIsHealed(t *testing.T) {
	t.Parallel()
	s := newRemoteShop(t)
	s.steps = strings.Replace(cutOff, " for 1500ms", "\n    And a step fails", 1)
	var toxics int
	s.change = func(o *Options) {
		o.Steps = append(o.Steps, Step{`^a step fails$`, func() error {
			proxy, err := s.api.Proxy("back")
			toxics = len(proxy.ActiveToxics)
			return errors.Join(err, errors.New("it fails"))
		}})
	}
	r, h := s.run(t)
	require.NotEqual(t, "passed", r.Outcome, failures(h))
	require.Equal(t, 2, toxics)
	require.Positive(t, h.Faults[0].Healed)
	s.requireClean(t)
}
