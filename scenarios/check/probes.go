package check

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// The kinds of probes: what is sent again with an acknowledged key.
const (
	SameBody  = "same key, same body"
	OtherBody = "same key, other body"
)

// SameResponse passes if a key that is sent again with the same body gets the same response as before and, if
// effects are read, is not applied again. The response is the same if its body is, and if both statuses
// acknowledge: some services replay a 201 as 200, which tells the client the same. Two attempts of a request that were
// made at the same time have to get the same body, too, if both were acknowledged.
type SameResponse struct{}

// Judge implements Check.
func (SameResponse) Judge(h *journal.History) Verdict {
	v := probes(h, SameBody, "the first response again")
	different, doubtful, evidence := answeredTwice(h)
	if len(different) > 0 {
		details := append(different, v.Details...)
		v.Details = details[:min(10, len(details))]
		v.Evidence = first(append(evidence, v.Evidence...))
		return verdict(false, v, "%d request%s got two different answers to attempts with the same key at the same time; %s", len(different), plural(len(different)), cmp.Or(v.Reason, v.Doubt.String(), "keys sent again got the same answer"))
	}
	if n := len(doubtful); n > 0 && v.Outcome != Failed {
		v.Outcome = Inconclusive
		v.Doubt = codes.Undecided.Msgf("%d request%s got two different answers to attempts with the same key at the same time, which may be because a fault changed one of them%s", n, plural(n), firstExample(doubtful))
		return v
	}
	if n := identicalAnswers(h); v.Outcome == Passed && n > 0 && h.EffectsRead == nil {
		v.Outcome = Inconclusive
		v.Doubt = codes.NotComparable.Msgf("all %s acknowledged requests got the same answer, whatever their key, so a repeated execution cannot be distinguished from a stored answer: "+
			"let the answer identify the effect, such as by an order number, or check effects", Count(n))
	}
	return v
}

// answeredTwice returns the requests of which two attempts at the same time were acknowledged with different bodies.
// doubtful are those that met a fault that may have changed one of the bodies; evidence is that of the others.
func answeredTwice(h *journal.History) (different, doubtful []string, evidence []uint64) {
	altering := alteredForClients(h)
	for i, packed := range journal.Packed(&h.Requests) {
		if packed.Common.Reads || len(packed.Common.Attempts) < 2 {
			continue
		}
		r := packed.Request()
		answers := map[int]string{} // by step
		for _, a := range r.Attempts {
			switch answer := answers[a.Step]; {
			case a.Digest == "":
			case answer != "" && answer != a.Digest:
				text := fmt.Sprintf("key %s: two attempts got different bodies (digests %s and %s); attempts: %s", r.Key, answer, a.Digest, attempts(r))
				if began, ended := packed.Span(); liveIn(altering, began, ended) != nil {
					doubtful = append(doubtful, text)
					continue
				}
				different = append(different, text)
				evidence = append(evidence, rowSeq(&h.Requests, i)...)
			default:
				answers[a.Step] = a.Digest
			}
		}
	}
	return different, doubtful, evidence
}

// identicalAnswers returns how many requests were acknowledged if no two of the same route got different answers.
// It returns 0 if any two did, or if no route has two.
func identicalAnswers(h *journal.History) (n int) {
	answers := map[string]string{}
	several := false
	for _, r := range h.Requests.All() {
		if r.Outcome != "acknowledged" || r.Reads {
			continue
		}
		n++
		answer, again := answers[r.Route]
		if again && answer != r.Digest {
			return 0
		}
		several = several || again
		answers[r.Route] = r.Digest
	}
	if !several {
		return 0
	}
	return n
}

func (SameResponse) String() string {
	return "requests repeated with the same key get the same response"
}

// KeyReuseRefused passes if a key that is sent again with another body is refused with Status and, if effects are
// read, is not applied again.
type KeyReuseRefused struct{ Status int }

// Judge implements Check.
func (c KeyReuseRefused) Judge(h *journal.History) Verdict {
	return probes(h, OtherBody, fmt.Sprintf("status %d", c.Status))
}

func (c KeyReuseRefused) String() string {
	return fmt.Sprintf("a key reused with a different body is refused with status %d", c.Status)
}

