package scenarios

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/remote"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// mismatch returns why a fault cannot act on a link with its protocol, and what to do. what is "" if it can.
func (r *Resolver) mismatch(l system.Link, f injector.Fault) (what codes.Message, hint string) {
	speaks := fmt.Sprintf("the link %s speaks %s", l.Name(), l.ProtocolName())
	row, known := l.Relayed()
	on, onCalls := f.(injector.OnCalls)
	messages, onMessages := f.(injector.OnMessages)
	switch {
	case l.Toxiproxy != nil:
		return r.toxicless(l, f)
	case onMessages && !known:
		return codes.Unsupported.Message(speaks + ", which has no messages"), "speak of traffic or connections, or declare its protocol: " + strings.Join(r.protocolsWithUnit("messages"), ", ")
	case onMessages && row.Unit != "messages" && messages.Rule().Dir == message.ToClient:
		return codes.Unsupported.Message(speaks + ", whose messages are calls"), fmt.Sprintf("say: calls from %q to %q ...; or replies from %q to %q ... for what comes back", l.From, l.To, l.To, l.From)
	case onMessages && row.Unit != "messages":
		return codes.Unsupported.Message(speaks + ", whose messages are calls"), "say: " + row.Unit + " from ..."
	case onMessages && onlyPushed(row, messages):
		return codes.Unsupported.Msgf("%s: of its own accord %q sends only what subscribers get, and these are not answers", speaks, l.To),
			fmt.Sprintf("for its answers say: replies from %q to %q ...; for what subscribers get say: only %q messages from %q to %q ...", l.To, l.From, row.Pushed, l.To, l.From)
	case onMessages:
		if what, hint := r.unknownCause(messages.Rule().Match); !what.None() {
			return what, hint
		}
		return forbids(l, row, messages.Rule(), messages.Violation())
	case onCalls && !known:
		return codes.Unsupported.Message(speaks + ", which has no calls"), "speak of traffic or connections, or declare its protocol: http"
	case onCalls && !hasCalls(row, on.Rule().Action):
		return codes.Unsupported.Message(speaks + ", which has messages and no calls"), fmt.Sprintf("say: messages from %q to %q ...; and from %q to %q for what comes back", l.From, l.To, l.To, l.From)
	case onCalls:
		if what, hint := r.unknownCause(on.Rule().Match); !what.None() {
			return what, hint
		}
		if what, hint := invalidOperation(row, on.Rule()); !what.None() {
			return what, hint
		}
		if what, hint := impossibleOperation(row, on.Rule().Match); !what.None() {
			return what, hint
		}
		if code := on.Rule().Code; row.Name == "http" && code != "" {
			return codes.Unsupported.Msgf("%s, which answers with a status and not with %q", speaks, code), "say: with status 503"
		}
		if rule := on.Rule(); row.Name == "http" && damagesRequest(rule) && bodiless(rule.Match.Method) {
			return codes.Unsupported.Msgf("%s requests carry no body that could be changed", rule.Match.Method), damageReplies(l, f)
		}
		return forbids(l, row, on.Rule(), "")
	case row.UDP && f.Kind().Datagrams == "":
		return codes.Unsupported.Message(speaks + " over UDP, which has neither connections nor a stream"), fmt.Sprintf("say: messages from %q to %q are lost, or are delayed, ...", l.From, l.To)
	}
	return codes.Message{}, ""
}

// toxicless returns why a fault cannot be a toxic of the server that a link leads through, or "".
func (r *Resolver) toxicless(l system.Link, f injector.Fault) (what codes.Message, hint string) {
	_, why, hint := remote.Translate(f)
	if why == "" {
		return codes.Message{}, ""
	}
	return codes.Unsupported.Msgf("the link %s leads through a Toxiproxy server, %s", l.Name(), why), hint
}

// unknownCause returns why no request of the load can cause the messages that a fault is to act on.
func (r *Resolver) unknownCause(m message.Match) (what codes.Message, hint string) {
	switch {
	case m.CausedBy == "" || r.problems > 0:
		return codes.Message{}, ""
	case r.Load == nil:
		return codes.Missing.Msgf("no %q request can cause anything: the scenario has no load", m.CausedBy), `say first: a steady load of 100 requests per second on ` + strconv.Quote(m.CausedBy)
	}
	routes := routesOf(r.Loads())
	if slices.Contains(routes, m.CausedBy) {
		return codes.Message{}, ""
	}
	return codes.UnknownName.Msgf("the load has no %q requests", m.CausedBy), source.DidYouMean(m.CausedBy, routes, "routes")
}

