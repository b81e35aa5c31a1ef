package scenarios

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// validate examines the scenario as a whole.
func (r *Resolver) validate() {
	if r.Load != nil {
		r.shareSettings()
	}
	r.finishQuarantine()
	r.applyOwn()
	r.finishLoad()
	r.finishEffects()
	r.finishRegisters()
	r.finishStopRules()
	r.finishLimits()
	r.finishFaults()
	r.finishChecks()
	r.finishFindings()
	for _, l := range r.Further {
		l.Marker, l.FallbackIsSuccess = r.Load.Marker, r.Load.FallbackIsSuccess // as checks set them
	}
	r.finishProbes()
	r.Recovery = r.recovery()
	r.finishProof()
	r.warnTimeout()
	r.finishAdvice()
}

const addLoad = `add: a steady load of 100 requests per second on "POST /orders"`

// finishLoad validates the load, and sets the baseline.
func (r *Resolver) finishLoad() {
	if r.Load == nil {
		for _, setting := range append(r.policyAt.said(), []subject{{r.keyAt, "a key"}, {r.retryAt, "retries"}, {r.giveUpAt, "giving up"}, {r.baselineAt, "a baseline"}, {r.meansAt, "the meaning of a status"}, {r.rowsAt, "rows"}, {r.redirectsAt, "redirects"}, {r.cookiesAt, "cookies"}, {r.connectionsAt, "connections"}, {r.copiesAt, "a split"}, {r.unansweredAt, "datagrams"}}...) {
			if setting.at != (source.Pos{}) {
				r.addMissing(setting.at, codes.Missing.Msgf("%s without a load: no client asks anything", setting.what), addLoad)
			}
		}
		if len(r.expects) > 0 {
			r.addMissing(r.expects[0].at, codes.Missing.Msgf("expected statuses without a load: no client asks anything"), addLoad)
		}
		for _, at := range r.headersAt {
			r.addMissing(at, codes.Missing.Msgf("a header without a load: no client asks anything"), addLoad)
		}
		return
	}
	r.finishOutcomes()
	r.finishKinds()
	r.finishRequests()
	r.finishPolicy()
	r.dropRetries()
	if r.retryAt != (source.Pos{}) && !r.Keyed() && strings.Contains(r.retryAt.Text, "with the same key") {
		r.addMissing(r.retryAt, codes.Missing.Msgf("there is no key that could be the same"), r.addKey())
	}
	r.finishCounted()
	if r.Counted() {
		return
	}
	if r.Baseline == 0 && len(r.injections()) > 0 {
		r.Baseline = 5 * time.Second
	}
	windowed := slices.ContainsFunc(r.Checks, func(c Check) bool { return c.Kind().Needs.Window != "" }) // these report a missing fault
	if r.Baseline == 0 && !windowed && !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Do != nil || s.Foreign }) {
		r.addMissing(r.loadAt, codes.Missing.Msgf("the load would last no time"), "add a fault, or: When 30s pass")
	}
}

// addKey returns the hint to let requests carry keys.
func (r *Resolver) addKey() string {
	if !overHTTP(r.Loads()) {
		k, _ := r.Load.OtherKind()
		return fmt.Sprintf("write {{key}} into the %s, where its key belongs", k.Word)
	}
	return `add: every request carries a fresh idempotency key in the "Idempotency-Key" header`
}

const steadyInstead = `take a load that goes on: a steady load of 100 requests per second on "POST /orders"`

// finishCounted validates loads of counted requests, which have no baseline and do not go on after their steps.
func (r *Resolver) finishCounted() {
	if r.Counted() && r.baselineAt != (source.Pos{}) {
		r.addMissing(r.baselineAt, codes.Unsupported.Msgf("requests that are counted measure no baseline"), "leave the baseline out, or "+steadyInstead)
	}
	for i, c := range r.Checks {
		n, instead := c.Kind().Needs, steadyInstead
		if !slices.ContainsFunc(r.about(n), func(l *Load) bool { return l.Shape == Counted }) {
			continue
		}
		if !r.Counted() {
			instead = `ask about a load that is not counted: ... of the "browsing" load ...`
		}
		switch {
		case n.Baseline:
			r.addMissing(r.checkPositions[i], codes.Unsupported.Msgf("this compares with a baseline, and requests that are counted measure none"), instead)
		case n.Recovery > 0:
			r.addMissing(r.checkPositions[i], codes.Unsupported.Msgf("this watches requests after healing, and of those that are counted none are sent then"), instead)
		}
	}
	for _, l := range append(slices.Clone(r.healedFaults), r.live...) {
		if p := l.placed; r.Counted() && p.From != "" && !l.asked {
			r.warn(l.at, codes.FaultMetNothing.Msgf("%s: no request is sent while this fault is live, so that it may act on nothing; let it stay live, without `for`, and send the requests after its step", p.Fault.Say(p.From, p.To)))
		}
	}
}

// finishFaults reports faults that would be healed as soon as they are injected, and those that acknowledge requests in
// place of the system.
func (r *Resolver) finishFaults() {
	for _, l := range slices.Concat(r.healedFaults, r.live) {
		r.refuseMadeUp(l)
	}
	for _, l := range r.live {
		switch {
		case l.placed.Fault.Kind().AtOnce:
		case l.held:
			r.longEnough(l)
		default:
			r.addMissing(l.at, codes.FaultTooShort.Msgf("this fault would be healed at once, since no time passes while it is live"), "say `for 30s`, or add: When 30s pass")
		}
	}
}

// longEnough reports a fault that is healed before it can do what its sentence describes.
func (r *Resolver) longEnough(l liveFault) {
	if k := l.placed.Fault.Kind(); l.lasts < k.Takes {
		r.AddProblem(l.at, codes.FaultTooShort.Msgf("this fault is healed after %s, before %s: that takes %s", injector.Duration(l.lasts), k.Done, injector.Duration(k.Takes.Truncate(time.Microsecond))), k.Remedy)
	}
}

// recovery returns how long the load continues after healing.
func (r *Resolver) recovery() time.Duration {
	if r.Load == nil || r.Counted() || len(r.injections()) == 0 {
		return 0
	}
	longest := 2 * time.Second
	for _, c := range r.Checks {
		switch n := c.Kind().Needs; {
		case n.Recovery > 0:
			longest = max(longest, n.Recovery+time.Second+r.watched(n))
		case n.Watch > 0:
			longest = max(longest, n.Watch+time.Second)
		case n.Window == journal.After:
			longest = max(longest, 5*time.Second)
		}
	}
	return longest
}

// watched returns how long a recovery is watched: five seconds, or until 20 requests of the route and a margin are
// due, if that is at most 30 seconds.
func (r *Resolver) watched(n check.Needs) time.Duration {
	const least, most = 5 * time.Second, 30 * time.Second
	rate := 0.0
	for _, l := range r.loadsOf(n.OfLoad) {
		lowest, highest, _ := r.runs(l.Name)
		rate += (lowest + highest) / 2 * l.share(n.Route)
	}
	if needs := time.Duration(math.Ceil(1.25*float64(n.Requests)/rate)) * time.Second; rate > 0 && needs > least && needs <= most {
		return needs
	}
	return least
}

// share returns a route's share of the load, or 1 for all routes.
func (l *Load) share(route string) (share float64) {
	if route == "" {
		return 1
	}
	for _, rt := range l.Mix {
		if route == rt.Name() {
			share += rt.Share
		}
	}
	return share
}
