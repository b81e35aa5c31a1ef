package system

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// EffectSource is a place that lists effects and has a name in features: a table, a stream, a file, a list over HTTP.
type EffectSource struct {
	Name string
	Kind string // name of a row of effectKinds: "sql", "redis", "nats", "file", "http" or "stand_in"
	// At is where it is: a URL, a path, for http "orders GET /orders", or the name of a service for stand_in. It may contain ${address:service},
	// ${dir:service}, ${log:service} and ${env:NAME}.
	At       string
	Settings map[string]string `json:",omitempty"` // by the other keys of its kind
}

// effectKind is a row of the table of sources. Package runner/internal/effects has the readers, under the same names.
type effectKind struct {
	name     string
	settings []string // keys besides the name of the kind
	validate func(EffectSource) (key string, what codes.Message, hint string)
}

var effectKinds = []effectKind{
	{"sql", []string{"query", "driver"}, validateSQL},
	{"redis", []string{"stream", "hash", "list", "keys", "key", "id", "value"}, validateRedis},
	{"nats", []string{"stream", "key", "id", "value"}, validateNATS},
	{"file", []string{"format", "key", "id", "value"}, validateFile},
	{"http", []string{"items", "key", "id", "value", "next"}, validateHTTP},
	{"stand_in", nil, validateStandInSource},
}

// EffectKinds returns the names of the kinds of sources.
func EffectKinds() []string {
	var all []string
	for _, k := range effectKinds {
		all = append(all, k.name)
	}
	return all
}

// effectKeys returns the keys of all kinds.
func effectKeys() []string {
	all := EffectKinds()
	for _, k := range effectKinds {
		for _, key := range k.settings {
			if !slices.Contains(all, key) {
				all = append(all, key)
			}
		}
	}
	return all
}

// Effect returns the source of effects with a name.
func (s *System) Effect(name string) (EffectSource, bool) {
	i := slices.IndexFunc(s.Effects, func(e EffectSource) bool { return e.Name == name })
	if i < 0 {
		return EffectSource{}, false
	}
	return s.Effects[i], true
}

// EffectNames returns the names of the sources of effects.
func (s *System) EffectNames() []string {
	var all []string
	for _, e := range s.Effects {
		all = append(all, e.Name)
	}
	return all
}

// Reads reports whether the source is read at the address of a service.
func (e EffectSource) Reads(service string) bool {
	if e.Kind == "http" {
		name, _, _, err := e.Route()
		return err == nil && name == service
	}
	return strings.Contains(e.At, "${address:"+service+"}")
}

// Route returns the parts of the At of a source of the kind http.
func (e EffectSource) Route() (service, method, path string, err error) {
	service, route, _ := strings.Cut(e.At, " ")
	method, path, err = source.ParseRoute(route)
	return service, method, path, err
}

// effect reads a source of effects.
func (r *reader) effect(name string, v ast.Node, at source.Pos) {
	e := EffectSource{Name: name, Settings: map[string]string{}}
	r.positions[effects+name] = at
	var kinds []string
	before := len(r.Out.All)
	r.Mapping(v, fmt.Sprintf("the source of effects %q", name), effectKeys(), func(key string, v ast.Node, at source.Pos) {
		r.positions[effects+name+"/"+key] = r.At(v)
		if slices.Contains(EffectKinds(), key) {
			kinds, e.Kind, e.At = append(kinds, key), key, r.Text(v)
			return
		}
		e.Settings[key] = r.AnyText(v)
	})
	switch {
	case len(r.Out.All) > before:
	case len(kinds) != 1:
		r.Out.Add(at, codes.Contradiction.Msgf("the source of effects %q names %d places", name, len(kinds)), "write one of the keys "+strings.Join(EffectKinds(), ", "))
	default:
		r.sys.Effects = append(r.sys.Effects, e)
	}
}

// effects prefixes the positions of sources of effects. It cannot be the name of a service, since names have no slashes.
const effects = "effects/"

// sourcePlaceholders is a hint.
const sourcePlaceholders = "the placeholders of a source of effects are ${address:service} ${dir:service} ${log:service} ${env:NAME}"

