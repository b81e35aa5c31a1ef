package scenarios

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
)

var chosen = regexp.MustCompile(`(?:(\S+%) of )?(?:the first (\S+) |all but the first (\S+) |the (\d+)\w\w to the (\d+)\w\w )?(?:new connections|connections|TLS handshakes)$`)

// conns parses {connections}, {new_connections} or {handshakes}, or the connections of {traffic} or {latency}.
func (a args) conns(i int) injector.Conns {
	var c injector.Conns
	part := chosen.FindStringSubmatch(a.value(i))
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
			a.r.addProblem(a.pos(i), fmt.Sprintf("from the %d. to the %d. there is no connection", c.From, c.First), "write the smaller number first")
		}
	}
	return c
}

// way parses {traffic} or {latency}. "one-way" means towards the server until the link is known; see
// resolver.onLink.
func (a args) way(i int) injector.Way {
	w := injector.Way{Conns: a.conns(i)}
	if strings.HasPrefix(a.value(i), "one-way ") {
		w.Dir = link.ToServer
	}
	return w
}

// delay parses a duration that may be 0.
func (a args) delay(i int) (d time.Duration, ok bool) {
	d, err := parseDelay(a.value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return d, err == nil
}

// jitter parses the jitter of a delay, which may not exceed the delay.
func (a args) jitter(by, jitter int) time.Duration {
	j := a.duration(jitter)
	if j > a.duration(by) {
		a.r.addProblem(a.pos(jitter), fmt.Sprintf("give or take %s is more than the delay of %s", a.value(jitter), a.value(by)), "nothing can arrive before it was sent: write a smaller spread")
	}
	return j
}

// deviation parses a jitter that is a standard deviation. It may not exceed half of the delay, since some delays
// deviate further.
func (a args) deviation(by, jitter int) time.Duration {
	j, half := a.duration(jitter), a.duration(by)/2
	if half > 0 && j > half {
		a.r.addProblem(a.pos(jitter), fmt.Sprintf("give or take %s, %s, is more than half of the delay of %s", a.value(jitter), a.value(jitter+1), a.value(by)),
			fmt.Sprintf("delays stray further than that, and nothing can arrive before it was sent: write at most %s", injector.Duration(half)))
	}
	return j
}

var spreads = map[string]link.Spread{"normally distributed": link.Normal, "with a long tail": link.Pareto}

// reset parses a {limit}, which is a size or a duration.
func (a args) reset(i int) injector.Reset {
	var f injector.Reset
	if a.has(i) {
		var err error
		if f.AfterBytes, f.After, err = parseLimit(a.value(i)); err != nil {
			a.addProblem(i, err)
		}
	}
	return f
}

// ramp parses the start, the end and the duration of a ramp.
func (a args) ramp(from int) injector.Ramp {
	start, ok := a.delay(from)
	end, too := a.delay(from + 1)
	if ok && too && start == end {
		a.r.addProblem(a.pos(from), fmt.Sprintf("from %s to %s nothing rises or falls", a.value(from), a.value(from+1)), "write two different delays, or say: traffic ... is delayed by 50ms")
	}
	return injector.Ramp{Start: start, End: end, Over: a.duration(from + 2)}
}
