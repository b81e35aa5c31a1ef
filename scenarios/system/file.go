package system

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"

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
	linkKeys    = []string{"protocol", "port", "framing", "listen", "tls", "upstream_ca", "upstream_insecure", "proxy_protocol"}
)

// Read reads a system file. The error is of type Problems if the file could be read but is not valid. Services
// named in handlers need no command. Links can have the protocols of the table.
//
// Parsing is strict: unknown keys, wrong types and duplicate keys are errors. Schema returns the JSON Schema of
// the file.
func Read(fsys fs.FS, name string, handlers []string, table protocols.Table) (System, error) {
	raw, err := source.ReadFile(fsys, name, maxSystemFile)
	if err != nil {
		return System{}, err
	}
	r := newReader(fsys, name, raw, table)
	r.read(bytes.TrimPrefix(raw, []byte(byteOrderMark)), handlers)
	return r.sys, r.out.Err()
}

// byteOrderMark may stand at the beginning of a file, where it means nothing.
const byteOrderMark = "\ufeff"

func newReader(fsys fs.FS, name string, raw []byte, table protocols.Table) *reader {
	text := strings.ReplaceAll(strings.TrimPrefix(string(raw), byteOrderMark), "\r\n", "\n")
	r := &reader{fsys: fsys, file: name, protocols: table, lines: strings.Split(text, "\n"), positions: map[string]source.Pos{}}
	r.sys.File, r.sys.Dir = name, path.Dir(name)
	return r
}

// reader reads a system file and records positions. It walks the syntax tree, because a decoder would report only
// the first error.
type reader struct {
	fsys      fs.FS
	file      string
	lines     []string
	out       source.List
	sys       System
	positions map[string]source.Pos
	protocols protocols.Table
}

func (r *reader) read(raw []byte, handlers []string) {
	defer r.out.RecoverPanic(r.file)
	tokens := lexer.Tokenize(string(raw))
	if !r.parsable(tokens) {
		return
	}
	doc, err := parser.Parse(tokens, 0)
	if err != nil {
		r.syntax(err)
		return
	}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		r.out.Add(source.Pos{File: r.file, Line: 1}, codes.BadStructure.Msgf("the file is empty"), "describe at least one service under `services`")
		return
	}
	if len(doc.Docs) > 1 {
		r.out.Add(r.at(doc.Docs[1].Body), codes.BadStructure.Msgf("the file holds a second document"), "leave one of them out")
	}
	r.mapping(doc.Docs[0].Body, "the system", systemKeys, r.system)
	if len(r.sys.Services) == 0 && len(r.out.All) == 0 {
		r.out.Add(source.Pos{File: r.file, Line: 1}, codes.Missing.Msgf("the file describes no service"), "describe at least one under `services`")
	}
	for i, s := range r.sys.Services {
		if slices.Contains(handlers, s.Name) {
			r.sys.Services[i].Command, r.sys.Services[i].Address = nil, ""
		}
	}
	if len(r.sys.Services) > 0 {
		r.sys.Validate(handlers, r.protocols, r.where, r.out.Add)
	}
}

func (r *reader) system(key string, v ast.Node, at source.Pos) {
	switch key {
	case "services":
		r.mapping(v, "services", nil, r.service)
	case "clients":
		r.mapping(v, "clients", clientsKeys, func(_ string, v ast.Node, _ source.Pos) { r.depends(Clients, v) })
	case "groups":
		r.mapping(v, "groups", nil, r.group)
	case "effects":
		r.mapping(v, "effects", nil, r.effect)
	case "probes":
		r.mapping(v, "probes", nil, r.probe)
	case "commands":
		r.mapping(v, "commands", nil, r.commandOf)
	case "fallback", "fallback_in_body":
		mark, err := source.ParseMark(r.text(v), key == "fallback_in_body")
		if err == nil && r.sys.Fallback != nil {
			err = source.Mistakef(codes.Duplicate, "leave one of them out", "fallbacks are marked by %q already", r.sys.Fallback)
		}
		if err != nil {
			r.addProblem(v, err)
			return
		}
		r.sys.Fallback = mark
	case "fallback_is_success":
		r.sys.FallbackIsSuccess = r.boolValue(v)
	case "protections":
		r.sys.Protections = r.protections(v)
	case "quarantine":
		r.mapping(v, "quarantine", nil, r.quarantine)
	case "stop":
		r.sequence(v, r.stopRule)
	case "limits":
		r.mapping(v, "limits", limitKeys, r.limit)
	case "allow":
		r.sys.Allow = r.list(v, func(int, ast.Node) {})
	}
}

