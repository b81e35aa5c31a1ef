package runner

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// ledgerVariable makes this program run what BenchmarkLedger measures, in a process of its own.
const ledgerVariable = "FIREDRILL_BENCH_LEDGER"

var (
	benchKeys   = flag.Int("keys", 1_000_000, "keyed requests of BenchmarkLedger")
	benchUUID   = flag.Bool("uuid", false, "in BenchmarkLedger, the ids of effects are UUIDs instead of o-1, o-2, ...")
	benchSettle = flag.Duration("settle", time.Millisecond, "how long effects settle in BenchmarkLedger: with 1s, they are read twice")
)

// BenchmarkLedger measures a run of many keyed requests, each with one effect, of which one in a thousand has an
// anomaly: from the end of the load until all checks are judged (verdicts), and until the reports are written
// (reports); and then the rendering of the same journal by another process (report). The memory is the most that
// each process had resident. No request is sent, so that only the runner is measured; effects are read over HTTP, as
// pages of JSON, from the process of the benchmark. The CPU time does not depend on what else runs on the machine.
func BenchmarkLedger(b *testing.B) {
	if mode := os.Getenv(ledgerVariable); mode != "" {
		b.ReportAllocs()
		measureLedger(b, mode, flag.Arg(0), flag.Arg(1))
		return
	}
	ledger := httptest.NewServer(&syntheticEffects{n: *benchKeys})
	defer ledger.Close()
	for b.Loop() {
		dir := b.TempDir()
		for _, mode := range []string{"run", "report"} {
			cmd := exec.Command(os.Args[0], "-test.run=^$", "-test.bench=^BenchmarkLedger$", "-test.benchtime=1x", "-test.timeout=20m", "-keys="+strconv.Itoa(*benchKeys), fmt.Sprintf("-uuid=%t", *benchUUID), "-settle="+benchSettle.String())
			if profiles := os.Getenv("FIREDRILL_BENCH_PROFILE"); profiles != "" {
				cmd.Args = append(cmd.Args, "-test.cpuprofile="+filepath.Join(profiles, mode+".cpu"), "-test.memprofile="+filepath.Join(profiles, mode+".mem"))
			}
			cmd.Args = append(cmd.Args, dir, ledger.URL)
			cmd.Env = append(os.Environ(), ledgerVariable+"="+mode)
			out, err := cmd.CombinedOutput()
			require.NoError(b, err, "%s", out)
			for line := range strings.Lines(string(out)) {
				if name, value, ok := strings.Cut(strings.TrimSpace(line), "= "); ok {
					n, err := strconv.ParseFloat(value, 64)
					require.NoError(b, err, line)
					b.ReportMetric(n, name)
				}
			}
		}
	}
}

// moment is the time on the clock and the CPU time of this process.
type moment struct {
	at  time.Time
	cpu time.Duration
}

func momentNow() moment {
	var use syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &use)
	return moment{time.Now(), time.Duration(use.Utime.Nano() + use.Stime.Nano())}
}

// print prints the time since a moment as metrics of BenchmarkLedger.
func (m moment) print(what string) {
	now := momentNow()
	fmt.Printf("%s-s= %.2f\n%s-CPU-s= %.2f\n", what, now.at.Sub(m.at).Seconds(), what, (now.cpu - m.cpu).Seconds())
}

// residentPeak returns the most memory that this process had resident, in MB.
func residentPeak(tb testing.TB) float64 {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(tb, err)
	_, after, ok := strings.Cut(string(status), "VmHWM:")
	require.True(tb, ok)
	kB, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	require.NoError(tb, err)
	return kB * 1024 / 1e6
}

