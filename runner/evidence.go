package runner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// noticeable is the shortest wait that counts as an effect. A shorter one cannot be distinguished from
// usual latency.
const noticeable = 20 * time.Millisecond

// evidenceOf returns the evidence that the journal records for an injection. lived is how long the
// fault has been live. shared means that all of the affected traffic may be traffic that the load did
// not cause.
func (s *session) evidenceOf(in *injection, t evidence.Tally, lived time.Duration) (seen, affected, background int64, shared bool, hint string) {
	seen, affected = t.Seen, t.Affected
	certain := true
	switch {
	case in.outage != nil && s.e.Load == nil && len(in.outage.before) == 0:
		// User-defined steps call the service directly, which is not counted.
	case in.outage != nil && affected > 0:
		m := in.hits
		if in.healBegan == 0 {
			m = s.hitsOf(in.outage)
		}
		affected, background, certain = s.totalHits(m)
		seen = affected
		if affected == 0 {
			hint = fmt.Sprintf("no call or connection to %q was affected: does the load cause calls to %q, through a link?", in.To, in.To)
		}
	case in.From != "" && affected > 0:
		flow := in.usageDuring
		if in.healBegan == 0 {
			flow = s.linkUsage()[in.targetName()].since(in.usageAtStart)
		}
		background, certain = s.attribute(in.targetName(), affected, t.Ops, flow)
		if picks, ok := in.Fault.(interface{ Numbered() bool }); ok && picks.Numbered() && !s.idleUse[in.targetName()].isEmpty() {
			certain = false // it may have selected only heartbeats
		}
		background, certain = min(background, affected-t.Traced), certain || t.Traced > 0
	}
	if in.duration > 0 {
		lived = min(lived, in.duration) // do not count the runner's own delay
	}
	if in.Fault.Kind().Waits && in.healBegan > 0 && in.live > 0 && lived < noticeable && affected > 0 {
		background, hint = affected, fmt.Sprintf("it was live for %s, which is too short to have an effect", lived.Round(100*time.Microsecond))
	}
	if hint == "" && affected > 0 && background >= affected {
		hint = fmt.Sprintf("it affected %d %s, no more than without the load%s: heartbeats or other traffic that the load does not cause",
			affected, in.unit, operationsOf(t))
	}
	return seen, affected, background, !certain && background < affected, hint
}

// operationsOf returns up to three of the operations that a fault affected, in parentheses.
func operationsOf(t evidence.Tally) string {
	var names []string
	for op := range t.Ops {
		names = append(names, fmt.Sprintf("%q", op))
	}
	if len(names) == 0 {
		return ""
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(a, b) })
	return " (" + strings.Join(names[:min(3, len(names))], ", ") + ")"
}
