package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// LoadKind is a row of the table of kinds of load that are not HTTP. How its requests are sent is a row of the same name
// in the runner's table.
type LoadKind struct {
	Name  string // of Route.Kind
	Word  string // a request in sentences, such as "command"; its plural has an s
	About string // what follows the word before a text in quotes, the Path of a route, such as "to the subject"; "" if there is none
	Means string // when a request is acknowledged, refused, or neither

	Syntax  Syntax                   // of the texts of its requests
	Headers bool                     // its requests can carry headers, and their key in one of them
	UDP     bool                     // requests are datagrams
	Framed  bool                     // a link to the service declares how messages are framed
	Local   bool                     // requests go to no service, and have no text
	Reads   func(r Route) bool       // reports whether requests of a route are read-only; nil means that none are
	Check   func(text string) error  // returns why a text cannot be sent; nil means that any can
	CheckOn func(about string) error // the same for the Path of a route; nil means that any can
}

// LoadKinds returns the table of kinds of load that are not HTTP.
func LoadKinds() []LoadKind {
	return []LoadKind{
		{Name: "redis", Word: "command", Means: "a reply acknowledges; an error reply says that the command was refused, but after a script it is not known",
			Syntax: Words, Reads: func(r Route) bool { return protocols.All().Find("redis").Reads(redisCommand(r.Body)) }, Check: checkRedis},
		{Name: "postgres", Word: "statement", Means: "the end of the statement acknowledges; an error says that it was rolled back, but after a COMMIT, a broken connection (08...) or a shutdown (57P0...) it is not known",
			Syntax: SQL, Reads: readsSQL, Check: checkSQL},
		{Name: "nats message", Word: "message", About: "to the subject", Means: "acknowledged when the server has it, which does not mean that a subscriber has",
			Headers: true, CheckOn: checkSubject},
		{Name: "nats request", Word: "request", About: "to the subject", Means: "a reply acknowledges, as that of a stream of JetStream that has stored the message; no responders, and an error of JetStream, refuse; an error of a service is not known",
			Headers: true, CheckOn: checkSubject},
		{Name: "lines", Word: "line", Means: "the line that comes back acknowledges, unless the scenario says what its beginning means", Check: checkLine},
		{Name: "lengths", Word: "length-prefixed message", Means: "the message that comes back acknowledges, unless the scenario says what its beginning means", Framed: true},
		{Name: "datagram", Word: "datagram", Means: "the first datagram that comes back to the socket acknowledges, unless the scenario says what its beginning means; a port that is closed refuses; where `datagrams are not answered`, it is never known", UDP: true},
		{Name: "grpc", Word: "call", About: "of", Means: "OK acknowledges; INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED, FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED and RESOURCE_EXHAUSTED refuse, and only the last is repeated; after ALREADY_EXISTS and ABORTED an earlier attempt may be done, and UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, UNKNOWN, INTERNAL and DATA_LOSS do not say what was done: it is not known",
			Syntax: JSON, Headers: true, CheckOn: checkMethod, Reads: readsMethod},
		{Name: FuncKind, Word: "call", About: "of the function", Means: "the function returns what is known", Local: true},
	}
}

// FuncKind is the kind of a load whose requests are made by a function of a Go program; see runner.Options.
const FuncKind = "function"

// KindOfLoad returns the row with a name. It returns false for "", which is HTTP.
func KindOfLoad(name string) (LoadKind, bool) {
	all := LoadKinds()
	i := slices.IndexFunc(all, func(k LoadKind) bool { return k.Name == name })
	if i < 0 {
		return LoadKind{}, false
	}
	return all[i], true
}

// Many returns what a number of requests is called: "commands".
func (k LoadKind) Many() string { return k.Word + "s" }

// AnswerMeaning is what an answer means that begins with a text.
type AnswerMeaning struct {
	Begins string
	Is     Outcome
}

// AnswerMeans returns the meaning of an answer of a load that is not HTTP, if one is defined.
func (l *Load) AnswerMeans(answer string) (AnswerMeaning, bool) {
	for _, m := range l.Answers {
		if strings.HasPrefix(answer, m.Begins) {
			return m, true
		}
	}
	return AnswerMeaning{}, false
}

