package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// ledger compares requests with effects, by key and over all attempts of a request. A key that any attempt
// acknowledged must have exactly one effect. A key that all attempts refused must have none. An ambiguous key,
// which may have been applied, has none or one. More than one effect is always a duplicate, and an effect without
// a request is a phantom. A request that only reads is not expected to have an effect; it may have none or one.
type ledger struct {
	keyed                                     int // requests that should change something, the sum of the next three
	acknowledged, refused, ambiguous          int
	reads                                     int  // requests that only read
	safe                                      bool // all keyed requests are GETs, HEADs or OPTIONS
	effects                                   int
	applied                                   int  // acknowledged keys with an effect
	early, earlyMissing                       int  // keys acknowledged before any fault, and those of them without effect
	faultUnanswered                           bool // no request that met a fault was acknowledged, refused or applied
	surplusEffects                            int  // effects beyond the first of each key
	byRoute                                   map[string]*routeEffects
	lost, duplicated, phantom, refusedApplied group
	reapplied                                 group // keys that were applied again when a probe sent them with the same body
}

// routeEffects counts the acknowledged requests of a route: those before any fault, and those with and without
// effect.
type routeEffects struct{ early, applied, missing int }

// readLedger compares requests with effects. If they cannot be compared, it returns false and a verdict with the
// reason.
func readLedger(h *journal.History, expected string) (*ledger, Verdict, bool) {
	switch {
	case h.EffectsRead == nil:
		return nil, inconclusive(expected, "", "no effects were read"), false
	case h.EffectsRead.Error != "":
		return nil, inconclusive(expected, "", "effects listed by %s cannot be judged: %s", h.EffectsRead.Source, h.EffectsRead.Error), false
	case h.EffectsRead.Count != len(h.Effects):
		return nil, inconclusive(expected, "", "the journal holds %d of %d effects", len(h.Effects), h.EffectsRead.Count), false
	case len(h.Requests) == 0:
		return nil, inconclusive(expected, "", "no request carried a key"), false
	}
	l := newLedger(h)
	if l.keyed == 0 {
		return nil, inconclusive(expected, "", "no request was sent that changes something"), false
	}
	return l, Verdict{}, true
}

