package message

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Datagram is one datagram as rules see it. Datagrams are carried by package datagram; what stands in this file lets it share the rules, the decisions, the
// evidence and the books of the relays here.
type Datagram struct {
	Conn, Seq uint64
	Dir       Dir
	Topic             // what it is about: "A" and "api.example.com" (DNS), "counter" and "requests.total" (StatsD), or nothing
	More      []Topic // what else, where it holds several things
	Op, Key   string
	Bytes     int
}

func (d Datagram) message() message {
	return message{conn: d.Conn, seq: d.Seq, dir: d.Dir, method: d.Method, path: d.Path, op: d.Op, key: d.Key, bytes: d.Bytes, more: d.More}
}

// Live is a rule that is live.
type Live = live

// Healed is closed when the rule is healed.
func (l *live) Healed() <-chan struct{} { return l.healed }

// Chosen is what rules want of a datagram. The zero value lets it pass.
type Chosen struct {
	Waits []Wait // delays, one after the other
	Rule  *Live  // what happens then; nil means that it goes on
	Draw  uint64 // depends on the decision only: for what the rule leaves to chance, such as which byte
}

// Wait is one delay.
type Wait = wait

// Rule is the rule that asks for the delay, and By its length.
func (w wait) Rule() *Live { return w.rule }

// By is how long the delay is.
func (w wait) By() time.Duration { return w.by }

// Pass books a datagram as in and out when no rule is live; false means that it has to be decided, and is not booked.
func (r *Relay) Pass(d Dir) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.rules) > 0 || len(r.holds) > 0 {
		return false
	}
	r.books[d].In++
	r.books[d].Out++
	return true
}

// Decide asks every rule about a datagram, as the relays here do.
func (r *Relay) Decide(d Datagram) Chosen {
	c := r.decide(d.message())
	chosen := Chosen{Waits: c.delays, Rule: c.rule}
	if c.rule != nil {
		chosen.Draw = evidence.Hash(c.rule.Seed, c.n, r.cfg.Link, c.rule.ID, "draw", d.Method, r.class(c.rule, d.message()))
	}
	return chosen
}

// Tell records a fate, and Applied that a rule's effect happened.
func (r *Relay) Tell(l *Live, d Datagram, stage evidence.Stage, detail string) {
	r.tell(l, d.message(), stage, detail)
}

// Applied records that a rule's effect happened to a datagram.
func (r *Relay) Applied(l *Live, d Datagram, detail string) { r.applied(l, d.message(), detail) }

// Book changes the books of a direction.
func (r *Relay) Book(d Dir, change func(*Books)) { r.book(d == ToServer, change) }

// Begin and End bracket what Quiesce waits for.
func (r *Relay) Begin() { r.begin() }

// End is the end of what Begin began.
func (r *Relay) End() { r.end() }

// Hold keeps a datagram back until others passed it, or tells why it does not. Any other datagram of the link is one that passes, also of the same client:
// UDP promises no order. wait returns true when they passed, false when the time was up, the rule healed or ctx ended; it is nil with skipped.
func (r *Relay) Hold(l *Live) (wait func(context.Context) bool, skipped string) {
	h, skipped := r.holdFor(l, 0)
	if h == nil {
		return nil, skipped
	}
	return func(ctx context.Context) bool { return r.wait(ctx, h) }, ""
}

// Overtakes looks which of those that are held a datagram overtakes by going now; went tells them that it did.
func (r *Relay) Overtakes(d Datagram) (went func()) {
	overtaken := r.passing(d.message())
	return func() { r.passed(overtaken) }
}

// datagrams are the protocols over UDP. Rules act on whole datagrams.
func datagrams() []Protocol {
	can := []Do{Delay, LoseRequest, Twice, Reorder, Corrupt, Truncate}
	return []Protocol{
		{
			Name: "dns", Means: "DNS over UDP, by type and name; what clients then ask over TCP passes as bytes", Unit: "messages", UDP: true,
			Do: append(slices.Clone(can), Answer), matches: matchDomain, class: parts("."), allow: allowDNS,
		},
		{
			Name: "statsd", Means: "StatsD over UDP, by kind and name of metric; a datagram may hold several and meets its fate whole", Unit: "messages", UDP: true,
			Do: can, matches: matchMetric, class: parts("."), allow: allowStatsD,
		},
		{
			Name: "udp", Means: "datagrams of any kind", Unit: "messages", UDP: true,
			Do: can, matches: func(string, string) bool { return false }, class: func(string) string { return "" }, allow: allowUDP,
		},
	}
}

func allowDatagram(r Rule) error {
	switch {
	case r.Then != "":
		return fmt.Errorf("lost, then %s: a datagram has no connection that could end", r.Then)
	case r.Second:
		return errors.New("the second answer returned: nothing tells which answer of a datagram is whose, so both return")
	}
	return nil
}

// DNSCodes are the errors that a DNS link can answer with. TC is no error: the answer is empty and marked as cut short, and clients ask again over TCP.
func DNSCodes() []string { return []string{"SERVFAIL", "NXDOMAIN", "REFUSED", "TC"} }

func allowDNS(r Rule) error {
	if r.Do == Answer && !slices.Contains(DNSCodes(), r.Code) {
		return fmt.Errorf("DNS knows no answer %q here: write one of %s", r.Code, strings.Join(DNSCodes(), ", "))
	}
	return allowDatagram(r)
}

// Metrics are the kinds of StatsD's metrics.
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

// slashes makes a dotted name a path, for the functions that match and classify those.
var slashes = strings.NewReplacer(".", "/")

// matchDomain matches "api.example.com", "*.example.com" (whatever lies below) and "{id}.example.com", in any case and with or without a dot at the end.
func matchDomain(template, name string) bool {
	template, name = strings.TrimSuffix(strings.ToLower(template), "."), strings.TrimSuffix(strings.ToLower(name), ".")
	if below, ok := strings.CutPrefix(template, "*."); ok {
		return strings.HasSuffix(name, "."+below)
	}
	return matchMetric(template, name)
}

// matchMetric matches "requests.total", "requests.*" (whatever follows) and "requests.{route}.total".
func matchMetric(template, name string) bool {
	if !strings.ContainsAny(template, "*{") {
		return template == name
	}
	return matchPath(slashes.Replace(template), slashes.Replace(name))
}
