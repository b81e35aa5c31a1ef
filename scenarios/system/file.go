package system

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// The keys of the mappings in a system file. They must match system.schema.json.
var (
	systemKeys  = []string{"services", "clients", "groups", "effects", "fallback", "fallback_in_body", "fallback_is_success", "protections", "probes", "commands", "quarantine", "stop", "limits", "allow"}
	serviceKeys = []string{"command", "env", "dir", "files", "port", "ready", "stop", "data", "address", "stand_in", "login", "proto", "serves", "needs", "install", "depends"}
	clientsKeys = []string{"depends"}
	readyKeys   = []string{"tcp", "http", "line", "within"}
	stopKeys    = []string{"signal", "within"}
	dataKeys    = []string{"folder", "size"}
	linkKeys    = []string{"protocol", "port", "framing", "listen", "tls", "upstream_ca", "upstream_insecure", "proxy_protocol", "toxiproxy"}
)

// Read reads a system file. The error is of type Problems if the file could be read but is not valid. Services
// named in handlers need no command. Links can have the protocols of the table.
//
// Parsing is strict: unknown keys, wrong types and duplicate keys are errors. Schema returns the JSON Schema of
// the file.
func Read(fsys fs.FS, name string, handlers []string, table protocols.Table) (System, error) {
	r, err := readFile(fsys, name, handlers, table)
	if err != nil {
		return System{}, err
	}
	return r.sys, r.Out.Err()
}

// readFile returns a reader that has read a file, with the problems in it. The error is that of reading.
func readFile(fsys fs.FS, name string, handlers []string, table protocols.Table) (*reader, error) {
	r := &reader{fsys: fsys, protocols: table, positions: map[string]source.Pos{}}
	r.sys.File, r.sys.Dir = name, path.Dir(name)
	err := r.ReadYAML(fsys, name, "describe at least one service under `services`", func(document ast.Node) { r.read(document, handlers) })
	return r, err
}

// reader reads a system file and records positions.
type reader struct {
	source.YAML
	fsys      fs.FS
	sys       System
	positions map[string]source.Pos
	protocols protocols.Table
}

func (r *reader) read(document ast.Node, handlers []string) {
	r.Mapping(document, "the system", systemKeys, r.system)
	if len(r.sys.Services) == 0 && len(r.Out.All) == 0 {
		r.Out.Add(source.Pos{File: r.File, Line: 1}, codes.Missing.Msgf("the file describes no service"), "describe at least one under `services`")
	}
	for i, s := range r.sys.Services {
		if slices.Contains(handlers, s.Name) {
			r.sys.Services[i].Command, r.sys.Services[i].Address = nil, ""
		}
	}
	if len(r.sys.Services) > 0 {
		r.sys.Validate(handlers, r.protocols, r.where, r.Out.Add)
	}
}

func (r *reader) system(key string, v ast.Node, at source.Pos) {
	switch key {
	case "services":
		r.Mapping(v, "services", nil, r.service)
	case "clients":
		r.Mapping(v, "clients", clientsKeys, func(_ string, v ast.Node, _ source.Pos) { r.depends(Clients, v) })
	case "groups":
		r.Mapping(v, "groups", nil, r.group)
	case "effects":
		r.Mapping(v, "effects", nil, r.effect)
	case "probes":
		r.Mapping(v, "probes", nil, r.probe)
	case "commands":
		r.Mapping(v, "commands", nil, r.commandOf)
	case "fallback", "fallback_in_body":
		mark, err := source.ParseMark(r.Text(v), key == "fallback_in_body")
		if err == nil && r.sys.Fallback != nil {
			err = source.Mistakef(codes.Duplicate, "leave one of them out", "fallbacks are marked by %q already", r.sys.Fallback)
		}
		if err != nil {
			r.AddProblem(v, err)
			return
		}
		r.sys.Fallback = mark
	case "fallback_is_success":
		r.sys.FallbackIsSuccess = r.Bool(v)
	case "protections":
		r.sys.Protections = r.protections(v)
	case "quarantine":
		r.Mapping(v, "quarantine", nil, r.quarantine)
	case "stop":
		r.Sequence(v, r.stopRule)
	case "limits":
		r.Mapping(v, "limits", limitKeys, r.limit)
	case "allow":
		r.sys.Allow = r.List(v, func(int, ast.Node) {})
	}
}

func (r *reader) service(name string, v ast.Node, at source.Pos) {
	s := Service{Name: name}
	r.positions[name] = at
	before := len(r.Out.All)
	known := r.Mapping(v, fmt.Sprintf("the service %q", name), serviceKeys, func(key string, v ast.Node, at source.Pos) {
		r.positions[name+"/"+key] = at
		switch key {
		case "command":
			s.Command = r.command(name, v)
		case "env":
			s.Env = map[string]string{}
			r.Mapping(v, "env", nil, func(key string, v ast.Node, at source.Pos) {
				r.positions[name+"/env "+key] = r.At(v)
				s.Env[key] = r.Text(v)
			})
		case "dir":
			s.Dir = r.Text(v)
		case "files":
			s.Files = r.files(name, v)
		case "port":
			s.Port = r.port(v)
		case "ready":
			s.Ready = r.ready(v)
		case "stop":
			s.Stop = r.stop(v)
		case "data":
			s.Data = r.data(v)
		case "address":
			var err error
			if s.Address, err = source.ParseAddress(r.Text(v)); err != nil {
				r.AddProblem(v, err)
			}
		case "stand_in":
			s.StandIn = r.standIn(name, v)
		case "login":
			s.Login = r.Text(v)
			if err := parseLogin(s.Login); err != nil {
				r.AddProblem(v, err)
			}
		case "proto":
			s.Proto = r.Text(v)
		case "serves":
			s.Serves = r.prefixes(v)
		case "needs":
			s.Needs = r.Text(v)
		case "install":
			s.Install = r.Text(v)
		case "depends":
			r.depends(name, v)
		}
	})
	if s.Install != "" && s.Needs == "" {
		r.Out.Add(r.where(name, "install"), codes.NoEffect.Msgf("`install` has no effect without `needs`"), "name the program in `needs`")
	}
	if !known || (len(r.Out.All) > before && len(s.Command) == 0 && s.StandIn == nil) {
		s.Address = cmp.Or(s.Address, "unknown") // to report a mistake only once
	}
	r.sys.Services = append(r.sys.Services, s)
}

