package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// ExactlyOnce passes if every acknowledged request was applied exactly once, no refused one was applied, and no
// ambiguous one was applied more than once.
type ExactlyOnce struct{}

// Judge implements Check.
func (ExactlyOnce) Judge(h *journal.History) Verdict {
	return judgeLedger(h, "one effect for each acknowledged key", duplicated, reapplied, lost, refusedApplied)
}

func (ExactlyOnce) String() string { return "every acknowledged request is applied exactly once" }

// NoneLost passes if every acknowledged request has an effect.
type NoneLost struct{}

// Judge implements Check.
func (NoneLost) Judge(h *journal.History) Verdict {
	return judgeLedger(h, "no acknowledged key without effect", lost)
}

func (NoneLost) String() string { return "no acknowledged request is lost" }

// NoneTwice passes if no key has more than one effect.
type NoneTwice struct{}

// Judge implements Check.
func (NoneTwice) Judge(h *journal.History) Verdict {
	return judgeLedger(h, "no key with more than one effect", duplicated, reapplied)
}

func (NoneTwice) String() string { return "no request is applied more than once" }

// NoPhantom passes if no effect has a key that was never requested.
type NoPhantom struct{}

// Judge implements Check.
func (NoPhantom) Judge(h *journal.History) Verdict {
	v := judgeLedger(h, "no effect without a request", phantom)
	if v.Outcome == Passed && h.EffectsRead.Unknown > 0 {
		v.Outcome = Inconclusive
		v.Doubt = codes.EffectsUnknown.Msgf("%s new effects have keys that are not of this run: the system was not started by this scenario alone, so they may belong to other users of the system, or have no request", Count(h.EffectsRead.Unknown))
	}
	return v
}

func (NoPhantom) String() string { return "no effect appears that was never requested" }

// judgeLedger returns a verdict that fails if the ledger has anomalies of the given kinds. If effects may exist
// that are not listed, a check for lost requests neither passes nor fails. Neither does one whose anomalies a fault that
// changed keys may explain.
func judgeLedger(h *journal.History, expected string, kinds ...string) Verdict {
	l := NewLedger(h)
	if l.Incomparable != "" {
		return inconclusive(expected, "", codes.EffectsUnknown, "%s", l.Incomparable)
	}
	v := Verdict{Observed: l.observed(h), Expected: expected, Evidence: seqs(h, "effects")}
	var reasons []string
	onlyLost := true
	for _, kind := range kinds {
		n, evidence, details := 0, []uint64(nil), []string(nil)
		for _, a := range l.Anomalies {
			if a.Kind == kind {
				n++
				evidence = append(evidence, a.evidence...)
				details = append(details, a.text)
			}
		}
		if n == 0 {
			continue
		}
		onlyLost = onlyLost && kind == lost
		reason := Count(n) + " " + kind
		if kind == duplicated {
			reason += fmt.Sprintf(" (surplus effects: %s)", Count(l.surplus))
		}
		reasons = append(reasons, reason)
		v.Details = append(v.Details, details[:min(10, n)]...)
		v.Evidence = append(v.Evidence, first(evidence)...)
	}
	v.Evidence = unique(v.Evidence)
	if altered := l.otherKeys(kinds); altered != nil && len(reasons) > 0 {
		v.Doubt = codes.Undecided.Msgf("%s, which may be because %q changed keys of requests on the way", strings.Join(reasons, ", "), altered.Sentence)
		return v
	}
	if onlyLost {
		if v.Doubt = l.unproven(h, reasons); !v.Doubt.None() {
			return v
		}
	}
	return verdict(len(reasons) == 0, v, "%s", strings.Join(reasons, ", "))
}

// otherKeys returns a fault that may explain all anomalies of some kinds: it changed requests of the load, and so may have
// put one key in the place of another, which makes the one a loss and the other a phantom or, if that request was refused,
// one that was applied nevertheless. It returns nil if there is an anomaly that this does not explain: of another kind, of
// a request that met no such fault, or more of one kind than there were changed requests. Whoever applies a key twice has
// done so, whatever its requests were.
func (l *Ledger) otherKeys(kinds []string) *journal.Injection {
	if len(l.damaging) == 0 {
		return nil
	}
	counts := map[string]int64{}
	for _, a := range l.Anomalies {
		if !slices.Contains(kinds, a.Kind) {
			continue
		}
		if counts[a.Kind]++; counts[a.Kind] > l.damaged || a.Kind != phantom && !(a.altered && (a.Kind == lost || a.Kind == refusedApplied)) {
			return nil
		}
	}
	return l.damaging[0]
}

func (l *Ledger) observed(h *journal.History) string {
	read := h.EffectsRead
	s := fmt.Sprintf("%s acknowledged, %s refused, %s ambiguous; %s effects", Count(l.Acknowledged), Count(l.Refused), Count(l.Ambiguous), Count(h.Effects.Len()))
	if read.Until > 0 {
		s += fmt.Sprintf(", read until %.1fs after the load", read.Until.Seconds())
	}
	if l.Reads > 0 {
		s += fmt.Sprintf("; %s requests only read", Count(l.Reads))
	}
	if read.Before > 0 {
		s += fmt.Sprintf("; %s were there before the load", Count(read.Before))
	}
	if read.Folded > 0 {
		s += fmt.Sprintf("; %s were listed again with the same id and count once", Count(read.Folded))
	}
	if read.Others > 0 {
		s += fmt.Sprintf("; %s have keys of others", Count(read.Others))
	}
	return s
}

