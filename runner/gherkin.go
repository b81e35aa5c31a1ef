package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cucumber/godog"
	messages "github.com/cucumber/messages/go/v21"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// drive runs the steps: through godog, where they stand in a feature file, so that users' own steps mix in; one after the other otherwise.
func (s *session) drive() {
	returned := false
	defer func() {
		if !returned {
			s.fail(errors.New("a step ended its goroutine, as t.FailNow and t.Skip do, so what it found is not known: let it return an error, or assert on godog.T(ctx)"))
		}
	}()
	if s.e.File == "" {
		for i := range s.e.Steps {
			_ = s.step(i) // what went wrong is told by finish
		}
	} else {
		s.godog()
	}
	returned = true
}

func (s *session) godog() {
	g := &gherkin{session: s, at: -1}
	suite := godog.TestSuite{
		Name:                s.e.Name,
		ScenarioInitializer: g.scenario,
		Options: &godog.Options{
			Format: "progress", Output: io.Discard, Strict: true, NoColors: true, Concurrency: 1, DefaultContext: s.ctx,
			FS: s.o.FS, Paths: []string{fmt.Sprintf("%s:%d", s.e.File, s.e.Line)},
		},
	}
	suite.Run() // its outcome is that of the verdicts, which finish tells
	if g.at < 0 {
		s.fail(fmt.Errorf("run %s:%d: godog found no step in it", s.e.File, s.e.Line))
	}
}

// gherkin follows godog through one scenario.
type gherkin struct {
	*session
	rows int // outline rows met so far
	mine bool
	at   int  // index of the step that runs
	held bool // it is a step of the user's own, and is not to run
}

func (g *gherkin) scenario(sc *godog.ScenarioContext) {
	sc.Before(func(ctx context.Context, _ *godog.Scenario) (context.Context, error) {
		g.rows++
		if g.mine = g.e.Row == 0 || g.e.Row == g.rows; !g.mine {
			return ctx, godog.ErrSkip
		}
		return context.WithValue(ctx, runningKey{}, &Running{system: g.system}), nil
	})
	sc.StepContext().Before(func(ctx context.Context, st *godog.Step) (context.Context, error) {
		if !g.mine {
			return ctx, nil
		}
		g.at++
		return ctx, g.before(st)
	})
	sc.StepContext().After(g.after)
	for _, p := range scenarios.Phrases() {
		for _, re := range p.Regexps() {
			sc.Step(re, func(context.Context) error { return g.step(g.at) })
		}
	}
	for _, own := range g.o.Steps {
		sc.Step(own.Pattern, own.Do)
	}
}

// before brings the drill to where a user's own step stands: under load from the first When on, healed and judged from the first Then on. A run that is
// over, or has no system, runs none: godog itself would go on.
func (g *gherkin) before(st *godog.Step) error {
	if g.at >= len(g.e.Steps) || !g.e.Steps[g.at].Foreign {
		return nil
	}
	switch st.Type {
	case messages.PickleStepType_ACTION:
		g.startLoad()
	case messages.PickleStepType_OUTCOME:
		g.conclude()
	}
	if g.held = g.over() != nil; g.held {
		return godog.ErrSkip
	}
	return nil
}

// after tells what a user's own step came to: an error is a failed check, a step that is not written yet or a panic proves nothing.
func (g *gherkin) after(ctx context.Context, st *godog.Step, _ godog.StepResultStatus, err error) (context.Context, error) {
	if !g.mine || err == nil || g.held || g.at < 0 || g.at >= len(g.e.Steps) || !g.e.Steps[g.at].Foreign {
		return ctx, nil
	}
	step := g.e.Steps[g.at].Step
	if fmt.Sprintf("%T", err) == "*godog.traceError" { // godog's own type for a panic that it recovered
		g.fail(fmt.Errorf("%s: the step %q panicked: %w", step.At, st.Text, err))
		return ctx, nil
	}
	outcome := "failed"
	if errors.Is(err, godog.ErrPending) || errors.Is(err, godog.ErrSkip) {
		outcome = "inconclusive"
	}
	g.event(journal.Event{Verdict: &journal.Verdict{Check: st.Text, Kind: "own step", Outcome: outcome, Observed: err.Error(), Reason: err.Error()}}, step)
	return ctx, nil
}

type runningKey struct{}

// Running is the system while a user's own step runs.
type Running struct{ system *system }

// Of finds the running system in a step's context; nil outside a scenario, and when the system could not be started.
func Of(ctx context.Context) *Running {
	r, _ := ctx.Value(runningKey{}).(*Running)
	if r == nil || r.system == nil {
		return nil
	}
	return r
}

// Address is where a service listens, host:port; "" for one that is not in the system.
func (r *Running) Address(service string) string { return r.system.addresses[service] }

// Link is where from reaches to, through the link; "" where there is none.
func (r *Running) Link(from, to string) string {
	addr, _ := r.system.link(from + " -> " + to)
	return addr
}

// mustRun makes a missing server an error instead of a skip.
func mustRun() bool { return os.Getenv("FIREDRILL_MUST_RUN") != "" }
