package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// finishChecks validates the requirements of the checks, and completes them with settings of other sentences.
func (r *Resolver) finishChecks() {
	for i, c := range r.Checks {
		at := r.checkPositions[i]
		n := c.Kind().Needs
		if n.Agree != (check.Agree{}) {
			r.addAgreement(at, n.Agree, c.Step)
		}
		if n.Lock != (check.MutualExclusion{}) {
			r.addLock(at, n.Lock, c.Step)
		}
		if n.Window != "" && len(r.injections()) == 0 {
			r.addMissing(at, codes.Missing.Msgf("no fault is injected in this scenario, so there is no time before, during or after it"), "add a fault, or leave out when")
		}
		r.needsLoad(at, n)
		r.checkTarget(at, n)
		mark := r.marker(at, n)
		if complete := c.Kind().Complete; complete != nil {
			r.Checks[i].Check = complete(check.Settings{Steady: r.Steady, Mark: mark})
		}
	}
	if r.Load == nil {
		return
	}
	if r.Load.Marker == nil {
		r.Load.Marker = r.System.Fallback
	}
	if r.System.FallbackIsSuccess {
		r.Load.FallbackIsSuccess = true
	}
}

func (r *Resolver) needsLoad(at source.Pos, n check.Needs) {
	if r.Load == nil {
		switch {
		case n.Baseline:
			r.addMissing(at, codes.Missing.Msgf("this compares with a baseline, and there is no load to measure one"), addLoad)
		case n.Load:
			r.addMissing(at, codes.Missing.Msgf("this asks about requests, and there is no load"), addLoad)
		}
		return
	}
	r.requireCopies(at, n)
	if n.OfLoad != "" && !r.requireNamed(at, n.OfLoad) {
		return
	}
	if n.Effects && r.Effects == nil {
		r.addMissing(at, codes.Missing.Msgf("it is not known where applied effects can be read"), `add: applied effects are read from "GET /ledger"`)
	}
	if n.Key && !slices.ContainsFunc(r.loadsOf(n.OfLoad), (*Load).Keyed) {
		r.addMissing(at, codes.Missing.Msgf("requests carry no key, so none can be told from another"), r.addKey())
	}
	if n.Group != "" && r.Effects != nil {
		if r.Effects.Group != "" && r.Effects.Group != n.Group {
			r.AddProblem(at, codes.Duplicate.Msgf("the order of effects is asked about by %q already", r.Effects.Group), "ask about one field in each scenario")
		}
		r.Effects.Group = n.Group
		for _, s := range r.Effects.Sources {
			d, _ := r.System.Effect(s.Name)
			if what, hint := d.Unordered(n.Group); s.Declared() && !what.None() {
				r.AddProblem(at, what, hint)
			}
		}
	}
	if n.Sum != (check.SumOf{}) {
		r.addSum(at, n.Sum)
	}
	if n.Register != "" {
		r.requireRegister(at, n.Register)
	}
	if n.Queue != "" {
		r.requireQueue(at, n.Queue)
	}
	if n.Set != "" {
		r.requireSet(at, n.Set)
	}
	if n.Probe == check.OtherBody {
		r.requireVaryingBodies(at)
	}
	if n.Probe != "" && !slices.ContainsFunc(r.Loads(), (*Load).repeatable) {
		r.addMissing(at, codes.Unsupported.Msgf("a chain cannot be sent again with the same key: its later steps depend on answers"), "ask this about a load of single requests")
	}
	if _, _, err := source.ParseRoute(n.Route); err == nil || r.NamesOther(n.Route) {
		routes := routesOf(r.loadsOf(n.OfLoad))
		if !slices.Contains(routes, n.Route) {
			what := codes.UnknownName.Msgf("no load runs on %q", n.Route)
			if n.OfLoad != "" {
				what = codes.UnknownName.Msgf("the %q load has no %q requests", n.OfLoad, n.Route)
			}
			r.addMissing(at, what, source.DidYouMean(n.Route, routes, "routes of the load"))
		}
	}
}

// repeatable reports whether a request of the load can be sent again with the same key, as one of a chain cannot.
func (l *Load) repeatable() bool {
	return slices.ContainsFunc(l.Mix, func(rt Route) bool { return len(rt.Then) == 0 })
}

// addSum adds a sum that a check needs, once.
func (r *Resolver) addSum(at source.Pos, of check.SumOf) {
	method, path, err := source.ParseRoute(of.Route)
	if err != nil {
		return // the caller reports it
	}
	sum := Sum{Field: of.Field, Method: method, Path: path, Settle: r.settleWithin}
	if slices.ContainsFunc(r.Sums, func(s Sum) bool { return s.Field == sum.Field && s.Source() == sum.Source() }) {
		return
	}
	sum.Service = r.requireTCP(at, r.serves(at, path))
	r.Sums = append(r.Sums, sum)
}

// checkTarget validates the service or link that a check is about.
func (r *Resolver) checkTarget(at source.Pos, n check.Needs) {
	switch {
	case n.To == "":
		return
	case n.From == "" && n.Unit != "":
		r.requireIncomingCalls(at, n.To)
	case n.From == "":
		if r.serviceNamed(at, n.To) < 0 {
			return
		}
	default:
		l, ok := r.linkOf(n)
		if !ok {
			r.noLink(at, n.From, n.To, false)
			return
		}
		if len(l.Shared) > 0 {
			r.AddProblem(at, codes.Unsupported.Msgf("the calls of %s to %q cannot be told apart: they share an address", source.Quote(slices.Concat([]string{l.From}, l.Shared)), l.To), "give each link an address of its own")
		}
		r.requireUnit(at, l, n.Unit)
		r.requireCalls(at, l, n)
	}
	if n.Fault {
		r.requireFault(at, n.From, n.To)
	}
}