// maxMissing limits the share of keys without a listed effect, as one in so many. Above it, checks for duplicates
// and phantoms do not pass, since they cannot see effects that are not listed. The share is that of the keys
// acknowledged before any fault: a system that loses requests during a fault can still show whether it applies any
// twice.
const maxMissing = 10

// unproven returns why neither a loss nor a success is proved, or none if one of them is. lost holds the description
// of the lost requests, if there are any.
func (l *Ledger) unproven(h *journal.History, lost []string) codes.Message {
	n, where := dropped(h)
	switch {
	case n > 0 && len(lost) > 0:
		return codes.RelayAccounting.Msgf("%s, which may be because %s datagrams were lost, but not by a fault: %s", lost[0], Count(n), where)
	case h.EffectsRead.Doubt != "" && len(lost) > 0:
		return codes.EffectsUnknown.Message(lost[0] + ", which is not proved: " + h.EffectsRead.Doubt)
	case h.EffectsRead.Doubt != "":
		return codes.EffectsUnknown.Message("not all effects are known: " + h.EffectsRead.Doubt)
	case len(lost) > 0 && h.OnlyReads && l.applied == 0:
		return codes.EffectsUnknown.Message(lost[0] + ", which is not proved: all requests are of kinds that only read, such as GET, and none has an effect")
	case len(lost) > 0 && l.ineffective() != "":
		return codes.EffectsUnknown.Msgf("%s, which is not proved: no %q request has an effect, including those before any fault, while requests of other routes have one: such requests may have no effects", lost[0], l.ineffective())
	case len(lost) > 0:
		return codes.Message{}
	case l.Acknowledged == 0:
		return codes.NotExercised.Msgf("none of %s requests was acknowledged%s", Count(l.changing()), unexpected(h))
	case l.faultUnanswered && allOnLinks(h):
		return codes.NotExercised.Message("during the fault no keyed request was acknowledged or refused, and none has an effect: the effect of the fault is not known")
	case onlyReads(h.Faults) && !h.OnlyReads && !slices.ContainsFunc(changingRoutes(h), func(route string) bool { return routeDidWorse(h, route) }):
		return codes.NotExercised.Message("the faults affected only calls that read, and no request that changes something did worse than in the baseline: nothing shows that one of them met a fault")
	case l.applied == 0:
		return codes.EffectsUnknown.Msgf("none of %s acknowledged requests has an effect: the list does not show the effects of this load", Count(l.Acknowledged))
	case l.earlyMissing*maxMissing > l.early:
		return codes.EffectsUnknown.Msgf("%s of the %s requests that were acknowledged before any fault have no effect: the list does not show all effects", Count(l.earlyMissing), Count(l.early))
	case l.applied*2 < l.Acknowledged:
		return codes.EffectsUnknown.Msgf("only %s of %s acknowledged requests have an effect: the list does not show enough of the effects", Count(l.applied), Count(l.Acknowledged))
	}
	return codes.Message{}
}

// allOnLinks reports whether there were faults, and all of them on links. A fault on a service also endangers what
// was acknowledged before it.
func allOnLinks(h *journal.History) bool {
	for _, f := range h.Faults {
		if !strings.Contains(f.On, " -> ") {
			return false
		}
	}
	return len(h.Faults) > 0
}

// onlyReads reports whether the faults affected only calls that read.
func onlyReads(faults []*journal.Injection) bool {
	return len(faults) > 0 && !slices.ContainsFunc(faults, func(in *journal.Injection) bool { return !in.Reads })
}

// changingRoutes returns the routes of the requests that should change something, sorted.
func changingRoutes(h *journal.History) []string {
	return journal.Once(h, "changing routes", func() []string {
		routes := map[string]bool{}
		for _, r := range journal.Packed(&h.Requests) {
			if !r.Common.Reads {
				routes[r.Common.Route] = true
			}
		}
		return slices.Sorted(maps.Keys(routes))
	})
}

// Kind implements Check.
func (c ExactlyOnce) Kind() Kind {
	return Kind{Name: "exactly once", About: AboutEffects, Means: "one effect per acknowledged key, none per refused, at most one per ambiguous", Invariant: true, Refusing: true,
		Needs:     Needs{Load: true, Key: true, Effects: true, AllEffects: true},
		Sentences: fixed(c, "refused ones never, ambiguous ones (time-out, broken connection, status 503) at most once")}
}

// Kind implements Check.
func (c NoneLost) Kind() Kind {
	return Kind{Name: "none lost", About: AboutEffects, Means: "every acknowledged key has an effect", Invariant: true, Refusing: true,
		Needs:     Needs{Load: true, Key: true, Effects: true},
		Sentences: fixed(c, "each has an effect")}
}

// Kind implements Check.
func (c NoneTwice) Kind() Kind {
	return Kind{Name: "none twice", About: AboutEffects, Means: "no key has two effects", Invariant: true, Refusing: true,
		Needs:     Needs{Load: true, Key: true, Effects: true, AllEffects: true},
		Sentences: fixed(c, "no key has two effects")}
}

// Kind implements Check.
func (c NoPhantom) Kind() Kind {
	return Kind{Name: "no phantom", About: AboutEffects, Means: "every effect has a request", Invariant: true, Refusing: true,
		Needs:     Needs{Load: true, Key: true, Effects: true, AllEffects: true, WholeSystem: true},
		Sentences: fixed(c, "each new effect's key was sent")}
}
