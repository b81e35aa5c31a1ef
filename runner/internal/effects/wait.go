package effects

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const (
	minSettle       = 2 * time.Second        // minimum time to read effects after the load, if only losses matter
	MinReadInterval = 200 * time.Millisecond // minimum pause between two readings
	ReadRetryLimit  = 5 * time.Second        // how long reading a list is retried after an error
)

// Wait waits until the effects of the acknowledged requests have settled.
type Wait struct {
	Expected
	ledger       *Ledger
	acknowledged int           // number of acknowledged requests that should have an effect
	loadEnded    time.Duration // end of the last request

	latest           *Reading
	applied, missing work          // of latest: the acknowledged requests with an effect, and those without
	err              error         // error of the last reading
	failingSince     time.Duration // time of the first of the current series of errors
	readAt           time.Duration // start of the last reading
	changedAt        time.Duration // when the number of missing effects last changed
	unchanged        bool          // the last two readings are equal
	vanished         int           // number of effects that one reading listed and a later one did not
}

// Expected says which effects a Wait waits for.
type Expected struct {
	Requests journal.RequestRows  // of the load
	Faults   []*journal.Injection // may be the reason why effects are missing
	Limit    time.Duration        // effects are read until then, after the last request
	Stated   bool                 // the scenario sets the limit: what is missing at the end is lost
	Pending  string               // why effects may not have arrived where they are read; "" if nothing is known to be pending
	All      bool                 // read until the limit even if none is missing: duplicates may follow
}

// LoadEnded returns the end of the last request, or now if there were none.
func (e Expected) LoadEnded(now time.Duration) time.Duration {
	last := time.Duration(0)
	for _, r := range journal.Packed(&e.Requests) {
		_, ended := r.Span()
		last = max(last, ended)
	}
	return cmp.Or(last, now)
}

// acknowledged reports whether a request should have an effect.
func acknowledged(r journal.PackedRequest) bool {
	return r.Common.Outcome == load.Acknowledged.String() && !r.Common.Reads
}

// NewWait returns a wait for effects. now is the end of the load if there were no requests.
func (l *Ledger) NewWait(e Expected, now time.Duration) *Wait {
	w := &Wait{ledger: l, Expected: e, loadEnded: e.LoadEnded(now)}
	for _, r := range journal.Packed(&e.Requests) {
		if acknowledged(r) {
			w.acknowledged++
		}
	}
	w.missing.n = w.acknowledged
	return w
}

// Result returns the effects that were read last, and what is known about them. Its source and the limit of the
// scenario are not set.
func (w *Wait) Result() (fact journal.Effects, all journal.EffectRows) {
	fact.Until = max(0, w.readAt-w.loadEnded)
	if w.latest != nil {
		all = w.latest.Effects
		fact.Count = all.Len()
		fact.Before, fact.Others, fact.Folded, fact.Doubt = w.latest.before, w.latest.others, w.latest.folded, w.missingReason()
		if !w.ledger.phantomsCertain() {
			fact.Unknown = w.latest.fresh
		}
	}
	switch {
	case w.err != nil:
		fact.Error = w.err.Error()
	case w.latest == nil:
		fact.Error = "the run was interrupted before they were read"
	default:
		fact.Error = w.foreignKeys()
	}
	return fact, all
}

// ReadOnce reads the effects once and reports whether that was the last reading.
func (w *Wait) ReadOnce(ctx context.Context, now time.Duration) bool {
	w.readAt = now
	if w.latest != nil {
		w.latest.index = nil // so that there is only one at a time
	}
	reading, err := w.ledger.Read(ctx)
	since := w.readAt - w.loadEnded
	if err != nil {
		if w.err == nil {
			w.failingSince = w.readAt
		}
		w.err = err
		return since >= w.Limit && w.readAt-w.failingSince >= ReadRetryLimit
	}
	w.err = nil
	w.add(reading)
	switch {
	case since >= w.Limit, w.Pending != "":
		return true
	case w.All:
		return false
	case since < minSettle || w.missing.n > 0:
		return false
	}
	return w.unchanged || reading.took > minSettle
}

// add records a reading.
func (w *Wait) add(reading *Reading) {
	was, missing := w.latest, w.missing.n
	w.latest = reading
	if w.unchanged = was != nil && was.same(reading); w.unchanged {
		return
	}
	w.applied, w.missing = work{}, work{}
	var key []byte
	for _, r := range journal.Packed(&w.Requests) {
		if !acknowledged(r) {
			continue
		}
		if key = r.AppendKey(key[:0]); reading.byKey().First(key) >= 0 {
			w.applied.add(r)
		} else {
			w.missing.add(r)
		}
	}
	if was == nil {
		return
	}
	if w.missing.n != missing {
		w.changedAt = w.readAt
	}
	w.vanished += reading.lacks(was)
}

// Pause returns how long to wait before the next reading. A list that takes long to read is read less
// often, and the last reading begins when the limit is reached. Once all acknowledged keys have an
// effect, only that last reading matters.
func (w *Wait) Pause(now time.Duration) time.Duration {
	p, left := max(MinReadInterval, w.Limit/60), w.loadEnded+w.Limit-now
	if w.latest != nil {
		p = max(p, w.latest.took)
	}
	switch all := w.latest != nil && w.err == nil && w.missing.n == 0; {
	case left > 0 && all && w.All:
		p = left
	case left > 0:
		p = min(p, left)
	}
	return max(p, 10*time.Millisecond)
}

// missingReason returns why an acknowledged key without an effect may still have one. It returns "" if
// none is missing or if there is no reason to doubt that they are lost.
func (w *Wait) missingReason() string {
	if w.Pending != "" {
		return w.Pending
	}
	if w.missing.n == 0 {
		return ""
	}
	const advice = "add `effects settle within 30s`, or the longest time they may take"
	if partial := w.partialReason(); partial != "" {
		return partial + ": read effects from a place that lists all of them at once"
	}
	waited := check.Duration((w.readAt - w.loadEnded).Round(100 * time.Millisecond))
	switch {
	case w.Stated:
		return ""
	case w.changedAt-w.loadEnded > w.Limit/2:
		return fmt.Sprintf("effects were still appearing %s after the load: %s", check.Duration((w.changedAt - w.loadEnded).Round(100*time.Millisecond)), advice)
	case w.applied.n == 0:
		return fmt.Sprintf("none of %s acknowledged requests has an effect %s after the load: effects may take longer: %s", check.Count(w.acknowledged), waited, advice)
	case w.applied.lastAnswer < w.missing.firstAnswer:
		return fmt.Sprintf("the %s requests acknowledged last have no effect %s after the load, and all earlier ones have one: effects may take longer: %s", check.Count(w.missing.n), waited, advice)
	}
	return ""
}

// foreignKeys returns an error text if none of the new effects has a key that this scenario sent.
func (w *Wait) foreignKeys() string {
	if w.acknowledged == 0 || w.latest.own > 0 || w.latest.fresh == 0 {
		return ""
	}
	hint := `is "key" the idempotency key of the request?`
	if slices.ContainsFunc(w.latest.sample, func(key string) bool { return strings.Contains(strings.ToLower(key), w.ledger.Scenario) }) {
		hint = `they contain keys that were sent: "key" must be exactly the key that was sent`
	}
	return fmt.Sprintf("none of the %s new effects has a key that this scenario sent (they have keys such as %s): %s", check.Count(w.latest.fresh), strings.Join(w.latest.sample, ", "), hint)
}
