package injector

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector/protocols"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
)

// TestMain makes the test binary act as the service that the tests start.
func TestMain(m *testing.M) {
	if addr := os.Getenv("SERVE"); addr != "" {
		fmt.Println(http.ListenAndServe(addr, http.HandlerFunc(serveTests))) //nolint:gosec // a test's server
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/firedrill-dev/firedrill/injector/process.init.func1.1"))
}

// target is a real service behind a real link, with one idle connection.
type target struct {
	Target
	peer *net.TCPConn // an idle connection to the link
}

func newTarget(t *testing.T, protocol string) *target {
	t.Helper()
	addr := machine.FreeAddr(t)
	svc, err := process.Start(t.Context(), process.Spec{
		Name: "payments", Args: []string{os.Args[0]}, Env: []string{"SERVE=" + addr}, Log: filepath.Join(t.TempDir(), "log"),
		Ready: process.Ready{HTTP: "http://" + addr + "/", Within: 20 * time.Second}, Grace: 20 * time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, svc.Stop(context.Background())) })
	cfg := link.Config{Name: "orders -> payments", Upstream: addr}
	tg := &target{Target: Target{ID: "f1", Seed: 7}}
	if protocol != "tcp" {
		relay, err := message.New(*protocols.All().Find(protocol), message.Config{Link: cfg.Name})
		require.NoError(t, err)
		tg.Relay = relay
		cfg.Serve = func(ctx context.Context, c link.Conn, dial func(context.Context) (net.Conn, error)) {
			relay.Serve(ctx, c, dial)
		}
	}
	tg.Link, err = link.Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tg.Link.Close()) })
	tg.Service = svc
	peer, err := net.Dial("tcp", tg.Link.Addr())
	require.NoError(t, err)
	tg.peer = peer.(*net.TCPConn)
	t.Cleanup(func() { peer.Close() })
	return tg
}

// newDisk returns a disk. It skips the test where disks cannot be mounted, unless all tests must run.
func newDisk(t *testing.T) *disk.Disk {
	t.Helper()
	machine.Need(t, disk.Available(), "")
	d, err := disk.Open(filepath.Join(t.TempDir(), "data"), 32_000_000)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close()) })
	return d
}

// ask makes n calls on one connection. It returns each answer or "refused" or "broken", and the total duration.
func (tg *target) ask(n int, patience time.Duration) (answers []string, took time.Duration) {
	began := time.Now()
	c, err := net.DialTimeout("tcp", tg.Link.Addr(), patience)
	if err != nil {
		return []string{"refused"}, time.Since(began)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for range n {
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = fmt.Fprintf(c, "POST /charge HTTP/1.1\r\nHost: x\r\nX-Tenant: acme\r\nContent-Length: 2\r\n\r\n{}")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return append(answers, "broken"), time.Since(began)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return append(answers, "broken"), time.Since(began)
		}
		answers = append(answers, fmt.Sprint(resp.StatusCode, " ", string(body)))
	}
	return answers, time.Since(began)
}

// healthy reports whether a call is answered correctly.
func (tg *target) healthy() bool {
	answers, _ := tg.ask(1, patience)
	return len(answers) == 1 && answers[0] == "200 done"
}

