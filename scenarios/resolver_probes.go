package scenarios

import (
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// How often health checks and key metrics without a declaration are asked.
const (
	healthEvery = 250 * time.Millisecond
	metricEvery = 500 * time.Millisecond
)

// finishProbes determines what is asked during the run: the probes of the system file, and what checks ask about
// services.
func (r *Resolver) finishProbes() {
	r.Probes = slices.Clone(r.System.Probes)
	for i, c := range r.Checks {
		n := c.Kind().Needs.Ask
		at := r.checkPositions[i]
		switch {
		case n.Probe == "":
		case n.Service == "":
			r.requireProbe(at, n)
		case r.serviceNamed(at, n.Service) < 0: // reported
		case !slices.ContainsFunc(r.Probes, func(p system.Probe) bool { return p.Name == n.Probe }):
			r.Probes = append(r.Probes, r.probeOf(n))
		}
	}
}

// requireProbe reports a check of a probe that is not declared, or that answers with something else.
func (r *Resolver) requireProbe(at source.Pos, n check.Asked) {
	var names []string
	for _, p := range r.System.Probes {
		names = append(names, p.Name)
		switch {
		case p.Name != n.Probe:
			continue
		case n.Number && !p.Number():
			r.AddProblem(at, codes.Unsupported.Msgf("the probe %q answers with yes or no, and this asks about a number", p.Name), `let the probe read a metric: {metric: "orders GET /metrics", name: outbox_messages}`)
		case !n.Number && p.Number():
			r.AddProblem(at, codes.Unsupported.Msgf("the probe %q answers with a number, and this asks for yes or no", p.Name), `let the probe ask something else: {http: "alerts GET /alerts", contains: "OrdersFailing"}`)
		}
		return
	}
	hint := source.DidYouMean(n.Probe, names, "probes")
	if len(names) == 0 {
		hint = fmt.Sprintf("declare it in the system file, beside `services`: probes: {%s: {%s}}", n.Probe, map[bool]string{
			true: `metric: "orders GET /metrics", name: outbox_messages`, false: `http: "alerts GET /alerts", contains: "OrdersFailing"`,
		}[n.Number])
	}
	r.addMissing(at, codes.UnknownName.Msgf("there is no probe %q", n.Probe), hint)
}

// probeOf returns the probe of a check that needs no declaration. If a declared probe reads the same metric of the
// service, it says where.
func (r *Resolver) probeOf(n check.Asked) system.Probe {
	if n.Metric == "" {
		return system.Probe{Name: n.Probe, HTTP: n.Service + " GET " + n.Path, Every: healthEvery}
	}
	for _, p := range r.System.Probes {
		if service, _, _, err := system.ParseAsk(p.Metric); err == nil && service == n.Service && (p.Name == n.Metric || p.Series == n.Metric) {
			p.Name = n.Probe
			return p
		}
	}
	return system.Probe{Name: n.Probe, Metric: n.Service + " GET /metrics", Series: n.Metric, Every: metricEvery}
}

// Ask adds a request to a service. Body is nil for a request without one.
func (r *Resolver) Ask(at source.Pos, a Ask) {
	r.Act(at, a)
	r.asks = append(r.asks, ask{at: at, service: a.Service})
}

// RunCommand adds the run of a command of the system.
func (r *Resolver) RunCommand(at source.Pos, name string) {
	r.Act(at, RunCommand{Name: name})
	r.asks = append(r.asks, ask{at: at, command: name})
}

// ask is a step that asks a service or runs a command. Both may be described later.
type ask struct {
	at               source.Pos
	service, command string
}

// resolveAsks determines the services and commands that steps name.
func (r *Resolver) resolveAsks() {
	for _, a := range r.asks {
		if a.command == "" {
			r.serviceNamed(a.at, a.service)
			continue
		}
		r.commandNamed(a.at, a.command)
	}
}

// commandNamed reports a command that the system does not have.
func (r *Resolver) commandNamed(at source.Pos, name string) {
	if _, ok := r.System.CommandNamed(name); ok {
		return
	}
	hint := source.DidYouMean(name, r.System.CommandNames(), "commands")
	if len(r.System.Commands) == 0 {
		hint = fmt.Sprintf("declare it in the system file, beside `services`: commands: {%s: {of: standby, run: [...]}}", name)
	}
	r.addMissing(at, codes.UnknownName.Msgf("there is no command %q", name), hint)
}
