package check

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// InOrder passes if effects of the same group, such as of the same customer, were applied in the order in which their
// requests were sent. Group is the field of the effects that holds the group. Two requests are ordered if the first
// was acknowledged before the second was sent; others were under way at the same time, and are not judged.
//
// Effects are in the order of their field "seq", a whole number or a time; without it, in the order of the list. A
// list that disagrees with most requests is not in the order of application, and proves nothing.
type InOrder struct{ Group string }

// Judge implements Check.
func (c InOrder) Judge(h *journal.History) Verdict {
	const expected = "effects in the order of their requests"
	if why := NewLedger(h).Incomparable; why != "" {
		return inconclusive(expected, "", codes.EffectsUnknown, "%s", why)
	}
	o := newOrdering(h)
	v := Verdict{Observed: o.observed(), Expected: expected, Evidence: seqs(h, "effects"), Details: o.details()}
	n := len(o.swapped)
	switch {
	case o.mixed != "":
		v.Doubt = codes.NotComparable.Message(o.mixed)
	case o.ordered == 0:
		v.Doubt = codes.NotExercised.Msgf("no two requests of one %q were sent one after the other, so that no order is known%s", c.Group, o.ungrouped(c.Group))
	case n > 0 && !o.bySeq && 4*n > o.ordered:
		v.Doubt = codes.NotComparable.Msgf("%d of %d effects are listed before one that was acknowledged before they were sent: the list seems not to be in the order of application: give each effect a field \"seq\", a whole number or a time that grows with it", n, o.ordered)
	case n > 0 && !o.bySeq && o.sorted != "":
		v.Doubt = codes.NotComparable.Msgf("%d effects are not in the order of their requests, but the list is sorted by %s, which need not be the order of application: give each effect a field \"seq\", a whole number or a time that grows with it", n, o.sorted)
	case n > 0:
		v.Evidence = o.evidence()
		return verdict(false, v, "%d of %d effects with the same %q were applied before one whose request had been acknowledged before theirs was sent", n, o.ordered, c.Group)
	case h.EffectsRead.Doubt != "":
		v.Doubt = codes.EffectsUnknown.Message("not all effects are known: " + h.EffectsRead.Doubt)
	case o.metFault == 0 && allOnLinks(h):
		v.Doubt = codes.NotExercised.Msgf("no ordered request met the fault: its effect on the order is not known")
	default:
		v.Outcome = Passed
	}
	return v
}

func (c InOrder) String() string {
	return fmt.Sprintf("effects with the same %q are applied in the order they were sent", c.Group)
}

// ordering compares the order of effects with that of their requests.
type ordering struct {
	groups   int       // with at least two effects
	single   int       // effects without a group
	ordered  int       // effects whose request was sent after another one of the group had been acknowledged
	metFault int       // of those, how many met a fault
	swapped  [][2]sent // the effect that was applied first, and the earlier request whose effect came after it
	bySeq    bool      // effects have a sequence of their own
	sorted   string    // what the list is sorted by, as a text: "key" or "id"; "" if by neither
	mixed    string    // why the order of effects is not known; "" if it is
}

// sent is a request with its only effect.
type sent struct {
	key, group   string
	start, end   time.Duration // from the first attempt to the acknowledgement; end is 0 if there was none
	at           int64         // order of application
	met          bool
	seqs         []uint64
	acknowledged bool
}

func newOrdering(h *journal.History) *ordering {
	o := &ordering{}
	withSeq := 0
	for _, e := range h.Effects.All() {
		if e.Order != "" {
			withSeq++
		}
	}
	o.bySeq = withSeq > 0
	if o.bySeq && withSeq < h.Effects.Len() {
		o.mixed = fmt.Sprintf("only %s of %s effects have a \"seq\", so that their order is not known", Count(withSeq), Count(h.Effects.Len()))
	}
	effects := journal.Index(&h.Effects)
	groups := map[string][]sent{}
	times := 0
	for i, r := range h.Requests.All() {
		of := effects.Of([]byte(r.Key))
		if len(of) != 1 || len(r.Attempts) == 0 { // keys with several effects are judged by other checks
			continue
		}
		e := h.Effects.At(of[0])
		if e.Group == "" {
			o.single++
			continue
		}
		s := sent{key: r.Key, group: e.Group, start: r.Began(), at: int64(e.Place), met: h.MetFault(r), acknowledged: r.Outcome == "acknowledged",
			seqs: append(rowSeq(&h.Requests, i), rowSeq(&h.Effects, of[0])...)}
		last := r.Attempts[len(r.Attempts)-1]
		s.end = last.At + last.Took
		if o.bySeq {
			var isTime, ok bool
			if s.at, isTime, ok = sequence(e.Order); !ok && o.mixed == "" {
				o.mixed = fmt.Sprintf("the \"seq\" of key %s is %q, and not a whole number or a time", e.Key, e.Order)
			}
			if isTime {
				times++
			}
		}
		groups[e.Group] = append(groups[e.Group], s)
	}
	all := 0
	for _, name := range sortedNames(groups) {
		all += len(groups[name])
		o.compare(groups[name])
	}
	if times > 0 && times < all && o.mixed == "" {
		o.mixed = "some effects have a \"seq\" that is a number, and others a time: their order is not known"
	}
	o.sorted = sortedBy(&h.Effects)
	return o
}

