package runner

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/runner/internal/probes"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// startProbes begins to ask the probes of the scenario, and to watch its stop rules, and returns a function that ends that and waits for it. Probes
// ask from before the load, so that the calls that services make to answer them are known not to be the load's.
func (s *session) startProbes() (stop func()) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.startStopRules(ctx)
	for _, p := range s.e.Probes {
		s.probing.Go(func() {
			probes.Run(ctx, p, s.target(), func(asked time.Time, took time.Duration, a probes.Answer) {
				s.failing.answered(p.Name, s.run.journal.Since(asked), s.run.journal.Since(asked.Add(took)), a)
				s.record(journal.Event{Observation: &journal.Observation{
					Probe: p.Name, Asked: s.run.journal.Since(asked), Took: took, Every: p.Interval(),
					Yes: a.Yes, Value: a.Value, Unanswered: a.Unanswered, Local: a.Local, Detail: a.Detail,
				}})
			})
		})
	}
	return func() {
		cancel()
		s.probing.Wait()
	}
}

// target returns where probes and steps ask: the services themselves, past the links.
func (s *session) target() probes.Target {
	return probes.Target{
		Trust: s.system.Trust, Address: func(service string) string { return s.system.Addresses[service] },
		Command: func(name string) (process.Spec, error) {
			spec, _, err := s.system.CommandSpec(name)
			return spec, err
		},
	}
}

// ask sends the request of a step.
func (s *session) ask(a scenarios.Ask, step journal.Step) error {
	ctx, cancel := context.WithTimeout(s.ctx, scenarios.AskLimit)
	defer cancel()
	task := journal.Task{What: a.String(), Began: s.now()}
	status, body, why := probes.Fetch(ctx, s.target(), a.Service, a.Method, a.Path, a.Body)
	task.Output, task.Result = excerpt(body), fmt.Sprintf("status %d", status)
	switch {
	case status != 0:
	case ctx.Err() != nil && s.ctx.Err() == nil:
		task.Result = fmt.Sprintf("no answer within %s", scenarios.AskLimit)
	default:
		task.Result = why.Local + why.Unanswered
	}
	return s.finishTask(task, status/100 == 2, step)
}

// runCommand runs the command of a step.
func (s *session) runCommand(c scenarios.RunCommand, step journal.Step) error {
	task := journal.Task{What: c.String(), Began: s.now()}
	spec, limit, err := s.system.CommandSpec(c.Name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(s.ctx, limit, fmt.Errorf("it did not end within %s", limit))
	defer cancel()
	result, err := process.Run(ctx, spec)
	task.Output, task.Result = result.Output, result.Status
	task.Log, _ = filepath.Rel(s.run.dir, spec.Log)
	if err != nil {
		task.Result = err.Error()
	}
	return s.finishTask(task, err == nil && result.OK(), step)
}

// finishTask records what a step did, and returns an error if that failed: the drill did not do what it says, which the
// system cannot be judged by.
func (s *session) finishTask(task journal.Task, ok bool, step journal.Step) error {
	task.Took, task.Failed = s.now()-task.Began, !ok
	s.recordStep(journal.Event{Task: &task}, step)
	if ok {
		return nil
	}
	output := ""
	if task.Output != "" {
		output = ": " + task.Output
	}
	return fmt.Errorf("%s: %s%s", task.What, task.Result, output)
}

// excerpt returns the beginning of a body, for people.
func excerpt(body []byte) string {
	const most = 500
	text := strings.TrimSpace(strings.ToValidUTF8(string(body), "\uFFFD"))
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