// hasCalls reports whether a protocol has calls, or at least requests and replies, for an action.
func hasCalls(row message.Protocol, do message.Action) bool {
	return row.Unit == "calls" || (!row.UDP && (do == message.LoseRequest || do.OfReply()))
}

// forbids returns why the protocol of a link does not allow a rule, and what to do. It also reports an "even
// though" suffix, given as though, that is not needed or names another protocol. what is "" if there is no
// problem.
func forbids(l system.Link, row message.Protocol, r message.Rule, though string) (what codes.Message, hint string) {
	refused := func(even bool) error {
		r.AllowViolation = even
		return row.Allows(r, l.Framing)
	}
	speaks := fmt.Sprintf("the link %s speaks %s", l.Name(), row.Name)
	err, end := refused(though != ""), "`, even though "+row.Name+" never does this`"
	switch {
	case err != nil && though == "" && refused(true) == nil:
		return codes.Unsupported.Msgf("%s: %v", speaks, err), "to have it all the same, end the sentence with " + end
	case err != nil:
		return codes.Unsupported.Msgf("%s: %v", speaks, err), ""
	case though != "" && refused(false) == nil:
		return codes.Unsupported.Msgf("%s, which does this", speaks), "leave out `, even though " + though + " never does this`"
	case though != "" && though != row.Name:
		return codes.Unsupported.Msgf("%s and not %s", speaks, though), "end the sentence with " + end
	}
	return codes.Message{}, ""
}

// protocolsWithUnit returns the protocols whose messages sentences call unit.
func (r *Resolver) protocolsWithUnit(unit string) []string {
	var all []string
	for _, p := range r.scope.Protocols {
		if p.Unit == unit {
			all = append(all, p.Name)
		}
	}
	return all
}

// invalidOperation reports requests and replies of HTTP that are selected like messages. The sentence alone does
// not show the protocol of the link.
func invalidOperation(row message.Protocol, r message.Rule) (what codes.Message, hint string) {
	m := r.Match
	switch {
	case row.Unit != "calls" || (r.Action != message.LoseRequest && !r.Action.OfReply()):
		return codes.Message{}, ""
	case strings.HasPrefix(m.Path, "/") || (m.Path == "" && (m.Method == "" || slices.Contains(source.Methods, m.Method))):
		return codes.Message{}, ""
	}
	return source.Parts(source.NotAnOperation(strings.TrimSpace(m.Method + " " + m.Path)))
}

// impossibleOperation reports an operation that no call of a protocol can have. Calls are selected by method and
// path, without query and fragment.
func impossibleOperation(row message.Protocol, m message.Match) (what codes.Message, hint string) {
	said := strings.TrimSpace(m.Method + " " + m.Path)
	before := func(mark string) string {
		path, _, _ := strings.Cut(m.Path, mark)
		return strconv.Quote(strings.TrimSpace(m.Method + " " + path))
	}
	switch {
	case row.Unit != "calls":
		return codes.Message{}, ""
	case strings.Contains(m.Path, "#"):
		return codes.BadValue.Msgf("%q has a fragment, which no request carries", said), "leave it out: " + before("#")
	case strings.Contains(m.Path, "?"):
		return codes.BadValue.Msgf("%q has a query, and calls are chosen by method and path only, so that none would match", said), "leave the query out: " + before("?")
	case strings.ContainsAny(m.Path, " \t"):
		return codes.BadValue.Msgf("%q has white space in its path, which no request has", said), "write method and path, as in \"GET /catalog\""
	case row.Name != "grpc":
		return codes.Message{}, ""
	case m.Method != "" && m.Method != http.MethodPost:
		hint = "leave it out"
		if m.Path != "" {
			hint = "write " + strconv.Quote(m.Path)
		}
		return codes.BadValue.Msgf("%q: calls of gRPC are chosen by their path, and all are POST requests", said), hint
	case m.Path != "" && !strings.HasSuffix(m.Path, "*") && strings.Count(strings.TrimPrefix(m.Path, "/"), "/") != 1:
		return codes.BadValue.Msgf("%q names no method of gRPC", said), `write package, service and method, as in "/shop.Payments/Charge", or "/shop.Payments/*"`
	}
	return codes.Message{}, ""
}

