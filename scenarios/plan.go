package scenarios

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// overhead is what starting, draining, reading effects and stopping take, as a guess.
const overhead = 2 * time.Second

// Estimate is how long the experiment takes, about. What a facilitator or a step of the user's own takes is not in it.
func (e *Experiment) Estimate() time.Duration {
	total := e.Baseline + e.Recovery + overhead
	for _, s := range e.Steps {
		total += lasts(s.Do)
	}
	return total
}

func lasts(a Action) time.Duration {
	switch a := a.(type) {
	case Inject:
		return a.For
	case Wait:
		return a.For
	case ChangeLoad:
		return a.Over
	}
	return 0
}

// Plan prints what the experiments would do: the timeline, what each step touches and how it is undone, and about how long it takes. It
// touches nothing.
func Plan(w io.Writer, es []*Experiment) error {
	var b strings.Builder
	var total time.Duration
	feature := ""
	for _, e := range es {
		if e.Feature != feature && e.Feature != "" {
			fmt.Fprintf(&b, "%s\n\n", e.Feature)
		}
		feature = e.Feature
		e.plan(&b)
		total += e.Estimate()
	}
	fmt.Fprintf(&b, "%s, about %s\n", counted(len(es), "scenario"), rough(total))
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *Experiment) plan(w io.Writer) {
	where := ""
	if e.File != "" {
		where = fmt.Sprintf("  (%s:%d)", e.File, e.Line)
	}
	fmt.Fprintf(w, "  %s%s\n", e.Name, where)
	if len(e.Tags) > 0 {
		fmt.Fprintf(w, "    tags          %s\n", strings.Join(e.Tags, " "))
	}
	fmt.Fprintf(w, "    blast radius  %s\n", e.radius())
	e.start(w)
	now := e.Baseline
	for _, s := range e.Steps {
		if s.Do == nil && !s.Foreign {
			continue
		}
		moment(w, now, s.Text)
		if in, ok := s.Do.(Inject); ok {
			for _, parts := range wholes(in.Faults) {
				e.touches(w, parts, in.For)
			}
		}
		now += lasts(s.Do)
	}
	if e.leftLive() {
		moment(w, now, "heal what is live, the last first")
	}
	if e.Recovery > 0 {
		moment(w, now, fmt.Sprintf("watch recovery for at most %s", injector.Duration(e.Recovery)))
	}
	now += e.Recovery
	if e.Effects != nil {
		moment(w, now, fmt.Sprintf("read applied effects from %q of %q", e.Effects.Method+" "+e.Effects.Path, e.Effects.Service))
	}
	for _, c := range e.Checks {
		moment(w, now, "check: "+c.Check.String())
	}
	fmt.Fprintf(w, "    about %s\n\n", rough(e.Estimate()))
}

// start prints what happens before the first step acts.
func (e *Experiment) start(w io.Writer) {
	if order, err := e.System.Order(); err == nil {
		var started, found []string
		for _, s := range order {
			if s.Address != "" {
				found = append(found, s.Name+" at "+s.Address)
			} else {
				started = append(started, s.Name)
			}
		}
		if len(started) > 0 {
			moment(w, 0, "start "+strings.Join(started, ", "))
		}
		if len(found) > 0 {
			moment(w, 0, "find "+strings.Join(found, ", "))
		}
	}
	var links []string
	for _, l := range e.System.Links {
		links = append(links, l.Name()+" ("+l.carries()+")")
	}
	if len(links) > 0 {
		moment(w, 0, "open "+strings.Join(links, ", "))
	}
	if e.Load != nil {
		var routes []string
		for _, r := range e.Load.Mix {
			routes = append(routes, fmt.Sprintf("%q", r.Name()))
		}
		moment(w, 0, fmt.Sprintf("load: %g requests per second on %s", e.Load.Rate, strings.Join(routes, ", ")))
	}
	if e.Baseline > 0 {
		moment(w, 0, "measure the baseline for "+injector.Duration(e.Baseline))
	}
}

func (e *Experiment) radius() string {
	if e.BlastRadius == nil {
		return "not limited; faults touch " + strings.Join(e.targets(), ", ")
	}
	return "limited to " + strings.Join(e.BlastRadius, ", ") + "; faults touch " + strings.Join(e.targets(), ", ")
}