// SetAnswerMeaning sets what answers that begin with a text mean. The first that matches applies.
func (r *Resolver) SetAnswerMeaning(at source.Pos, m AnswerMeaning) {
	r.Describe(at)
	if m.Begins == "" {
		r.AddProblem(at, codes.BadValue.Msgf("every answer begins with nothing"), "write the beginning of an answer: \"ERR\"")
	}
	if slices.ContainsFunc(r.rate.Answers, func(o AnswerMeaning) bool { return o.Begins == m.Begins }) {
		r.AddProblem(at, codes.Duplicate.Msgf("what answers that begin with %q mean was said before", m.Begins), "say it once")
	}
	r.rate.Answers = append(r.rate.Answers, m)
	r.answersAt = at
}

// LeaveUnanswered sets that datagrams of the load are not answered.
func (r *Resolver) LeaveUnanswered(at source.Pos) {
	r.Describe(at)
	r.setOnce(&r.unansweredAt, at, "that datagrams are not answered")
	r.rate.Unanswered = true
}

// InText means that {{key}} stands in the texts of requests that are not HTTP.
const InText KeyPlace = "text"

// longestName is the length of the longest name that is made of a text.
const longestName = 60

// nameOf returns the name of a route that is not HTTP: its title, what its requests are about, or else the beginning of their
// text, without the quotes that end names in sentences.
func (r Route) nameOf() string {
	if r.Title != "" {
		return r.Title
	}
	name := r.Path
	if name == "" {
		name = strings.Join(strings.Fields(r.Body), " ")
	}
	name = strings.ReplaceAll(name, `"`, "'")
	if utf8.RuneCountInString(name) > longestName {
		name = string([]rune(name)[:longestName-1]) + "…"
	}
	return name
}

// ReadOnly reports whether a single request of the route is read-only: by its method or, if it is not HTTP, as its kind
// says.
func (r Route) ReadOnly() bool {
	if r.Kind == "" {
		return journal.Safe(r.Name())
	}
	k, ok := KindOfLoad(r.Kind)
	return ok && k.Reads != nil && k.Reads(r)
}

// OtherKind returns the kind of the load if it is not HTTP.
func (l *Load) OtherKind() (LoadKind, bool) {
	for _, rt := range l.Mix {
		if rt.Kind != "" {
			return KindOfLoad(rt.Kind)
		}
	}
	return LoadKind{}, false
}

// NamesOther reports whether a name can be that of a route although it is none of HTTP: a load is of another kind.
func (r *Resolver) NamesOther(name string) bool {
	_, other := (&Load{Mix: r.allRoutes()}).OtherKind()
	return other && strings.TrimSpace(name) != ""
}

// CheckKind validates a route that is not HTTP.
func (r *Resolver) CheckKind(at source.Pos, rt Route) {
	k, ok := KindOfLoad(rt.Kind)
	switch {
	case !ok:
		var names []string
		for _, k := range LoadKinds() {
			names = append(names, k.Name)
		}
		r.AddProblem(at, codes.UnknownName.Msgf("there is no kind of load %q", rt.Kind), source.DidYouMean(rt.Kind, names, "kinds of load"))
		return
	case rt.Name() == "":
		r.AddProblem(at, codes.BadValue.Message("a "+k.Word+" is empty"), "write the "+k.Word+" to send")
		return
	case k.About != "" && strings.TrimSpace(rt.Path) == "":
		r.AddProblem(at, codes.Missing.Msgf("it is not known what the %s are about", k.Many()), fmt.Sprintf("write it in quotes: %s %s %q", k.Many(), k.About, "name"))
	case rt.Method != "":
		r.AddProblem(at, codes.Unsupported.Msgf("a %s has no method %q", k.Word, rt.Method), "leave Method out")
	case len(rt.Then) > 0 || len(rt.Keep) > 0:
		r.AddProblem(at, codes.Unsupported.Msgf("a chain consists of requests over HTTP"), "leave Then and Keep out")
	}
	for _, check := range []struct {
		of   func(string) error
		text string
	}{{k.Check, rt.Body}, {k.CheckOn, rt.Path}} {
		if check.of == nil {
			continue
		}
		if err := check.of(check.text); err != nil {
			r.addError(at, err)
		}
	}
}