// validateEffects validates the sources of effects; see Validate.
func (s *System) validateEffects(where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	for _, e := range s.Effects {
		at := func(key string) source.Pos { return where(effects+e.Name, key) }
		_, _, err := source.ParseRoute(e.Name)
		if strings.TrimSpace(e.Name) != e.Name || e.Name == "" || strings.ContainsAny(e.Name, `"`) || err == nil {
			addProblem(at(""), codes.BadName.Msgf("%q cannot be the name of a source of effects", e.Name), "write a name without quotes that is not a route, such as: orders table")
		}
		s.sourcePlaceholders(e, at, addProblem)
		i := slices.IndexFunc(effectKinds, func(k effectKind) bool { return k.name == e.Kind })
		if i < 0 {
			addProblem(at(""), codes.UnknownName.Msgf("there is no kind of source %q", e.Kind), source.DidYouMean(e.Kind, EffectKinds(), "kinds"))
			continue
		}
		misplaced := false
		for key := range e.Settings {
			if !slices.Contains(effectKinds[i].settings, key) {
				misplaced = true
				addProblem(at(key), codes.UnknownName.Msgf("a source of the kind %s has no key %q", e.Kind, key), source.DidYouMean(key, effectKinds[i].settings, "keys"))
			}
		}
		if misplaced {
			continue
		}
		if key, what, hint := effectKinds[i].validate(e); !what.None() {
			addProblem(at(key), what, hint)
		}
	}
}