// command reads a list of arguments.
func (r *reader) command(service string, v ast.Node) []string {
	if _, isList := v.(*ast.SequenceNode); !isList {
		if s, ok := v.(*ast.StringNode); ok {
			r.Out.Add(r.At(v), codes.BadStructure.Msgf("a command is a list of arguments, not a line for a shell"), `write a list: ["`+strings.Join(strings.Fields(s.Value), `", "`)+`"]`)
			return []string{s.Value}
		}
	}
	args := r.List(v, func(i int, v ast.Node) { r.positions[fmt.Sprintf("%s/command %d", service, i)] = r.At(v) })
	if len(args) == 0 || args[0] == "" {
		r.Out.Add(r.At(v), codes.BadValue.Msgf("the command is empty"), "write a list: the program, then its arguments")
	}
	return args
}

func (r *reader) ready(v ast.Node) Ready {
	var ready Ready
	set := 0
	r.Mapping(v, "ready", readyKeys, func(key string, v ast.Node, at source.Pos) {
		if key != "within" {
			set++
		}
		switch key {
		case "tcp":
			if ready.TCP = r.Bool(v); !ready.TCP {
				r.Out.Add(r.At(v), codes.NoEffect.Msgf("`tcp: false` says nothing"), "leave it out, or say how else to know that the service is ready")
			}
		case "http":
			if ready.HTTP = r.Text(v); !strings.HasPrefix(ready.HTTP, "/") {
				r.Out.Add(r.At(v), codes.BadValue.Msgf("%q is not a path", ready.HTTP), "write a path on the service, such as /livez")
			}
		case "line":
			ready.Line = r.AnyText(v)
			if _, err := regexp.Compile(ready.Line); err != nil {
				r.Out.Add(r.At(v), codes.BadValue.Msgf("%q is not a regular expression: %v", ready.Line, err), "write a part of the line, with a backslash before ( ) [ ] . * + ?")
			}
		case "within":
			ready.Within = r.duration(v)
		}
	})
	if set > 1 {
		r.Out.Add(r.At(v), codes.Contradiction.Msgf("`ready` says more than one way to know"), "choose one of tcp, http, line")
	}
	return ready
}

// depends reads the links of a service: a mapping from dependencies to protocols or to the keys of a link, or a
// List of names.
func (r *reader) depends(from string, v ast.Node) {
	add := func(l Link, at source.Pos) {
		r.positions[l.Name()] = at
		l.Resolve(r.protocols)
		r.sys.Links = append(r.sys.Links, l)
	}
	if _, isList := v.(*ast.SequenceNode); isList {
		var positions []source.Pos
		names := r.List(v, func(_ int, v ast.Node) { positions = append(positions, r.At(v)) })
		for i, to := range names {
			if slices.Index(names, to) < i {
				r.Out.Add(positions[i], codes.Duplicate.Msgf("%q stands there twice", to), "leave it out")
				continue
			}
			add(Link{From: from, To: to}, positions[i])
		}
		return
	}
	r.Mapping(v, "depends", nil, func(to string, v ast.Node, at source.Pos) {
		l := Link{From: from, To: to}
		r.positions[l.Name()+"/protocol"] = r.At(v)
		if s, ok := v.(*ast.StringNode); ok {
			l.Protocol = s.Value
		} else {
			r.link(&l, v)
		}
		add(l, at)
	})
}

func (r *reader) prefixes(v ast.Node) []string {
	return r.List(v, func(_ int, v ast.Node) {
		if s, ok := v.(*ast.StringNode); ok && !strings.HasPrefix(s.Value, "/") {
			r.Out.Add(r.At(v), codes.BadValue.Msgf("%q is not a path", s.Value), "write the beginning of a path, such as /orders")
		}
	})
}

func (r *reader) protections(v ast.Node) []string {
	return r.List(v, func(_ int, v ast.Node) {
		if s, ok := v.(*ast.StringNode); ok && (strings.TrimSpace(s.Value) != s.Value || s.Value == "" || strings.Contains(s.Value, ",")) {
			r.Out.Add(r.At(v), codes.BadName.Msgf("%q cannot be the name of a protection", s.Value), "write a name without commas and outer spaces: ${without} separates names by commas")
		}
	})
}

// where returns the position of a service, a link or one of their keys.
func (r *reader) where(name, key string) source.Pos {
	if at, ok := r.positions[name+"/"+key]; ok && key != "" {
		return at
	}
	if at, ok := r.positions[name]; ok {
		return at
	}
	return source.Pos{File: r.File, Line: 1}
}

func (r *reader) duration(v ast.Node) time.Duration {
	t, err := source.ParseDuration(r.Text(v))
	if err != nil {
		r.AddProblem(v, err)
	}
	return t
}