func measureLedger(b *testing.B, mode, dir, url string) {
	if mode == "report" {
		runs, err := filepath.Glob(filepath.Join(dir, "*-*"))
		require.NoError(b, err)
		require.Len(b, runs, 1)
		info, err := os.Stat(filepath.Join(runs[0], "journal.ndjson"))
		require.NoError(b, err)
		began := momentNow()
		file, err := os.Open(filepath.Join(runs[0], "journal.ndjson"))
		require.NoError(b, err)
		book, err := journal.Fold(file)
		require.NoError(b, err)
		began.print("fold")
		answers, _ := check.Judge(book.Scenarios[0], ledgerBenchChecks, nil)
		began.print("fold+judge")
		requireAnomalies(b, answers)
		fmt.Printf("report-MB= %.0f\njournal-MB= %.0f\n", residentPeak(b), float64(info.Size())/1e6)
		return
	}
	e := &scenarios.Experiment{ID: "million", Name: "a million", Load: &scenarios.Load{}, Effects: &scenarios.Effects{Settle: *benchSettle}}
	for _, c := range ledgerBenchChecks {
		e.Checks = append(e.Checks, scenarios.Check{Check: c})
	}
	r, err := begin(Options{Dir: dir}, nil)
	require.NoError(b, err)
	r.journal = journal.NewWriter(r.file, time.Now().Add(-100*time.Second)) // the load was sent in this time
	r.write(journal.Event{Run: &journal.Run{Schema: journal.Schema}})
	s := newSession(context.Background(), r, e, try{number: 1})
	s.record(journal.Event{Begin: &journal.Begin{ID: e.ID, Name: e.Name}})
	s.enterPhase("baseline")
	reader, err := effects.Open(effects.Kinds(), effects.Place{
		EffectSource: scenarios.DeclaredSource{Name: "GET /ledger", Kind: "http", At: "ledger GET /ledger", Settings: map[string]string{"next": "next"}},
		URL:          url + "/ledger?prefix=" + s.keyPrefix(),
	}, nil)
	require.NoError(b, err)
	s.ledgers = []ledger{{effects.NewLedger(effects.Source{Reader: reader, Scenario: s.keyPrefix() + "-", Run: r.short + "-", Alone: true}), scenarios.EffectSource{Name: "GET /ledger"}}}
	require.NoError(b, s.ledgers[0].ReadBefore(context.Background()))
	source := &syntheticEffects{prefix: s.keyPrefix(), n: *benchKeys}
	answer, err := http.Post(url+"/load?prefix="+s.keyPrefix(), "", nil)
	require.NoError(b, err)
	require.NoError(b, answer.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	for i := range *benchKeys {
		request := source.request(i)
		s.bodies.add(request.Key, `{"order":"`+request.Key+`"}`)
		s.addRequest(*request)
	}
	fmt.Printf("load-MB= %.0f\n", residentPeak(b))
	ended := momentNow()
	s.flush(0)
	saved := saveMemory()
	s.record(journal.Event{Load: &journal.Load{Requested: float64(*benchKeys), Intended: *benchKeys, Sent: *benchKeys}})
	s.enterPhase("collect")
	s.effects()
	s.recordStories()
	s.judge()
	saved()
	ended.print("verdicts")
	fmt.Printf("verdicts-MB= %.0f\n", residentPeak(b))
	requireAnomalies(b, s.verdicts)
	s.record(journal.Event{End: &journal.End{Outcome: "failed"}})
	s = nil //nolint:wastedassign // a scenario that has ended is garbage
	_, err = r.end(context.Background())
	require.NoError(b, err)
	ended.print("reports")
	fmt.Printf("run-MB= %.0f\n", residentPeak(b))
	runtime.KeepAlive(e)
}

var ledgerBenchChecks = []check.Check{check.ExactlyOnce{}, check.NoneLost{}, check.NoneTwice{}, check.NoPhantom{}, check.SameResponse{}}

// requireAnomalies requires the verdicts on syntheticEffects.
func requireAnomalies(tb testing.TB, answers []check.Verdict) {
	of := *benchKeys / 4000
	for i, want := range []string{
		fmt.Sprintf("%s applied more than once (surplus effects: %[1]s), %[1]s acknowledged and lost", check.Count(of)),
		check.Count(of) + " acknowledged and lost",
		fmt.Sprintf("%s applied more than once (surplus effects: %[1]s)", check.Count(of)),
		check.Count(of) + " never requested",
	} {
		require.Equal(tb, want, answers[i].Reason)
	}
}

// syntheticEffects is a service that lists an effect for each of n requests, except that of 4,000 requests one is lost,
// one is applied twice, one is ambiguous and not applied, and one effect has no request.
type syntheticEffects struct {
	n      int
	prefix string // of the keys; "" before the load
}

// request returns the i-th request.
func (l *syntheticEffects) request(i int) *journal.Request {
	due := time.Second + time.Duration(i)*90*time.Second/time.Duration(l.n)
	r := &journal.Request{
		Key: l.prefix + "-" + strconv.Itoa(i), Route: "POST /orders", Due: due, Window: journal.Before, Outcome: "acknowledged", Digest: fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15),
		Attempts: []journal.Attempt{{At: due + time.Duration(i%97)*time.Microsecond, Took: time.Duration(1_000_000+i*7919%9_000_000) * time.Nanosecond, Status: 201}},
	}
	switch {
	case i%4000 == 2000:
		r.Outcome, r.Digest, r.Attempts[0].Status, r.Attempts[0].Error = "ambiguous", "", 0, "timeout"
	case i%100 == 7: // sent again
		first := r.Attempts[0]
		first.Status = 503
		r.Attempts = []journal.Attempt{first, {At: first.At + first.Took + 50*time.Millisecond, Took: 3 * time.Millisecond, Status: 201}}
	}
	return r
}

// pageOfRequests is how many requests have their effects in a page.
const pageOfRequests = 10_000

// ServeHTTP lists the effects in pages.
func (l *syntheticEffects) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/load" {
		l.prefix = r.FormValue("prefix")
		return
	}
	if l.prefix != r.FormValue("prefix") { // before the load
		_, _ = io.WriteString(w, `{"effects":[{"key":"earlier"}],"next":null}`)
		return
	}
	from, _ := strconv.Atoi(r.FormValue("from"))
	to := min(from+pageOfRequests, l.n)
	page := []byte(`{"next":null,"effects":[{"key":"earlier"},`)
	if to < l.n {
		page = fmt.Appendf(nil, `{"next":"/ledger?prefix=%s&from=%d","effects":[`, l.prefix, to)
	}
	comma := ""
	for i := from; i < to; i++ {
		for n, key := range l.keys(i) {
			id := fmt.Sprintf("o-%d", 2*i+n)
			if *benchUUID {
				id = fmt.Sprintf("%08x-1111-4222-8333-%012x", 2*i+n, uint64(i)*0x9e3779b97f4a7c15>>16)
			}
			page = fmt.Appendf(page, `%s{"key":"%s","id":"%s"}`, comma, key, id)
			comma = ","
		}
	}
	_, _ = w.Write(append(page, "]}"...))
}

// keys returns the keys of the effects of the i-th request.
func (l *syntheticEffects) keys(i int) []string {
	key := l.prefix + "-" + strconv.Itoa(i)
	switch i % 4000 {
	case 500, 2000: // lost, ambiguous
		return nil
	case 1000:
		return []string{key, key}
	case 1500:
		return []string{key, "ghost-" + strconv.Itoa(i)}
	}
	return []string{key}
}