// effects lists, for each kind of fault, an example and how to observe its effect.
var effects = map[string]struct {
	fault Fault
	acts  func(*testing.T, *target) bool
}{
	"answered calls": {Answer{Status: 503}, func(_ *testing.T, tg *target) bool {
		a, _ := tg.ask(1, patience)
		return strings.HasPrefix(a[0], "503")
	}},
	"cut replies":        {CutReplies{Events: 2}, func(t *testing.T, tg *target) bool { return tg.events(t) == "12 broken" }},
	"lost call headers":  {LoseCallHeaders{Names: []string{"X-Tenant"}}, answersWith("200 done for nobody")},
	"lost reply headers": {LoseReplyHeaders{Names: []string{"Content-Type"}}, func(t *testing.T, tg *target) bool { return tg.replyHeader(t, "Content-Type") == "" }},
	"quota": {Quota{Calls: 1, Status: 429}, func(_ *testing.T, tg *target) bool {
		a, _ := tg.ask(20, patience) // far more than one in a second
		return a[0] == "200 done" && slices.Contains(a, "429 429 injected\n")
	}},
	"replaced replies":  {ReplaceReplies{Body: "maintenance"}, answersWith("200 maintenance")},
	"set call headers":  {SetCallHeaders{Headers: []string{"X-Tenant: other"}}, answersWith("200 done for other")},
	"set reply headers": {SetReplyHeaders{Headers: []string{"X-Cache: stale"}}, func(t *testing.T, tg *target) bool { return tg.replyHeader(t, "X-Cache") == "stale" }},
	"stalled replies":   {StallReplies{Events: 2}, func(t *testing.T, tg *target) bool { return tg.events(t) == "12 silence" }},
	"bandwidth":         {Bandwidth{Rate: 500}, slower(200 * time.Millisecond)},
	"corrupted calls":   {CorruptCalls{}, func(_ *testing.T, tg *target) bool { return tg.healthy() }}, // visible in the counter only
	"corrupted replies": {CorruptReplies{}, func(_ *testing.T, tg *target) bool {
		a, _ := tg.ask(1, patience)
		return strings.HasPrefix(a[0], "200 ") && len(a[0]) == len("200 done") && a[0] != "200 done"
	}},
	"crash":            {Crash{}, notAnswered},
	"power loss":       {PowerLoss{}, notAnswered},
	"cut off":          {CutOff{}, notAnswered},
	"early close":      {CloseEarly{AfterBytes: 100}, endsAfter(100, io.EOF)},
	"half-open":        {HalfOpen{}, halfOpen},
	"hang":             {Hang{}, notAnswered},
	"late close":       {CloseLate{By: 150 * time.Millisecond}, closesLate(150 * time.Millisecond)},
	"lost replies":     {LoseReplies{}, notAnswered},
	"lost requests":    {LoseRequests{}, notAnswered},
	"no accept":        {NoAccept{}, acceptsNone},
	"out of order":     {Reorder{Wait: 5 * time.Second}, outOfOrder},
	"partition":        {Partition{These: []string{"orders"}, Those: []string{"payments"}}, notAnswered},
	"ramp":             {Ramp{End: 150 * time.Millisecond, Over: 300 * time.Millisecond}, ramps},
	"refuse":           {Refuse{}, func(_ *testing.T, tg *target) bool { a, _ := tg.ask(1, time.Second); return a[0] == "refused" }},
	"reset":            {Reset{}, notAnswered},
	"shared bandwidth": {SharedBandwidth{Rate: 500}, shared},
	"silence":          {Silence{}, notAnswered},
	"sliced traffic":   {Sliced{Size: 16, Apart: 20 * time.Millisecond}, slower(150 * time.Millisecond)},
	"slow accept":      {SlowAccept{By: 100 * time.Millisecond}, slower(100 * time.Millisecond)},
	"slow calls":       {SlowCalls{By: 100 * time.Millisecond}, slower(100 * time.Millisecond)},
	"slow replies":     {SlowReplies{By: 100 * time.Millisecond}, slower(100 * time.Millisecond)},
	"slow traffic":     {SlowTraffic{By: 60 * time.Millisecond}, slower(120 * time.Millisecond)},
	"stalled TLS":      {StallTLS{}, stalls},
	"stop":             {Stop{}, notAnswered},
	"toxic":            {Toxic{Name: "latency", Attributes: "latency=60"}, slower(120 * time.Millisecond)},
	"truncated calls":  {TruncateCalls{}, func(_ *testing.T, tg *target) bool { return tg.healthy() }}, // visible in the counter only
	"truncated replies": {TruncateReplies{}, func(_ *testing.T, tg *target) bool {
		a, _ := tg.ask(1, patience)
		return a[0] != "200 done" && strings.HasPrefix("200 done", a[0])
	}},
	"twice": {Twice{}, func(_ *testing.T, tg *target) bool { return tg.healthy() }}, // visible in the counter only
	"wave":  {Wave{By: 100 * time.Millisecond, Up: 300 * time.Millisecond, Down: 300 * time.Millisecond}, waves},
}