func (r *reader) service(name string, v ast.Node, at source.Pos) {
	s := Service{Name: name}
	r.positions[name] = at
	before := len(r.out.All)
	known := r.mapping(v, fmt.Sprintf("the service %q", name), serviceKeys, func(key string, v ast.Node, at source.Pos) {
		r.positions[name+"/"+key] = at
		switch key {
		case "command":
			s.Command = r.command(name, v)
		case "env":
			s.Env = map[string]string{}
			r.mapping(v, "env", nil, func(key string, v ast.Node, at source.Pos) {
				r.positions[name+"/env "+key] = r.at(v)
				s.Env[key] = r.text(v)
			})
		case "dir":
			s.Dir = r.text(v)
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
			if s.Address, err = source.ParseAddress(r.text(v)); err != nil {
				r.addProblem(v, err)
			}
		case "stand_in":
			s.StandIn = r.standIn(name, v)
		case "login":
			s.Login = r.text(v)
			if err := parseLogin(s.Login); err != nil {
				r.addProblem(v, err)
			}
		case "proto":
			s.Proto = r.text(v)
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
		r.out.Add(r.where(name, "install"), codes.NoEffect.Msgf("`install` has no effect without `needs`"), "name the program in `needs`")
	}
	if !known || (len(r.out.All) > before && len(s.Command) == 0 && s.StandIn == nil) {
		s.Address = cmp.Or(s.Address, "unknown") // to report a mistake only once
	}
	r.sys.Services = append(r.sys.Services, s)
}

// command reads a list of arguments.
func (r *reader) command(service string, v ast.Node) []string {
	if _, isList := v.(*ast.SequenceNode); !isList {
		if s, ok := v.(*ast.StringNode); ok {
			r.out.Add(r.at(v), codes.BadStructure.Msgf("a command is a list of arguments, not a line for a shell"), `write a list: ["`+strings.Join(strings.Fields(s.Value), `", "`)+`"]`)
			return []string{s.Value}
		}
	}
	args := r.list(v, func(i int, v ast.Node) { r.positions[fmt.Sprintf("%s/command %d", service, i)] = r.at(v) })
	if len(args) == 0 || args[0] == "" {
		r.out.Add(r.at(v), codes.BadValue.Msgf("the command is empty"), "write a list: the program, then its arguments")
	}
	return args
}

func (r *reader) ready(v ast.Node) Ready {
	var ready Ready
	set := 0
	r.mapping(v, "ready", readyKeys, func(key string, v ast.Node, at source.Pos) {
		if key != "within" {
			set++
		}
		switch key {
		case "tcp":
			if ready.TCP = r.boolValue(v); !ready.TCP {
				r.out.Add(r.at(v), codes.NoEffect.Msgf("`tcp: false` says nothing"), "leave it out, or say how else to know that the service is ready")
			}
		case "http":
			if ready.HTTP = r.text(v); !strings.HasPrefix(ready.HTTP, "/") {
				r.out.Add(r.at(v), codes.BadValue.Msgf("%q is not a path", ready.HTTP), "write a path on the service, such as /livez")
			}
		case "line":
			ready.Line = r.anyText(v)
			if _, err := regexp.Compile(ready.Line); err != nil {
				r.out.Add(r.at(v), codes.BadValue.Msgf("%q is not a regular expression: %v", ready.Line, err), "write a part of the line, with a backslash before ( ) [ ] . * + ?")
			}
		case "within":
			ready.Within = r.duration(v)
		}
	})
	if set > 1 {
		r.out.Add(r.at(v), codes.Contradiction.Msgf("`ready` says more than one way to know"), "choose one of tcp, http, line")
	}
	return ready
}

// depends reads the links of a service: a mapping from dependencies to protocols or to the keys of a link, or a
// list of names.
func (r *reader) depends(from string, v ast.Node) {
	add := func(l Link, at source.Pos) {
		r.positions[l.Name()] = at
		l.Resolve(r.protocols)
		r.sys.Links = append(r.sys.Links, l)
	}
	if _, isList := v.(*ast.SequenceNode); isList {
		var positions []source.Pos
		names := r.list(v, func(_ int, v ast.Node) { positions = append(positions, r.at(v)) })
		for i, to := range names {
			if slices.Index(names, to) < i {
				r.out.Add(positions[i], codes.Duplicate.Msgf("%q stands there twice", to), "leave it out")
				continue
			}
			add(Link{From: from, To: to}, positions[i])
		}
		return
	}
	r.mapping(v, "depends", nil, func(to string, v ast.Node, at source.Pos) {
		l := Link{From: from, To: to}
		r.positions[l.Name()+"/protocol"] = r.at(v)
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
			r.out.Add(r.at(v), codes.BadValue.Msgf("%q is not a path", s.Value), "write the beginning of a path, such as /orders")
		}
	})
}

func (r *reader) protections(v ast.Node) []string {
	return r.list(v, func(_ int, v ast.Node) {
		if s, ok := v.(*ast.StringNode); ok && (strings.TrimSpace(s.Value) != s.Value || s.Value == "" || strings.Contains(s.Value, ",")) {
			r.out.Add(r.at(v), codes.BadName.Msgf("%q cannot be the name of a protection", s.Value), "write a name without commas and outer spaces: ${without} separates names by commas")
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
	return source.Pos{File: r.file, Line: 1}
}

// syntax reports a file that is not valid YAML.
func (r *reader) syntax(err error) {
	at, what := source.Pos{File: r.file, Line: 1}, err.Error()
	var e yaml.Error
	if asYAML(err, &e) {
		what = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			at = r.posAt(t.Position.Line, t.Position.Column)
		}
	}
	hint := "check indentation, quotes and brackets"
	if strings.Contains(what, "already defined") {
		hint = "leave one of them out"
	}
	r.out.Add(at, codes.BadStructure.Message(strings.TrimSpace(what)), hint)
}

func (r *reader) duration(v ast.Node) time.Duration {
	t, err := source.ParseDuration(r.text(v))
	if err != nil {
		r.addProblem(v, err)
	}
	return t
}