func newLedger(h *journal.History) *ledger {
	l := &ledger{
		faultUnanswered: true, safe: true, byRoute: map[string]*routeEffects{},
		effects: len(h.Effects), lost: group{what: "acknowledged and lost"}, duplicated: group{what: "applied more than once"},
		refusedApplied: group{what: "refused and yet applied"}, phantom: group{what: "never requested"},
		reapplied: group{what: "applied again when sent again with the same body after the load"},
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
		if n > 1 {
			l.surplusEffects += n - 1
			l.duplicated.add(behind, "key %s: %d effects%s; %s", r.Key, n, ids(effects[r.Key]), attempts(r))
		}
		if r.Reads {
			l.reads++
			continue
		}
		l.keyed++
		l.safe = l.safe && journal.Safe(r.Route)
		l.faultUnanswered = l.faultUnanswered && (!h.MetFault(r) || (n == 0 && r.Outcome == "ambiguous"))
		switch r.Outcome {
		case "acknowledged":
			l.acknowledged++
			l.applied += min(n, 1)
			of := l.byRoute[r.Route]
			if of == nil {
				of = &routeEffects{}
				l.byRoute[r.Route] = of
			}
			of.applied += min(n, 1)
			of.missing += 1 - min(n, 1)
			if r.Window == journal.Before {
				of.early++
				l.early++
				l.earlyMissing += 1 - min(n, 1)
			}
			if n == 0 {
				l.lost.add(behind, "key %s: acknowledged, no effect; %s", r.Key, attempts(r))
			}
		case "refused":
			l.refused++
			if n > 0 {
				l.refusedApplied.add(behind, "key %s: refused, and yet applied%s; %s", r.Key, ids(effects[r.Key]), attempts(r))
			}
		default:
			l.ambiguous++
		}
	}
	for i, e := range h.Effects {
		if !asked[e.Key] {
			l.phantom.add(seq(h, "effect", i), "key %s: an effect%s that was never requested", e.Key, ids([]string{e.ID}))
		}
	}
	for i, p := range h.Probes {
		if p.Kind == SameBody && len(p.Again) > 0 {
			l.reapplied.add(seq(h, "probe", i), "%s", appliedAgain(p))
		}
	}
	return l
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

func ids(ids []string) string {
	if s := strings.Join(ids, ", "); strings.Trim(s, ", ") != "" {
		return " (" + s + ")"
	}
	return ""
}

func attempts(r journal.Request) string {
	var all []string
	for _, a := range r.Attempts {
		end := a.Error
		if end == "" {
			end = fmt.Sprintf("status %d", a.Status)
		}
		all = append(all, fmt.Sprintf("+%.2fs %s", a.At.Seconds(), end))
	}
	return "attempts: " + strings.Join(all, ", ")
}

func (l *ledger) observed(read *journal.Effects) string {
	s := fmt.Sprintf("%s acknowledged, %s refused, %s ambiguous; %s effects", Count(l.acknowledged), Count(l.refused), Count(l.ambiguous), Count(l.effects))
	if read.Until > 0 {
		s += fmt.Sprintf(", looked for until %.1fs after the load", read.Until.Seconds())
	}
	if l.reads > 0 {
		s += fmt.Sprintf("; %s requests only read", Count(l.reads))
	}
	if read.Before > 0 {
		s += fmt.Sprintf("; %s were there before", Count(read.Before))
	}
	if read.Folded > 0 {
		s += fmt.Sprintf("; %s were listed again with the same id and count once", Count(read.Folded))
	}
	if read.Others > 0 {
		s += fmt.Sprintf("; %s have keys of others", Count(read.Others))
	}
	return s
}

// judge returns a verdict that fails if any group has cases. If effects may exist that are not listed, a check for
// lost requests neither passes nor fails.
func (l *ledger) judge(h *journal.History, expected string, groups ...group) Verdict {
	v := Verdict{Observed: l.observed(h.EffectsRead), Expected: expected, Evidence: seqs(h, "effects")}
	var reasons []string
	onlyLost := true
	for _, g := range groups {
		if len(g.cases) > 0 {
			onlyLost = onlyLost && g.what == l.lost.what
			reason := Count(len(g.cases)) + " " + g.what
			if g.what == l.duplicated.what {
				reason += fmt.Sprintf(" (surplus effects: %s)", Count(l.surplusEffects))
			}
			reasons = append(reasons, reason)
			v.Details = append(v.Details, g.cases[:min(10, len(g.cases))]...)
			v.Evidence = append(v.Evidence, first(g.evidence)...)
		}
	}
	v.Evidence = unique(v.Evidence)
	if onlyLost {
		if v.Reason = l.unproven(h, reasons); v.Reason != "" {
			return v
		}
	}
	return verdict(len(reasons) == 0, v, "%s", strings.Join(reasons, ", "))
}

// maxMissing limits the share of keys without a listed effect, as one in so many. Above it, checks for duplicates
// and phantoms do not pass, since they cannot see effects that are not listed. The share is that of the keys
// acknowledged before any fault: a system that loses requests during a fault can still show whether it applies any
// twice.
const maxMissing = 10

// unproven returns why neither a loss nor a success is proved, or "" if one of them is.
func (l *ledger) unproven(h *journal.History, lost []string) string {
	n, where := dropped(h)
	switch {
	case n > 0 && len(lost) > 0:
		return fmt.Sprintf("%s, which may be because %s datagrams were lost, and not by a fault: %s", lost[0], Count(n), where)
	case h.EffectsRead.Doubt != "" && len(lost) > 0:
		return lost[0] + ", which is not proved: " + h.EffectsRead.Doubt
	case h.EffectsRead.Doubt != "":
		return "not all effects are known: " + h.EffectsRead.Doubt
	case len(lost) > 0 && l.safe && l.applied == 0:
		return lost[0] + ", which is not proved: all requests are GETs, HEADs or OPTIONS, and not one has an effect: they may only read"
	case len(lost) > 0 && l.ineffective() != "":
		return fmt.Sprintf("%s, which is not proved: no %q request has an effect, also of those before any fault, and those of other routes have one: it may have none", lost[0], l.ineffective())
	case len(lost) > 0:
		return ""
	case l.acknowledged == 0:
		return fmt.Sprintf("none of %s requests was acknowledged%s", Count(l.keyed), unexpected(h))
	case l.faultUnanswered && allOnLinks(h):
		return "during the fault no keyed request was acknowledged or refused, and none has an effect: nothing is known of what the fault does"
	case onlyReads(h.Faults) && !slices.ContainsFunc(l.routes(h), func(route string) bool { return routeDidWorse(h, route) }):
		return "the faults affected only calls that read, and no request that changes something did worse than in the baseline: nothing shows that one of them met a fault"
	case l.applied == 0:
		return fmt.Sprintf("none of %s acknowledged requests has an effect: the list does not show what this load does", Count(l.acknowledged))
	case l.earlyMissing*maxMissing > l.early:
		return fmt.Sprintf("%s of the %s requests that were acknowledged before any fault have no effect: the list does not show all that is applied", Count(l.earlyMissing), Count(l.early))
	case l.applied*2 < l.acknowledged:
		return fmt.Sprintf("only %s of %s acknowledged requests have an effect: the list does not show enough of what is applied", Count(l.applied), Count(l.acknowledged))
	}
	return ""
}

// onlyReads reports whether the faults affected only calls that read.
func onlyReads(faults []*journal.Injection) bool {
	return len(faults) > 0 && !slices.ContainsFunc(faults, func(in *journal.Injection) bool { return !in.Reads })
}

// routes returns the routes of the requests that should change something.
func (l *ledger) routes(h *journal.History) []string {
	routes := map[string]bool{}
	for _, r := range h.Requests {
		if !r.Reads {
			routes[r.Route] = true
		}
	}
	return slices.Sorted(maps.Keys(routes))
}

// ineffective returns a route whose requests may have no effects by design, if all lost requests are of such
// routes; otherwise "".
func (l *ledger) ineffective() (name string) {
	for _, route := range slices.Sorted(maps.Keys(l.byRoute)) {
		switch of := l.byRoute[route]; {
		case of.missing == 0:
		case of.applied > 0 || of.early == 0 || l.applied == 0:
			return ""
		case name == "":
			name = route
		}
	}
	return name
}

// group collects the cases of one kind of violation.
type group struct {
	what     string
	cases    []string // for people
	evidence []uint64
}

func (g *group) add(evidence []uint64, text string, args ...any) {
	g.cases = append(g.cases, fmt.Sprintf(text, args...))
	g.evidence = append(g.evidence, evidence...)
}

// ExactlyOnce passes if every acknowledged request was applied exactly once, no refused one was applied, and no
// ambiguous one was applied more than once.
type ExactlyOnce struct{}

// Judge implements Check.
func (c ExactlyOnce) Judge(h *journal.History) Verdict {
	const expected = "one effect for each acknowledged key"
	l, v, ok := readLedger(h, expected)
	if !ok {
		return v
	}
	return l.judge(h, expected, l.duplicated, l.reapplied, l.lost, l.refusedApplied)
}

func (ExactlyOnce) String() string { return "every acknowledged request is applied exactly once" }

// NoneLost passes if every acknowledged request has an effect.
type NoneLost struct{}

// Judge implements Check.
func (NoneLost) Judge(h *journal.History) Verdict {
	const expected = "no acknowledged key without effect"
	l, v, ok := readLedger(h, expected)
	if !ok {
		return v
	}
	return l.judge(h, expected, l.lost)
}

func (NoneLost) String() string { return "no acknowledged request is lost" }

// NoneTwice passes if no key has more than one effect.
type NoneTwice struct{}

// Judge implements Check.
func (NoneTwice) Judge(h *journal.History) Verdict {
	const expected = "no key with more than one effect"
	l, v, ok := readLedger(h, expected)
	if !ok {
		return v
	}
	return l.judge(h, expected, l.duplicated, l.reapplied)
}

func (NoneTwice) String() string { return "no request is applied more than once" }

// NoPhantom passes if no effect has a key that was never requested.
type NoPhantom struct{}

// Judge implements Check.
func (NoPhantom) Judge(h *journal.History) Verdict {
	const expected = "no effect without a request"
	l, v, ok := readLedger(h, expected)
	if !ok {
		return v
	}
	v = l.judge(h, expected, l.phantom)
	if n := h.EffectsRead.Unknown; v.Outcome == Passed && n > 0 {
		v.Outcome = Inconclusive
		v.Reason = fmt.Sprintf("%s new effects have keys that are not of this run: the system was not started by this scenario alone, so they may be of other users of it, or appear without a request", Count(n))
	}
	return v
}

func (NoPhantom) String() string { return "no effect appears that was never requested" }
