package scenarios

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/remote"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// overhead estimates how long it takes to start, drain, read effects and stop.
const overhead = 2 * time.Second

// Estimate returns the approximate duration of the experiment, without the time of a facilitator or of
// user-defined steps.
func (e *Experiment) Estimate() time.Duration {
	total := e.Baseline + e.Recovery + overhead
	if e.Effects != nil {
		total += e.Effects.Within()
	}
	for _, a := range e.Agreements {
		total += max(0, a.Within-e.Recovery)
	}
	if e.readsAgain() {
		total += e.Effects.Within()
	}
	for _, s := range e.Steps {
		total += stepDuration(s.Do)
	}
	return total
}

// readsAgain reports whether effects are read again after keys have been sent again.
func (e *Experiment) readsAgain() bool {
	return e.Effects != nil && e.Keyed() && slices.ContainsFunc(e.Checks, func(c Check) bool {
		n := c.Kind().Needs
		return n.Probe != "" || n.Pairs
	})
}

func stepDuration(a Action) time.Duration {
	switch a := a.(type) {
	case Inject:
		return a.For
	case Wait:
		return a.For
	case RateChange:
		return a.Takes()
	}
	return 0
}

// Plan prints what the experiments would do: the timeline, the targets of each step and how it is undone, and the
// approximate duration. It starts nothing.
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
	fmt.Fprintf(&b, "%s, about %s\n", counted(len(es), "scenario"), roughDuration(total))
	_, err := io.WriteString(w, journal.Visible(journal.RedactText(b.String())))
	return err
}

// planned is a scenario as PlanJSON writes it.
type planned struct {
	ID       string          `json:"id"`
	Feature  string          `json:"feature,omitempty"`
	Scenario string          `json:"scenario"`
	File     string          `json:"file,omitempty"`
	Line     int             `json:"line,omitempty"`
	Tags     []string        `json:"tags,omitempty"`
	Seconds  float64         `json:"seconds"` // how long it takes, about
	Warnings source.Problems `json:"warnings,omitempty"`
}

// PlanJSON writes each experiment as a JSON object on a line of its own.
func PlanJSON(w io.Writer, es []*Experiment) error {
	for _, e := range es {
		p := planned{e.ID, e.Feature, e.Name, e.File, e.Line, e.Tags, e.Estimate().Seconds(), nil}
		for _, one := range e.Warnings {
			p.Warnings = append(p.Warnings, one.Redacted())
		}
		if err := source.WriteLine(w, p); err != nil {
			return err
		}
	}
	return nil
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
	if limits := e.System.Limits.String(); limits != "" {
		fmt.Fprintf(w, "    limits        %s\n", limits)
	}
	if e.Timeout > 0 {
		fmt.Fprintf(w, "    time limit    %s\n", injector.Duration(e.Timeout))
	}
	for _, rule := range e.Stop {
		fmt.Fprintf(w, "    stops if      %s\n", rule)
	}
	e.start(w)
	now := e.Baseline
	for _, s := range e.Steps {
		if s.Do == nil && !s.Foreign {
			continue
		}
		printMoment(w, now, s.Text)
		if in, ok := s.Do.(Inject); ok {
			for _, parts := range groupParts(in.Faults) {
				e.printTargets(w, parts, in.For)
			}
		}
		now += stepDuration(s.Do)
	}
	if e.leavesFaults() {
		printMoment(w, now, "heal what is live, the last first")
	}
	if e.Recovery > 0 {
		printMoment(w, now, fmt.Sprintf("watch recovery for at most %s", injector.Duration(e.Recovery)))
	}
	now += e.Recovery
	if e.Effects != nil {
		now += e.Effects.Within()
		for _, c := range e.Effects.Once {
			printMoment(w, now-e.Effects.Within(), "await that "+c.String())
		}
		for _, s := range e.Effects.Sources {
			printMoment(w, now, fmt.Sprintf("read applied effects from %s, until %s after the load", s.place(), injector.Duration(e.Effects.Within())))
		}
	}
	for _, a := range e.Agreements {
		printMoment(w, now, fmt.Sprintf("compare %s and %s, from healing until %s after it", a.Sources[0].place(), a.Sources[1].place(), injector.Duration(a.Within)))
	}
	for _, l := range e.Locks {
		printMoment(w, now, fmt.Sprintf("read who held the lock %q from %s", l.Name, l.Source.place()))
	}
	for _, sum := range e.Sums {
		printMoment(w, now, fmt.Sprintf("read the sum of %q from %q of %q, until it is as before the load, for at most %s", sum.Field, sum.Source(), sum.Service, injector.Duration(sum.Within())))
	}
	if e.readsAgain() {
		now += e.Effects.Within()
		printMoment(w, now, fmt.Sprintf("send keys again, and read what that applied for %s", injector.Duration(e.Effects.Within())))
	}
	for _, c := range e.Checks {
		printMoment(w, now, "check: "+c.Check.String()+map[bool]string{true: " (known to fail)"}[c.KnownToFail])
	}
	for _, one := range e.Warnings {
		fmt.Fprintf(w, "    warning       %s [%s]\n", one.What, one.Code)
	}
	fmt.Fprintf(w, "    about %s\n\n", roughDuration(e.Estimate()))
}