// sourcePlaceholders validates the placeholders in the place of a source.
func (s *System) sourcePlaceholders(e EffectSource, at func(key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	_, err := Expand(e.At, func(name, arg string) (string, bool) {
		switch name {
		case "address", "dir", "log":
			if !slices.Contains(s.Names(), arg) {
				addProblem(at(e.Kind), codes.BadPlaceholder.Msgf("${%s:%s} is of no service", name, arg), source.DidYouMean(arg, s.Names(), "services"))
			}
			return "", true
		case "env":
			return "", isEnv(arg)
		}
		return "", false
	})
	if err != nil {
		what, _ := source.Parts(err)
		addProblem(at(e.Kind), what, sourcePlaceholders)
	}
	if i := slices.IndexFunc(s.Services, func(v Service) bool { return v.Name == e.At }); e.Kind == "stand_in" && (i < 0 || s.Services[i].StandIn == nil) {
		addProblem(at("stand_in"), codes.UnknownName.Msgf("no service %q has a stand_in", e.At), "name the service whose stand_in shall list its effects")
	}
	if service, _, _, err := e.Route(); e.Kind == "http" && err == nil && !slices.Contains(s.Names(), service) {
		addProblem(at("http"), codes.UnknownName.Msgf("there is no service %q", service), source.DidYouMean(service, s.Names(), "services"))
	}
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// isEnv reports whether a text can be the name of an environment variable.
func isEnv(name string) bool { return envName.MatchString(name) }

// validatePaths validates settings that are paths in JSON.
func validatePaths(e EffectSource, keys ...string) (key string, what codes.Message, hint string) {
	for _, key := range keys {
		if text, ok := e.Settings[key]; ok {
			if _, err := source.ParseJSONPath(text); err != nil {
				what, hint = source.Parts(err)
				return key, what, hint
			}
		}
	}
	return "", codes.Message{}, ""
}

// schemeIs reports whether the place is a URL with one of the schemes, or begins with an environment variable that may
// hold any.
func schemeIs(at string, schemes ...string) bool {
	if strings.HasPrefix(at, "${env:") {
		return true
	}
	scheme, _, ok := strings.Cut(at, ":")
	return ok && slices.Contains(schemes, scheme)
}

func validateSQL(e EffectSource) (key string, what codes.Message, hint string) {
	switch {
	case !schemeIs(e.At, "postgres", "postgresql", "sqlite"):
		return "sql", codes.BadValue.Msgf("%q is not the URL of a database", e.At), "write postgres://user@${address:db}/name, or sqlite:${dir:orders}/orders.db"
	case strings.TrimSpace(e.Settings["query"]) == "":
		return "", codes.Missing.Msgf("the source of effects %q has no query", e.Name), `add one whose columns are key and, if there is one, id: query: "select key, id from orders"`
	}
	if why := notOneQuery(e.Settings["query"]); why != "" {
		return "query", codes.BadValue.Message("the query " + why), "write one SELECT, WITH, TABLE or VALUES: it is run in a transaction that only reads"
	}
	return "", codes.Message{}, ""
}

func validateRedis(e EffectSource) (key string, what codes.Message, hint string) {
	const choose = "write one of stream, hash, list and keys"
	var kinds []string
	for _, kind := range []string{"stream", "hash", "list", "keys"} {
		if e.Settings[kind] != "" {
			kinds = append(kinds, kind)
		}
	}
	at := strings.NewReplacer("${", "", "}", "").Replace(e.At)
	switch {
	case strings.Contains(at, "://") && !schemeIs(e.At, "redis", "rediss"):
		return "redis", codes.BadValue.Msgf("%q is not the address of a Redis server", e.At), "write ${address:cache}, or redis://user:password@${address:cache}/0"
	case len(kinds) != 1:
		return "", codes.Contradiction.Msgf("the source of effects %q names %d keys of Redis", e.Name, len(kinds)), choose
	case kinds[0] == "keys" && (strings.Count(e.Settings["keys"], "*") != 1 || strings.ContainsAny(e.Settings["keys"], `?[]\`)):
		return "keys", codes.Missing.Msgf("the pattern %q does not say which part of a name is the key", e.Settings["keys"]), "write one * where the key stands: order:*"
	case kinds[0] == "keys" && (e.Settings["key"] != "" || e.Settings["id"] != "" || e.Settings["value"] != ""):
		return "", codes.Unsupported.Msgf("names of keys have no fields"), "leave `key`, `id` and `value` out: the key is what the * stands for"
	case kinds[0] == "hash" && e.Settings["key"] != "":
		return "key", codes.Unsupported.Msgf("the key of an entry of a hash is the name of its field"), "leave `key` out; `id` may be a path in the value, which is then JSON"
	case kinds[0] == "list" && (e.Settings["id"] != "" || e.Settings["value"] != "") && e.Settings["key"] == "":
		return "", codes.Unsupported.Msgf("without `key`, each entry of the list is a key itself and has no id and no value"), "add the path of the key in the value, which is then JSON: key: $.key"
	case kinds[0] == "stream":
		return "", codes.Message{}, "" // key and id are names of fields
	}
	return validatePaths(e, "key", "id", "value")
}

func validateNATS(e EffectSource) (key string, what codes.Message, hint string) {
	switch {
	case strings.Contains(e.At, "://") && !schemeIs(e.At, "nats", "tls"):
		return "nats", codes.BadValue.Msgf("%q is not the address of a NATS server", e.At), "write ${address:bus}, or nats://user:password@${address:bus}"
	case e.Settings["stream"] == "":
		return "", codes.Missing.Msgf("the source of effects %q names no stream", e.Name), "add the name of a stream of JetStream: stream: ORDERS"
	}
	return validatePaths(e, "key", "id", "value")
}

func validateFile(e EffectSource) (key string, what codes.Message, hint string) {
	format := e.Settings["format"]
	if format == "json" || format == "" {
		return validatePaths(e, "key", "id", "value")
	}
	pattern, err := regexp.Compile(format)
	switch {
	case err != nil:
		return "format", codes.BadValue.Msgf("%q is not a regular expression: %v", format, err), `write json, or an expression such as 'applied (?P<key>\S+) as (?P<id>\S+)'`
	case pattern.SubexpIndex("key") < 0:
		return "format", codes.BadValue.Msgf("%q has no group \"key\"", format), `mark the key: (?P<key>\S+)`
	case e.Settings["key"] != "" || e.Settings["id"] != "" || e.Settings["value"] != "":
		return "format", codes.BadValue.Msgf("a regular expression has the key, the id and the value in groups"), "leave `key`, `id` and `value` out"
	}
	return "", codes.Message{}, ""
}

func validateHTTP(e EffectSource) (key string, what codes.Message, hint string) {
	service, route, ok := strings.Cut(e.At, " ")
	if _, _, _, err := e.Route(); err != nil || !ok || !IsName(service) {
		return "http", codes.BadValue.Msgf("%q is not a service and a route of it", route), "write the service, the method and the path: orders GET /orders"
	}
	for _, key := range []string{"items", "next"} { // the list is read without keeping it, by the names of its fields
		if strings.Contains(e.Settings[key], "[") {
			return key, codes.BadValue.Msgf("%q has an index, and `%s` is a path of names", e.Settings[key], key), "write names with points between them, such as $.data.orders"
		}
	}
	if e.Settings["next"] == "Link" {
		return validatePaths(e, "items", "key", "id", "value")
	}
	return validatePaths(e, "items", "key", "id", "value", "next")
}
