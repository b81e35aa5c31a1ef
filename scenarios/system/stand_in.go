package system

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"golang.org/x/net/http/httpguts"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// StandIn is a service that Firedrill serves itself, over HTTP, in place of a dependency. Each request to one of its
// routes that may change something, and that is answered with a status below 400, is an effect; see EffectSource.
type StandIn struct {
	Routes []StandInRoute
	// Key says where requests carry the key of their effect: the name of a header, or a path in the JSON body such as
	// $.order.key. "" means the place at which requests of the load carry theirs.
	Key string
	// Once says, in the same way, where requests carry a key that makes them idempotent: a request with the same one
	// again gets the first answer and has no effect. "" means that none is.
	Once  string
	Value string // the path of the value of an effect in the JSON body; "" for none
}

// StandInRoute is an answer of a stand-in.
type StandInRoute struct {
	Method, Path string            // a part {name} of the path stands for any text without a slash
	Status       int               // 0 means 200
	Body         string            // may contain {{n}}, the number of the request from 1, and {{key}}
	Headers      map[string]string // Content-Type is application/json if there is a body and it is not set
	Delay        time.Duration     // from the effect to the answer
}

// Matches reports whether a request is one of the route.
func (r StandInRoute) Matches(method, path string) bool {
	want, got := strings.Split(r.Path, "/"), strings.Split(path, "/")
	return r.Method == method && slices.EqualFunc(want, got, func(w, g string) bool {
		return w == g || g != "" && strings.HasPrefix(w, "{") && strings.HasSuffix(w, "}")
	})
}

var (
	standInKeys      = []string{"routes", "key", "once", "value"}
	standInRouteKeys = []string{"status", "body", "headers", "delay"}
)

// standIn reads a stand-in.
func (r *reader) standIn(service string, v ast.Node) *StandIn {
	in := &StandIn{}
	r.Mapping(v, "stand_in", standInKeys, func(key string, v ast.Node, at source.Pos) {
		r.positions[service+"/stand_in "+key] = at
		switch key {
		case "key":
			in.Key = r.Text(v)
		case "once":
			in.Once = r.Text(v)
		case "value":
			in.Value = r.Text(v)
		case "routes":
			r.Mapping(v, "routes", nil, func(name string, v ast.Node, at source.Pos) {
				r.positions[service+"/stand_in "+name] = at
				route, err := r.standInRoute(name, v)
				if err != nil {
					what, hint := source.Parts(err)
					r.Out.Add(at, what, hint)
				}
				in.Routes = append(in.Routes, route)
			})
		}
	})
	return in
}

func (r *reader) standInRoute(name string, v ast.Node) (route StandInRoute, err error) {
	route.Method, route.Path, err = source.ParseRoute(name)
	r.Mapping(v, fmt.Sprintf("the route %q", name), standInRouteKeys, func(key string, v ast.Node, _ source.Pos) {
		switch key {
		case "status":
			if n, ok := v.(*ast.IntegerNode); ok {
				if status, ok := n.Value.(uint64); ok && status >= 200 && status <= 599 {
					route.Status = int(status)
					return
				}
			}
			r.Out.Add(r.At(v), codes.BadValue.Msgf("this is not a status of HTTP that ends a request"), "write a number from 200 to 599")
		case "body":
			route.Body = r.AnyText(v)
		case "delay":
			route.Delay = r.duration(v)
		case "headers":
			route.Headers = map[string]string{}
			r.Mapping(v, "headers", nil, func(name string, v ast.Node, _ source.Pos) { route.Headers[name] = r.Text(v) })
		}
	})
	return route, err
}

// standInPart matches a placeholder in the body of a stand-in's answer.
var standInPart = regexp.MustCompile(`\{\{[^{}]*\}\}`)

