package remote_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/remote"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setting is a link that leads to the proxy "db" of a server, which leads to an echo server.
type setting struct {
	server *machine.Toxiproxy
	api    *toxiproxy.Proxy
	proxy  *remote.Proxy
	link   *link.Link
	count  *evidence.Counter
}

func newSetting(t *testing.T) *setting {
	t.Helper()
	s := &setting{server: machine.StartToxiproxy(t)}
	var err error
	s.api, err = toxiproxy.NewClient(s.server.URL).CreateProxy("db", "127.0.0.1:0", echoServer(t))
	require.NoError(t, err)
	s.proxy, err = remote.Open(t.Context(), remote.Config{Link: "a -> db", Server: s.server.URL, Proxy: "db"})
	require.NoError(t, err)
	s.link, err = link.Open(link.Config{Name: "a -> db", Upstream: s.proxy.Addr()})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, s.link.Close())
		require.NoError(t, s.proxy.Close(t.Context()))
	})
	return s
}

// inject makes a fault live.
func (s *setting) inject(t *testing.T, f injector.Fault) injector.Heal {
	t.Helper()
	s.count = evidence.NewCounter(f.Kind().On)
	heal, err := s.proxy.Inject(t.Context(), f, injector.Target{ID: "fault-1", Seed: 1, Link: s.link, Count: s.count})
	require.NoError(t, err)
	return heal
}

// toxics returns the toxics that are on the proxy.
func (s *setting) toxics(t *testing.T) (all []string) {
	t.Helper()
	is, err := s.api.Toxics()
	require.NoError(t, err)
	for _, toxic := range is {
		all = append(all, toxic.Name)
	}
	return all
}

// echoServer sends each line back.
func echoServer(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return ln.Addr().String()
}

// ask sends a line over a new connection and returns what comes back within a time, and how long that took.
func (s *setting) ask(t *testing.T, line string, within time.Duration) (time.Duration, error) {
	t.Helper()
	c, err := net.Dial("tcp", s.link.Addr())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(within)))
	began := time.Now()
	if _, err := fmt.Fprintln(c, line); err != nil {
		return 0, err
	}
	got, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return 0, err
	}
	require.Equal(t, line+"\n", got)
	return time.Since(began), nil
}

// Each fault acts through the server, is counted by the link, and is removed. Without traffic, nothing is counted.
func TestFaultsAct(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2000)
	fails := func(t *testing.T, _ time.Duration, err error) { require.Error(t, err) }
	takes := func(least time.Duration) func(*testing.T, time.Duration, error) {
		return func(t *testing.T, took time.Duration, err error) {
			require.NoError(t, err)
			require.GreaterOrEqual(t, took, least)
		}
	}
	for name, c := range map[string]struct {
		fault  injector.Fault
		within time.Duration
		sees   func(*testing.T, time.Duration, error)
	}{
		"latency":     {injector.SlowTraffic{By: 100 * time.Millisecond, Jitter: 20 * time.Millisecond}, time.Minute, takes(150 * time.Millisecond)},
		"one way":     {injector.SlowTraffic{By: 100 * time.Millisecond, Way: injector.Way{Dir: link.ToClient}}, time.Minute, takes(90 * time.Millisecond)},
		"bandwidth":   {injector.Bandwidth{Rate: 10_000}, time.Minute, takes(300 * time.Millisecond)},
		"sliced":      {injector.Sliced{Size: 500, Apart: 20 * time.Millisecond}, time.Minute, takes(60 * time.Millisecond)},
		"cut off":     {injector.CutOff{}, 300 * time.Millisecond, fails},
		"replies":     {injector.CutOff{Dir: link.ToClient}, 300 * time.Millisecond, fails},
		"partition":   {injector.Partition{Dir: link.ToServer}, 300 * time.Millisecond, fails},
		"silence":     {injector.Silence{}, 300 * time.Millisecond, fails},
		"reset":       {injector.Reset{}, time.Minute, fails},
		"early close": {injector.CloseEarly{AfterBytes: 1000}, time.Minute, fails},
		"late close":  {injector.CloseLate{By: 50 * time.Millisecond}, time.Minute, takes(0)},
		"toxic":       {injector.Toxic{Name: "latency", Attributes: "latency=100"}, time.Minute, takes(200 * time.Millisecond)},
		"no reply":    {injector.Toxic{Name: "limit_data", Attributes: "bytes=0", Way: injector.Way{Dir: link.ToClient}}, time.Minute, fails},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetting(t)
			_, err := s.ask(t, long, time.Minute)
			require.NoError(t, err)
			require.Eventually(t, func() bool { return s.link.Counters().Live == 0 }, time.Minute, time.Millisecond, "its end has passed")
			heal := s.inject(t, c.fault)
			require.NotEmpty(t, s.toxics(t))
			for _, toxic := range s.toxics(t) {
				require.Regexp(t, "^firedrill-fault-1-(up|down)stream-[0-9a-f]{8}$", toxic)
			}
			require.NoError(t, heal(t.Context()))
			require.Zero(t, s.count.Tally().Affected, "nothing met it")

			heal = s.inject(t, c.fault)
			took, err := s.ask(t, long, c.within)
			c.sees(t, took, err)
			require.Eventually(t, func() bool { return s.count.Tally().Affected > 0 }, time.Minute, time.Millisecond)
			require.NoError(t, heal(t.Context()))
			require.Positive(t, s.count.Tally().Affected, s.count.Tally().Void)
			require.Empty(t, s.toxics(t))
			_, err = s.ask(t, long, time.Minute)
			require.NoError(t, err)
		})
	}
}

