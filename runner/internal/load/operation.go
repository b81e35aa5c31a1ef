package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Operations returns the journal's record of a request on a register: an operation for each attempt, since an
// attempt without an answer may still be applied after a later one. written is the body of a request that writes; it
// is nil for one that reads. Fallbacks are left out: they do not claim to be the value of the register.
func (e Result) Operations(register string, written *string, since func(time.Time) time.Duration, w journal.Window) []*journal.Operation {
	var all []*journal.Operation
	for _, a := range e.Attempts {
		o := &journal.Operation{Register: register, Write: written != nil, From: since(a.At), Window: w}
		switch {
		case a.Outcome == Acknowledged && written != nil:
			o.To, o.Value = o.From+a.Took, valueOf(*written)
		case a.Outcome == Acknowledged && !a.Answer.fallback:
			o.To, o.Value = o.From+a.Took, valueOf(a.Answer.Body)
		case a.Outcome == Ambiguous && written != nil:
			o.Value = valueOf(*written)
		default:
			continue
		}
		all = append(all, o)
	}
	return all
}

// Takes returns the journal's record of a request that takes from a queue: an operation for each attempt, since an attempt
// without an answer may have taken an item. An answer with status 204 or 404, with the value null, or with the null of
// Redis took none.
func (e Result) Takes(queue string, since func(time.Time) time.Duration, w journal.Window) []*journal.Operation {
	var all []*journal.Operation
	for _, a := range e.Attempts {
		o := &journal.Operation{Register: queue, From: since(a.At), Window: w}
		switch value := valueOf(a.Answer.Body); {
		case a.Status == http.StatusNoContent, a.Status == http.StatusNotFound, a.Outcome == Acknowledged && (a.Answer.none || value == "null"):
			o.To, o.None = o.From+a.Took, true
		case a.Outcome == Acknowledged && !a.Answer.fallback:
			o.To, o.Value = o.From+a.Took, value
		case a.Outcome == Refused:
			continue
		}
		all = append(all, o)
	}
	return all
}

// OnSet returns the journal's record of a request about an element of a set: an operation for each attempt. written is
// the value that it writes; "" means that it looks for the element. An answer with status 404, with the value false, 0
// or null, or with the null of Redis did not find it. One of more than 1 KiB may say either.
func (e Result) OnSet(set, element, written string, since func(time.Time) time.Duration, w journal.Window) []*journal.Operation {
	var all []*journal.Operation
	for _, a := range e.Attempts {
		o := &journal.Operation{Register: set, Element: element, Write: written != "", Value: written, From: since(a.At), Window: w}
		switch {
		case written != "" && a.Outcome == Refused:
			continue
		case written != "" && a.Outcome == Acknowledged:
			o.To = o.From + a.Took
		case written != "": // it may be applied later
		case a.Status == http.StatusNotFound:
			o.To, o.Value = o.From+a.Took, journal.NotInSet
		case a.Outcome != Acknowledged || a.Answer.fallback:
			continue
		default:
			o.To, o.Value = o.From+a.Took, a.Answer.membership()
		}
		all = append(all, o)
	}
	return all
}

// membership returns what an answer to a look into a set says; "" if that is not known.
func (a Answer) membership() string {
	switch value := valueOf(a.Body); {
	case a.Body == "" && a.Digest != digest(nil):
		return "" // too long
	case a.none, value == "false", value == "0", value == "null":
		return journal.NotInSet
	}
	return journal.InSet
}

// maxValue is the length of the longest value that is recorded. Of a longer one, a digest is.
const maxValue = 64

// valueOf returns the value of a register in a body: the field "value" or else "n" of a JSON object, or the whole body.
// A string and a number with the same text are the same value.
func valueOf(body string) string {
	text := strings.TrimSpace(body)
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(text), &fields) == nil {
		for _, name := range []string{"value", "n"} {
			if raw, ok := fields[name]; ok {
				text = string(raw)
				break
			}
		}
	}
	var s string
	var compact bytes.Buffer
	switch {
	case json.Unmarshal([]byte(text), &s) == nil:
		text = s
	case json.Compact(&compact, []byte(text)) == nil:
		text = compact.String()
	}
	if len(text) > maxValue {
		return "sha256 " + digest([]byte(text))
	}
	return text
}

// digest returns the digest of a body, as in Answer.Digest.
func digest(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:8])
}
