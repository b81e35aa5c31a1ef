package probes

import (
	"context"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// askCommand runs a command of the system: yes if it exits with status 0.
func askCommand(p scenarios.Probe, t Target) ask {
	return func(ctx context.Context) Answer {
		spec, err := t.Command(p.Command)
		if err != nil {
			return Answer{Local: err.Error()}
		}
		result, err := process.Run(ctx, spec)
		switch {
		case err != nil && ctx.Err() != nil:
			return Answer{Unanswered: "the command did not end in time"}
		case err != nil:
			return Answer{Local: err.Error()}
		}
		detail := result.Status
		if lines := strings.Split(result.Output, "\n"); lines[0] != "" {
			detail += ": " + shorten(lines[len(lines)-1])
		}
		return Answer{Yes: result.OK(), Detail: detail}
	}
}
