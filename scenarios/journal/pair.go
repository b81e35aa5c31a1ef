package journal

import "time"

// Pair is two requests with one new key, sent after the load at the same moment on connections of their own.
type Pair struct {
	Key     string        `json:"key"`
	Route   string        `json:"route"`
	Answers [2]PairAnswer `json:"answers"`
	Effects []string      `json:"effects,omitempty"` // ids ("" for none) of the effects of the key
	// Unread is why the effects of the key are not known; "" if they were read.
	Unread string `json:"unread,omitempty"`
}

// PairAnswer is the answer to one of the requests.
type PairAnswer struct {
	Attempt
	Outcome string `json:"outcome"`          // "acknowledged", "refused", "ambiguous"
	Digest  string `json:"digest,omitempty"` // of the body; "" if there was no answer
}

// Overlapped reports whether both requests were under way at one time. Otherwise the pair shows nothing about
// requests at the same moment.
func (p Pair) Overlapped() bool {
	a, b := p.Answers[0].Attempt, p.Answers[1].Attempt
	return max(a.At, b.At) <= min(a.end(), b.end())
}

func (a Attempt) end() time.Duration { return a.At + a.Took }
