package scenarios

import (
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Load defines the requests of clients. If all shares are 0, they become equal. Build sets Service, Marker and
// FallbackIsSuccess if they are zero. The requests of a counted load are sent by Send.
//
// A scenario may have several loads if each has a Name. Those after the first take the settings of clients from it, such
// as retries, so that of theirs only Name, Shape, Rate, Users, Think, Mix, Key and Headers may be set. A Key replaces that of
// the first load, and Headers are added to those of the first.
func (b *Builder) Load(l Load) *Builder {
	var routes []string
	for i := range l.Mix {
		routes = append(routes, strconv.Quote(l.Mix[i].Name()))
	}
	what := "a steady load"
	if l.Name != "" {
		what = fmt.Sprintf("the %q load", l.Name)
	}
	says := fmt.Sprintf("%s of %g requests per second on %s", what, l.Rate, strings.Join(routes, ", "))
	switch l.Shape {
	case Closed:
		says = fmt.Sprintf("%s ask %s", counted(l.Users, "user"), strings.Join(routes, ", "))
		if l.Name != "" {
			says = fmt.Sprintf("%s of %s asking %s", what, counted(l.Users, "user"), strings.Join(routes, ", "))
		}
		if l.Think > 0 {
			says += ", thinking " + injector.Duration(l.Think) + " in between"
		}
	case Counted:
		says = "requests on " + strings.Join(routes, ", ")
	}
	at := b.beginStep("Given", "%s", says)
	l.Mix = equalShares(l.Mix)
	b.r.Describe(at)
	b.r.NameLoad(l.Name)
	defer b.r.NameLoad("")
	if b.r.Load == nil {
		if l.Means == nil {
			l.Means = b.r.rate.Means // set by earlier calls of Means
		}
		if l.Copies == nil {
			l.Copies = b.r.rate.Copies // set by an earlier call of Split
		}
		b.r.rate = &l
	} else if settings := (Load{Name: l.Name, Shape: l.Shape, Rate: l.Rate, Users: l.Users, Think: l.Think, Mix: l.Mix, Key: l.Key, Headers: l.Headers}); l.Name != "" && !reflect.DeepEqual(l, settings) {
		b.r.AddProblem(at, codes.Contradiction.Msgf("the %q load sets how clients behave, which the first load does for all", l.Name), "set only Name, Shape, Rate, Users, Think, Mix, Key and Headers, and the rest in the first load")
	} else if l.Name != "" {
		if l.Key != (Key{}) {
			b.r.SetKey(at, at, l.Key)
		}
		for _, h := range l.Headers {
			b.r.AddHeader(at, h)
		}
	}
	set := b.r.setLoad(at, l.Shape, l.Mix)
	set.Rate, set.Users, set.Think = l.Rate, l.Users, l.Think
	if !b.r.StepFailed() {
		b.r.validateLoad(at, set)
	}
	return b
}

// Change changes the rate of the load that the change names, at once or over a time: a ChangeLoad, SpikeLoad, SwingLoad or
// ReplayLoad. From has to be the rate before it, and is set for a SwingLoad. Without a name it is the only load.
func (b *Builder) Change(c RateChange) *Builder {
	if b.r.naming = c.Of(); b.r.naming != "" {
		defer func() { b.r.naming = "" }()
	}
	switch c := c.(type) {
	case ChangeLoad:
		return b.ChangeLoad(c.From, c.To, c.Over)
	case SpikeLoad:
		return b.SpikeLoad(c.From, c.To, c.For)
	case SwingLoad:
		return b.SwingLoad(c.Low, c.High, c.Every)
	case ReplayLoad:
		at := b.beginStep("When", "%s follows the rates in %q", b.r.theLoad(), c.File)
		if len(c.Rates) < 2 || c.Rates[0].At != 0 {
			b.r.AddProblem(at, codes.Missing.Msgf("a recording needs two rates or more, the first at second 0"), "read it with ReadRates")
			return b
		}
		b.r.ChangeRate(at, at, nil, c)
	}
	return b
}

// LoadFunc defines an open load whose requests a function makes: that of this name in runner.Options. Load defines others,
// with routes of the kind FuncKind whose Path is the name.
func (b *Builder) LoadFunc(rate float64, name string) *Builder {
	return b.Load(Load{Rate: rate, Mix: []Route{{Kind: FuncKind, Path: name}}})
}

// equalShares sets equal shares if no route has one.
func equalShares(mix []Route) []Route {
	mix = append([]Route(nil), mix...)
	for i := range mix {
		mix[i].Then = slices.Clone(mix[i].Then) // Build completes it
	}
	for _, r := range mix {
		if r.Share != 0 {
			return mix
		}
	}
	for i := range mix {
		mix[i].Share = 1 / float64(len(mix))
	}
	return mix
}

// Split splits the requests for a service between it and an untouched copy of it, for check.SucceedsAsControl and
// check.FastAsControl. It is called before or after Load.
func (b *Builder) Split(service, control string) *Builder {
	b.r.SplitLoad(b.beginStep("Given", "the load is split between %q and its untouched copy %q", service, control), service, control)
	return b
}

// Baseline sets how long the steady state is measured. The default is 5 s.
func (b *Builder) Baseline(d time.Duration) *Builder {
	b.r.SetBaseline(b.beginStep("Given", "a baseline is measured for %s", injector.Duration(d)), d)
	return b
}

// ChangeLoad changes the rate from one value to another. If over is 0, it changes immediately.
func (b *Builder) ChangeLoad(from, to float64, over time.Duration) *Builder {
	text := fmt.Sprintf("%s changes from %g to %g requests per second", b.r.theLoad(), from, to)
	if over > 0 {
		text += " over " + injector.Duration(over)
	}
	at := b.beginStep("When", "%s", text)
	b.r.ChangeRate(at, at, &from, ChangeLoad{From: from, To: to, Over: over})
	return b
}

// SpikeLoad changes the rate from one value to another at once, and back after the time d.
func (b *Builder) SpikeLoad(from, to float64, d time.Duration) *Builder {
	at := b.beginStep("When", "%s spikes from %g to %g requests per second for %s", b.r.theLoad(), from, to, injector.Duration(d))
	if d <= 0 {
		b.r.AddProblem(at, codes.BadValue.Msgf("a spike has to last longer than 0"), "write 5*time.Second, say")
	}
	b.r.ChangeRate(at, at, &from, SpikeLoad{From: from, To: to, For: d})
	return b
}

// SwingLoad lets the rate swing between two values, as a sine with this period, from its present value on.
func (b *Builder) SwingLoad(low, high float64, every time.Duration) *Builder {
	at := b.beginStep("When", "%s swings between %g and %g requests per second every %s", b.r.theLoad(), low, high, injector.Duration(every))
	if low < 0 || every <= 0 {
		b.r.AddProblem(at, codes.BadValue.Msgf("a swing has to have rates from 0 up and a period above 0"), "write 20*time.Second, say")
	}
	b.r.SwingLoad(at, at, SwingLoad{Low: low, High: high, Every: every})
	return b
}

// ReplayLoad lets the rate follow the recording in a file of lines "second,rate"; see ReadRates.
func (b *Builder) ReplayLoad(fsys fs.FS, name string) *Builder {
	at := b.beginStep("When", "the load follows the rates in %q", name)
	b.r.ReplayLoad(at, at, name, func(name string) ([]byte, error) { return source.ReadFile(fsys, name, MaxRecording) })
	return b
}

// Send sends so many requests of the only load, which is counted, atATime of them at once, and waits until all have ended.
func (b *Builder) Send(requests, atATime int) *Builder { return b.SendOf("", requests, atATime) }

// SendOf is the same for the counted load with a name.
func (b *Builder) SendOf(load string, requests, atATime int) *Builder {
	of := ""
	if load != "" {
		of = fmt.Sprintf(" of the %q load", load)
	}
	at := b.beginStep("When", "%s%s are sent, %d at a time", counted(requests, "request"), of, atATime)
	if requests < 1 || atATime < 1 || atATime > min(requests, MaxUsers) {
		b.r.AddProblem(at, codes.BadValue.Msgf("%d requests cannot be sent %d at a time", requests, atATime), fmt.Sprintf("send one or more, at most all of them and %d at a time", MaxUsers))
	}
	if len(b.r.loadsOf(load)) == 0 {
		b.r.AddProblem(at, codes.Missing.Msgf("it is not known which requests to send"), "call Load before, with Shape: Counted and a Mix")
		return b
	}
	b.r.NameLoad(load)
	defer b.r.NameLoad("")
	b.r.SendRequests(at, SendRequests{Requests: requests, AtATime: atATime})
	return b
}

// StopLoad stops the load. With names, it stops the loads that have them.
func (b *Builder) StopLoad(names ...string) *Builder {
	if len(names) == 0 {
		b.r.StopLoad(b.beginStep("When", "the load stops"))
	}
	for _, name := range names {
		b.r.naming = name
		b.r.StopLoad(b.beginStep("When", "%s stops", b.r.theLoad()))
		b.r.naming = ""
	}
	return b
}

// theLoad names the load of the current statement.
func (r *Resolver) theLoad() string {
	if r.naming == "" {
		return "the load"
	}
	return fmt.Sprintf("the %q load", r.naming)
}

// validateLoad validates a load that was not defined by a sentence.
func (r *Resolver) validateLoad(at source.Pos, l *Load) {
	sum := 0.0
	for _, rt := range l.Mix {
		sum += rt.Share
	}
	for rt := range l.requests() {
		if rt.Kind != "" {
			r.CheckKind(at, *rt)
		} else if _, _, err := source.ParseRoute(rt.Name()); err != nil {
			what, hint := source.Parts(err)
			r.AddProblem(at, what, hint)
		}
	}
	switch {
	case len(l.Mix) == 0:
		r.AddProblem(at, codes.Missing.Msgf("the load has no routes"), "say what it asks for: Mix")
	case sum < 0.999 || sum > 1.001:
		r.AddProblem(at, codes.BadValue.Msgf("the shares sum to %s", percent(sum)), "they have to make 1")
	}
	r.validateShape(at, l)
	r.checkKey(at, at)
}

// validateShape validates what the shape of a load needs.
func (r *Resolver) validateShape(at source.Pos, l *Load) {
	switch l.Shape {
	case Open:
		if l.Rate <= 0 {
			r.AddProblem(at, codes.BadValue.Msgf("the load's rate has to be above 0"), "set Rate, in requests per second")
		}
	case Closed:
		if l.Users < 1 || l.Users > MaxUsers {
			r.AddProblem(at, codes.BadValue.Msgf("%d users cannot ask", l.Users), fmt.Sprintf("set Users from 1 to %d", MaxUsers))
		}
		if l.Think < 0 {
			r.AddProblem(at, codes.BadValue.Msgf("users cannot think for less than no time"), "set Think to 0 or more")
		}
	case Counted:
	default:
		r.AddProblem(at, codes.BadValue.Msgf("a load has no shape %q", l.Shape), "take scenarios.Open, Closed or Counted")
	}
	if l.Shape != Open && l.Rate != 0 {
		r.AddProblem(at, codes.BadValue.Msgf("a %s load has no rate", l.Shape), "leave Rate out")
	}
	if l.Shape != Closed && (l.Users != 0 || l.Think != 0) {
		r.AddProblem(at, codes.BadValue.Msgf("only a closed load has users who think"), "set Shape: scenarios.Closed, or leave Users and Think out")
	}
}
