package runner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// BenchmarkAbort measures, under load, the time from an abort until all faults are healed, and until that is verified: a
// link is cut off, replies on another one are held back, one process hangs and one is crashed. The service that starts
// again needs most of the time. Both are the longest of all rounds.
func BenchmarkAbort(b *testing.B) {
	system := scenarios.System{Links: []scenarios.Link{{From: scenarios.Clients, To: "orders", Protocol: "http"}, {From: scenarios.Clients, To: "web", Protocol: "http"}}}
	for _, name := range []string{"web", "hung", "crashed"} {
		s := roleService(name, "server")
		s.Serves = []string{"/" + name}
		system.Services = append(system.Services, s)
	}
	system.Services = append(system.Services, scenarios.Service{Name: "orders", Handler: &orders{}, Serves: []string{"/orders"}})
	e, err := scenarios.New("aborted").System(system).
		Load(scenarios.Load{Rate: 100, Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Body: "{}", Share: 0.5}, {Method: "GET", Path: "/web", Share: 0.5}}}).
		Baseline(time.Second).
		Together(
			scenarios.Placed{From: scenarios.Clients, To: "orders", Fault: injector.CutOff{}},
			scenarios.Placed{From: scenarios.Clients, To: "web", Fault: injector.SlowCalls{By: time.Minute}},
			scenarios.Placed{To: "hung", Fault: injector.Hang{}},
			scenarios.Placed{To: "crashed", Fault: injector.Crash{}},
		).For(10 * time.Minute).
		Check(check.Success{Ratio: 0.9}).Build()
	require.NoError(b, err)
	var healed, verified time.Duration
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		var aborted time.Time
		live := 0
		_, err := runner.RunExperiments(ctx, runner.Options{Dir: b.TempDir(), Watch: func(e journal.Event) {
			switch {
			case e.Fault != nil && e.Fault.Stage == "live":
				if live++; live == 4 {
					time.AfterFunc(300*time.Millisecond, func() { aborted = time.Now(); cancel() })
				}
			case e.Fault != nil && e.Fault.Stage == "healed":
				healed = max(healed, time.Since(aborted))
			case e.Note != nil && strings.HasPrefix(e.Note.Text, "healing was verified"):
				verified = max(verified, time.Since(aborted))
			}
		}}, e)
		cancel()
		require.NoError(b, err)
	}
	require.Positive(b, verified)
	b.ReportMetric(float64(healed.Milliseconds()), "ms-to-healed")
	b.ReportMetric(float64(verified.Milliseconds()), "ms-to-verified")
}
