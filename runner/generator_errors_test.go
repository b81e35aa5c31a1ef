package runner_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// A process with a low file limit runs out of descriptors under load, in the load generator or in a
// link. That is not a failure of the system.
func TestRunnerWithoutDescriptors(t *testing.T) {
	if address := os.Getenv("FIREDRILL_TEST_DESCRIPTORS"); address != "" {
		runWithoutDescriptors(t, address)
		return
	}
	t.Parallel()
	system := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		// Slow, so that connections accumulate.
		time.Sleep(800 * time.Millisecond)
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(system.Close)
	for what, pattern := range map[string]string{
		"generator": `the load generator could not send some requests, which is not caused by the system: \d+ requests: too many open files`,
		"link":      `link "clients -> orders": .*too many open files`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			// With a link, the generator or the link runs out of descriptors first: one of the runs has to show the link.
			for attempt := 1; ; attempt++ {
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRunnerWithoutDescriptors$", "-test.v")
				cmd.Env = append(os.Environ(), "FIREDRILL_TEST_DESCRIPTORS="+what+" "+strings.TrimPrefix(system.URL, "http://"))
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, string(out))
				require.Regexp(t, `this process may open \d+ files: raise ulimit -n`, string(out))
				if regexp.MustCompile(pattern).Match(out) {
					return
				}
				require.Equal(t, "link", what, string(out))
				require.Less(t, attempt, 10, string(out))
			}
		})
	}
}

// runWithoutDescriptors lowers the file limit of this process and runs a drill.
func runWithoutDescriptors(t *testing.T, how string) {
	what, address, _ := strings.Cut(how, " ")
	system := scenarios.System{Services: []scenarios.Service{{Name: "orders", Address: address, Serves: []string{"/"}}}}
	if what == "link" {
		system.Links = []scenarios.Link{{From: "clients", To: "orders", Protocol: "http"}}
	}
	e := build(t, scenarios.New("few descriptors").System(system).
		Load(scenarios.Load{Rate: 60, GiveUp: 20 * time.Second, Mix: []scenarios.Route{{Method: "GET", Path: "/", Share: 1}}}).
		Baseline(time.Second).Check(check.Success{Ratio: 0.5}))
	used, err := os.ReadDir("/dev/fd")
	require.NoError(t, err)
	limit := syscall.Rlimit{Cur: uint64(len(used)) + 30, Max: uint64(len(used)) + 30}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	res, h := run(t, runner.Options{}, e)
	require.Equal(t, "inconclusive", res.Outcome)
	for _, s := range h.Samples {
		for kind := range s.Errors {
			require.NotContains(t, kind, "open files", "it is not an error of the system")
		}
	}
}
