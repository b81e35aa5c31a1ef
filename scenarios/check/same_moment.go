package check

import (
	"fmt"
	"net/http"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// OneEffect passes if two requests with the same key at the same moment are applied once. A service that looks a key
// up, and stores it in a separate step, applies both.
type OneEffect struct{}

// Judge implements Check.
func (OneEffect) Judge(h *journal.History) Verdict {
	const expected = "one effect for each key"
	p := newPairs(h)
	var twice, none []string
	var evidence []uint64
	applied, unread := 0, ""
	for i, pair := range p.overlapped {
		switch {
		case pair.Unread != "":
			unread = pair.Unread
		case len(pair.Effects) > 1:
			applied++
			twice = append(twice, fmt.Sprintf("key %s: %d effects%s; %s", pair.Key, len(pair.Effects), ids(pair.Effects), describePair(pair)))
			evidence = append(evidence, p.evidence[i]...)
		case len(pair.Effects) == 1:
			applied++
		case acknowledged(pair) > 0:
			none = append(none, fmt.Sprintf("key %s: no effect; %s", pair.Key, describePair(pair)))
			evidence = append(evidence, p.evidence[i]...)
		}
	}
	v := Verdict{Observed: fmt.Sprintf("%d of %d keys with one effect", applied-len(twice), len(p.overlapped)), Expected: expected,
		Details: append(twice, none...), Evidence: first(evidence)}
	v.Details = v.Details[:min(10, len(v.Details))]
	if len(evidence) == 0 {
		v.Evidence = seqs(h, "pair")
	}
	switch {
	case len(twice) > 0:
		return verdict(false, v, "%d of %d keys that were sent twice at the same moment were applied twice", len(twice), len(p.overlapped))
	case unread != "":
		v.Doubt = codes.EffectsUnknown.Message("the effects of the keys could not be read: " + unread)
	case len(none) > 0 && applied > len(none): // the list shows effects of such requests
		return verdict(false, v, "%d of %d keys that were sent twice at the same moment were acknowledged and have no effect", len(none), len(p.overlapped))
	case applied < leastPairs:
		v.Doubt = codes.TooFewRequests.Msgf("only %d keys that were sent twice at the same moment have an effect, and at least %d are needed%s%s", applied, leastPairs, p.missing(), firstExample(none))
	case len(none) > 0:
		v.Doubt = codes.EffectsUnknown.Msgf("%d acknowledged keys have no effect: the list does not show enough of the effects%s", len(none), firstExample(none))
	default:
		v.Outcome = Passed
	}
	return v
}

func (OneEffect) String() string {
	return "two requests with the same key at the same moment have one effect"
}

// OneAnswer passes if two requests with the same key at the same moment get the same answer, or if one of them gets
// Status, which tells the client that the other is still being processed (409 in the draft of the IETF on the
// Idempotency-Key header).
type OneAnswer struct{ Status int }

// Judge implements Check.
func (c OneAnswer) Judge(h *journal.History) Verdict {
	p := newPairs(h)
	var wrong, open []string
	var evidence []uint64
	same, busy, known := 0, 0, 0
	answers := map[string]bool{}
	for i, pair := range p.overlapped {
		a, b := pair.Answers[0], pair.Answers[1]
		text := fmt.Sprintf("key %s: %s", pair.Key, describePair(pair))
		switch {
		case acknowledged(pair) == 2 && a.Digest == b.Digest:
			same++
			answers[a.Digest] = true
			if len(pair.Effects) == 1 {
				known++
			}
		case acknowledged(pair) == 1 && (a.Status == c.Status || b.Status == c.Status):
			busy++
		case acknowledged(pair) == 2, acknowledged(pair) == 1 && (concernsKey(a.Status) || concernsKey(b.Status)):
			wrong = append(wrong, text)
			evidence = append(evidence, p.evidence[i]...)
		default: // no answer, or an error such as 503 that does not concern the key
			open = append(open, text)
		}
	}
	v := Verdict{Observed: fmt.Sprintf("%d pairs: the same answer %d times, status %d %d times", len(p.overlapped), same, c.Status, busy),
		Expected: fmt.Sprintf("the same answer or status %d", c.Status), Evidence: seqs(h, "pair"), Details: wrong[:min(10, len(wrong))]}
	switch {
	case len(wrong) > 0:
		v.Evidence = first(evidence)
		return verdict(false, v, "%d of %d pairs got different answers", len(wrong), len(p.overlapped))
	case same+busy < leastPairs || len(open)*10 > len(p.overlapped):
		v.Doubt = codes.TooFewRequests.Msgf("only %d of %d pairs of requests with the same key got two answers that say what became of the key, and at least %d and nine in ten are needed%s%s",
			same+busy, len(p.overlapped), leastPairs, p.missing(), firstExample(open))
	case same > 1 && len(answers) == 1 && known < same:
		v.Doubt = codes.NotComparable.Msgf("all %d pairs got the same answer, whatever their key, so that two executions cannot be told from one: let the answer identify the effect, such as by an order number, or say where effects are read", same)
	default:
		v.Outcome = Passed
	}
	return v
}

// concernsKey reports whether a status says that the service treats the key in its own way. Statuses that may concern
// any request, such as 429 and 503, do not.
func concernsKey(status int) bool {
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusTooManyRequests
}

func (c OneAnswer) String() string {
	return fmt.Sprintf("two requests with the same key at the same moment get the same answer or status %d", c.Status)
}

// leastPairs is how many pairs have to be known for a check of them to pass. A race shows in a few of many pairs.
const leastPairs = 5

// pairs are the pairs of requests that show something about requests at the same moment.
type pairs struct {
	overlapped []journal.Pair
	evidence   [][]uint64
	apart      int // pairs of which one request had ended when the other began
}

// acknowledged returns how many of the requests of a pair were acknowledged.
func acknowledged(p journal.Pair) (n int) {
	for _, a := range p.Answers {
		if a.Outcome == "acknowledged" {
			n++
		}
	}
	return n
}

func newPairs(h *journal.History) (p pairs) {
	for i, one := range h.Pairs {
		if !one.Overlapped() {
			p.apart++
			continue
		}
		p.overlapped = append(p.overlapped, one)
		p.evidence = append(p.evidence, seq(h, "pair", i))
	}
	return p
}

// missing describes why there are so few pairs.
func (p pairs) missing() string {
	switch {
	case p.apart > 0:
		return fmt.Sprintf("; of %d pairs, one request had ended when the other began", p.apart)
	case len(p.overlapped) == 0:
		return "; none was sent: the load needs requests that change something and carry a key, and a run that is not interrupted"
	}
	return ""
}

// describePair describes both answers of a pair.
func describePair(p journal.Pair) string {
	var text [2]string
	for i, a := range p.Answers {
		text[i] = a.Error
		if a.Error == "" {
			text[i] = fmt.Sprintf("status %d", a.Status)
		}
		if a.Digest != "" {
			text[i] += " with a body of digest " + a.Digest
		}
	}
	return fmt.Sprintf("answers: %s, and %s", text[0], text[1])
}

// Kind implements Check.
func (c OneEffect) Kind() Kind {
	return Kind{Name: "one effect", About: AboutEffects, Means: "two requests with one new key at the same moment are applied once", Invariant: true,
		Needs:     Needs{Load: true, Key: true, Effects: true, Pairs: true},
		Sentences: fixed(c, "after healing, pairs of requests with a new key and the same body are sent at the same moment; each key has one effect")}
}

// Kind implements Check.
func (c OneAnswer) Kind() Kind {
	return Kind{Name: "one answer", About: AboutEffects, Means: "two requests with one new key at the same moment get one answer", Invariant: true,
		Needs: Needs{Load: true, Key: true, Pairs: true, Status: c.Status},
		Sentences: []Sentence{{
			Pattern:  `two requests with the same key at the same moment get the same answer or status {number}`,
			Means:    "as before; both are acknowledged with the same body, or one of them gets the status, which means that the other is still being processed",
			Examples: []string{`two requests with the same key at the same moment get the same answer or status 409`},
			Check:    func(a Args) Check { return OneAnswer{Status: a.Status(0)} },
		}}}
}
