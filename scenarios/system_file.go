package scenarios

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// The keys of a system file, for each of its mappings; system.schema.json has the same.
var (
	systemKeys  = []string{"services", "clients", "groups", "fallback", "fallback_is_success"}
	serviceKeys = []string{"command", "env", "dir", "port", "ready", "address", "serves", "needs", "install", "depends"}
	clientsKeys = []string{"depends"}
	readyKeys   = []string{"tcp", "http", "line", "within"}
	linkKeys    = []string{"protocol", "listen", "tls", "upstream_ca", "upstream_insecure", "proxy_protocol"}
)

// ReadSystem reads a system file. The error is of type Problems when the file can be read and is wrong.
//
// The file is strict: unknown keys, wrong types and keys that stand there twice are errors. Schema is its JSON Schema.
func ReadSystem(fsys fs.FS, name string) (System, error) { return readSystem(fsys, name, nil) }

// readSystem reads a file; services named in handlers need no command.
func readSystem(fsys fs.FS, name string, handlers []string) (System, error) {
	raw, err := fs.ReadFile(fsys, name)
	if err != nil {
		return System{}, err
	}
	r := &reader{file: name, lines: strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"), places: map[string]place{}}
	r.sys.File, r.sys.Dir = name, path.Dir(name)
	r.read(raw, handlers)
	return r.sys, r.out.err()
}

// reader walks a system file and notes where things stand. It walks the syntax tree, because a decoder tells only the first mistake.
type reader struct {
	file   string
	lines  []string
	out    complaints
	sys    System
	places map[string]place
}

func (r *reader) read(raw []byte, handlers []string) {
	doc, err := parser.ParseBytes(raw, 0)
	if err != nil {
		r.syntax(err)
		return
	}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		r.out.add(place{file: r.file, line: 1}, "the file is empty", "describe at least one service under `services`")
		return
	}
	if len(doc.Docs) > 1 {
		r.out.add(r.at(doc.Docs[1].Body), "the file holds a second document", "leave one of them out")
	}
	r.mapping(doc.Docs[0].Body, "the system", systemKeys, r.system)
	if len(r.sys.Services) == 0 && len(r.out.list) == 0 {
		r.out.add(place{file: r.file, line: 1}, "the file describes no service", "describe at least one under `services`")
	}
	for i, s := range r.sys.Services {
		if slices.Contains(handlers, s.Name) {
			r.sys.Services[i].Command, r.sys.Services[i].Address = nil, ""
		}
	}
	if len(r.sys.Services) > 0 {
		r.sys.sound(handlers, r.where, r.out.add)
	}
}

func (r *reader) system(key string, v ast.Node, at place) {
	switch key {
	case "services":
		r.mapping(v, "services", nil, r.service)
	case "clients":
		r.mapping(v, "clients", clientsKeys, func(_ string, v ast.Node, _ place) { r.depends(Clients, v) })
	case "groups":
		r.mapping(v, "groups", nil, r.group)
	case "fallback":
		h, err := parseHeader(r.text(v))
		if err != nil {
			r.blame(v, err)
			return
		}
		r.sys.Fallback = h
	case "fallback_is_success":
		r.sys.FallbackIsSuccess = r.truth(v)
	}
}

func (r *reader) service(name string, v ast.Node, at place) {
	s := Service{Name: name}
	r.places[name] = at
	known := r.mapping(v, fmt.Sprintf("the service %q", name), serviceKeys, func(key string, v ast.Node, at place) {
		r.places[name+"/"+key] = at
		switch key {
		case "command":
			s.Command = r.command(name, v)
		case "env":
			s.Env = map[string]string{}
			r.mapping(v, "env", nil, func(key string, v ast.Node, at place) {
				r.places[name+"/env "+key] = r.at(v)
				s.Env[key] = r.text(v)
			})
		case "dir":
			s.Dir = r.text(v)
		case "port":
			s.Port = r.port(v)
		case "ready":
			s.Ready = r.ready(v)
		case "address":
			var err error
			if s.Address, err = parseAddress(r.text(v)); err != nil {
				r.blame(v, err)
			}
		case "serves":
			s.Serves = r.prefixes(v)
		case "needs":
			s.Needs = r.text(v)
		case "install":
			s.Install = r.text(v)
		case "depends":
			r.depends(name, v)
		}
	})
	if s.Install != "" && s.Needs == "" {
		r.out.add(r.where(name, "install"), "`install` without `needs`: nobody knows what it is for", "name the program in `needs`")
	}
	if !known {
		s.Address = "unknown" // so that one mistake is told once
	}
	r.sys.Services = append(r.sys.Services, s)
}