// finishKinds validates loads that are not HTTP, and reports sentences that have no meaning for any load.
func (r *Resolver) finishKinds() {
	var kinds []LoadKind
	for i, l := range r.Loads() {
		if k, ok := l.OtherKind(); ok {
			kinds = append(kinds, k)
			r.finishKind(r.positionOf(i), l, k)
		}
	}
	if len(kinds) == 0 && len(r.Load.Answers) > 0 {
		r.AddProblem(r.answersAt, codes.Unsupported.Msgf("the meaning of answers over HTTP is that of their status"), "write: status 503 means that it was refused")
	}
	r.finishUnanswered(kinds)
	if len(kinds) == 0 {
		return
	}
	refuse := func(at source.Pos, what string) {
		if at != (source.Pos{}) {
			r.AddProblem(at, codes.Unsupported.Msgf("%s, and %s", what, consistsOf(kinds)), "leave this out")
		}
	}
	onHTTP := overHTTP(r.Loads())
	if !onHTTP {
		refuse(r.cookiesAt, "only HTTP has cookies")
		refuse(r.redirectsAt, "only HTTP has redirects")
		refuse(r.meansAt, "only HTTP has such statuses")
		refuse(r.policyAt.retryAfter, "only HTTP has Retry-After")
		refuse(r.connectionsAt, "this is about connections of HTTP")
		for _, e := range r.expects {
			refuse(e.at, "only HTTP has such statuses")
		}
	}
	if !onHTTP && !slices.ContainsFunc(kinds, func(k LoadKind) bool { return k.Headers }) {
		for i := range r.Load.Headers {
			refuse(r.headerAt(r.Load, i), "they have no headers")
		}
	}
	for i, c := range r.Checks {
		at, n := r.checkPositions[i], c.Kind().Needs
		others := slices.ContainsFunc(r.about(n), func(l *Load) bool { _, other := l.OtherKind(); return other })
		switch {
		case others && (n.Probe == check.OtherBody || n.Pairs || n.Statuses):
			refuse(at, "this is about statuses of HTTP")
		case n.Fallback && others && !overHTTP(r.about(n)):
			refuse(at, "only answers over HTTP are marked as fallbacks")
		case n.Register != "" && !onHTTP:
			refuse(at, "only requests over HTTP write and read registers")
		}
	}
}

// consistsOf describes the loads that are not HTTP.
func consistsOf(kinds []LoadKind) string {
	if len(kinds) == 1 {
		return "the load consists of " + kinds[0].Many()
	}
	var all []string
	for _, k := range kinds {
		all = append(all, k.Many())
	}
	slices.Sort(all)
	return "loads consist of " + strings.Join(slices.Compact(all), " and ")
}

// finishKind validates a load that is not HTTP, and sets where its requests carry their keys.
func (r *Resolver) finishKind(at source.Pos, l *Load, k LoadKind) {
	seen := map[string]bool{}
	for _, rt := range l.Mix {
		switch {
		case rt.Kind != k.Name:
			r.AddProblem(at, codes.Unsupported.Msgf("%q is no %s, and a load consists of one kind", rt.Name(), k.Word), "take requests of one kind")
		case seen[rt.Name()]:
			r.AddProblem(at, codes.Duplicate.Msgf("two %s are named %q", k.Many(), rt.Name()), "give them names of their own, in a column name")
		}
		seen[rt.Name()] = true
	}
	if o := r.own[l.Name]; o != nil && len(o.headers) > 0 && !k.Headers {
		r.AddProblem(o.headersAt[0], codes.Unsupported.Msgf("the %q load consists of %s, which have no headers", l.Name, k.Many()), "leave this out")
	}
	switch key := l.Key; {
	case k.carries(key), key.In == InText && l.textsHold(k):
	case key == Key{} || r.keyPosition(l) == r.keyAt && r.carried(key):
		if l.Key = (Key{}); l.textsHold(k) {
			l.Key = Key{In: InText}
		}
	case key.In == InText:
		r.AddProblem(r.keyPosition(l), codes.Missing.Msgf("no %s contains the key", k.Word), "write {{key}} where it belongs")
	default:
		r.AddProblem(r.keyPosition(l), codes.BadValue.Msgf("a %s carries its key where {{key}} stands", k.Word), fmt.Sprintf("leave this out, and write {{key}} into the %s", k.Word))
	}
	for _, rt := range l.Mix {
		if alone := (&Load{Mix: []Route{rt}}); l.Key.In == InText && !k.Local && l.Changes(rt) && !alone.holds(KeyPart) {
			r.AddProblem(at, codes.Missing.Msgf("%q changes something and does not contain the key, which other %s do", rt.Name(), k.Many()), "write {{key}} into it, too, so that its effect can be told from others")
		}
	}
}