// validateStandIn validates the stand-in of a service, if there is one; see Validate.
func (s *System) validateStandIn(service Service, where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	in := service.StandIn
	if in == nil {
		return
	}
	at := func(key string) source.Pos { return where(service.Name, strings.TrimSpace("stand_in "+key)) }
	if len(service.Command) > 0 || service.Address != "" || service.Handler != nil {
		addProblem(at(""), codes.Contradiction.Msgf("%q is a stand-in, and has a command, an address or a handler as well", service.Name), "leave one out: a stand-in is served by Firedrill itself")
	}
	if service.Dir != "" || service.Env != nil || service.Ready != (Ready{}) || service.Stop != (Stopping{}) || service.Needs != "" {
		addProblem(at(""), codes.Unsupported.Msgf("%q is a stand-in, which is not a process", service.Name), "leave `dir`, `env`, `ready`, `stop` and `needs` out")
	}
	if len(in.Routes) == 0 {
		addProblem(at("routes"), codes.Missing.Msgf("the stand-in %q answers nothing", service.Name), `add routes: {"POST /charge": {status: 201, body: '{"id": {{n}}}'}}`)
	}
	for _, place := range []struct{ key, text string }{{"key", in.Key}, {"once", in.Once}} {
		if strings.HasPrefix(place.text, "$") {
			if _, err := source.ParseJSONPath(place.text); err != nil {
				what, hint := source.Parts(err)
				addProblem(at(place.key), what, hint)
			}
		} else if place.text != "" && !httpguts.ValidHeaderFieldName(place.text) {
			addProblem(at(place.key), codes.BadName.Msgf("%q cannot be the name of a header", place.text), "write a header such as Idempotency-Key, or a path in the JSON body such as $.order.key")
		}
	}
	if in.Value != "" {
		if _, err := source.ParseJSONPath(in.Value); err != nil {
			what, hint := source.Parts(err)
			addProblem(at("value"), what, hint)
		}
	}
	for i, route := range in.Routes {
		name := route.Method + " " + route.Path
		if slices.IndexFunc(in.Routes, func(o StandInRoute) bool { return o.Matches(route.Method, route.Path) }) < i {
			addProblem(at(name), codes.Duplicate.Msgf("the route %q is answered by an earlier one already", name), "leave it out, or put it first")
		}
		if strings.Contains(route.Path, "?") {
			addProblem(at(name), codes.BadValue.Msgf("%q has a query, and routes are told apart by their paths", name), "leave the query out")
		}
		for _, part := range standInPart.FindAllString(route.Body, -1) {
			if part != "{{n}}" && part != "{{key}}" {
				addProblem(at(name), codes.BadPlaceholder.Msgf("%q stands for nothing", part), "the placeholders of a stand-in are {{n}} and {{key}}")
			}
		}
		for header, value := range route.Headers {
			if !httpguts.ValidHeaderFieldName(header) || !httpguts.ValidHeaderFieldValue(value) {
				addProblem(at(name), codes.BadValue.Msgf("%q is not a header of HTTP", header+": "+value), "write a name and a value: {Retry-After: \"1\"}")
			}
		}
	}
	for _, l := range s.Links {
		switch {
		case l.From == service.Name:
			addProblem(where(l.Name(), ""), codes.Unsupported.Msgf("%q is a stand-in, which depends on nothing", service.Name), "leave `depends` out")
		case l.To == service.Name && !slices.Contains([]string{"http", "tcp", ""}, l.Protocol):
			addProblem(where(l.Name(), ""), codes.Unsupported.Msgf("the stand-in %q speaks HTTP/1.1, and the link %s speaks %s", service.Name, l.Name(), l.ProtocolName()), fmt.Sprintf("write depends: {%s: http}", service.Name))
		case l.To == service.Name && l.TLS != nil:
			addProblem(where(l.Name(), ""), codes.Unsupported.Msgf("the stand-in %q does not speak TLS", service.Name), "leave `tls` out")
		}
	}
}

// validateStandInSource validates a source that lists the effects of a stand-in.
func validateStandInSource(e EffectSource) (key string, what codes.Message, hint string) {
	if !IsName(e.At) {
		return "stand_in", codes.BadValue.Msgf("%q cannot be the name of a service", e.At), "name a service that has a stand_in"
	}
	return "", codes.Message{}, ""
}
