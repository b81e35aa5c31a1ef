package load

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/require"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// targetVariable makes this program serve as the target of BenchmarkOutcomes.
const targetVariable = "FIREDRILL_BENCH_TARGET"

var benchRate = flag.Int("rate", 20_000, "requests per second of BenchmarkOutcomes")

func TestMain(m *testing.M) {
	if os.Getenv(targetVariable) != "" {
		serveTarget()
		return
	}
	os.Exit(m.Run())
}

// serveTarget answers requests until its input is closed. It writes its address first, and last how many it answered.
func serveTarget() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(l.Addr())
	var n atomic.Int64
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { n.Add(1); _, _ = io.WriteString(w, "done") }))
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Println(n.Load())
}

// other is this program in another process.
type other struct {
	address string
	process *os.Process
	end     func() (answered string) // may be called once
}

// startTarget starts this program as a target, which ends with the test.
func startTarget(t testing.TB) other {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env, cmd.Stderr = append(os.Environ(), targetVariable+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	line := func() string {
		text, err := lines.ReadString('\n')
		require.NoError(t, err)
		return strings.TrimSpace(text)
	}
	return other{address: line(), process: cmd.Process, end: func() string {
		_ = in.Close()
		return line()
	}}
}

// delivered is what a generator delivered at a rate.
type delivered struct {
	sent, failed int
	slipP99      time.Duration // from due to sent
}

// BenchmarkOutcomes drives a server in another process at 20,000 requests per second for 10 seconds: with
// vegeta's own attack, and with a Generator, which uses vegeta only to keep the pace. Both run in turn, on
// the same machine as the server.
func BenchmarkOutcomes(b *testing.B) {
	const length = 10 * time.Second
	address := startTarget(b).address
	for _, g := range []struct {
		name string
		run  func(b *testing.B, address string, rate int, length time.Duration) delivered
	}{{"vegeta", attack}, {"firedrill", generate}} {
		b.Run(g.name, func(b *testing.B) {
			for b.Loop() {
				began, before := time.Now(), readMachineUse()
				got := g.run(b, address, *benchRate, length)
				use := readMachineUse().since(before)
				b.ReportMetric(float64(got.sent-got.failed)/time.Since(began).Seconds(), "requests/s")
				b.ReportMetric(float64(got.slipP99.Microseconds())/1000, "slip-p99-ms")
				b.ReportMetric(100*use.cpu, "%CPU")
				b.ReportMetric(use.cpu*float64(runtime.NumCPU())*float64(time.Since(began).Microseconds())/float64(got.sent), "CPU-us/request")
				b.ReportMetric(float64(use.gcPause.Microseconds())/1000, "gc-pause-ms")
				b.ReportMetric(float64(got.failed), "failed")
			}
		})
	}
}

// attack sends with vegeta alone.
func attack(_ *testing.B, address string, rate int, length time.Duration) (got delivered) {
	slip := hdrhistogram.New(1, longestSlip.Microseconds(), 2)
	target := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: "http://" + address + "/"})
	began := time.Now()
	for r := range vegeta.NewAttacker(vegeta.MaxWorkers(maxWorkers)).Attack(target, vegeta.Rate{Freq: rate, Per: time.Second}, length, "") {
		got.sent++
		if r.Code != http.StatusOK {
			got.failed++
		}
		due := began.Add(time.Duration(r.Seq) * time.Second / time.Duration(rate))
		_ = slip.RecordValue(max(1, r.Timestamp.Sub(due).Microseconds()))
	}
	got.slipP99 = time.Duration(slip.ValueAtQuantile(99)) * time.Microsecond
	return got
}

// generate sends with a Generator.
func generate(b *testing.B, address string, rate int, length time.Duration) delivered {
	l := &scenarios.Load{Rate: float64(rate), Mix: []scenarios.Route{{Method: http.MethodGet, Path: "/", Share: 1}}, GiveUp: 10 * time.Second}
	failed := make(chan Result, 2*rate*int(length.Seconds()))
	c := NewClient(b.Context(), Config{Load: l, Address: at(address), Ended: func(e Result) {
		if e.Outcome != Acknowledged {
			failed <- e
		}
	}})
	g := Start(b.Context(), l, c, l.Rate)
	time.Sleep(length)
	got := g.End(func(uint64, time.Time) {})
	if len(failed) > 0 {
		b.Logf("first failure: %+v; %d unsent, %v", <-failed, got.Unsent, got.GeneratorErrors)
	}
	return delivered{sent: got.Sent, failed: len(failed), slipP99: got.SlipP99}
}