// What is too small for a toxic, or too short, does not count as affected.
func TestWhatAToxicLetsPassIsNotAffected(t *testing.T) {
	t.Parallel()
	s := newSetting(t)
	for _, f := range []injector.Fault{
		injector.Bandwidth{Rate: 100_000},
		injector.Sliced{Size: 64},
		injector.CloseEarly{AfterBytes: 1000},
		injector.Toxic{Name: "noop"},
	} {
		heal := s.inject(t, f)
		_, err := s.ask(t, "short", time.Minute)
		require.NoError(t, err)
		require.NoError(t, heal(t.Context()))
		require.Zero(t, s.count.Tally().Affected, "%T", f)
		require.Positive(t, s.count.Tally().Seen, "%T", f)
	}
}

// A fault that was not in place all the time has affected nothing, and says why.
func TestFaultThatWasNotInPlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do     func(*testing.T, *setting)
		why    string
		healed string // the error of healing; "" means that there is none
	}{
		"removed": {func(t *testing.T, s *setting) { require.NoError(t, s.api.RemoveToxic(s.toxics(t)[0])) }, "does not have the toxic", ""},
		"changed": {func(t *testing.T, s *setting) {
			_, err := s.api.UpdateToxic(s.toxics(t)[0], -1, toxiproxy.Attributes{"latency": 1})
			require.NoError(t, err)
		}, "somebody changed it", ""},
		"disturbed": {func(t *testing.T, s *setting) {
			_, err := s.api.AddToxic("theirs", "latency", "upstream", 1, toxiproxy.Attributes{"latency": 1})
			require.NoError(t, err)
		}, `has toxics that this run did not put there, which are left alone: "theirs" (latency, upstream)`, "theirs"},
		"disabled":  {func(t *testing.T, s *setting) { require.NoError(t, s.api.Disable()) }, "is disabled", "is disabled"},
		"killed":    {func(_ *testing.T, s *setting) { s.server.Kill() }, "nothing listens there", "nothing listens there"},
		"restarted": {func(t *testing.T, s *setting) { s.server.Kill(); s.server.Start(t) }, `the proxy "db"`, "there is no such proxy"},
	} {
		for _, when := range []string{"seen meanwhile", "seen at the end"} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				s := newSetting(t)
				heal := s.inject(t, injector.SlowTraffic{By: 10 * time.Millisecond})
				_, err := s.ask(t, "hello", time.Minute)
				require.NoError(t, err)
				require.Positive(t, s.count.Tally().Affected)
				c.do(t, s)
				if when == "seen meanwhile" {
					require.Eventually(t, func() bool { return s.count.Tally().Void != "" }, time.Minute, 10*time.Millisecond)
				}
				err = heal(t.Context())
				if c.healed == "" {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, c.healed)
				}
				require.Contains(t, s.count.Tally().Void, c.why)
				require.Zero(t, s.count.Tally().Affected)
				if name == "disturbed" {
					require.Equal(t, []string{"theirs"}, s.toxics(t))
				}
			})
		}
	}
}

// Nothing is measured through a proxy that is not as it should be, and nothing that others put there is touched.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	s := newSetting(t)
	opens := func(proxy string) error {
		cfg := remote.Config{Link: "a -> db", Server: s.server.URL, Proxy: proxy}
		p, err := remote.Open(t.Context(), cfg)
		if err == nil {
			require.NoError(t, p.Close(t.Context()))
			require.NoError(t, remote.Examine(t.Context(), cfg))
			return nil
		}
		require.EqualError(t, err, `link "a -> db": `+remote.Examine(t.Context(), cfg).Error())
		return err
	}
	require.NoError(t, opens("db"))
	require.ErrorContains(t, opens("other"), `link "a -> db": the proxy "other" of the Toxiproxy server at `+s.server.URL+": there is no such proxy: create it, or write `listen`")

	_, err := s.api.AddToxic("theirs", "latency", "downstream", 1, toxiproxy.Attributes{"latency": 1})
	require.NoError(t, err)
	require.ErrorContains(t, opens("db"), `has toxics that this run did not put there, which are left alone: "theirs" (latency, downstream)`)
	_, err = s.proxy.Inject(t.Context(), injector.CutOff{}, injector.Target{ID: "fault-1", Link: s.link})
	require.ErrorContains(t, err, `"theirs" (latency, downstream)`)
	require.Equal(t, []string{"theirs"}, s.toxics(t))
	require.NoError(t, s.api.RemoveToxic("theirs"))

	require.NoError(t, s.api.Disable())
	require.ErrorContains(t, opens("db"), "is disabled: enable it")
	require.NoError(t, s.api.Enable())

	_, err = s.proxy.Inject(t.Context(), injector.Refuse{}, injector.Target{ID: "fault-1", Link: s.link})
	require.ErrorContains(t, err, `which has no toxic for the fault "refuse"`)

	s.server.Kill()
	require.ErrorContains(t, opens("db"), "nothing listens there")
}

