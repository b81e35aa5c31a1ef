package scenarios

import (
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Builder builds an Experiment in Go. Its methods correspond to the sentences, and Build validates the experiment
// as package language does. The position of a problem is the line of Go that called the method. A Builder can be used only
// once.
type Builder struct {
	r   *Resolver
	out source.List
}

// New returns a Builder for a new experiment.
func New(name string) *Builder {
	b := &Builder{}
	at := caller()
	b.r = NewResolver(&Experiment{Name: name, ID: ID("", name, nil), Line: at.Line}, at, &b.out, Scope{Faults: injector.Kinds(), Protocols: protocols.All()})
	return b
}

// caller returns the position of the innermost caller outside the files of Builder, builder.go and builder_load.go.
func caller() source.Pos {
	var own string // path of the files without their ends
	for skip := 0; ; skip++ {
		_, file, line, ok := runtime.Caller(skip)
		if !ok {
			return source.Pos{}
		}
		if own == "" {
			own = strings.TrimSuffix(file, ".go")
		}
		if file != own+".go" && file != own+"_load.go" {
			return source.Pos{File: file, Line: line}
		}
	}
}

// beginStep adds a step and returns the position of its caller.
func (b *Builder) beginStep(keyword, format string, args ...any) source.Pos {
	at := caller()
	b.r.AddStep(keyword, fmt.Sprintf(format, args...), at)
	return at
}

// System defines the system under test. ReadSystem reads it from a file instead.
func (b *Builder) System(s system.System) *Builder {
	at := b.beginStep("Given", "the system described in %q", s.File)
	b.r.describeOnce(&b.r.systemAt, at, "the system")
	b.r.addSystem(at, s.File, s)
	b.r.fromSentences = true
	return b
}

// ReadSystem reads the system from a file. Build returns the problems of the file.
func (b *Builder) ReadSystem(fsys fs.FS, name string, handlers ...string) *Builder {
	at := b.beginStep("Given", "the system described in %q", name)
	b.r.scope.Handlers = handlers
	b.r.ReadSystem(at, at, name, func(name string) (system.System, error) {
		return system.Read(fsys, name, handlers, b.r.scope.Protocols)
	})
	return b
}

// BlastRadius limits the services that faults may touch.
func (b *Builder) BlastRadius(services ...string) *Builder {
	b.r.LimitRadius(b.beginStep("Given", "the blast radius is limited to %q", strings.Join(services, ", ")), services)
	return b
}

// Timeout stops the scenario, which is inconclusive then, if it takes longer than d.
func (b *Builder) Timeout(d time.Duration) *Builder {
	at := b.beginStep("Given", "the scenario takes at most %s", injector.Duration(d))
	if d <= 0 {
		b.r.AddProblem(at, codes.BadValue.Msgf("a scenario needs a time above 0"), "write 2*time.Minute, say")
	}
	b.r.SetTimeout(at, d)
	return b
}

// StopBelow ends the scenario at once if the share of requests that succeed, from 0 to 1, stays below ratio for the time d.
func (b *Builder) StopBelow(ratio float64, d time.Duration) *Builder {
	b.r.AddStopRule(b.beginStep("Given", "the run stops at once if fewer than %s of requests succeed for %s", percent(ratio), injector.Duration(d)), StopRule{Ratio: ratio, For: d})
	return b
}

// StopIf ends the scenario at once if the condition of the rule holds.
func (b *Builder) StopIf(rule StopRule) *Builder {
	b.r.AddStopRule(b.beginStep("Given", "the run stops at once if %s", rule), rule)
	return b
}

// Steady declares the steady state.
func (b *Builder) Steady(conditions ...check.Steady) *Builder {
	b.r.Describe(b.beginStep("Given", "the steady state is:"))
	b.r.AddSteady(conditions...)
	return b
}

// addProblem reports an error, if there is one.
func (b *Builder) addProblem(at source.Pos, err error) {
	if err != nil {
		what, hint := source.Parts(err)
		b.r.AddProblem(at, what, hint)
	}
}

// EffectsFrom adds a place that applied effects are read from: a route such as "GET /ledger", or the name of a source in
// System.Effects. Each is judged by itself.
func (b *Builder) EffectsFrom(name string) *Builder {
	at := b.beginStep("Given", "applied effects are read from %q", name)
	b.addProblem(at, CheckEffectSource(name))
	b.r.ReadEffects(at, name)
	return b
}

// EffectsOnce makes effects be read after the load only once the answer to a route of a service contains a text. If it
// does not within the time in which effects settle, nothing is known about effects that are missing.
func (b *Builder) EffectsOnce(route, service, says string) *Builder {
	at := b.beginStep("Given", "effects are read once %q of %q says %q", route, service, says)
	method, path, err := source.ParseRoute(route)
	b.addProblem(at, err)
	b.r.ReadEffectsOnce(at, Convergence{Service: service, Method: method, Path: path, Says: says})
	return b
}

// EffectsOnceQuery is EffectsOnce for the query of a source in System.Effects, whose only row begins with the value.
func (b *Builder) EffectsOnceQuery(name, returns string) *Builder {
	at := b.beginStep("Given", "effects are read once the query of %q returns %q", name, returns)
	b.r.ReadEffectsOnce(at, Convergence{Source: name, Says: returns})
	return b
}

// EffectsOnceCommand is EffectsOnce for a command in System.Commands, whose output is the text, without white space
// around it.
func (b *Builder) EffectsOnceCommand(name, says string) *Builder {
	at := b.beginStep("Given", "effects are read once the command %q says %q", name, says)
	b.r.ReadEffectsOnce(at, Convergence{Command: name, Says: says})
	return b
}

// EffectsSettle sets how long after the load effects may still appear. The default is DefaultSettle.
func (b *Builder) EffectsSettle(within time.Duration) *Builder {
	at := b.beginStep("Given", "effects settle within %s", injector.Duration(within))
	if within <= 0 {
		b.r.AddProblem(at, codes.BadValue.Msgf("effects need a time above 0 to settle"), "write 30*time.Second, say")
	}
	b.r.SetSettle(at, within)
	return b
}

// Register declares a value that requests of one route write and requests of another read, for
// check.Linearizable.
func (b *Builder) Register(name, write, read string) *Builder {
	b.r.AddRegister(b.beginStep("Given", "%q writes and %q reads the register %q", write, read, name), Register{Name: name, Write: write, Read: read})
	return b
}

// Queue declares a queue that requests of one route put into and requests of another take from, for
// check.LinearizableQueue.
func (b *Builder) Queue(name, put, take string) *Builder {
	b.r.AddRegister(b.beginStep("Given", "%q puts into and %q takes from the queue %q", put, take, name), Register{Name: name, Write: put, Read: take, Queue: true})
	return b
}

// Set declares a set that requests of three routes add elements to, remove them from and look for them in, for
// check.LinearizableSet. The element is what the placeholders of a request stand for.
func (b *Builder) Set(name, add, remove, look string) *Builder {
	b.r.AddRegister(b.beginStep("Given", "%q adds to, %q removes from and %q looks into the set %q", add, remove, look, name), Register{Name: name, Write: add, Remove: remove, Read: look})
	return b
}

// Answers sets the statuses that a route of the load is expected to answer with. They acknowledge, and count as
// success. The default is any 2xx.
func (b *Builder) Answers(route string, statuses ...int) *Builder {
	var text []string
	for _, s := range statuses {
		text = append(text, strconv.Itoa(s))
	}
	at := b.beginStep("Given", "%q answers %s", route, strings.Join(text, " or "))
	if len(statuses) == 0 {
		b.r.AddProblem(at, codes.BadValue.Msgf("%q is expected to answer no status", route), "name at least one: 201")
	}
	for _, s := range statuses {
		if s < 100 || s > 599 {
			b.r.AddProblem(at, codes.BadValue.Msgf("%d is not a status of HTTP", s), "write one from 100 to 599")
		}
	}
	b.r.ExpectStatuses(at, route, slices.Clone(statuses))
	return b
}

// Means sets the meaning of answers with this status, overriding the table of Outcomes.
func (b *Builder) Means(status int, o Outcome) *Builder {
	is := "was "
	if o == NotKnown {
		is = "is "
	}
	b.r.SetMeaning(b.beginStep("Given", "status %d means that it %s%s", status, is, o), status, o)
	return b
}

// Inject injects a fault on a link or, if from is "", on the service to. It stays live until it is healed; For
// heals it after a time.
func (b *Builder) Inject(from, to string, f injector.Fault) *Builder {
	return b.Together(Placed{From: from, To: to, Fault: f})
}

// Together injects several faults at the same time.
func (b *Builder) Together(placed ...Placed) *Builder {
	text := "these faults run together:"
	if len(placed) == 1 {
		text = placed[0].Fault.Say(placed[0].From, placed[0].To)
	}
	b.r.InjectOnLinks(b.beginStep("When", "%s", text), 0, append([]Placed(nil), placed...)...)
	return b
}

// Partition cuts services, or groups of services, off from each other.
func (b *Builder) Partition(f injector.Partition) *Builder { return b.Together(Placed{Fault: f}) }

// For sets the duration of the last injection, after which it is healed.
func (b *Builder) For(d time.Duration) *Builder {
	at := caller()
	if b.r.step == nil {
		b.r.AddProblem(at, codes.WrongMoment.Msgf("For has no injection before it"), "call it right after Inject or Together")
		return b
	}
	in, ok := b.r.step.Do.(Inject)
	if !ok || d <= 0 {
		b.r.AddProblem(at, codes.WrongMoment.Msgf("For needs an injection before it, and a time above 0"), "call it right after Inject or Together")
		return b
	}
	if in.For == 0 {
		b.r.holdThenHeal(len(in.Faults), d)
	}
	in.For = d
	b.r.step.Do = in
	text, colon := strings.CutSuffix(b.r.step.Text, ":")
	text, though, is := strings.Cut(text, ", even though ")
	b.r.step.Text = text + " for " + injector.Duration(d)
	if is {
		b.r.step.Text += ", even though " + though
	}
	if colon {
		b.r.step.Text += ":"
	}
	return b
}

// Wait waits for the time d.
func (b *Builder) Wait(d time.Duration) *Builder {
	at := b.beginStep("When", "%s pass", injector.Duration(d))
	if d <= 0 {
		b.r.AddProblem(at, codes.BadValue.Msgf("a wait has to be above 0"), "write 2*time.Second, say")
	}
	b.r.Act(at, Wait{For: d})
	return b
}

// Heal heals the last fault that is live.
func (b *Builder) Heal() *Builder {
	b.r.Act(b.beginStep("When", "the fault is healed"), Heal{})
	return b
}

// HealAll heals all live faults in reverse order.
func (b *Builder) HealAll() *Builder {
	b.r.Act(b.beginStep("When", "all faults are healed"), Heal{All: true})
	return b
}

// Restart heals a crash or a stop of a service.
func (b *Builder) Restart(service string) *Builder {
	b.r.HealService(b.beginStep("When", "%q starts again", service), service, "starts again")
	return b
}

// Resume heals a hang of a service.
func (b *Builder) Resume(service string) *Builder {
	b.r.HealService(b.beginStep("When", "%q resumes", service), service, "resumes")
	return b
}

// Confirm asks the facilitator for a confirmation.
func (b *Builder) Confirm(what string) *Builder {
	b.r.Act(b.beginStep("When", "the facilitator confirms %q", what), Confirm{What: what})
	return b
}

// Ask sends a request to a service under load, such as "POST /promote". body may be "".
func (b *Builder) Ask(service, route, body string) *Builder {
	at := b.beginStep("When", "%q of %q is asked", route, service)
	a := Ask{Service: service, Body: body}
	var err error
	if a.Method, a.Path, err = source.ParseRoute(route); err != nil {
		what, hint := source.Parts(err)
		b.r.AddProblem(at, what, hint)
	}
	b.r.Ask(at, a)
	return b
}

// RunCommand runs a command of the system under load.
func (b *Builder) RunCommand(name string) *Builder {
	b.r.RunCommand(b.beginStep("When", "the command %q is run", name), name)
	return b
}

// Check adds checks. All faults are healed before the first one.
func (b *Builder) Check(checks ...check.Check) *Builder {
	for _, c := range checks {
		b.r.AddCheck(b.beginStep("Then", "%s", c.String()), c)
	}
	return b
}

// KnownToFail adds checks that are known to fail: the experiment passes as long as they do.
func (b *Builder) KnownToFail(checks ...check.Check) *Builder {
	b.Check(checks...)
	for _, c := range checks {
		b.r.KnownToFail(b.beginStep("And", "it is known that %q fails", c.String()), c.String())
	}
	return b
}

// Build validates the experiment as a whole and returns it. The error is of type Problems.
func (b *Builder) Build() (*Experiment, error) {
	b.r.Finish()
	b.r.CheckEnvironment(os.LookupEnv)
	if err := b.out.Err(); err != nil {
		return nil, err
	}
	return b.r.Experiment, nil
}

// percent formats a ratio as sentences do.
func percent(ratio float64) string { return strconv.FormatFloat(ratio*100, 'g', 6, 64) + "%" }
