package language

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

var picked = regexp.MustCompile(`^(?:from the (\d+)\w\w to the (\d+)\w\w,? |the first (\S+) |every (\d+)\w\w of the |(\S+%) of )?(only )?(?:"([^"]*)" )?(\w+)(?: with (?:key "([^"]*)"|(\S+%) of keys))?(?: (?:with|and) header "([^"]*)")?(?: caused by "([^"]*)" requests)?$`)

// Pick parses {calls}, {requests}, {replies} or {messages}.
func (a args) Pick(i int) injector.Pick {
	var p injector.Pick
	part := picked.FindStringSubmatch(a.Value(i))
	if part == nil {
		return p
	}
	number := func(s string) uint64 { return a.nth(i, s, "calls") }
	p.From, p.To, p.First, p.Every = number(part[1]), number(part[2]), number(part[3]), number(part[4])
	if p.From > p.To {
		a.Problem(i, codes.BadValue.Msgf("from the %d. to the %d. there is no call", p.From, p.To), "write the smaller number first")
	}
	if part[5] != "" {
		p.Share = a.share(a.pos(i), part[5])
	}
	if op := part[7]; op != "" {
		p.Match.Method, p.Match.Path = a.about(i, op, part[8])
	}
	p.Match.Key, p.Match.Header, p.Match.CausedBy = part[9], part[11], part[12]
	if part[10] != "" {
		p.Share, p.Sticky = a.share(a.pos(i), part[10]), true
	}
	switch {
	case part[10] != "" && part[5] != "":
		a.Problem(i, codes.BadValue.Msgf("a share of a share of keys"), "leave one of them out")
	case part[6] != "" && part[7] == "" && p.Match == (message.Match{}) && !p.Sticky:
		a.Problem(i, codes.Missing.Msgf("it does not say which only"), `write: only "POST /charge" calls, or: only calls with header "Tenant: acme"`)
	}
	return p
}

// about parses what calls or messages are about, depending on the noun. Requests and replies may be those of HTTP
// or of another protocol; see invalidOperation.
func (a args) about(i int, op, noun string) (method, path string) {
	method, path, err := source.ParseRoute(op)
	switch {
	case err == nil:
		return method, path
	case strings.HasPrefix(op, "/") && !strings.HasPrefix(noun, "message"):
		return "", op
	case !strings.HasPrefix(noun, "call"):
		return topic(op)
	}
	a.addProblem(i, source.NotAnOperation(op))
	return "", ""
}

// nth parses an index of calls or connections, starting at 1. It returns 0 for "".
func (a args) nth(i int, s, noun string) uint64 {
	n, err := strconv.ParseUint(s, 10, 32)
	if s != "" && (err != nil || n == 0) {
		a.Problem(i, codes.BadValue.Msgf("%q does not count %s: they are counted from 1", s, noun), "write a whole number from 1 up")
	}
	return n
}

// share parses a share of calls or connections. It returns 0, which means all, for 100%.
func (a args) share(at source.Pos, s string) float64 {
	r, err := source.ParsePercent(s)
	switch {
	case err != nil:
		a.addProblemAt(at, err)
	case r == 0:
		a.r.AddProblem(at, codes.NoEffect.Message("a fault on 0% touches nothing"), "write a share above 0%, or leave it out for all")
	case r == 1:
		r = 0
	}
	return r
}

// topic parses what messages are about: "A api.example.com" is an operation and an object, "INCR" in capitals is
// an operation, "orders.>" is an object.
func topic(s string) (operation, object string) {
	if operation, object, both := strings.Cut(s, " "); both {
		return operation, strings.TrimSpace(object)
	}
	if strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == "" && strings.ToLower(s) != s {
		return s, ""
	}
	return "", s
}

var chosen = regexp.MustCompile(`(?:(\S+%) of )?(?:the first (\S+) |all but the first (\S+) |the (\d+)\w\w to the (\d+)\w\w )?(?:new connections|connections|TLS handshakes)$`)

// Conns parses {connections}, {new_connections} or {handshakes}, or the connections of {traffic} or {latency}.
func (a args) Conns(i int) injector.Conns {
	var c injector.Conns
	part := chosen.FindStringSubmatch(a.Value(i))
	if part == nil {
		return c
	}
	if part[1] != "" {
		c.Share = a.share(a.pos(i), part[1])
	}
	number := func(s string) uint64 { return a.nth(i, s, "connections") }
	c.First, c.From = number(part[2]), number(part[4])
	if n := number(part[3]); n > 0 {
		c.From = n + 1
	}
	if part[5] != "" {
		c.First = number(part[5])
		if c.From > c.First {
			a.Problem(i, codes.BadValue.Msgf("from the %d. to the %d. there is no connection", c.From, c.First), "write the smaller number first")
		}
	}
	return c
}
