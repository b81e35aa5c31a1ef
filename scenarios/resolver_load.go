package scenarios

import (
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// AddLoad sets the load.
func (r *Resolver) AddLoad(at source.Pos, rate float64, mix ...Route) {
	r.Describe(at)
	r.setOnce(&r.loadAt, at, "a load")
	for i, rt := range mix {
		if rt.Body == "" && slices.Contains([]string{"POST", "PUT", "PATCH"}, rt.Method) {
			mix[i].Body = `{"n": {{n}}}`
		}
	}
	r.rate.Rate, r.rate.Mix = rate, mix
	r.Load = r.rate
}

// SetKey sets the header that carries the idempotency key.
func (r *Resolver) SetKey(at source.Pos, header string) {
	r.Describe(at)
	r.setOnce(&r.keyAt, at, "the key's header")
	r.rate.KeyHeader = header
}

// SetGiveUp sets how long clients wait for the answer to an attempt.
func (r *Resolver) SetGiveUp(at source.Pos, d time.Duration) {
	r.Describe(at)
	r.setOnce(&r.giveUpAt, at, "when clients give up")
	r.rate.GiveUp = d
}

// SetRetries sets how often clients retry.
func (r *Resolver) SetRetries(at source.Pos, n int) {
	r.Describe(at)
	r.setOnce(&r.retryAt, at, "how often clients retry")
	r.rate.Retries = n
	if n > 100 {
		r.AddProblem(at, fmt.Sprintf("%d attempts more are no policy of a client", n), "write at most 100")
	}
}

// SetBaseline sets how long the baseline is measured.
func (r *Resolver) SetBaseline(at source.Pos, t time.Duration) {
	r.Describe(at)
	r.setOnce(&r.baselineAt, at, "a baseline")
	r.Baseline = t
}

// ChangeLoad adds a change of the load. Its From must be the current rate.
func (r *Resolver) ChangeLoad(fromAt, at source.Pos, c ChangeLoad) {
	now, runs := r.runs()
	switch {
	case !runs && r.problems > 0: // an unknown sentence may have defined the load
	case !runs:
		r.AddProblem(at, "no load runs here that could change", `say first: a steady load of 100 requests per second on "POST /orders"`)
	case now != c.From:
		r.AddProblem(fromAt, fmt.Sprintf("the load is %g requests per second here, not %g", now, c.From), fmt.Sprintf("write `from %g`", now))
	}
	r.Act(at, c)
}

// StopLoad adds the end of the load.
func (r *Resolver) StopLoad(at source.Pos) {
	if _, runs := r.runs(); !runs && r.problems == 0 {
		r.AddProblem(at, "no load runs here that could stop", "leave this step out, or say a load first")
	}
	r.Act(at, StopLoad{})
}

// runs returns the rate of the load after the steps so far; ok is false if no load runs.
func (r *Resolver) runs() (rate float64, ok bool) {
	if r.Load == nil {
		return 0, false
	}
	rate, ok = r.Load.Rate, true
	for _, s := range r.Steps {
		switch a := s.Do.(type) {
		case ChangeLoad:
			rate = a.To
		case StopLoad:
			ok = false
		}
	}
	return rate, ok
}

// SetSettle sets how long effects may take to appear.
func (r *Resolver) SetSettle(at source.Pos, within time.Duration) {
	r.Describe(at)
	if r.setOnce(&r.settleAt, at, "how long effects take to settle") {
		r.settleWithin = within
	}
}
