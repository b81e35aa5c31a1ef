package scenarios

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// CheckPrograms reports the programs of services and commands that cannot be found. It skips programs that a
// user-defined step may create, and those of services whose `needs` skip the scenario.
func (r *Resolver) CheckPrograms(find func(dir, program string) (string, error)) {
	for _, s := range r.System.Services {
		if !slices.Contains(r.scope.Handlers, s.Name) {
			r.checkProgram(r.describedAt[s.Name], fmt.Sprintf("the service %q cannot be started", s.Name), s, find)
		}
	}
	if i := slices.IndexFunc(r.System.Services, func(s system.Service) bool { return r.LosesPower(s.Name) }); i >= 0 {
		if err := disk.Available(); err != nil {
			r.out.Add(r.describedAt[r.System.Services[i].Name], fmt.Sprintf("%q cannot lose power here: %v", r.System.Services[i].Name, err), "run it where that is given, or let the service crash: what was not synced is kept then")
		}
	}
	for _, c := range r.System.Commands {
		r.checkProgram(r.systemAt, fmt.Sprintf("the command %q cannot be run", c.Name), r.System.Process(c), find)
	}
}

func (r *Resolver) checkProgram(at source.Pos, what string, s system.Service, find func(dir, program string) (string, error)) {
	if len(s.Command) == 0 || s.Needs != "" {
		return
	}
	own := slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Foreign })
	program := s.Command[0]
	if program == "" || strings.Contains(program, "${") || own && strings.Contains(program, "/") {
		return
	}
	dir := ""
	if s.Dir != "" {
		dir = r.System.Path(s.Dir)
	} else if !filepath.IsAbs(program) && strings.Contains(program, "/") {
		r.out.Add(at, fmt.Sprintf("%s: the path %q is relative to its folder, which is new and empty", what, program), "set the service's `dir`, which is relative to the system file, or write an absolute path")
		return
	}
	if _, err := find(dir, program); err != nil {
		r.out.Add(at, fmt.Sprintf("%s: %v", what, err), "install the program, or mend the `command`; with `needs` of its service the scenario is skipped where it is missing")
	}
}

// LosesPower reports whether a fault acts on the data folder of a service.
func (e *Experiment) LosesPower(service string) bool {
	return slices.ContainsFunc(e.injections(), func(p Placed) bool { return p.To == service && p.Fault.Kind().Disk })
}

// TakesWithout reports whether a service of the experiment receives ${without}. A service that runs in this
// process may access it by other means.
func (e *Experiment) TakesWithout(handlers []string) bool {
	return slices.ContainsFunc(e.System.Services, func(s system.Service) bool {
		if s.Handler != nil || slices.Contains(handlers, s.Name) {
			return true
		}
		holds := func(text string) bool { return strings.Contains(text, "${without}") }
		if slices.ContainsFunc(s.Command, holds) {
			return true
		}
		for _, value := range s.Env {
			if holds(value) {
				return true
			}
		}
		return false
	})
}
