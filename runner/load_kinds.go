package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// LoadKind is a kind of load that is not HTTP, as in package sources.
type LoadKind = load.Kind

// Func makes one attempt of a request of a load, and returns what is known about it. It is called concurrently, and has to
// return soon after its context has ended, which is when its client gives up. Retries call it again with the same request.
// A panic is an error of the load, not of the system. FromContext returns the running system: faults on a link act on what
// is sent to System.Link, and not on what is sent to System.Address.
type Func func(ctx context.Context, r Request) Outcome

// Request is a request that a Func makes.
type Request struct {
	N     uint64 // its number, from 0
	Key   string // its idempotency key, the same for every attempt
	Trace string // its W3C trace context: sent as the header traceparent, it tells which calls the request caused
}

// Outcome is what a Func knows about an attempt. The zero value means that it is not known whether the request was applied.
// Acknowledged, Refused and NotKnown return others.
type Outcome struct {
	Is     scenarios.Outcome // "" means scenarios.NotKnown
	Answer string            // what is compared between the answers to one key
	Error  string            // one word that names the failure in reports, such as "overloaded"; "" for an acknowledged request
	Again  bool              // the same request may succeed later: retry it even if it was refused
}

// Acknowledged returns the outcome of a request that was applied.
func Acknowledged(answer string) Outcome {
	return Outcome{Is: scenarios.Acknowledged, Answer: answer}
}

// Refused returns the outcome of a request that was certainly not applied.
func Refused(failure string) Outcome { return Outcome{Is: scenarios.Refused, Error: failure} }

// NotKnown returns the outcome of a request that may have been applied.
func NotKnown(failure string) Outcome { return Outcome{Is: scenarios.NotKnown, Error: failure} }

// loadOutcomes maps the outcomes of package scenarios to those of the client.
var loadOutcomes = map[scenarios.Outcome]load.Outcome{scenarios.Acknowledged: load.Acknowledged, scenarios.Refused: load.Refused}

// reply returns the outcome as an answer to the client.
func (o Outcome) reply() load.Reply {
	return load.Reply{Outcome: loadOutcomes[o.Is], Text: []byte(o.Answer), Word: o.Error, Transient: o.Again}
}

// routes returns the routes of all loads.
func routes(e *scenarios.Experiment) (all []scenarios.Route) {
	for _, l := range e.Loads() {
		all = append(all, l.Mix...)
	}
	return all
}

// loadKinds returns the table of kinds of load of a run.
func (o Options) loadKinds() []load.Kind {
	funcs := map[string]func(context.Context, load.Request) load.Reply{}
	for name, do := range o.Funcs {
		funcs[name] = func(ctx context.Context, r load.Request) load.Reply {
			return do(ctx, Request{N: r.N, Key: r.Key, Trace: r.Trace}).reply()
		}
	}
	return slices.Concat(load.Kinds(), o.Loads, []load.Kind{load.FuncKind(funcs)})
}

// knows returns what clients of the load know of a service besides its address.
func (s *session) knows(secrets map[string]string) func(service string) load.Known {
	return func(service string) (k load.Known) {
		k.Framing, _ = s.e.System.FramingOf(service)
		for _, svc := range s.e.System.Services {
			if svc.Name != service {
				continue
			}
			if u, err := svc.LoginURL(func(name string) string { return secrets[name] }); err == nil {
				k.URL = u
			}
			if svc.Proto != "" {
				k.Proto = s.e.System.Path(svc.Proto)
			}
		}
		return k
	}
}

// checkLoads returns why a load cannot be sent, as far as it can be known before anything is started.
func (o Options) checkLoads(es []*scenarios.Experiment) error {
	kinds := o.loadKinds()
	var errs []error
	for _, e := range es {
		for _, rt := range routes(e) {
			switch {
			case rt.Kind == "":
			case !slices.ContainsFunc(kinds, func(k load.Kind) bool { return k.Name == rt.Kind }):
				errs = append(errs, fmt.Errorf("load %q of scenario %q: its client library is not linked: add Loads: sources.Loads() to runner.Options", rt.Name(), e.Name))
			case rt.Kind == scenarios.FuncKind && o.Funcs[rt.Path] == nil:
				errs = append(errs, fmt.Errorf("load %q of scenario %q: there is no such function in runner.Options.Funcs: %s", rt.Name(), e.Name,
					source.DidYouMean(rt.Path, slices.Sorted(maps.Keys(o.Funcs)), "functions")))
			}
		}
	}
	return errors.Join(errs...)
}