// carries reports whether requests of the kind can carry a key outside of their texts.
func (k LoadKind) carries(key Key) bool {
	return key.In == InHeader && k.Headers || key.In == InBody && k.Syntax == JSON
}

// textsHold reports whether requests of the load hold their key in a text. Those of functions have it.
func (l *Load) textsHold(k LoadKind) bool { return k.Local || (&Load{Mix: l.Mix}).holds(KeyPart) }

// carried reports whether requests of some load carry the key that the sentence of the scenario states: those of others
// hold it in their texts, or have none.
func (r *Resolver) carried(key Key) bool {
	return key.In != InText && slices.ContainsFunc(r.Loads(), func(l *Load) bool {
		k, other := l.OtherKind()
		return !other || k.carries(key)
	})
}

// finishUnanswered validates loads whose requests are not answered. kinds are those of all loads that are not HTTP.
func (r *Resolver) finishUnanswered(kinds []LoadKind) {
	if !r.Load.Unanswered {
		return
	}
	at := cmp.Or(r.unansweredAt, r.loadAt)
	refuse := func(at source.Pos, what string) {
		if at != (source.Pos{}) {
			r.AddProblem(at, codes.Unsupported.Message(what+", and nothing is answered"), "leave this out, or leave out that datagrams are not answered")
		}
	}
	switch sent := slices.ContainsFunc(kinds, func(k LoadKind) bool { return k.UDP }); {
	case !sent && len(kinds) > 0:
		r.AddProblem(at, codes.Unsupported.Msgf("%s, and only datagrams may be left unanswered", consistsOf(kinds)), "leave this out")
	case !sent:
		r.AddProblem(at, codes.Unsupported.Msgf("the load sends no datagrams"), `send some: 200 datagrams are sent to "metrics", 10 at a time`)
	}
	for _, l := range r.Loads() {
		if k, _ := l.OtherKind(); !k.UDP {
			l.Unanswered = false
		}
	}
	answered := func(loads []*Load) bool {
		return len(loads) == 0 || slices.ContainsFunc(loads, func(l *Load) bool { return !l.Unanswered })
	}
	if !answered(r.Loads()) {
		refuse(r.retryAt, "clients retry what was not answered")
		refuse(r.policyAt.hedge, "clients wait for an answer before they send again")
		refuse(r.giveUpAt, "clients wait for no answer that they could give up on")
		refuse(r.answersAt, "this is about answers")
	}
	for i, c := range r.Checks {
		if n := c.Kind().Needs; !answered(r.about(n)) && (c.Kind().ByLoad != "" || n.Probe != "" || n.Pairs) {
			refuse(r.checkPositions[i], "this asks about answers")
		}
	}
}

// dropRetries takes the policy of clients from loads that are not answered.
func (r *Resolver) dropRetries() {
	for _, l := range r.Loads() {
		if l.Unanswered {
			l.Retries, l.Policy = 0, RetryPolicy{}
		}
	}
}

// allRoutes returns the routes of all loads.
func (r *Resolver) allRoutes() (all []Route) {
	for _, l := range r.Loads() {
		all = append(all, l.Mix...)
	}
	return all
}