// start prints what happens before the first step.
func (e *Experiment) start(w io.Writer) {
	if order, err := e.System.Order(); err == nil {
		var started, found, replaced []string
		for _, s := range order {
			switch {
			case s.StandIn != nil:
				replaced = append(replaced, s.Name)
			case s.Address != "":
				found = append(found, s.Name+" at "+s.Address)
			default:
				started = append(started, s.Name)
			}
		}
		if len(replaced) > 0 {
			printMoment(w, 0, "stand in for "+strings.Join(replaced, ", "))
		}
		if len(started) > 0 {
			printMoment(w, 0, "start "+strings.Join(started, ", "))
		}
		if len(found) > 0 {
			printMoment(w, 0, "find "+strings.Join(found, ", "))
		}
	}
	var links []string
	for _, l := range e.System.Links {
		links = append(links, l.Name()+" ("+l.Transport()+")")
	}
	if len(links) > 0 {
		printMoment(w, 0, "open "+strings.Join(links, ", "))
	}
	for _, l := range e.Loads() {
		var routes []string
		for _, r := range l.Mix {
			routes = append(routes, fmt.Sprintf("%q", r.Name()))
		}
		name := "load"
		if l.Name != "" {
			name = fmt.Sprintf("%q load", l.Name)
		}
		printMoment(w, 0, fmt.Sprintf("%s: %s on %s", name, l.described(), strings.Join(routes, ", ")))
	}
	if i := slices.IndexFunc(e.Loads(), func(l *Load) bool { return !l.Unanswered }); i >= 0 {
		printMoment(w, 0, "clients "+e.Loads()[i].policy())
		if control := e.Load.Control(); control != "" {
			printMoment(w, 0, fmt.Sprintf("split the requests for %q between it and its untouched copy %q", e.Load.Copies[0], control))
		}
	}
	for _, p := range e.Probes {
		printMoment(w, 0, fmt.Sprintf("ask every %s: %s", injector.Duration(p.Interval()), p))
	}
	if e.Baseline > 0 {
		printMoment(w, 0, "measure the baseline for "+injector.Duration(e.Baseline))
	}
}

func (e *Experiment) radius() string {
	if e.BlastRadius == nil {
		return "not limited; " + e.touches()
	}
	return "limited to " + strings.Join(e.BlastRadius, ", ") + "; " + e.touches()
}

// touches lists what faults and other steps act on.
func (e *Experiment) touches() string {
	text := "faults touch " + strings.Join(e.targets(), ", ")
	if others := e.touched(); len(others) > 0 {
		text += "; not undone: " + strings.Join(others, ", ")
	}
	return text
}

// targets returns the links and services on which faults are injected.
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

// injections returns all faults in order.
func (e *Experiment) injections() []Placed {
	var all []Placed
	for _, s := range e.Steps {
		if in, ok := s.Do.(Inject); ok {
			all = append(all, in.Faults...)
		}
	}
	return all
}

// FaultOnLinkTo reports whether a fault acts on a link to a service.
func (e *Experiment) FaultOnLinkTo(service string) bool {
	return slices.ContainsFunc(e.injections(), func(f Placed) bool { return f.From != "" && f.To == service })
}

// leavesFaults reports whether a fault is still live when the checks begin.
func (e *Experiment) leavesFaults() bool {
	live := 0
	for _, s := range e.Steps {
		switch a := s.Do.(type) {
		case Inject:
			if a.For == 0 {
				live += len(groupParts(a.Faults))
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

// On returns the target of the fault: "orders -> payments" for a link, "payments -> orders" for the messages that
// the dependency sends over it, or "payments" for a service.
func (p Placed) On() string {
	if p.From == "" {
		return p.To
	}
	if on, ok := p.Fault.(injector.OnMessages); ok && on.Rule().Dir == message.ToClient {
		return system.Link{From: p.To, To: p.From}.Name()
	}
	return system.Link{From: p.From, To: p.To}.Name()
}

// groupParts groups the faults of a step by fault. A partition has several parts.
func groupParts(placed []Placed) [][]Placed {
	var all [][]Placed
	for i, p := range placed {
		if i > 0 && journal.FaultID(p.ID) == journal.FaultID(placed[i-1].ID) {
			all[len(all)-1] = append(all[len(all)-1], p)
			continue
		}
		all = append(all, []Placed{p})
	}
	return all
}

// cut returns the target of a fault, with the direction if a link is cut in only one.
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

// undo describes how the part of a fault is undone on its target.
func (e *Experiment) undo(p Placed) string {
	kind := p.Fault.Kind()
	l, _ := e.System.Link(p.From, p.To)
	switch {
	case l.Toxiproxy != nil:
		return remote.Undo(p.Fault)
	case l.UDP() && kind.Datagrams != "":
		return kind.Datagrams
	}
	return kind.Undo
}

func (e *Experiment) printTargets(w io.Writer, parts []Placed, hold time.Duration) {
	undo := "with the step that heals it, at the latest before the checks"
	if hold > 0 {
		undo = "after " + injector.Duration(hold)
	}
	var on, undos []string
	for _, p := range parts {
		on = append(on, p.cut())
		if how := e.undo(p); !slices.Contains(undos, how) {
			undos = append(undos, how)
		}
	}
	fmt.Fprintf(w, "             on %s; undone %s: %s\n", strings.Join(on, ", "), undo, strings.Join(undos, "; "))
}

func printMoment(w io.Writer, at time.Duration, what string) {
	fmt.Fprintf(w, "    %7s  %s\n", injector.Duration(at), what)
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// roughDuration formats a duration as "1 min 10 s".
func roughDuration(d time.Duration) string {
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
