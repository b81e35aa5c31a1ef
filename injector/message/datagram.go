package message

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Datagram is a datagram as seen by rules. Package datagram does the networking; this file gives it access to
// the rules, decisions, evidence and accounting of a Relay.
type Datagram struct {
	Conn, Seq uint64
	Dir       Dir
	Topic             // "A" and "api.example.com" (DNS), "counter" and "requests.total" (StatsD), or empty
	More      []Topic // additional topics of a datagram
	Op, Key   string
	Bytes     int
}

func (d Datagram) message() Message {
	return Message{conn: d.Conn, seq: d.Seq, dir: d.Dir, method: d.Method, path: d.Path, op: d.Op, key: d.Key, bytes: d.Bytes, more: d.More}
}

// Idle reports whether no rule is live and no message is held, so that no decision is needed.
func (r *Relay) Idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.rules) == 0 && len(r.holds) == 0
}

// Carry counts a datagram in the relay's Operations.
func (r *Relay) Carry(d Datagram) { r.ops.add(r, d.message()) }

// Decide evaluates every rule for a datagram whose ticket is open.
func (r *Relay) Decide(d Datagram, t Ticket) *Exchange {
	x := &Exchange{msg: d.message(), request: t, oneWay: true, unordered: true}
	c := r.decide(x.msg)
	x.delays, x.n = c.delays, c.n
	x.chosen.Store(c.rule)
	return x
}

// Delays returns the delays of a message, which apply one after the other.
func (x *Exchange) Delays() []Wait { return x.delays }

// Delayed records that a delay of a message has passed.
func (r *Relay) Delayed(x *Exchange, d Wait, took time.Duration) { r.delayed(d, x.msg, took) }

// Skip records that the chosen rule cannot act on the message.
func (r *Relay) Skip(x *Exchange, why string) { r.skip(x, why) }

// SkipDelays records that a message cannot be delayed for lack of space.
func (r *Relay) SkipDelays(x *Exchange, why string) {
	r.record(x.delays[0].rule, x.msg, evidence.Skipped, why)
	x.delays = nil
}

// Lost records that a message with a rule was lost for another reason.
func (r *Relay) Lost(x *Exchange, why string) {
	if rule := x.Rule(); rule != nil {
		r.record(rule, x.msg, evidence.Collateral, why)
	}
}

// Repeated records that the copy of a message was delivered.
func (r *Relay) Repeated(x *Exchange, detail string) { r.applied(x.Rule(), x.msg, detail) }

// Overtakes returns a function to call once the message has been sent: it counts the message as having overtaken
// the messages that are held now.
func (r *Relay) Overtakes(x *Exchange) (count func()) {
	overtaken := r.overtakenBy(x.msg)
	return func() { r.countPassed(overtaken) }
}

// datagrams returns the protocols over UDP. Rules act on whole datagrams.
func datagrams() []Protocol {
	actions := []Action{Delay, LoseRequest, Twice, Reorder, Corrupt, Truncate}
	return []Protocol{
		{
			Name: "dns", Means: "DNS over UDP, by type and name; what clients then ask over TCP passes as bytes", Unit: "messages", UDP: true,
			Actions: append(slices.Clone(actions), Answer), matches: matchDomain, class: parts("."), allow: allowDNS,
		},
		{
			Name: "statsd", Means: "StatsD over UDP, by kind and name of metric; a datagram may hold several and meets its fate whole", Unit: "messages", UDP: true,
			Actions: actions, matches: matchMetric, class: parts("."), allow: allowStatsD,
		},
		{
			Name: "udp", Means: "datagrams of any kind", Unit: "messages", UDP: true,
			Actions: actions, matches: func(string, string) bool { return false }, class: func(string) string { return "" }, allow: allowUDP,
		},
	}
}

func allowDatagram(r Rule) error {
	switch {
	case r.EndWith != "":
		return fmt.Errorf("lost, then %s: a datagram has no connection that could end", r.EndWith)
	case r.Second:
		return errors.New("the second answer returned: nothing tells which answer of a datagram is whose, so both return")
	}
	return nil
}

// DNSCodes returns the codes that a DNS link can answer with. TC is not an error: the answer is empty and marked
// as truncated, so that clients retry over TCP.
func DNSCodes() []string { return []string{"SERVFAIL", "NXDOMAIN", "REFUSED", "TC"} }

func allowDNS(r Rule) error {
	if r.Action == Answer && !slices.Contains(DNSCodes(), r.Code) {
		return fmt.Errorf("DNS knows no answer %q here: write one of %s", r.Code, strings.Join(DNSCodes(), ", "))
	}
	return allowDatagram(r)
}

// Metrics returns the kinds of StatsD metrics.
func Metrics() []string {
	return []string{"counter", "gauge", "timer", "histogram", "distribution", "set", "meter", "event", "check"}
}

func allowStatsD(r Rule) error {
	if m := r.Match.Method; m != "" && !slices.Contains(Metrics(), strings.ToLower(m)) {
		return fmt.Errorf("StatsD has no metrics of kind %q: write one of %s", m, strings.Join(Metrics(), ", "))
	}
	return allowDatagram(r)
}

func allowUDP(r Rule) error {
	if r.Match.Method != "" || r.Match.Path != "" {
		return errors.New("datagrams of any kind have no operations to choose by: declare the protocol dns or statsd, or choose a share or a count")
	}
	return allowDatagram(r)
}

// dotsToSlashes converts a dotted name to a path, for the functions that match and classify paths.
var dotsToSlashes = strings.NewReplacer(".", "/")

// matchDomain matches "api.example.com", "*.example.com" (any subdomain) and "{id}.example.com". It ignores case
// and a trailing dot.
func matchDomain(template, name string) bool {
	template, name = strings.TrimSuffix(strings.ToLower(template), "."), strings.TrimSuffix(strings.ToLower(name), ".")
	if below, ok := strings.CutPrefix(template, "*."); ok {
		return strings.HasSuffix(name, "."+below)
	}
	return matchMetric(template, name)
}

// matchMetric matches "requests.total", "requests.*" (any rest) and "requests.{route}.total".
func matchMetric(template, name string) bool {
	if !strings.ContainsAny(template, "*{") {
		return template == name
	}
	return matchPath(dotsToSlashes.Replace(template), dotsToSlashes.Replace(name))
}
