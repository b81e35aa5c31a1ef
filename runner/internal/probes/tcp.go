package probes

import (
	"context"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// askTCP asks whether the port of a service accepts a connection. A refused one is an answer of no, and so is one that
// is not accepted in time.
func askTCP(p scenarios.Probe, t Target) ask {
	return func(ctx context.Context) Answer {
		conn, err := dialService(ctx, t.Address(p.TCP))
		if err != nil {
			a := failure(err)
			if ctx.Err() != nil {
				a.Unanswered = "not accepted in time"
			}
			return Answer{Local: a.Local, Detail: a.Unanswered}
		}
		_ = conn.Close()
		return Answer{Yes: true, Detail: "accepted"}
	}
}
