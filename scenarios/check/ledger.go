package check

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Ledger compares the keyed requests of a scenario with its effects, by key and over all attempts of a request. A
// key that any attempt acknowledged must have exactly one effect. A key that all attempts refused must have none.
// An ambiguous key, which may have been applied, has none or one. More than one effect is always a duplicate, and
// an effect without a request is a phantom. A request that only reads is not expected to have an effect; it may
// have none or one.
type Ledger struct {
	Acknowledged, Refused, Ambiguous int // requests that should change something, by outcome
	Reads                            int // requests that only read

	// Anomalies lists the violations: by request, then effects without a request, then keys that were applied again
	// when a probe sent them with the same body.
	Anomalies []Anomaly
	// Incomparable is the reason why requests and effects cannot be compared, or "" if they can. If it is set,
	// nothing is known about effects, and there are no anomalies.
	Incomparable string

	applied             int  // acknowledged keys with an effect
	early, earlyMissing int  // keys acknowledged before any fault, and those of them without effect
	faultUnanswered     bool // no request that met a fault was acknowledged, refused or applied
	surplus             int  // effects beyond the first of each key
	byRoute             map[string]*routeEffects
	damaging            []*journal.Injection // see damaging
	damaged             int64
}

// Anomaly is one violation that a Ledger found.
type Anomaly struct {
	Kind     string   // "acknowledged and lost", "applied more than once", ...
	Key      string   // idempotency key
	Effects  []string // ids of the effects; "" for an effect without id
	Attempts string   // of the request, for people; "" if there is none
	Calls    []string // that the request caused on the links, for people; empty if they are not known
	Faults   string   // that were live during the attempts

	text     string
	evidence []uint64
	altered  bool // the request met a fault that may have changed its key
}

// The kinds of anomalies.
const (
	lost           = "acknowledged and lost"
	duplicated     = "applied more than once"
	refusedApplied = "refused but applied"
	phantom        = "never requested"
	reapplied      = "applied again when sent again with the same body after the load"
)

// The kinds of anomalies that reports suspect causes of.
const (
	AnomalyLost       = lost
	AnomalyDuplicated = duplicated
	AnomalyReapplied  = reapplied
)

// routeEffects counts the acknowledged requests of a route: those before any fault, and those with and without
// effect.
type routeEffects struct{ early, applied, missing int }

// Count returns how many keys were lost though they were acknowledged, how many have more than one effect, and how many
// have other anomalies. All are 0 if requests and effects cannot be compared.
func (l *Ledger) Count() (missing, repeated, others int) {
	for _, a := range l.Anomalies {
		switch a.Kind {
		case lost:
			missing++
		case duplicated:
			repeated++
		default:
			others++
		}
	}
	return missing, repeated, others
}

// NewLedger compares the requests of a scenario with its effects. A history that remembers does so once.
func NewLedger(h *journal.History) *Ledger {
	return journal.Once(h, "ledger", func() *Ledger { return newLedger(h) })
}

func newLedger(h *journal.History) *Ledger {
	l := &Ledger{faultUnanswered: true, byRoute: map[string]*routeEffects{}}
	l.damaging, l.damaged = damaging(h)
	effects := journal.Index(&h.Effects)
	requested := make([]bool, h.Effects.Len())
	var key []byte
	for i, r := range journal.Packed(&h.Requests) {
		key = r.AppendKey(key[:0])
		of := effects.Of(key)
		for _, at := range of {
			requested[at] = true
		}
		l.add(h, i, r, of)
	}
	for i := range requested {
		if !requested[i] {
			e := h.Effects.At(i)
			text := fmt.Sprintf("key %s: an effect%s that was never requested", e.Key, ids([]string{e.ID}))
			l.Anomalies = append(l.Anomalies, Anomaly{Kind: phantom, Key: e.Key, Effects: []string{e.ID}, text: text, evidence: rowSeq(&h.Effects, i)})
		}
	}
	for i, p := range h.Probes {
		if p.Kind == SameBody && len(p.Again) > 0 {
			l.Anomalies = append(l.Anomalies, Anomaly{Kind: reapplied, Key: p.Key, Effects: p.Again, text: appliedAgain(p), evidence: seq(h, "probe", i)})
		}
	}
	if l.Incomparable = l.incomparable(h); l.Incomparable != "" {
		l.Anomalies = nil
	}
	return l
}

