// Package check judges a scenario's History. A Check is pure: no clock, no I/O. Its answer has three values, and the zero value is
// inconclusive, so that nothing is green by accident. kinds.go is the one table of checks; Ask is the one way to judge.
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

// Outcome is a check's answer. The zero value is Inconclusive.
type Outcome uint8

// The outcomes.
const (
	Inconclusive Outcome = iota
	Passed
	Failed
)

// String is the outcome as journals and reports write it.
func (o Outcome) String() string { return [...]string{"inconclusive", "passed", "failed"}[o] }

// Verdict is an answer with its facts. Reason is a sentence for people, and is never empty unless Outcome is Passed.
type Verdict struct {
	Outcome  Outcome
	Observed string // "93.1% (1,841 of 1,977)"
	Expected string // "at least 99%"
	Window   journal.Window
	Reason   string
	Evidence []uint64 // Seq of the events behind it
	Details  []string // the first few cases
}

// Check is one question to a History.
type Check interface {
	Judge(*journal.History) Verdict
	String() string // as a feature file states it
}

// Ask judges, and makes a check inconclusive that panics or gives an answer that is none.
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

// Sum is the outcome of a scenario: its End's where it was stopped, interrupted or skipped; otherwise failed if any verdict failed, inconclusive if any is
// or there is none, else passed.
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

// unclear is an inconclusive verdict.
func unclear(expected string, w journal.Window, reason string, args ...any) Verdict {
	return Verdict{Expected: expected, Window: w, Reason: fmt.Sprintf(reason, args...)}
}

// verdict turns an answer into a verdict; the reason counts only when the answer is no.
func verdict(ok bool, v Verdict, reason string, args ...any) Verdict {
	if ok {
		v.Outcome = Passed
		return v
	}
	v.Outcome = Failed
	v.Reason = fmt.Sprintf(reason, args...)
	return v
}

// requests finds the samples that a question is about, or says why there are none.
func requests(h *journal.History, route string, w journal.Window, expected string) (journal.Totals, Verdict, bool) {
	if (w == journal.During || w == journal.After) && len(h.Faults) == 0 {
		return journal.Totals{}, unclear(expected, w, "no fault was ever injected"), false
	}
	t := h.Total(w, route)
	if t.Sent == 0 {
		return t, unclear(expected, w, "no request%s was sent%s", of(route), when(w)), false
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

// percent writes a ratio as sentences do: 99%, 99.9%.
func percent(ratio float64) string {
	return strconv.FormatFloat(round(ratio*100, 4), 'f', -1, 64) + "%"
}

func round(f float64, digits int) float64 {
	s, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64)
	return s
}

// observed is "93.1% (1,841 of 1,977)".
func observed(n, of int) string {
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 1, 64) + "% (" + Count(n) + " of " + Count(of) + ")"
}

// Count writes a number with commas between thousands.
func Count[N int | int64](n N) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// duration writes a duration with three digits that matter.
func duration(d time.Duration) string {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Microsecond).String()
}

// Duration writes a duration as sentences do: "800ms", "2s", "1m30s", "5m".
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

// kinds lists errors, most frequent first.
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

// seqs are the events of a payload behind a verdict, the first few.
func seqs(h *journal.History, payload string) []uint64 {
	s := h.Seqs[payload]
	return s[:min(len(s), 20)]
}

// seq is the event of the i-th payload, if it is known.
func seq(h *journal.History, payload string, i int) []uint64 {
	if s := h.Seqs[payload]; i < len(s) {
		return []uint64{s[i]}
	}
	return nil
}

// unique is seqs in order, each once. It leaves the argument alone.
func unique(seqs []uint64) []uint64 { return slices.Compact(slices.Sorted(slices.Values(seqs))) }

func first(seqs []uint64) []uint64 { return seqs[:min(len(seqs), 20)] }

// tolerance is what a time may exceed its bound by before it counts: measuring it costs a little itself.
func tolerance(d time.Duration) time.Duration { return max(d/10, 50*time.Millisecond) }
