package probes

import (
	"context"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// Target is what probes need to know of the running system.
type Target struct {
	Trust   load.Trust
	Address func(service string) string // of the service itself, past the links
	// Command returns how to run a command of the system.
	Command func(name string) (process.Spec, error)
}

// Answer is the answer to a probe. An answer of no is the zero value.
type Answer struct {
	Yes        bool
	Value      *float64
	Unanswered string // why there is no answer
	Local      string // why nothing was asked: an error of this machine or process
	Detail     string // what was answered
	Status     int    // of an answer over HTTP that is Unanswered since its body did not end or is too large; otherwise 0
}

// ask asks once. Its context ends with the time limit of the answer, or with the session.
type ask func(context.Context) Answer

// kind is a kind of probe.
type kind struct {
	name  string
	is    func(scenarios.Probe) bool
	asker func(scenarios.Probe, Target) ask
}

// kinds are all kinds of probes. To add one, add a file, a row here, and a field of system.Probe; and a row in
// answers_test.go.
var kinds = []kind{
	{"http", func(p scenarios.Probe) bool { return p.HTTP != "" }, askHTTP},
	{"tcp", func(p scenarios.Probe) bool { return p.TCP != "" }, askTCP},
	{"command", func(p scenarios.Probe) bool { return p.Command != "" }, askCommand},
	{"metric", func(p scenarios.Probe) bool { return p.Metric != "" }, askMetric},
}