// command is a list of arguments.
func (r *reader) command(service string, v ast.Node) []string {
	if _, isList := v.(*ast.SequenceNode); !isList {
		if s, ok := v.(*ast.StringNode); ok {
			r.out.add(r.at(v), "a command is a list of arguments, not a line for a shell", `write a list: ["`+strings.Join(strings.Fields(s.Value), `", "`)+`"]`)
			return []string{s.Value}
		}
	}
	args := r.list(v, func(i int, v ast.Node) { r.places[fmt.Sprintf("%s/command %d", service, i)] = r.at(v) })
	if len(args) == 0 || args[0] == "" {
		r.out.add(r.at(v), "the command is empty", "write a list: the program, then its arguments")
	}
	return args
}

func (r *reader) ready(v ast.Node) Ready {
	var ready Ready
	set := 0
	r.mapping(v, "ready", readyKeys, func(key string, v ast.Node, at place) {
		if key != "within" {
			set++
		}
		switch key {
		case "tcp":
			if ready.TCP = r.truth(v); !ready.TCP {
				r.out.add(r.at(v), "`tcp: false` says nothing", "leave it out, or say how else to know that the service is ready")
			}
		case "http":
			if ready.HTTP = r.text(v); !strings.HasPrefix(ready.HTTP, "/") {
				r.out.add(r.at(v), fmt.Sprintf("%q is not a path", ready.HTTP), "write a path on the service, such as /livez")
			}
		case "line":
			ready.Line = r.text(v)
			if _, err := regexp.Compile(ready.Line); err != nil {
				r.out.add(r.at(v), fmt.Sprintf("%q is not a regular expression: %v", ready.Line, err), "write a part of the line, with a backslash before ( ) [ ] . * + ?")
			}
		case "within":
			ready.Within = r.duration(v)
		}
	})
	if set > 1 {
		r.out.add(r.at(v), "`ready` says more than one way to know", "choose one of tcp, http, line")
	}
	return ready
}

// depends reads the links of a service: a mapping from dependency to protocol, or to the link's own keys; or a list of names.
func (r *reader) depends(from string, v ast.Node) {
	add := func(l Link, at place) {
		r.places[l.Name()] = at
		r.sys.Links = append(r.sys.Links, l)
	}
	if _, isList := v.(*ast.SequenceNode); isList {
		var places []place
		names := r.list(v, func(_ int, v ast.Node) { places = append(places, r.at(v)) })
		for i, to := range names {
			if slices.Index(names, to) < i {
				r.out.add(places[i], fmt.Sprintf("%q stands there twice", to), "leave it out")
				continue
			}
			add(Link{From: from, To: to}, places[i])
		}
		return
	}
	r.mapping(v, "depends", nil, func(to string, v ast.Node, at place) {
		l := Link{From: from, To: to}
		r.places[l.Name()+"/protocol"] = r.at(v)
		if s, ok := v.(*ast.StringNode); ok {
			l.Protocol = s.Value
		} else {
			r.link(&l, v)
		}
		add(l, at)
	})
}

func (r *reader) prefixes(v ast.Node) []string {
	return r.list(v, func(_ int, v ast.Node) {
		if s, ok := v.(*ast.StringNode); ok && !strings.HasPrefix(s.Value, "/") {
			r.out.add(r.at(v), fmt.Sprintf("%q is not a path", s.Value), "write the beginning of a path, such as /orders")
		}
	})
}

// where tells where a service, a link or a key of one stands.
func (r *reader) where(name, key string) place {
	if at, ok := r.places[name+"/"+key]; ok && key != "" {
		return at
	}
	if at, ok := r.places[name]; ok {
		return at
	}
	return place{file: r.file, line: 1}
}

// syntax tells of a file that is no YAML.
func (r *reader) syntax(err error) {
	at, what := place{file: r.file, line: 1}, err.Error()
	var e yaml.Error
	if asYAML(err, &e) {
		what = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			at = r.spot(t.Position.Line, t.Position.Column)
		}
	}
	hint := "check indentation, quotes and brackets"
	if strings.Contains(what, "already defined") {
		hint = "leave one of them out"
	}
	r.out.add(at, strings.TrimSpace(what), hint)
}

func (r *reader) duration(v ast.Node) time.Duration {
	t, err := parseDuration(r.text(v))
	if err != nil {
		r.blame(v, err)
	}
	return t
}
