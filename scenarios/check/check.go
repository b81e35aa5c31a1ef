// Package check judges the History of a scenario. A Check is pure: it uses no clock and does no I/O. Its verdict
// is passed, failed or inconclusive; the zero value is inconclusive, so that nothing passes by accident. The table
// of checks is in kinds.go. Scenarios are judged by Judge only.
//
// # The rule for verdicts
//
// A scenario is valid when all of the following hold. The implied checks verify them in every scenario:
//
//   - The baseline was steady and within the steady state.
//   - The load was delivered as requested and on time.
//   - Every fault acted on traffic of the load, and every fault was healed.
//   - The runner had no trouble of its own, and no service ended by itself.
//   - The counters of the relays add up.
//   - Effects, where checks need them, were read completely and had settled.
//
// A feature requests two classes of checks:
//
//   - A measured check (success, latency, recovery, isolation, fallback, calls) describes how the system behaved
//     in this experiment. In a scenario that is not valid it neither passes nor fails: it is inconclusive, and its
//     reason includes what the outcome would have been.
//   - An invariant (no effect twice, none lost, none without a request, the same answer for the same key) must
//     hold under all conditions. Its violation is a failure even in a scenario that is not valid, unless the load
//     generator or a relay can have caused it. In that case it is inconclusive, and its reason names the cause. An
//     invariant that held in a scenario that is not valid proves nothing, and is inconclusive.
//
// A pause of the runner (journal.Pause) does not make a scenario invalid. However, a measured check fails only by
// requests that ended before the first pause that may have influenced it (journal.History.PauseBefore). Otherwise
// it is inconclusive, and its reason names the pause.
//
// In valid scenarios, too, a measured check needs requests that can show what it asks for: the route worked before
// the fault, and enough requests met the fault (grounds.go).
//
// A check does not pass either if nothing could have violated it (tested.go, and journal.Begin.Untested for what
// only the scenario shows). It still fails when it is violated.
//
// A scenario failed when a check failed. Otherwise it is inconclusive when any check is, including the implied
// ones, or when it requests none. Otherwise it passed. Since measured checks cannot fail in a scenario that is not
// valid, a failed scenario is always caused by the system.
//
// # Success and windows
//
// A scenario has one definition of success: the expected answer. Fallbacks count as success where the system file
// or a sentence defines them so (journal.History.Good). Windows are defined at journal.Window and read by
// journal.History.Total. Checks, tables, charts and report.json use these definitions and no others.
package check

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

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
	Observed string // "93.1% (1,841 of 1,977)"
	Expected string // "at least 99%"
	Window   journal.Window
	Reason   string
	Evidence []uint64 // Seq of the events behind it
	Details  []string // the first few violations
}

// Check is a question about a History.
type Check interface {
	Judge(*journal.History) Verdict
	String() string // as a feature file states it
	Kind() Kind     // its Value and Example are empty
}

// Ask judges a check. A check that panics or returns an undefined outcome is inconclusive.
func Ask(c Check, h *journal.History) (v Verdict) {
	defer func() {
		if r := recover(); r != nil {
			v = Verdict{Reason: fmt.Sprintf("the check itself broke: %v", r)}
		}
	}()
	v = c.Judge(h)
	if v.Outcome > Failed {
		return Verdict{Reason: fmt.Sprintf("the check itself broke: it answered %d", uint8(v.Outcome))}
	}
	if v.Outcome != Passed && v.Reason == "" {
		v.Reason = "the check gave no reason"
	}
	return v
}

// OwnStep is the kind of the verdict of a user-defined step, which is not in the table of checks.
const OwnStep = "own step"

// valid reports whether all implied checks that decide about validity passed.
func valid(h *journal.History) bool {
	return !slices.ContainsFunc(h.Verdicts, func(v journal.Verdict) bool {
		k, ok := kind(v.Kind)
		return ok && k.Implied && v.Outcome != Passed.String() && KindOf(ProvesSomething{}) != v.Kind
	})
}

// Sum returns the outcome of a scenario: that of its End if it was stopped, interrupted or skipped; otherwise
// failed if any verdict failed, inconclusive if any is or if no check was requested, else passed. Judge has
// already withheld the outcomes that an invalid scenario does not support.
func Sum(h *journal.History) string {
	if h.End != nil {
		switch h.End.Outcome {
		case "stopped", "interrupted", "skipped":
			return h.End.Outcome
		}
	}
	sum := Passed
	asked := 0
	for _, v := range h.Verdicts {
		if k, ok := kind(v.Kind); !ok || !k.Implied {
			asked++
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
	if asked == 0 || h.End == nil || h.End.Outcome == "inconclusive" {
		sum = Inconclusive
	}
	return sum.String()
}

// inconclusive returns an inconclusive verdict.
func inconclusive(expected string, w journal.Window, reason string, args ...any) Verdict {
	return Verdict{Expected: expected, Window: w, Reason: fmt.Sprintf(reason, args...)}
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

// requests returns the totals of a window and a route. If there are no requests, it returns false and a verdict
// with the reason.
func requests(h *journal.History, route string, w journal.Window, expected string) (journal.Totals, Verdict, bool) {
	if (w == journal.During || w == journal.After) && len(h.Faults) == 0 {
		return journal.Totals{}, inconclusive(expected, w, "no fault was ever injected"), false
	}
	t := h.Total(w, route)
	if t.Sent == 0 && t.Apart > 0 {
		return t, inconclusive(expected, w, "%s", tooFew(t, route, w, minRequests)), false
	}
	if t.Sent == 0 {
		return t, inconclusive(expected, w, "no request%s was sent%s", of(route), when(w)), false
	}
	return t, Verdict{}, true
}

func of(route string) string {
	if route == "" {
		return ""
	}
	return " of " + strconv.Quote(route)
}

func when(w journal.Window) string {
	switch w {
	case journal.Before:
		return " before the fault"
	case journal.During:
		return " during the fault"
	case journal.After:
		return " after healing"
	}
	return ""
}

// percent formats a ratio as sentences do: 99%, 99.9%.
func percent(ratio float64) string {
	return strconv.FormatFloat(round(ratio*100, 4), 'f', -1, 64) + "%"
}

func round(f float64, digits int) float64 {
	s, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64)
	return s
}

// observed formats "93.1% (1,841 of 1,977)".
func observed(n, of int) string {
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 1, 64) + "% (" + Count(n) + " of " + Count(of) + ")"
}

// Count formats a number with commas between thousands.
func Count[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// duration formats a duration with about three significant digits.
func duration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// Duration formats a duration as sentences do: "800ms", "2s", "1m30s", "5m".
func Duration(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}

// kinds lists the three most frequent kinds of errors, most frequent first.
func kinds(errors map[string]int) string {
	names := make([]string, 0, len(errors))
	for name := range errors {
		names = append(names, name)
	}
	sort.Slice(names, func(i, j int) bool {
		return errors[names[i]] > errors[names[j]] || (errors[names[i]] == errors[names[j]] && names[i] < names[j])
	})
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%s)", name, Count(errors[name]))
	}
	return strings.Join(names[:min(3, len(names))], ", ")
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

// unique returns seqs sorted and without duplicates. It does not modify the argument.
func unique(seqs []uint64) []uint64 { return slices.Compact(slices.Sorted(slices.Values(seqs))) }

func first(seqs []uint64) []uint64 { return seqs[:min(len(seqs), 20)] }

// tolerance returns by how much a time may exceed its limit: measuring adds a little itself.
func tolerance(d time.Duration) time.Duration { return max(d/10, 50*time.Millisecond) }
