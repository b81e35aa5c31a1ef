package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// LinearizableSet passes if the additions to a set, the removals from it and the looks into it could have happened one
// after the other, each at one moment between its request and its answer, so that every look found an element if and only
// if it had been added after its last removal. Each element is a register with two values, since no operation is about
// several. An addition or removal without an acknowledgement may have happened at any later time, or never. Whether an
// element is in the set before the load is not known.
type LinearizableSet struct{ Set string }

// Judge implements Check.
func (c LinearizableSet) Judge(h *journal.History) Verdict {
	return judgeHistory(h, newSet(operationsOn(h, c.Set)), "every look finds what was added and not removed")
}

// set is the history of one set.
type set struct {
	operations
	elements []*register // in the order of their names

	additions, removals, open int // of additions and removals, those without an acknowledgement
	found, missing, unknown   int // looks, by their answer
	compared                  int // looks for an element that had been added or removed
	undecided                 int // elements whose history is not known to be linearizable or not
	redacted                  bool
}

func newSet(all operations) *set {
	s := &set{operations: all}
	byElement := map[string][]operation{}
	for _, o := range all.all {
		byElement[o.Element] = append(byElement[o.Element], o)
		switch {
		case o.Write && o.Value == journal.InSet:
			s.additions++
		case o.Write:
			s.removals++
		case o.Value == journal.InSet:
			s.found++
		case o.Value == journal.NotInSet:
			s.missing++
		}
	}
	for _, element := range slices.Sorted(maps.Keys(byElement)) {
		r := newRegister(operations{all: byElement[element]})
		s.elements = append(s.elements, r)
		s.open, s.unknown, s.compared, s.redacted = s.open+r.open, s.unknown+r.unknown, s.compared+r.compared, s.redacted || r.redacted
	}
	return s
}

func (s *set) observed() string {
	return fmt.Sprintf("%s elements; %s additions and %s removals, %s of them not acknowledged; %s looks, of which %s found the element",
		Count(len(s.elements)), Count(s.additions), Count(s.removals), Count(s.open), Count(s.found+s.missing), Count(s.found))
}

// incomparable implements object.
func (s *set) incomparable() string {
	switch looks := s.found + s.missing; {
	case len(s.all) == 0:
		return "no operation on the set was recorded"
	case s.redacted:
		return "elements of the set look like secrets, which are not recorded, so they cannot be compared: use plain names"
	case s.additions+s.removals == s.open:
		return fmt.Sprintf("none of %s additions and removals was acknowledged", Count(s.open))
	case looks == 0, s.unknown > looks/10:
		return fmt.Sprintf("%s looks into the set have an answer, and %s more have one above 1 KiB, so that it is not known what they found", Count(looks), Count(s.unknown))
	}
	for _, r := range s.elements {
		if len(r.ops) > maxOperations {
			return fmt.Sprintf("%s operations on the element %q are more than the %s that can be judged: use more elements", Count(len(r.ops)), r.ops[0].Element, Count(maxOperations))
		}
	}
	return ""
}

// contradictions implements object.
func (s *set) contradictions() (all []violation, reason string) {
	for _, r := range s.elements {
		wrong, _ := r.contradictions()
		all = append(all, wrong...)
		if r.answer == notKnown && len(wrong) == 0 {
			s.undecided++
		}
	}
	if len(all) == 0 {
		return nil, ""
	}
	return all, fmt.Sprintf("%s contradiction%s to a set, in %s looks: %s", Count(len(all)), plural(len(all)), Count(s.found+s.missing), all[0].text)
}

// unproven implements object.
func (s *set) unproven() codes.Message {
	switch {
	case s.undecided > 0:
		return codes.Undecided.Msgf("no order of the operations on %s elements was found within the limit of steps: use more elements, or let fewer requests overlap", Count(s.undecided))
	case s.compared < leastCompared:
		return codes.TooFewRequests.Msgf("only %d looks found what was added in this run, or missed what was removed, and at least %d are needed", s.compared, leastCompared)
	}
	return s.noneDuringFault()
}

func (c LinearizableSet) String() string {
	return fmt.Sprintf("the history of the set %q is linearizable", c.Set)
}

// Kind implements Check.
func (c LinearizableSet) Kind() Kind {
	return Kind{Name: "linearizable set", About: AboutEffects, Means: "every look into a set finds what was added and not removed", Invariant: true,
		Needs: Needs{Load: true, Set: c.Set},
		Sentences: []Sentence{{
			Pattern: `the history of the set {text} is linearizable`,
			Means: "a set that a sentence declares: additions, removals and looks can be put in one order, each at a moment between request and answer, in which every look finds what was added and not removed since; " +
				"an addition or removal without an acknowledgement may have happened at any later time or never",
			Examples: []string{`the history of the set "members" is linearizable`},
			Check:    func(a Args) Check { return LinearizableSet{Set: a.Name(0)} },
		}}}
}