// A proxy that is not there is created and deleted again. One that is there stays.
func TestProxyIsCreatedAndDeleted(t *testing.T) {
	t.Parallel()
	server := machine.StartToxiproxy(t)
	api := toxiproxy.NewClient(server.URL)
	cfg := remote.Config{Link: "a -> db", Server: server.URL, Proxy: "db", Listen: "127.0.0.1:0", Upstream: echoServer(t)}
	created, err := remote.Open(t.Context(), cfg)
	require.NoError(t, err)
	is, err := api.Proxy("db")
	require.NoError(t, err)
	require.Equal(t, is.Listen, created.Addr())
	require.Equal(t, cfg.Upstream, is.Upstream)

	found, err := remote.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, remote.Examine(t.Context(), cfg))
	require.NoError(t, found.Close(t.Context()))
	_, err = api.Proxy("db")
	require.NoError(t, err)

	require.NoError(t, created.Close(t.Context()))
	_, err = api.Proxy("db")
	require.ErrorContains(t, err, "404")
	require.NoError(t, remote.Examine(t.Context(), cfg), "it would be created")
	_, err = api.Proxy("db")
	require.ErrorContains(t, err, "404")

	cfg.Listen = "192.0.2.1:1"
	_, err = remote.Open(t.Context(), cfg)
	require.ErrorContains(t, err, `create the proxy "db"`)
}

// Faults that Toxiproxy cannot carry out are refused with a reason and what to do. No other kind of fault exists.
func TestTranslate(t *testing.T) {
	t.Parallel()
	carried := map[string]string{
		"cut off": "timeout", "silence": "", "reset": "", "early close": "limit_data", "late close": "slow_close",
		"toxic": "slicer", "slow traffic": "latency", "bandwidth": "bandwidth", "sliced traffic": "slicer", "partition": "timeout",
	}
	for _, k := range injector.Kinds() {
		toxic, what, hint := remote.Translate(k.Value)
		want, known := carried[k.Name]
		switch {
		case !known:
			require.Equal(t, fmt.Sprintf("which has no toxic for the fault %q", k.Name), what)
		case want != "":
			require.Empty(t, what, "%s", k.Name)
			require.Equal(t, want, toxic.Name)
		}
		require.Equal(t, what == "", hint == "", "%s", k.Name)
	}
	for sentence, f := range map[string]injector.Fault{
		"whose choice of connections is random":                               injector.Reset{Conns: injector.Conns{Share: 0.2}},
		"cannot be removed while it waits":                                    injector.Reset{After: time.Second},
		`no toxic for the fault "reset"`:                                      injector.Reset{AfterBytes: 4000},
		`no toxic for the fault "slow traffic"`:                               injector.SlowTraffic{By: time.Second, Jitter: time.Millisecond, Spread: link.Normal},
		`counts the latency of the toxic "latency" in whole milliseconds`:     injector.SlowTraffic{By: 1500 * time.Microsecond},
		`counts the rate of the toxic "bandwidth" in whole KB`:                injector.Bandwidth{Rate: 1500},
		`which could not carry it out: toxic "slicer": average_size is 0`:     injector.Sliced{},
		`has no toxic for the fault "toxic"`:                                  injector.Toxic{Name: "latency", Attributes: "latency"},
		`which could not carry it out: unknown toxic "flood": known are band`: injector.Toxic{Name: "flood"},
	} {
		_, what, hint := remote.Translate(f)
		require.Contains(t, what, sentence)
		require.Contains(t, hint, "leave `toxiproxy` out of the link")
	}
}

// Healing does not wait for a server that does not answer, and says so.
func TestServerThatHangs(t *testing.T) {
	t.Parallel()
	s := newSetting(t)
	heal := s.inject(t, injector.CutOff{Dir: link.ToServer})
	require.NoError(t, s.server.Signal(syscall.SIGSTOP))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err := heal(ctx)
	require.ErrorContains(t, err, "whether the proxy \"db\" of the Toxiproxy server at "+s.server.URL+" still has toxics of this run is not known")
	require.ErrorContains(t, err, "the server did not answer in time")
	require.NoError(t, s.server.Signal(syscall.SIGCONT))
	require.NoError(t, heal(t.Context()))
	require.Empty(t, s.toxics(t))
}
