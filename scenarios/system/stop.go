package system

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// stop reads how a service is stopped.
func (r *reader) stop(v ast.Node) Stopping {
	var stop Stopping
	r.Mapping(v, "stop", stopKeys, func(key string, v ast.Node, _ source.Pos) {
		switch key {
		case "signal":
			stop.Signal = r.Text(v)
		case "within":
			stop.Within = r.duration(v)
		}
	})
	return stop
}

// validateStop returns what is wrong with how a service is stopped, and what to do. what is "" if nothing is
// wrong.
func (s Service) validateStop() (what codes.Message, hint string) {
	switch signals := process.StopSignals(); {
	case s.Stop == Stopping{}:
		return codes.Message{}, ""
	case s.Address != "":
		return codes.Unsupported.Msgf("%q runs already and is not stopped by Firedrill", s.Name), "leave `stop` out"
	case s.Stop.Within < 0:
		return codes.BadValue.Msgf("%q cannot end before it is asked to", s.Name), "say how long it may take, such as 30s"
	case s.Stop.Signal == "" || slices.Contains(signals, s.Stop.Signal):
		return codes.Message{}, ""
	case s.Stop.Signal == "SIGKILL" || s.Stop.Signal == "KILL":
		return codes.BadValue.Msgf("%q cannot be the signal of an orderly stop: it leaves a program no time", s.Stop.Signal), "leave `signal` out; a feature says `crashes` to kill a service"
	case slices.Contains(signals, "SIG"+s.Stop.Signal):
		return codes.BadValue.Msgf("%q is not a signal that asks a program to end", s.Stop.Signal), fmt.Sprintf("did you mean %q?", "SIG"+s.Stop.Signal)
	default:
		return codes.BadValue.Msgf("%q is not a signal that asks a program to end", s.Stop.Signal), source.DidYouMean(s.Stop.Signal, signals, "signals")
	}
}
