package runner

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// noEffectHint returns why a fault had no effect, as far as its counts and the traffic of its link
// show.
func (in *injection) noEffectHint(t evidence.Tally) string {
	on, onCalls := in.Fault.(injector.OnCalls)
	carried := in.carried()
	switch {
	case t.Void != "":
		return t.Void
	case len(t.Skipped) > 0:
		return in.hintSkipped(t)
	case t.Seen == 0 && onCalls && on.Rule().Match.CausedBy != "" && len(carried) > 0:
		return fmt.Sprintf("nothing on %s is known to be caused by %q requests: does %q pass the header traceparent, or the idempotency key, of its callers on?", in.on, on.Rule().Match.CausedBy, in.From)
	case t.Seen == 0 && onCalls && len(carried) > 0:
		return in.hintOtherOperations(on.Rule().Match, carried)
	case t.Seen == 0 && in.unreached() > 0:
		return fmt.Sprintf("%s carried nothing: %q could not be reached (%d of its dials failed): does it run, and does it listen at its address?", in.on, in.To, in.unreached())
	case t.Seen == 0 && in.From != "":
		return fmt.Sprintf("%s carried nothing that the fault could act on: does the load cause %q to call %q, and does %q use the address of the link?", in.on, in.From, in.To, in.From)
	case t.Idle > 0:
		return fmt.Sprintf("it broke %d idle %s and none in use: does the load cause %q to call %q over them?", t.Idle, in.unit, in.From, in.To)
	case t.Seen > 0:
		return fmt.Sprintf("it saw %d %s and acted on none: use %s", t.Seen, in.unit, in.stronger())
	}
	return "its target does not exist"
}

// stronger returns a text with the change that would make the fault act. The fault saw traffic but
// acted on none of it.
func (in *injection) stronger() string {
	return cmp.Or(in.Fault.Kind().Stronger, "a larger share, a longer time or more load")
}

// maskedBy returns a text that names another fault that was live at the same time and stopped the
// traffic that this fault was to act on, or "" if there is none. placed are all injections of the
// scenario.
func (in *injection) maskedBy(placed []*injection) string {
	for _, other := range placed {
		// The same link, or a service and a link to it.
		related := other.on == in.on || (in.From == "") != (other.From == "") && other.To == in.To
		disjoint := other.healBegan > 0 && other.healBegan <= in.live || in.healBegan > 0 && other.live >= in.healBegan
		if other == in || !related || disjoint || other.live == 0 || other.count.Tally().Affected == 0 {
			continue
		}
		if !other.Fault.Kind().Hides {
			continue
		}
		return fmt.Sprintf("%s at the same time and stopped the traffic that this fault could have acted on: inject them one after the other", other.sentence)
	}
	return ""
}

// unreached returns how many dials of the link's upstream failed since the fault was injected.
func (in *injection) unreached() int64 {
	if in.target.Link == nil {
		return 0
	}
	o := in.target.Link.Outage().Sub(in.usageAtStart.outage)
	return o.Refused + o.Unreached
}

// carried returns the messages that the link has carried since the fault was injected, by operation.
func (in *injection) carried() map[string]int64 {
	if in.target.Relay == nil {
		return nil
	}
	all := in.target.Relay.Operations()
	maps.DeleteFunc(all, func(op string, n int64) bool { return n <= in.usageAtStart.operations[op] })
	for op := range all {
		all[op] -= in.usageAtStart.operations[op]
	}
	return all
}

// hintSkipped returns a text for a fault that chose only messages on which it could not act.
func (in *injection) hintSkipped(t evidence.Tally) string {
	var chosen int64
	var reasons []string
	for _, why := range byCount(t.Skipped) {
		chosen += t.Skipped[why]
		reasons = append(reasons, fmt.Sprintf("%d: %s", t.Skipped[why], why))
	}
	hint := fmt.Sprintf("it selected %d of the %d %s that it saw and could act on none of them (%s)", chosen, t.Seen, in.unit, strings.Join(reasons, "; "))
	if on, ok := in.Fault.(injector.OnCalls); ok {
		p := injector.Pick{Match: on.Rule().Match}
		switch on.Rule().Action {
		case message.Corrupt:
			hint += fmt.Sprintf("; did you mean: %s?", injector.CorruptReplies{Pick: p}.Say(in.From, in.To))
		case message.Truncate:
			hint += fmt.Sprintf("; did you mean: %s?", injector.TruncateReplies{Pick: p}.Say(in.From, in.To))
		}
	}
	return hint
}

// hintOtherOperations returns a text for a link that carried only operations other than those that the
// fault selects.
func (in *injection) hintOtherOperations(match message.Match, carried map[string]int64) string {
	const most = 8
	var total int64
	var seen, names []string
	for i, op := range byCount(carried) {
		total += carried[op]
		names = append(names, op)
		if i < most {
			seen = append(seen, fmt.Sprintf("%q (%d)", op, carried[op]))
		}
	}
	if len(names) > most {
		seen = append(seen, fmt.Sprintf("and %d more operations", len(names)-most))
	}
	hint := fmt.Sprintf("the link carried %d %s while the fault was live, and the fault selects none of them: %s", total, in.unit, strings.Join(seen, ", "))
	if near := nearestOperation(match, names); near != "" {
		hint += fmt.Sprintf("; did you mean %q?", near)
	}
	return hint
}

// nearestOperation returns the operation most similar to the requested one, or "" if none is similar.
func nearestOperation(match message.Match, names []string) string {
	words := strings.TrimSpace(match.Method + " " + match.Path)
	if words == "" {
		return ""
	}
	for _, words := range []string{words, match.Path} { // gRPC operations are named without an HTTP method
		if near := scenarios.Nearest(words, names); near != "" {
			return near
		}
	}
	for _, name := range names { // the same object with another operation, or the same operation on another object
		method, path, _ := strings.Cut(strings.TrimPrefix(name, "<- "), " ")
		if (match.Path != "" && path == match.Path) || (match.Path != "" && method == match.Path) || (path == "" && strings.EqualFold(method, match.Method)) {
			return name
		}
	}
	return ""
}

// byCount returns the keys of counts, largest count first.
func byCount(counts map[string]int64) []string {
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(counts[b], counts[a]) })
	return names
}
