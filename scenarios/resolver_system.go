package scenarios

import (
	"errors"
	"path"
	"reflect"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// ReadSystem adds the system of a file, which read returns. nameAt is the position of its name. The path is relative
// to the feature.
func (r *Resolver) ReadSystem(at, nameAt source.Pos, name string, read func(name string) (system.System, error)) {
	if !r.describeOnce(&r.systemAt, at, "the system's file") {
		return
	}
	sys, err := read(path.Join(path.Dir(r.File), name))
	var many source.Problems
	switch {
	case errors.As(err, &many):
		r.out.AddAll(many)
		r.broken = true
		return
	case err != nil:
		r.AddProblem(nameAt, codes.UnreadableFile.Msgf("the system's file cannot be read: %v", err), "its path is relative to the feature file; firedrill has to be run from a folder that holds both")
		r.broken = true
		return
	}
	r.addSystem(at, name, sys)
}

// addSystem adds the services and links of a whole system.
func (r *Resolver) addSystem(at source.Pos, file string, sys system.System) {
	fromSentences := r.fromSentences
	r.System.File, r.System.Dir, r.System.Fallback, r.System.FallbackIsSuccess = file, sys.Dir, sys.Fallback, sys.FallbackIsSuccess
	r.System.Groups, r.System.Protections = sys.Groups, sys.Protections
	r.System.Probes, r.System.Commands = sys.Probes, sys.Commands
	r.System.Effects, r.System.Quarantine, r.System.Stop = sys.Effects, sys.Quarantine, sys.Stop
	r.System.Limits, r.System.Allow = sys.Limits, sys.Allow
	for _, s := range sys.Services {
		r.AddService(at, s)
	}
	for _, l := range sys.Links {
		r.AddLink(at, l)
	}
	r.fromSentences = fromSentences
}

// AddService adds a service.
func (r *Resolver) AddService(at source.Pos, s system.Service) {
	if first, twice := r.describedAt[s.Name]; twice {
		r.AddProblem(at, codes.Duplicate.Msgf("the service %q was described before, at %s", s.Name, first), "describe it once")
		return
	}
	r.describedAt[s.Name], r.fromSentences = at, true
	r.System.Services = append(r.System.Services, s)
}

// AddLink adds a link. Its services may be described later.
func (r *Resolver) AddLink(at source.Pos, l system.Link) {
	if first, twice := r.describedAt[l.Name()]; twice {
		r.AddProblem(at, codes.Duplicate.Msgf("the link %s was described before, at %s", l.Name(), first), "describe it once")
		return
	}
	r.describedAt[l.Name()], r.fromSentences = at, true
	l.Resolve(r.scope.Protocols)
	if i := slices.IndexFunc(r.System.Links, l.SharesAddress); i >= 0 {
		r.share(at, &r.System.Links[i], l)
		return
	}
	r.System.Links = append(r.System.Links, l)
}

// share makes a link also that of a further caller, whose configuration has the same address.
func (r *Resolver) share(at source.Pos, first *system.Link, l system.Link) {
	same := *first
	same.From, same.Shared = l.From, nil
	switch {
	case l.To != first.To:
		r.AddProblem(at, codes.Contradiction.Msgf("the links %s and %s listen at the same address, %s", first.Name(), l.Name(), l.Listen), "give one of them another address")
	case !reflect.DeepEqual(same, l):
		r.AddProblem(at, codes.Contradiction.Msgf("%s shares its address with %s (listen: %s), and has other settings", l.Name(), first.Name(), l.Listen), "give it the same protocol and settings, or another address")
	default:
		first.Shared = append(first.Shared, l.From)
	}
}

// LimitRadius limits the services that faults may touch.
func (r *Resolver) LimitRadius(at source.Pos, names []string) {
	r.describeOnce(&r.radiusAt, at, "the blast radius")
	if len(names) == 0 {
		r.AddProblem(at, codes.OutOfBounds.Msgf("the blast radius is empty, so no fault could be injected"), "name the services that faults may touch")
	}
	r.BlastRadius = names
}

// SetTimeout sets how long the scenario may take.
func (r *Resolver) SetTimeout(at source.Pos, t time.Duration) {
	r.describeOnce(&r.timeoutAt, at, "how long the scenario may take")
	r.Timeout = t
}

// warnTimeout warns of a scenario that is likely to take longer than it may.
func (r *Resolver) warnTimeout() {
	if about := r.Estimate().Round(time.Second); r.Timeout > 0 && about > r.Timeout {
		r.warn(r.timeoutAt, codes.TimedOut.Msgf("the scenario may take %s, and takes about %s, as estimated: it would be stopped, and inconclusive", injector.Duration(r.Timeout), injector.Duration(about)))
	}
}

// AddStopRule adds a stop rule. The service or probe that it names may be described later.
func (r *Resolver) AddStopRule(at source.Pos, rule StopRule) {
	r.Describe(at)
	r.Stop, r.stopAt = append(r.Stop, rule), append(r.stopAt, at)
}

// finishStopRules validates the stop rules, and adds those of the system. Of these, the ones about requests do not apply
// to a scenario without a load.
func (r *Resolver) finishStopRules() {
	for i, rule := range r.Stop {
		switch what, hint := r.System.Mistake(rule); {
		case !what.None() && !r.misread:
			r.AddProblem(r.stopAt[i], what, hint)
		case rule.Requests() && r.Load == nil:
			r.addMissing(r.stopAt[i], codes.Missing.Msgf("a stop rule watches requests, and there is no load"), addLoad)
		}
	}
	for _, rule := range r.System.Stop {
		if !rule.Requests() || r.Load != nil {
			r.Stop, r.stopAt = append(r.Stop, rule), append(r.stopAt, r.systemAt)
		}
	}
	for i, rule := range r.Stop {
		if _, most, ok := r.runs(""); r.Load != nil && ok && rule.Requests() && !r.Counted() && most > 0 && most*rule.For.Seconds() < float64(rule.Enough()) {
			r.AddProblem(r.stopAt[i], codes.CannotFail.Msgf("the stop rule %q could stop nothing: in %s there are at most %.0f requests, and it needs %d", rule, injector.Duration(rule.For), most*rule.For.Seconds(), rule.Enough()), "lengthen the time, or raise the load")
		}
	}
}

// serviceNamed returns the index of a service. If there is none, it reports a problem and returns -1.
func (r *Resolver) serviceNamed(at source.Pos, name string) int {
	i := slices.IndexFunc(r.System.Services, func(s system.Service) bool { return s.Name == name })
	if i < 0 && name != "" && len(r.System.Services) > 0 {
		r.AddProblem(at, codes.UnknownName.Msgf("there is no service %q", name), source.DidYouMean(name, r.System.Names(), "services"))
	}
	return i
}

// AddSteady adds conditions of the steady state.
func (r *Resolver) AddSteady(conditions ...check.Steady) {
	r.Steady = append(r.Steady, conditions...)
}

// readySentence states how long a service may take until it is ready.
type readySentence struct {
	at      source.Pos
	service string
	within  time.Duration
}

// SetReady sets how long a service may take until it is ready. It may be described later.
func (r *Resolver) SetReady(at source.Pos, service string, within time.Duration) {
	r.ready = append(r.ready, readySentence{at, service, within})
}

// tlsSentence is a sentence about the TLS of a link. The link may be described later.
type tlsSentence struct {
	at       source.Pos
	from, to string
	tls      system.TLS
}

// TerminateTLS makes a link terminate TLS. It may be described later.
func (r *Resolver) TerminateTLS(at source.Pos, from, to string, tls system.TLS) {
	r.tls = append(r.tls, tlsSentence{at: at, from: from, to: to, tls: tls})
}