// targets are the links and services that faults are placed on.
func (e *Experiment) targets() []string {
	var all []string
	seen := map[string]bool{}
	for _, p := range e.injections() {
		if !seen[p.On()] {
			seen[p.On()] = true
			all = append(all, p.On())
		}
	}
	if len(all) == 0 {
		return []string{"nothing"}
	}
	return all
}

// injections are all faults, in order.
func (e *Experiment) injections() []Placed {
	var all []Placed
	for _, s := range e.Steps {
		if in, ok := s.Do.(Inject); ok {
			all = append(all, in.Faults...)
		}
	}
	return all
}

// leftLive tells whether a fault is live when the checks begin.
func (e *Experiment) leftLive() bool {
	live := 0
	for _, s := range e.Steps {
		switch a := s.Do.(type) {
		case Inject:
			if a.For == 0 {
				live += len(wholes(a.Faults))
			}
		case Heal:
			live--
			if a.All {
				live = 0
			}
		}
	}
	return live > 0
}

// On is what the fault is placed on: "orders -> payments", "payments -> orders" for what the dependency sends, or "payments".
func (p Placed) On() string {
	if p.From == "" {
		return p.To
	}
	if on, ok := p.Fault.(injector.OnMessages); ok && on.Rule().Dir == message.ToClient {
		return Link{From: p.To, To: p.From}.Name()
	}
	return Link{From: p.From, To: p.To}.Name()
}

func (l Link) protocol() string {
	if l.Protocol == "" {
		return "tcp"
	}
	return l.Protocol
}

// udp tells whether the link carries datagrams.
func (l Link) udp() bool {
	row, _ := message.ProtocolOf(l.protocol())
	return row.UDP
}

// wholes are the faults of a step, each with its parts: several for a partition.
func wholes(placed []Placed) [][]Placed {
	var all [][]Placed
	for i, p := range placed {
		if i > 0 && journal.Whole(p.ID) == journal.Whole(placed[i-1].ID) {
			all[len(all)-1] = append(all[len(all)-1], p)
			continue
		}
		all = append(all, []Placed{p})
	}
	return all
}

// cut is what a fault is placed on, and of a link that is cut in one direction, which.
func (p Placed) cut() string {
	if f, ok := p.Fault.(injector.Partition); ok {
		switch f.Dir {
		case link.ToServer:
			return "requests of " + p.On()
		case link.ToClient:
			return "replies of " + p.On()
		}
	}
	return p.On()
}

// unheld counts the parts that cut off a link of datagrams, which nothing holds.
func (e *Experiment) unheld(parts []Placed) (n int) {
	for _, p := range parts {
		switch p.Fault.(type) {
		case injector.CutOff, injector.Partition:
			if l, _ := e.System.link(p.From, p.To); l.udp() {
				n++
			}
		}
	}
	return n
}

func (e *Experiment) touches(w io.Writer, parts []Placed, hold time.Duration) {
	undo := "with the step that heals it, at the latest before the checks"
	if hold > 0 {
		undo = "after " + injector.Duration(hold)
	}
	var on []string
	for _, p := range parts {
		on = append(on, p.cut())
	}
	fmt.Fprintf(w, "             on %s; undone %s", strings.Join(on, ", "), undo)
	if kind, ok := injector.KindOf(parts[0].Fault); ok {
		const passAgain = "datagrams pass again, and none of those lost meanwhile comes"
		switch n := e.unheld(parts); {
		case n == len(parts):
			kind.Undo = passAgain
		case n > 0:
			kind.Undo += "; " + passAgain
		}
		fmt.Fprintf(w, ": %s", kind.Undo)
	}
	fmt.Fprintln(w)
}

func moment(w io.Writer, at time.Duration, what string) {
	fmt.Fprintf(w, "    %7s  %s\n", injector.Duration(at), what)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// rough is "1 min 10 s".
func rough(d time.Duration) string {
	d = d.Round(time.Second)
	minutes, seconds := int(d/time.Minute), int(d%time.Minute/time.Second)
	switch {
	case minutes == 0:
		return fmt.Sprintf("%d s", seconds)
	case seconds == 0:
		return fmt.Sprintf("%d min", minutes)
	}
	return fmt.Sprintf("%d min %d s", minutes, seconds)
}
