package runner_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// stuck is a fault whose undo does nothing.
type stuck struct{ injector.Refuse }

func (f stuck) Inject(ctx context.Context, t injector.Target) (injector.Heal, error) {
	_, err := f.Refuse.Inject(ctx, t)
	return func(context.Context) error { return nil }, err
}

// A dry run finds a fault that could not be undone, before it is injected into the system.
func TestDryRunFindsAnUndoThatFails(t *testing.T) {
	t.Parallel()
	e := build(t, drill("stuck", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", stuck{}).For(10*time.Minute).
		Check(check.Success{Ratio: 0.9}))
	res, h := run(t, runner.Options{DryRun: true}, e)
	assert.Equal(t, 3, res.ExitCode())
	assert.Contains(t, h.End.Reason, "after the fault, link \"clients -> orders\" does not pass traffic")
	assert.Empty(t, h.Faults)
}

// Of a fault on a service a dry run says what was proved and what was not, and leaves the process alone.
func TestDryRunOfFaultsOnServices(t *testing.T) {
	t.Parallel()
	e := build(t, webExperiment("outages", roleService("web", "server"), "/a").
		Inject("", "web", injector.Crash{}).For(10*time.Minute).
		Inject("", "web", injector.Stop{}).For(10*time.Minute).
		Inject("", "web", injector.Hang{}).For(10*time.Minute).
		Check(check.Success{Ratio: 0.9}))
	res, h := run(t, runner.Options{DryRun: true}, e)
	require.Equal(t, 0, res.ExitCode(), "%v", h.End)
	assert.Contains(t, h.End.Reason, "nothing was injected; 3 would be")
	var notes, changes []string
	for _, n := range h.Notes {
		notes = append(notes, n.Text)
	}
	for _, p := range h.Processes {
		changes = append(changes, p.What)
	}
	text := strings.Join(notes, "\n")
	const again = `; ".*" is there to start it again at 127.0.0.1:\d+; not proved, since nothing was done to it: `
	for sentence, says := range map[string]string{
		`"web" crashes`:               again + `that it becomes ready again \(undo: the process is started again and awaited\)`,
		`"web" is stopped gracefully`: again + `that it ends in time when it is asked to, and becomes ready again`,
		`"web" hangs`:                 `; not proved, since nothing was done to it: that it answers again after that \(undo: SIGCONT\)`,
	} {
		assert.Regexp(t, `would inject: `+sentence+` \(on web\): proved: it runs, and may be signalled \(.*pid \d+.*\), and nothing else listens at 127.0.0.1:\d+`+says, text)
	}
	assert.Equal(t, []string{"started", "ready", "stopped"}, changes)
}

// A dry run finds a service that could not be started again. A hang does not need that.
func TestDryRunOfAProgramThatIsGone(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "once")
	for fault, code := range map[injector.Fault]int{injector.Crash{}: 3, injector.Hang{}: 0} {
		s := roleService("web", "server")
		s.Command = []string{program}
		install := func(e journal.Event) {
			if e.Begin != nil { // of each attempt
				assert.NoError(t, os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\nrm -- %q\nexec %q\n", program, os.Args[0]), 0o700)) //nolint:gosec // a program
			}
		}
		res, h := run(t, runner.Options{DryRun: true, Watch: install}, build(t, webExperiment("gone", s, "/a").Inject("", "web", fault).For(time.Second).Check(check.Success{Ratio: 0.9})))
		require.Equal(t, code, res.ExitCode(), "%v", h.End)
		if code != 0 {
			assert.Contains(t, h.End.Reason, `dry run of "web" crashes: start again "web": exec: "`+program+`"`)
		}
	}
}
