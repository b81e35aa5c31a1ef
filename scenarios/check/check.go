// Package check judges the History of a scenario. A Check is pure: it uses no clock and does no I/O. Its verdict
// is passed, failed or inconclusive; the zero value is inconclusive, so that nothing passes by accident.
//
// # The rule for verdicts
//
// The README of this folder states the rule under "When a verdict counts". Judge applies it; a check only declares
// in its Kind to which class it belongs:
//
//   - Implied checks verify that the scenario is valid. They pass or are inconclusive.
//   - Invariants may fail in a scenario that is not valid, unless an implied check with Kind.Ours is inconclusive.
//   - All other checks are measured. In a scenario that is not valid, Judge makes them inconclusive and keeps what
//     the outcome would have been in the reason.
//
// A failed scenario is therefore always caused by the system. Lateness of the load, within limits, and pauses of the
// runner do not make a scenario invalid. They withhold the verdicts of measured checks that they can explain
// (lateness.go).
//
// Two more reasons for an inconclusive outcome are decided by the check: too few requests could show what it asks for
// (evidence.go), or nothing could have violated it (waits.go and calls.go, and journal.Begin.Untested for what only
// the scenario shows).
//
// # Where to find it
//
// One file holds one check, or a few that share an idea; kinds.go lists them. latency.go judges percentiles, against
// a limit or the baseline, with the statistics of compare.go and statistics.go. ledger.go compares requests with
// effects. judge.go applies the rule for verdicts. Success is defined by journal.History.Good, and windows by
// journal.Window and journal.History.Total.
package check

import (
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Outcome is the outcome of a check. The zero value is Inconclusive.
type Outcome uint8

// The outcomes.
const (
	Inconclusive Outcome = iota
	Passed
	Failed
)

// String returns the outcome as journals and reports write it.
func (o Outcome) String() string { return [...]string{"inconclusive", "passed", "failed"}[o] }

// Verdict is an outcome with the facts behind it. Reason is a sentence for people; it is never empty unless
// Outcome is Passed.
type Verdict struct {
	Outcome  Outcome
	Withheld string // what Outcome would have been if the scenario had been valid: "passed" or "failed"; see Judge
	Finding  bool   // the check is known to fail: Outcome is Passed if it does, and Reason says how
	Observed string // "93.1% (1,841 of 1,977)"
	Expected string // "at least 99%"
	Window   journal.Window
	Reason   string
	Doubt    codes.Message // why Outcome is inconclusive, with its code; Ask copies its text to Reason
	Evidence []uint64      // Seq of the events behind it
	Details  []string      // the first few violations
}

// Check is a question about a History. Use Ask or the function Judge to get its answer: they also verify that the
// History can show it.
type Check interface {
	Judge(*journal.History) Verdict
	String() string // as a feature file states it
	Kind() Kind     // its Value and Example are empty
}

// Ask judges a check. A check that panics or returns an undefined outcome is inconclusive. So is a check of how the
// load fared under a fault if its requests cannot show that (see requireEvidence), and a measured check whose verdict
// lateness of the load or a pause of the runner can explain (see lateness.go).
func Ask(c Check, h *journal.History) Verdict {
	return undisturbed(c, h)
}

// asMeasured is Ask without regard to lateness and pauses.
func asMeasured(c Check, h *journal.History) (v Verdict) {
	defer func() {
		if r := recover(); r != nil {
			v = Verdict{}.doubted(codes.InternalError.Msgf("the check panicked: %v", r))
		}
	}()
	if v = c.Judge(h); readsEffects(c) && len(h.FurtherEffects) > 0 {
		v = bySource(c, h)
	}
	if v.Outcome > Failed {
		return Verdict{}.doubted(codes.InternalError.Msgf("the check returned the undefined outcome %d", uint8(v.Outcome)))
	}
	if c, ok := c.(loadCheck); ok {
		v = requireEvidence(c, h, v)
	}
	switch {
	case v.Outcome != Inconclusive:
		v.Doubt = codes.Message{}
	case v.Doubt.None():
		return v.doubted(codes.InternalError.Message("the check gave no reason"))
	default:
		return v.doubted(v.Doubt)
	}
	if v.Outcome == Failed && v.Reason == "" {
		v.Reason = "the check gave no reason"
	}
	return v
}

// OwnStep is the kind of the verdict of a user-defined step, which is not in the table of checks.
const OwnStep = "own step"

// valid reports whether all implied checks that decide about validity passed.
func valid(h *journal.History) bool {
	return !slices.ContainsFunc(h.Verdicts, func(v journal.Verdict) bool {
		k, ok := KindNamed(v.Kind)
		return ok && k.Implied && v.Outcome != Passed.String() && KindOf(ProvesSomething{}) != v.Kind
	})
}

// ScenarioOutcome returns the outcome of a scenario: that of its End if it was stopped, interrupted or skipped; otherwise
// failed if any verdict failed, inconclusive if any is or if no check was requested, else passed. Judge has
// already withheld the outcomes that an invalid scenario does not support.
func ScenarioOutcome(h *journal.History) string {
	if h.End != nil {
		switch h.End.Outcome {
		case "stopped", "interrupted", "skipped":
			return h.End.Outcome
		}
	}
	sum := Passed
	requested := 0
	for _, v := range h.Verdicts {
		if k, ok := KindNamed(v.Kind); !ok || !k.Implied {
			requested++
		}
		switch v.Outcome {
		case "failed":
			if v.Kind == OwnStep && !valid(h) { // the measurements of a user-defined step prove no more there than those of a check
				sum = Inconclusive
				continue
			}
			return Failed.String()
		case "passed":
		default:
			sum = Inconclusive
		}
	}
	if requested == 0 || h.End == nil || h.End.Outcome == "inconclusive" {
		sum = Inconclusive
	}
	return sum.String()
}

// inconclusive returns an inconclusive verdict.
func inconclusive(expected string, w journal.Window, code codes.Code, reason string, args ...any) Verdict {
	return Verdict{Expected: expected, Window: w, Doubt: code.Msgf(reason, args...)}
}

// doubted returns the verdict, inconclusive for a reason.
func (v Verdict) doubted(doubt codes.Message) Verdict {
	v.Outcome, v.Doubt, v.Reason = Inconclusive, doubt, doubt.String()
	return v
}

// verdict returns v with its outcome, passed or failed. The reason is used only if it failed.
func verdict(ok bool, v Verdict, reason string, args ...any) Verdict {
	if ok {
		v.Outcome = Passed
		return v
	}
	v.Outcome = Failed
	v.Reason = fmt.Sprintf(reason, args...)
	return v
}

// seqs returns the sequence numbers of the first events with this payload, at most 20.
func seqs(h *journal.History, payload string) []uint64 {
	s := h.Seqs[payload]
	return s[:min(len(s), 20)]
}

// seq returns the sequence number of the i-th event with this payload, if it is known.
func seq(h *journal.History, payload string, i int) []uint64 {
	if s := h.Seqs[payload]; i < len(s) {
		return []uint64{s[i]}
	}
	return nil
}

// rowSeq returns the sequence number of the i-th row, if it is known.
func rowSeq(rows interface{ Seq(i int) (uint64, bool) }, i int) []uint64 {
	if s, known := rows.Seq(i); known {
		return []uint64{s}
	}
	return nil
}

// unique returns seqs sorted and without duplicates. It does not modify the argument.
func unique(seqs []uint64) []uint64 { return slices.Compact(slices.Sorted(slices.Values(seqs))) }

// first returns at most 20 sequence numbers.
func first(seqs []uint64) []uint64 { return seqs[:min(len(seqs), 20)] }
