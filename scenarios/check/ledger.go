package check

import (
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// The truth about a key, over all its attempts: acknowledged by any of them => exactly one effect; refused by all => none; otherwise (it may have
// happened) none or one. More than one is always a duplicate, and an effect without a request is a phantom.
type ledger struct {
	acknowledged, refused, ambiguous int
	effects                          int
	surplus                          int // effects beyond the first of each key
	lost, twice, phantom, unrefused  group
}

// read compares requests and effects, or says why that means nothing.
func read(h *journal.History, expected string) (*ledger, Verdict, bool) {
	switch {
	case h.EffectsRead == nil:
		return nil, unclear(expected, "", "no effects were read"), false
	case h.EffectsRead.Error != "":
		return nil, unclear(expected, "", "effects could not be read from %s: %s", h.EffectsRead.Source, h.EffectsRead.Error), false
	case h.EffectsRead.Count != len(h.Effects):
		return nil, unclear(expected, "", "the journal holds %d of %d effects", len(h.Effects), h.EffectsRead.Count), false
	case len(h.Requests) == 0:
		return nil, unclear(expected, "", "no request carried a key"), false
	}
	return compare(h), Verdict{}, true
}

func compare(h *journal.History) *ledger {
	l := &ledger{
		effects: len(h.Effects), lost: group{what: "acknowledged and lost"}, twice: group{what: "applied more than once"},
		unrefused: group{what: "refused and yet applied"}, phantom: group{what: "never requested"},
	}
	effects, at := map[string][]string{}, map[string][]uint64{}
	for i, e := range h.Effects {
		effects[e.Key] = append(effects[e.Key], e.ID)
		at[e.Key] = append(at[e.Key], seq(h, "effect", i)...)
	}
	asked := map[string]bool{}
	for i, r := range h.Requests {
		asked[r.Key] = true
		n := len(effects[r.Key])
		behind := append(seq(h, "request", i), at[r.Key]...)
		switch r.Outcome {
		case "acknowledged":
			l.acknowledged++
			if n == 0 {
				l.lost.add(behind, "key %s: acknowledged, no effect; %s", r.Key, attempts(r))
			}
		case "refused":
			l.refused++
			if n > 0 {
				l.unrefused.add(behind, "key %s: refused, and yet applied%s; %s", r.Key, ids(effects[r.Key]), attempts(r))
			}
		default:
			l.ambiguous++
		}
		if n > 1 {
			l.surplus += n - 1
			l.twice.add(behind, "key %s: %d effects%s; %s", r.Key, n, ids(effects[r.Key]), attempts(r))
		}
	}
	for i, e := range h.Effects {
		if !asked[e.Key] {
			l.phantom.add(seq(h, "effect", i), "key %s: an effect%s that was never requested", e.Key, ids([]string{e.ID}))
		}
	}
	return l
}

func ids(ids []string) string {
	if s := strings.Join(ids, ", "); strings.Trim(s, ", ") != "" {
		return " (" + s + ")"
	}
	return ""
}

func attempts(r journal.Request) string {
	var each []string
	for _, a := range r.Attempts {
		end := a.Error
		if end == "" {
			end = fmt.Sprintf("status %d", a.Status)
		}
		each = append(each, fmt.Sprintf("+%.2fs %s", a.At.Seconds(), end))
	}
	return "attempts: " + strings.Join(each, ", ")
}

func (l *ledger) observed() string {
	return fmt.Sprintf("%s acknowledged, %s refused, %s ambiguous; %s effects", Count(l.acknowledged), Count(l.refused), Count(l.ambiguous), Count(l.effects))
}

// judge answers with the cases that must not be. Without any it is inconclusive where nothing was acknowledged.
func (l *ledger) judge(h *journal.History, expected string, groups ...group) Verdict {
	v := Verdict{Observed: l.observed(), Expected: expected, Evidence: seqs(h, "effects")}
	var reasons []string
	onlyLost := true
	for _, g := range groups {
		if len(g.cases) > 0 {
			onlyLost = onlyLost && g.what == l.lost.what
			reason := Count(len(g.cases)) + " " + g.what
			if g.what == l.twice.what {
				reason += fmt.Sprintf(" (surplus effects: %s)", Count(l.surplus))
			}
			reasons = append(reasons, reason)
			v.Details = append(v.Details, g.cases[:min(10, len(g.cases))]...)
			v.Evidence = append(v.Evidence, first(g.evidence)...)
		}
	}
	v.Evidence = unique(v.Evidence)
	if n, where := dropped(h); n > 0 && onlyLost && len(reasons) > 0 {
		v.Reason = fmt.Sprintf("%s, which may be because %s datagrams were lost, and not by a fault: %s", reasons[0], Count(n), where)
		return v
	}
	if len(reasons) == 0 && l.acknowledged == 0 {
		v.Reason = fmt.Sprintf("none of %s requests was acknowledged", Count(len(h.Requests)))
		return v
	}
	return verdict(len(reasons) == 0, v, "%s", strings.Join(reasons, ", "))
}

// group is one way to be wrong, with its cases.
type group struct {
	what     string
	cases    []string // for people
	evidence []uint64
}

func (g *group) add(evidence []uint64, text string, args ...any) {
	g.cases = append(g.cases, fmt.Sprintf(text, args...))
	g.evidence = append(g.evidence, evidence...)
}

// ExactlyOnce: every acknowledged request is applied exactly once, refused ones never, ambiguous ones at most once.
type ExactlyOnce struct{}

// Judge implements Check.
func (c ExactlyOnce) Judge(h *journal.History) Verdict {
	const expected = "one effect for each acknowledged key"
	l, v, ok := read(h, expected)
	if !ok {
		return v
	}
	return l.judge(h, expected, l.twice, l.lost, l.unrefused)
}

func (ExactlyOnce) String() string { return "every acknowledged request is applied exactly once" }

// NoneLost: no acknowledged request is without effect.
type NoneLost struct{}

// Judge implements Check.
func (NoneLost) Judge(h *journal.History) Verdict {
	const expected = "no acknowledged key without effect"
	l, v, ok := read(h, expected)
	if !ok {
		return v
	}
	return l.judge(h, expected, l.lost)
}

func (NoneLost) String() string { return "no acknowledged request is lost" }

// NoneTwice: no key has more than one effect.
type NoneTwice struct{}

// Judge implements Check.
func (NoneTwice) Judge(h *journal.History) Verdict {
	const expected = "no key with more than one effect"
	l, v, ok := read(h, expected)
	if !ok {
		return v
	}
	return l.judge(h, expected, l.twice)
}

func (NoneTwice) String() string { return "no request is applied more than once" }

// NoPhantom: no effect has a key that was never requested.
type NoPhantom struct{}

// Judge implements Check.
func (NoPhantom) Judge(h *journal.History) Verdict {
	const expected = "no effect without a request"
	l, v, ok := read(h, expected)
	if !ok {
		return v
	}
	return l.judge(h, expected, l.phantom)
}

func (NoPhantom) String() string { return "no effect appears that was never requested" }

// SameResponse: a key sent again with the same body gets the response it got before.
type SameResponse struct{}

// Judge implements Check.
func (SameResponse) Judge(h *journal.History) Verdict {
	return probes(h, "same key, same body", "the first response again")
}

func (SameResponse) String() string {
	return "requests repeated with the same key get the same response"
}

// KeyReuseRefused: a key sent again with another body is refused with Status.
type KeyReuseRefused struct{ Status int }

// Judge implements Check.
func (c KeyReuseRefused) Judge(h *journal.History) Verdict {
	return probes(h, "same key, other body", fmt.Sprintf("status %d", c.Status))
}

func (c KeyReuseRefused) String() string {
	return fmt.Sprintf("a key reused with a different body is refused with status %d", c.Status)
}

// probes judges the questions that were put to the system after the load. One wrong answer is enough to fail; to pass, nine in ten must have been answered.
func probes(h *journal.History, kind, expected string) Verdict {
	asked, answered := 0, 0
	var wrong []string
	for _, p := range h.Probes {
		if p.Kind != kind {
			continue
		}
		asked++
		switch {
		case p.Error != "":
		case p.Got == p.Want:
			answered++
		default:
			answered++
			wrong = append(wrong, fmt.Sprintf("key %s: got %s (status %d), want %s", p.Key, p.Got, p.Status, p.Want))
		}
	}
	if answered == 0 {
		return unclear(expected, "", "no key could be sent again (%d tried): there must be acknowledged requests with a key, and a system that answers", asked)
	}
	v := Verdict{Observed: fmt.Sprintf("%d of %d as expected", answered-len(wrong), answered), Expected: expected, Evidence: seqs(h, "probe"), Details: wrong[:min(10, len(wrong))]}
	if silent := asked - answered; silent > 0 {
		v.Observed += fmt.Sprintf("; %d got no answer", silent)
		if len(wrong) == 0 && silent*10 > asked {
			v.Reason = fmt.Sprintf("%d of %d keys sent again got no answer: what they would have got is not known", silent, asked)
			return v
		}
	}
	return verdict(len(wrong) == 0, v, "%d of %d keys sent again got another answer", len(wrong), answered)
}