func sortedNames(groups map[string][]sent) []string {
	var names []string
	for name := range groups {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// sequence returns the place in the order of application that a "seq" states.
func sequence(text string) (at int64, isTime, ok bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, false, true
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t.UnixNano(), true, true
	}
	return 0, false, false
}

// compare compares the effects of a group.
func (o *ordering) compare(group []sent) {
	if len(group) < 2 {
		return
	}
	o.groups++
	firstEnd := time.Duration(1<<63 - 1)
	for _, s := range group {
		if s.acknowledged {
			firstEnd = min(firstEnd, s.end)
		}
	}
	for _, s := range group {
		if s.start > firstEnd {
			o.ordered++
			if s.met {
				o.metFault++
			}
		}
	}
	slices.SortStableFunc(group, func(a, b sent) int { return cmp.Compare(a.at, b.at) })
	var latest, pending *sent // the effect that was sent last, of those applied before; and of those with the same place
	for i := range group {
		s := &group[i]
		if i > 0 && group[i-1].at < s.at && pending != nil && (latest == nil || pending.start > latest.start) {
			latest = pending
		}
		if latest != nil && s.acknowledged && s.end < latest.start {
			o.swapped = append(o.swapped, [2]sent{*latest, *s})
		}
		if pending == nil || s.start > pending.start {
			pending = s
		}
	}
}

// sortedBy returns what a list is sorted by, as a text.
func sortedBy(effects *journal.EffectRows) string {
	places, listed := make([]int, effects.Len()), make([]int, effects.Len())
	for i, e := range effects.All() {
		places[i], listed[i] = e.Place, i
	}
	slices.SortStableFunc(listed, func(a, b int) int { return cmp.Compare(places[a], places[b]) })
	byKey, byID := true, true
	var last journal.Effect
	for n, i := range listed {
		e := effects.At(i)
		byKey = byKey && (n == 0 || last.Key <= e.Key)
		byID = byID && (n > 0 || e.ID != "") && (n == 0 || last.ID <= e.ID)
		last = e
	}
	switch {
	case byKey:
		return "key"
	case byID:
		return "id"
	}
	return ""
}

func (o *ordering) observed() string {
	s := fmt.Sprintf("%s group%s with several effects, %s effects sent after another one", Count(o.groups), plural(o.groups), Count(o.ordered))
	if o.single > 0 {
		s += fmt.Sprintf("; %s have no group", Count(o.single))
	}
	return s
}

// ungrouped says that effects have no group, if that is so.
func (o *ordering) ungrouped(field string) string {
	if o.single == 0 {
		return ""
	}
	return fmt.Sprintf("; %s effects have no field %q", Count(o.single), field)
}

func (o *ordering) details() []string {
	var all []string
	for _, s := range o.swapped[:min(10, len(o.swapped))] {
		first, second := s[0], s[1]
		all = append(all, fmt.Sprintf("group %q: key %s, sent at +%.3fs, was applied before key %s, which was sent at +%.3fs and acknowledged at +%.3fs",
			first.group, first.key, first.start.Seconds(), second.key, second.start.Seconds(), second.end.Seconds()))
	}
	return all
}

func (o *ordering) evidence() []uint64 {
	var all []uint64
	for _, s := range o.swapped {
		all = append(all, append(s[0].seqs, s[1].seqs...)...)
	}
	return unique(first(all))
}

// Kind implements Check.
func (c InOrder) Kind() Kind {
	return Kind{Name: "in order", About: AboutEffects, Means: "effects of a group are applied in the order of their requests; those under way at the same time are not judged", Invariant: true,
		CannotFail: func(d Drill) string {
			if d.Unique(c.Group) {
				return fmt.Sprintf("each request has a %q of its own, so that no two effects have an order; let requests share it: {{random 1 20}}", c.Group)
			}
			return ""
		},
		Needs: Needs{Load: true, Key: true, Effects: true, Group: c.Group},
		Sentences: []Sentence{{
			Pattern: `effects with the same {text} are applied in the order they were sent`,
			Means: `a field of the effects; their order is that of the list, or of a field "seq", a whole number or a time; ` +
				"a request comes after another one if that was acknowledged before it was sent",
			Examples: []string{`effects with the same "customer_id" are applied in the order they were sent`},
			Check: func(a Args) Check {
				field := strings.Trim(a.Value(0), `"`)
				if field == "" {
					a.Problem(0, codes.BadName.Msgf("the name of a field is empty"), `write a field of the effects: "customer_id"`)
				}
				return InOrder{Group: field}
			},
		}}}
}