func slower(least time.Duration) func(*testing.T, *target) bool {
	return func(_ *testing.T, tg *target) bool {
		a, took := tg.ask(1, patience)
		return a[0] == "200 done" && took >= least
	}
}

func notAnswered(_ *testing.T, tg *target) bool {
	a, _ := tg.ask(1, 300*time.Millisecond)
	return a[0] == "broken" || a[0] == "refused"
}

// outOfOrder reports whether a held call is released when another call passes it.
func outOfOrder(t *testing.T, tg *target) bool {
	t.Helper()
	first := make(chan time.Duration)
	go func() {
		_, took := tg.ask(1, patience)
		first <- took
	}()
	for {
		select {
		case took := <-first:
			return took < 5*time.Second
		default:
			tg.ask(1, patience)
		}
	}
}

// TestKinds is the conformance test of the table of kinds. Each new kind needs an entry in effects.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	streams := 0
	for _, k := range Kinds() {
		if k.On != "messages" {
			streams++
		}
		t.Run(k.Name, func(t *testing.T) {
			require.False(t, seen[k.Name], "twice in the table")
			seen[k.Name] = true
			require.NotEmpty(t, k.Undo)
			require.Equal(t, k.On == "service", k.Unproved != "", "what a dry run cannot prove")
			require.Contains(t, []string{"calls", "messages", "connections", "traffic", "service"}, k.On)
			require.NotEmpty(t, k.Sentences)
			if k.On == "messages" {
				return // see TestMessageKinds
			}
			d, ok := effects[k.Name]
			require.True(t, ok, "add this kind to effects")

			protocol := "http"
			if k.On == "traffic" || k.On == "connections" {
				protocol = "tcp"
			}
			tg := newTarget(t, protocol)
			if k.Disk {
				tg.Disk = newDisk(t)
			}
			testInjectAndHeal(t, tg, k.On, d.fault, d.acts)
		})
	}
	require.Len(t, effects, streams)
}

// TestAlters: a kind says that it alters contents if what its rule does to a message changes it or makes it up, and that it
// damages requests if the dependency gets them changed.
func TestAlters(t *testing.T) {
	for _, k := range Kinds() {
		on, ok := k.Value.(OnCalls)
		if !ok {
			require.Equal(t, k.Name == "toxic", k.Alters, k.Name)
			continue
		}
		want := false
		switch r := on.Rule(); r.Action {
		case message.Answer, message.Corrupt, message.Truncate, message.CorruptReply, message.TruncateReply, message.ReplaceReply:
			want = true
		case message.CutReply:
			want = r.EndWith != message.EndHeld
		case message.Delay, message.DelayReply, message.LoseRequest, message.LoseReply, message.Twice, message.Reorder:
		case message.EditRequest, message.EditReply: // headers are not contents
		default:
			t.Errorf("%s: say whether %q alters contents", k.Name, r.Action)
		}
		require.Equal(t, want, k.Alters, k.Name)
		damages := func(r message.Rule) bool {
			return r.Dir == message.ToServer && (r.Action == message.Corrupt || r.Action == message.Truncate)
		}
		require.Equal(t, damages(on.Rule()), k.Damages, k.Name)
		if messages, ok := k.Value.(OnMessages); ok {
			require.False(t, messages.FromServer().Kind().Damages, k.Name)
		}
	}
}

