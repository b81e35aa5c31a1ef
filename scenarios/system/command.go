package system

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Command is a program that a step or a probe runs to its end. It belongs to the service Of, whose placeholders,
// folder and environment it has. If Of is "", its folder is a new one, and it has no port and no links.
type Command struct {
	Name   string
	Of     string
	Run    []string      // program and arguments, as of Service.Command
	Within time.Duration // how long it may take; 0 means 10 s
}

// Limit returns how long the command may take.
func (c Command) Limit() time.Duration { return cmp.Or(c.Within, 10*time.Second) }

// CommandNamed returns a command of the system.
func (s *System) CommandNamed(name string) (Command, bool) {
	i := slices.IndexFunc(s.Commands, func(c Command) bool { return c.Name == name })
	if i < 0 {
		return Command{}, false
	}
	return s.Commands[i], true
}

// CommandNames returns the names of the commands.
func (s *System) CommandNames() []string {
	var all []string
	for _, c := range s.Commands {
		all = append(all, c.Name)
	}
	return all
}

// Process returns the service of which the command is a process: its folder, environment and placeholders, with the
// command's own program and arguments.
func (s *System) Process(c Command) Service {
	of := Service{Name: "command-" + c.Name}
	if i := slices.IndexFunc(s.Services, func(v Service) bool { return v.Name == c.Of }); i >= 0 {
		of = s.Services[i]
	}
	of.Command = c.Run
	return of
}

var commandKeys = []string{"of", "run", "within"}

// commands prefixes the positions of commands; see groups.
const commands = "commands/"

// commandOf reads a command: a list of arguments, or a mapping.
func (r *reader) commandOf(name string, v ast.Node, at source.Pos) {
	c := Command{Name: name}
	r.positions[commands+"/"+name] = at
	before := len(r.Out.All)
	switch v.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		r.Mapping(v, fmt.Sprintf("the command %q", name), commandKeys, func(key string, v ast.Node, _ source.Pos) {
			r.positions[commands+"/"+name+" "+key] = r.At(v)
			switch key {
			case "of":
				c.Of = r.Text(v)
			case "run":
				c.Run = r.command(commands+"/"+name, v)
			case "within":
				c.Within = r.duration(v)
			}
		})
	default:
		c.Run = r.command(commands+"/"+name, v)
	}
	if len(r.Out.All) == before {
		r.sys.Commands = append(r.sys.Commands, c)
	}
}

// validateCommands validates the commands; see Validate.
func (s *System) validateCommands(where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	for i, c := range s.Commands {
		at := where(commands, c.Name)
		of := slices.IndexFunc(s.Services, func(v Service) bool { return v.Name == c.Of })
		switch {
		case !IsName(c.Name):
			addProblem(at, codes.BadName.Msgf("%q cannot be the name of a command", c.Name), "use letters, digits, - and _")
		case slices.Index(s.CommandNames(), c.Name) < i:
			addProblem(at, codes.Duplicate.Msgf("the command %q stands there twice", c.Name), "leave one of them out")
		case len(c.Run) == 0 || c.Run[0] == "":
			addProblem(at, codes.Missing.Msgf("the command %q runs nothing", c.Name), `write its program and arguments: run: ["pg_ctl", "promote"]`)
		case c.Of != "" && of < 0:
			addProblem(where(commands, c.Name+" of"), codes.UnknownName.Msgf("there is no service %q", c.Of), source.DidYouMean(c.Of, s.Names(), "services"))
			continue
		}
		own := func(_, key string) source.Pos {
			if j, ok := strings.CutPrefix(key, "command "); ok {
				return where(commands+"/"+c.Name+"/command "+j, "")
			}
			return at
		}
		if c.Of == "" && slices.ContainsFunc(c.Run, func(arg string) bool { return strings.Contains(arg, "${port") || strings.Contains(arg, "${link:") }) {
			addProblem(at, codes.Missing.Msgf("the command %q belongs to no service, so it has no port and no links", c.Name), "write to which it belongs: {of: standby, run: [...]}; or write ${address:standby}")
			continue
		}
		s.placeholders(s.Process(c), own, addProblem)
	}
}
