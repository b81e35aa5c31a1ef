package language

import (
	"errors"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// ByHand is a fault that somebody states while a system runs, in a sentence of feature files.
type ByHand struct {
	Sentence     string
	Running      *scenarios.Experiment // its system, load and blast radius
	Live         []scenarios.Placed    // the faults that are live
	UntilHeal    bool                  // the sentence has no duration
	AllowTargets []string              // as in Source
}

// ErrUnknownName is the error of ReadByHand, besides its problems, if the system does not have what the sentence names, such
// as a link.
var ErrUnknownName = errors.New("the system has nothing of this name")

// byHandError is an error of ReadByHand that names problems.
type byHandError struct {
	text    string
	unknown bool // a name
}

func (e byHandError) Error() string { return e.text }

func (e byHandError) Is(target error) bool { return target == ErrUnknownName && e.unknown }

// maxSentence is the length of the longest sentence by hand, in bytes.
const maxSentence = 4096

// ReadByHand reads the sentence of a fault as one of a feature, with the same problems and limits. The error names the
// problems. The faults have the IDs "fault-1", or "fault-1.1" and so on for the parts of a partition.
func (v *Vocabulary) ReadByHand(h ByHand) (scenarios.Inject, error) {
	sentence := strings.TrimSpace(h.Sentence)
	switch {
	case sentence == "":
		return scenarios.Inject{}, errors.New("there is no sentence: firedrill steps lists those of faults")
	case strings.ContainsAny(sentence, "\r\n"):
		return scenarios.Inject{}, errors.New("a sentence has one line")
	case len(sentence) > maxSentence:
		return scenarios.Inject{}, errors.New("the sentence is too long")
	}
	e := *h.Running
	e.Steps, e.Checks, e.Warnings = nil, nil, nil
	at := source.Pos{Col: 1, Text: sentence}
	p := &parse{Source: Source{Vocabulary: v}}
	scope := scenarios.Scope{Faults: v.faults, Protocols: v.protocols, AllowTargets: h.AllowTargets}
	r := &reading{Resolver: scenarios.NewResolver(&e, at, &p.out, scope), vocabulary: v}
	r.Join(sentence, at, h.Live)
	var in scenarios.Inject
	if group := v.Group(sentence); group != "" && group != "faults" { // others may need what only a feature file has
		r.RefuseByHand(at)
	} else {
		p.step(r, &feature.Scenario{}, feature.Step{Kind: "Action", Keyword: "When", Text: sentence, At: at, Exact: true})
		in = r.FinishByHand(at, h.UntilHeal)
	}
	if len(p.out.All) == 0 {
		return in, nil
	}
	var text strings.Builder
	unknown := false
	for _, problem := range p.out.All {
		text.WriteString(problem.Error())
		unknown = unknown || problem.Code == codes.UnknownName.String()
	}
	return scenarios.Inject{}, byHandError{journal.RedactText(strings.TrimSpace(text.String())), unknown}
}