// testInjectAndHeal checks that a fault has its effect on a healthy target, is counted, and is gone after healing.
func testInjectAndHeal(t *testing.T, tg *target, unit string, f Fault, acts func(*testing.T, *target) bool) {
	t.Helper()
	require.True(t, tg.healthy(), "before")
	require.Eventually(t, func() bool { return tg.Link.Counters().Live == 1 }, patience, time.Millisecond, "only the idle connection remains")
	tg.Count = evidence.NewCounter(unit)
	ctx, cancel := context.WithCancel(t.Context())
	heal, err := f.Inject(ctx, tg.Target)
	require.NoError(t, err)
	require.True(t, acts(t, tg), "the fault had no effect")
	require.Eventually(t, func() bool { return tg.Count.Tally().Affected > 0 }, patience, time.Millisecond, "the effect was not counted")
	got := tg.Count.Tally()
	require.GreaterOrEqual(t, got.Seen, got.Affected, "affected units were not counted as seen")
	cancel() // healing must work after the run was cancelled
	bounded, done := context.WithTimeout(t.Context(), 20*time.Second)
	defer done()
	require.NoError(t, heal(bounded))
	require.Eventually(t, tg.healthy, patience, 10*time.Millisecond, "after")
}

func TestFaultsRejectTargetsOfAnotherType(t *testing.T) {
	for _, k := range Kinds() {
		_, err := k.Value.Inject(t.Context(), Target{})
		require.Error(t, err, k.Name)
		require.Greater(t, len(err.Error()), 40, "the error does not say what to do: %v", err)
	}
}

func TestCrashSeries(t *testing.T) {
	tg := newTarget(t, "tcp")
	tg.Count = evidence.NewCounter("processes")
	f := Crash{Times: 3, Every: 200 * time.Millisecond}
	require.Equal(t, 400*time.Millisecond, f.Lasts())
	heal, err := f.Inject(t.Context(), tg.Target)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return tg.Count.Tally().Affected == 3 }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, heal(t.Context()))
	require.True(t, tg.healthy())
}

func TestSentences(t *testing.T) {
	for want, f := range map[string]Fault{
		`10% of calls from "a" to "b" are delayed by 800ms, give or take 200ms`:                SlowCalls{By: 800 * time.Millisecond, Jitter: 200 * time.Millisecond, Pick: Pick{Share: 0.1}},
		`only "POST /charge" calls from "a" to "b" are delayed by 2s`:                          SlowCalls{By: 2 * time.Second, Pick: Pick{Match: message.Match{Method: "POST", Path: "/charge"}}},
		`the first 5 calls from "a" to "b" are delivered twice, the copy 2s late`:              Twice{Late: 2 * time.Second, Pick: Pick{First: 5}},
		`every 3rd of the calls from "a" to "b" are delivered twice`:                           Twice{Pick: Pick{Every: 3}},
		`from the 100th to the 211th, calls from "a" to "b" answer with status 503`:            Answer{Status: 503, Pick: Pick{From: 100, To: 211}},
		`0.5% of replies from "b" to "a" are lost after the work was done`:                     LoseReplies{Pick: Pick{Share: 0.005}},
		`requests from "a" never reach "b"`:                                                    CutOff{Dir: link.ToServer},
		`replies from "b" never reach "a"`:                                                     CutOff{Dir: link.ToClient},
		`"c" is cut off from "d", "e"`:                                                         Partition{These: []string{"c"}, Those: []string{"d", "e"}},
		`"c", "d" are cut off from "e", except through "f"`:                                    Partition{These: []string{"c", "d"}, Those: []string{"e"}, Except: "f"},
		`traffic from "c" never reaches "d", "e"`:                                              Partition{These: []string{"c"}, Those: []string{"d", "e"}, OneWay: true, Dir: link.ToClient},
		`"c" is cut off from the rest of "g"`:                                                  Partition{These: []string{"c"}, RestOf: "g"},
		`half of "g" is cut off from the other half`:                                           Partition{HalfOf: "g"},
		`the minority of "g" is cut off from the majority`:                                     Partition{MinorityOf: "g"},
		`traffic from "a" to "b" is limited to 1 MB per second`:                                Bandwidth{Rate: 1e6},
		`"b" crashes 3 times, 1m30s apart`:                                                     Crash{Times: 3, Every: 90 * time.Second},
		`the first 2 "GET /x" calls from "a" to "b" answer with status 429 and retry after 1m`: Answer{Status: 429, RetryAfter: time.Minute, Pick: Pick{First: 2, Match: message.Match{Method: "GET", Path: "/x"}}},
	} {
		require.Equal(t, want, f.Say("a", "b"))
	}
}