// requireFault reports that no fault acts on a link or, without from, on a service.
func (r *Resolver) requireFault(at source.Pos, from, to string) {
	on, text := to, fmt.Sprintf("on %q itself", to)
	if from != "" {
		on, text = system.Link{From: from, To: to}.Name(), fmt.Sprintf("from %q to %q", from, to)
	}
	if !slices.ContainsFunc(r.injections(), func(p Placed) bool { return p.On() == on }) {
		r.addMissing(at, codes.Missing.Message("no fault of this scenario acts "+text), "ask about a fault that is injected above")
	}
}

// linkOf returns the link that a check is about. Messages can go in either direction of a link.
func (r *Resolver) linkOf(n check.Needs) (system.Link, bool) {
	l, ok := r.System.Link(n.From, n.To)
	if !ok && n.Unit == "messages" {
		l, ok = r.System.Link(n.To, n.From)
	}
	return l, ok
}

func (r *Resolver) requireIncomingCalls(at source.Pos, to string) {
	if r.serviceNamed(at, to) < 0 {
		return
	}
	for _, l := range r.System.Links {
		if row, ok := l.Relayed(); ok && !row.UDP && l.To == to { // commands of Redis count as calls
			return
		}
	}
	r.AddProblem(at, codes.Unsupported.Msgf("no link to %q has calls that could be counted", to), "declare the protocol of a link to it: http")
}

// requireUnit reports a link whose protocol does not have the given unit.
func (r *Resolver) requireUnit(at source.Pos, l system.Link, unit string) {
	if unit != "calls" && unit != "messages" {
		return
	}
	if row, ok := l.Relayed(); !ok || row.Unit != unit {
		r.AddProblem(at, codes.Unsupported.Msgf("the link %s speaks %s, which has no %s", l.Name(), l.ProtocolName(), unit), "declare its protocol: "+strings.Join(r.protocolsWithUnit(unit), ", "))
	}
}

// requireCalls reports a link whose relay does not see what a check needs to know about calls. Requests of all
// protocols are calls here, whatever sentences about faults name them.
func (r *Resolver) requireCalls(at source.Pos, l system.Link, n check.Needs) {
	row, relayed := l.Relayed()
	speaks := fmt.Sprintf("the link %s speaks %s", l.Name(), l.ProtocolName())
	switch {
	case !n.Calls:
	case !relayed:
		r.AddProblem(at, codes.Unsupported.Message(speaks+", which has no calls"), "declare its protocol: "+strings.Join(r.protocolsWithUnit("calls"), ", ")+", or another one whose messages are known")
	case row.UDP:
		r.AddProblem(at, codes.Unsupported.Message(speaks+" over UDP, where no answer is paired with its request"), "ask about a link over TCP")
	case n.Waits > 0 && row.Unpaired != nil && row.Unpaired(l.Framing) != "":
		r.AddProblem(at, codes.Unsupported.Msgf("%s, and for how long %q waits does not show: %s", speaks, l.From, row.Unpaired(l.Framing)), "ask how the load fares: the p95 latency stays below 1s during the fault")
	}
}

// marker sets what marks fallbacks, if a check needs it, and returns it.
func (r *Resolver) marker(at source.Pos, n check.Needs) check.Mark {
	if !n.Fallback || r.Load == nil {
		return n.Mark
	}
	r.Load.FallbackIsSuccess = true
	mark := r.System.Fallback
	if n.Mark.Text != "" {
		mark, _ = source.ParseMark(n.Mark.Text, n.Mark.InBody)
	}
	switch {
	case mark == nil:
		r.addMissing(at, codes.Missing.Msgf("it is not known how a fallback is marked"), `add: , marked by header "X-Degraded: true"; or name it in the system file: fallback: "X-Degraded: true"`)
		return check.Mark{}
	case r.Load.Marker != nil && *r.Load.Marker != *mark:
		r.AddProblem(at, codes.Contradiction.Msgf("fallbacks are marked by %q elsewhere in this scenario", r.Load.Marker), "use one mark")
	}
	r.Load.Marker = mark
	return check.Mark{Text: mark.String(), InBody: mark.InBody}
}

// requireVaryingBodies reports that a key cannot be sent again with a different body, because all bodies of a
// route are the same. Firedrill does not alter bodies by itself: a service may rightly answer 400 to an unknown
// field.
func (r *Resolver) requireVaryingBodies(at source.Pos) {
	if r.Load == nil {
		return
	}
	bodies := 0
	var mix []Route
	for _, l := range r.Loads() {
		mix = append(mix, l.Mix...)
	}
	for _, rt := range mix {
		switch {
		case rt.Body == "" || len(rt.Then) > 0:
			continue
		case !rt.varies():
			r.addMissing(at, codes.Missing.Msgf("every %q request has the same body, so no key can be sent again with a different one", rt.Name()), `let the body hold {{n}}, the request's number: {"item": "x", "quantity": {{n}}}`)
		}
		bodies++
	}
	if bodies == 0 {
		r.addMissing(at, codes.Missing.Msgf("no request of the load has a body, so no key can be sent again with a different one"), `give the load a body that holds {{n}}: ... on "POST /orders" with this body:`)
	}
}