// incomparable returns why requests and effects cannot be compared, or "" if they can.
func (l *Ledger) incomparable(h *journal.History) string {
	switch read := h.EffectsRead; {
	case read == nil:
		return "no effects were read"
	case read.Error != "":
		return fmt.Sprintf("effects listed by %s cannot be judged: %s", read.Source, read.Error)
	case read.Count != h.Effects.Len():
		return fmt.Sprintf("the journal holds %d of %d effects", h.Effects.Len(), read.Count)
	case h.Requests.Len() == 0:
		return "no request carried a key"
	case l.changing() == 0:
		return "no request was sent that changes something"
	}
	return ""
}

// changing returns how many requests should change something.
func (l *Ledger) changing() int { return l.Acknowledged + l.Refused + l.Ambiguous }

// add adds the i-th request with the indices of its effects.
func (l *Ledger) add(h *journal.History, i int, packed journal.PackedRequest, effects []int) {
	n, common := len(effects), packed.Common
	anomaly := func(kind, text string) {
		r := packed.Request()
		a := Anomaly{Kind: kind, Key: r.Key, Attempts: attempts(r), Calls: storyOf(h, r.Key), Faults: liveDuring(h, r), evidence: rowSeq(&h.Requests, i)}
		began, ended := packed.Span()
		a.altered = liveIn(l.damaging, began, ended) != nil
		for _, at := range effects {
			a.Effects = append(a.Effects, h.Effects.At(at).ID)
			a.evidence = append(a.evidence, rowSeq(&h.Effects, at)...)
		}
		a.text = fmt.Sprintf("key %s: %s%s; attempts: %s", r.Key, text, ids(a.Effects), a.Attempts)
		if len(a.Calls) > 0 {
			a.text += "; calls: " + strings.Join(a.Calls, ", ")
		}
		l.Anomalies = append(l.Anomalies, a)
	}
	if n > 1 {
		l.surplus += n - 1
		anomaly(duplicated, fmt.Sprintf("%d effects", n))
	}
	if common.Reads {
		l.Reads++
		return
	}
	l.faultUnanswered = l.faultUnanswered && (!packed.MetFault(h) || (n == 0 && common.Outcome == "ambiguous"))
	switch common.Outcome {
	case "acknowledged":
		l.Acknowledged++
		l.countAcknowledged(common, n > 0)
		if n == 0 {
			anomaly(lost, "acknowledged, no effect")
		}
	case "refused":
		l.Refused++
		if n > 0 {
			anomaly(refusedApplied, refusedApplied)
		}
	default:
		l.Ambiguous++
	}
}

// countAcknowledged counts an acknowledged request by its route.
func (l *Ledger) countAcknowledged(r *journal.Request, hasEffect bool) {
	of := l.byRoute[r.Route]
	if of == nil {
		of = &routeEffects{}
		l.byRoute[r.Route] = of
	}
	early := r.Window == journal.Before
	if early {
		of.early++
		l.early++
	}
	switch {
	case hasEffect:
		of.applied++
		l.applied++
	default:
		of.missing++
		if early {
			l.earlyMissing++
		}
	}
}

// ineffective returns a route whose requests may have no effects by design, if all lost requests are of such
// routes; otherwise "".
func (l *Ledger) ineffective() (name string) {
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

func ids(ids []string) string {
	if s := strings.Join(ids, ", "); strings.Trim(s, ", ") != "" {
		return " (" + s + ")"
	}
	return ""
}

// attempts describes the attempts of a request.
func attempts(r journal.Request) string {
	var all []string
	byStart := slices.SortedStableFunc(slices.Values(r.Attempts), func(a, b journal.Attempt) int { return cmp.Compare(a.At, b.At) })
	for _, a := range byStart {
		end := a.Error
		switch {
		case end == "" && a.Status == 0: // of a load that is not HTTP
			end = "answered"
		case end == "":
			end = fmt.Sprintf("status %d", a.Status)
		}
		if a.Took > 0 {
			end += " after " + duration(a.Took)
		}
		if a.Hedge {
			end += " (hedged)"
		}
		all = append(all, fmt.Sprintf("+%.2fs %s", a.At.Seconds(), end))
	}
	return strings.Join(all, ", ")
}