// probes judges the probes of a kind. It fails on one wrong answer, and on one key that was applied again. A wrong answer to
// a key whose first request met a fault that altered it, or its answer, is inconclusive: probes go past the links. To
// pass, nine in ten probes must have been answered, and none of the others may have got an error on every attempt:
// that may be how the system treats such a key.
func probes(h *journal.History, kind, expected string) Verdict {
	sent, answered, during := 0, 0, 0
	requests := firstOfProbed(h)
	var wrong, doubtful, again, stuck []string
	var altered *journal.Injection
	unread := ""
	for _, p := range h.Probes {
		if p.Kind != kind {
			continue
		}
		sent++
		if len(p.Again) > 0 {
			again = append(again, appliedAgain(p))
		}
		unread = cmp.Or(unread, p.Unread)
		switch {
		case p.Error != "" && p.Status != 0:
			stuck = append(stuck, fmt.Sprintf("key %s: %s each time", p.Key, p.Error))
			continue
		case p.Error != "":
			continue
		case p.Got != p.Want && requests[p.Key].altered != nil:
			altered = cmp.Or(altered, requests[p.Key].altered)
			doubtful = append(doubtful, describeWrong(p))
		case p.Got != p.Want:
			wrong = append(wrong, describeWrong(p))
		}
		answered++
		if p.Window == journal.During || requests[p.Key].metFault {
			during++
		}
	}
	if answered == 0 && len(again) == 0 {
		return inconclusive(expected, "", codes.NotExercised, "no key could be sent again (%d tried): there must be acknowledged requests with a key, and a system that answers%s%s", sent, firstExample(stuck), unexpected(h))
	}
	details := slices.Concat(wrong, again, doubtful, stuck)
	v := Verdict{Observed: fmt.Sprintf("%d of %d as expected (%d acknowledged during the fault)", answered-len(wrong)-len(doubtful), answered, during), Expected: expected, Evidence: seqs(h, "probe"), Details: details[:min(10, len(details))]}
	unanswered := sent - answered
	if unanswered > 0 {
		v.Observed += fmt.Sprintf("; %d got no answer", unanswered)
	}
	switch {
	case len(again) > 0:
		v.Observed += fmt.Sprintf("; %d applied again", len(again))
		reason := fmt.Sprintf("%d of %d keys sent again were applied again", len(again), sent)
		if len(wrong) > 0 {
			reason += fmt.Sprintf(", and %d got another answer", len(wrong))
		}
		return verdict(false, v, "%s", reason)
	case len(wrong) > 0:
		return verdict(false, v, "%d of %d keys sent again got another answer", len(wrong), answered)
	case len(doubtful) > 0:
		v.Doubt = codes.Undecided.Msgf("%d of %d keys sent again got another answer, which may be because %q changed their first requests or the answers to these%s", len(doubtful), answered, altered.Sentence, firstExample(doubtful))
	case unanswered*10 > sent:
		v.Doubt = codes.ProbeUnanswered.Msgf("%d of %d keys sent again got no answer: what it would have been is not known%s", unanswered, sent, firstExample(stuck))
	case len(stuck) > 0:
		v.Doubt = codes.ProbeUnanswered.Msgf("%d of %d keys sent again got an error each time, while others were answered: what their answer would have been is not known%s", len(stuck), sent, firstExample(stuck))
	case unread != "":
		v.Doubt = codes.EffectsUnknown.Message("whether keys sent again were applied again is not known, since effects could not be read then: " + unread)
	case during == 0 && allOnLinks(h):
		v.Doubt = codes.NotExercised.Msgf("none of the %d keys sent again was acknowledged during the fault: nothing is known of those that were", answered)
	default:
		v.Outcome = Passed
	}
	return v
}

// firstRequest is what is known of the first request with a key.
type firstRequest struct {
	metFault bool
	altered  *journal.Injection // a fault that it met and that may have changed it or its answer, or nil
}

// firstOfProbed returns the first requests of the keys that were sent again.
func firstOfProbed(h *journal.History) map[string]firstRequest {
	return journal.Once(h, "first requests of probed keys", func() map[string]firstRequest {
		all := map[string]firstRequest{}
		for _, p := range h.Probes {
			all[p.Key] = firstRequest{}
		}
		if len(all) == 0 {
			return all
		}
		altering := alteredForClients(h)
		var key []byte
		for _, r := range journal.Packed(&h.Requests) {
			key = r.AppendKey(key[:0])
			if _, probed := all[string(key)]; probed {
				began, ended := r.Span()
				all[string(key)] = firstRequest{r.MetFault(h), liveIn(altering, began, ended)}
			}
		}
		return all
	})
}

// firstExample formats the first of some cases as an example.
func firstExample(cases []string) string {
	if len(cases) == 0 {
		return ""
	}
	return "; " + cases[0]
}

// describeWrong describes a probe that got another answer.
func describeWrong(p journal.Probe) string {
	switch {
	case p.Kind == OtherBody:
		return fmt.Sprintf("key %s: status %s instead of %s", p.Key, p.Got, p.Want)
	case p.Got == fmt.Sprintf("status %d", p.Status):
		return fmt.Sprintf("key %s: status %d, and %d at first", p.Key, p.Status, p.First)
	case p.Differs != "":
		return fmt.Sprintf("key %s: another body: %s (status %d, and %d at first)", p.Key, p.Differs, p.Status, p.First)
	}
	return fmt.Sprintf("key %s: another body (status %d, and %d at first; digests %s and %s)", p.Key, p.Status, p.First, p.Got, p.Want)
}

// appliedAgain describes a probe that had an effect.
func appliedAgain(p journal.Probe) string {
	return fmt.Sprintf("key %s: %d more effect%s%s since it was sent again after the load (%s)", p.Key, len(p.Again), plural(len(p.Again)), ids(p.Again), p.Kind)
}

// Kind implements Check.
func (c SameResponse) Kind() Kind {
	return Kind{Name: "same response", About: AboutEffects, Means: "acknowledged keys are sent again with the same body", Invariant: true,
		Needs: Needs{Load: true, Key: true, Probe: SameBody},
		Sentences: fixed(c, "acknowledged keys are sent again after healing, those of the fault first; each gets the same body, and a status that acknowledges (a 201 may be replayed as 200), "+
			"and where effects are read it is not applied again")}
}

// Kind implements Check.
func (c KeyReuseRefused) Kind() Kind {
	return Kind{Name: "key reuse refused", About: AboutEffects, Means: "acknowledged keys are sent again with another body", Invariant: true,
		Needs: Needs{Load: true, Key: true, Probe: OtherBody, Status: c.Status},
		Sentences: []Sentence{{
			Pattern:  `a key reused with a different body is refused with status {number}`,
			Means:    "the same with another {{n}} in the body, which has to hold one",
			Examples: []string{`a key reused with a different body is refused with status 422`},
			Check:    func(a Args) Check { return KeyReuseRefused{Status: a.Status(0)} },
		}}}
}