// onlyPushed reports whether a fault on all messages from a dependency would act only on those that subscribers
// receive.
func onlyPushed(row message.Protocol, f injector.OnMessages) bool {
	r := f.Rule()
	return row.Pushed != "" && r.Dir == message.ToClient && r.Match == (message.Match{}) && f.Violation() == "" && r.Action != message.Twice && r.Action != message.Reorder &&
		r.Action != message.Answer
}

// damagesRequest reports whether a rule changes the contents of requests.
func damagesRequest(r message.Rule) bool {
	return r.Action == message.Corrupt || r.Action == message.Truncate
}

// bodiless reports whether requests with a method have no body.
func bodiless(method string) bool { return method == "GET" || method == "HEAD" }

// damageReplies returns the hint to use a fault on replies instead of one on calls.
func damageReplies(l system.Link, f injector.Fault) string {
	said := f.Say(l.From, l.To)
	done := said[strings.LastIndex(said, " ")+1:]
	return fmt.Sprintf("to change what comes back say: replies from %q to %q are %s", l.To, l.From, done)
}

// checkBodies reports a fault on the bodies of requests if the load sends no request with a body over this link.
func (r *Resolver) checkBodies(at source.Pos, l system.Link, f injector.Fault) {
	on, ok := f.(injector.OnCalls)
	if !ok || l.From != system.Clients || r.Load == nil || l.ProtocolName() != "http" || !damagesRequest(on.Rule()) {
		return
	}
	for _, load := range r.Loads() {
		for rt := range load.requests() {
			if !bodiless(rt.Method) {
				return
			}
		}
	}
	if routes := routesOf(r.Loads()); len(routes) > 0 {
		r.AddProblem(at, codes.Unsupported.Msgf("the load sends %s only, and such requests carry no body that could be changed", source.Quote(routes)), damageReplies(l, f))
	}
}

// refuseMadeUp reports a fault that answers keyed requests in place of the system such that clients take them for
// acknowledged. They never arrive, so that the fault, and not the system, would lose them.
func (r *Resolver) refuseMadeUp(l liveFault) {
	p := l.placed
	on, ok := p.Fault.(injector.OnCalls)
	if !ok || p.From != system.Clients || on.Rule().Action != message.Answer {
		return
	}
	rule := on.Rule()
	for _, load := range r.Loads() {
		for rt := range load.requests() {
			if !load.Keyed() || rt.Service != p.To || !load.Changes(rt.alone()) || !mayChoose(rule.Match, *rt) {
				continue
			}
			if what, hint := load.acknowledgedBy(*rt, rule); what != "" {
				r.AddProblem(l.at, codes.Contradiction.Msgf("%s acknowledges %q requests, and none of those that get it arrives: the fault would lose them, and not the system", what, rt.Name()), hint)
				return
			}
		}
	}
}

// alone returns a request of a chain without the steps that follow it.
func (r Route) alone() Route {
	r.Then = nil
	return r
}

// mayChoose reports whether a fault that matches messages may choose requests of a route. Other requests than those of HTTP
// may be chosen by anything.
func mayChoose(m message.Match, rt Route) bool {
	path, _, _ := strings.Cut(rt.Path, "?")
	return rt.Kind != "" || (m.Method == "" || m.Method == rt.Method) && (m.Path == "" || message.MatchPath(m.Path, path)) && (m.CausedBy == "" || m.CausedBy == rt.Name())
}

// acknowledgedBy returns what acknowledges requests of a route in an answer that a fault makes up, and what to write
// instead. what is "" if the answer is no acknowledgement.
func (l *Load) acknowledgedBy(rt Route, rule message.Rule) (what, hint string) {
	switch {
	case rt.Kind == "" && rule.Code == "" && l.Outcome(rt, rule.Status) == Acknowledged:
		return fmt.Sprintf("status %d", rule.Status), "write the status of an error, such as 503"
	case rt.Kind == "lines", rt.Kind == "lengths":
		if m, known := l.AnswerMeans(rule.Code); !known || m.Is == Acknowledged {
			return fmt.Sprintf("the answer %q", rule.Code), fmt.Sprintf("say what it means: an answer that begins with %q means that it was refused", rule.Code)
		}
	}
	return "", ""
}
