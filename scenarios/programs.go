package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// CheckPrograms reports the programs of services and commands that cannot be found. It skips programs that a
// user-defined step may create, and those of services whose `needs` skip the scenario.
func (r *Resolver) CheckPrograms(find func(dir, program string) (string, error)) {
	for _, s := range r.System.Services {
		if !slices.Contains(r.scope.Handlers, s.Name) {
			r.checkProgram(r.describedAt[s.Name], fmt.Sprintf("the service %q cannot be started", s.Name), s, find)
			r.checkArguments(r.describedAt[s.Name], s)
		}
	}
	if i := slices.IndexFunc(r.System.Services, func(s system.Service) bool { return r.LosesPower(s.Name) }); i >= 0 {
		if err := disk.Available(); err != nil {
			r.out.Add(r.describedAt[r.System.Services[i].Name], codes.MissingProgram.Msgf("%q cannot lose power here: %v", r.System.Services[i].Name, err), "run it where that is given, or let the service crash: what was not synced is kept then")
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
	if _, err := find(r.System.ProgramDir(s), program); err != nil {
		r.out.Add(at, codes.MissingProgram.Msgf("%s: %v", what, err), "install the program, or mend the `command`; with `needs` of its service the scenario is skipped where it is missing")
	}
}

// checkArguments reports arguments of a service that name files beside the system file: it starts in another folder.
func (r *Resolver) checkArguments(at source.Pos, s system.Service) {
	for _, arg := range s.Command[min(1, len(s.Command)):] {
		if s.Dir != "" || filepath.IsAbs(arg) || strings.Contains(arg, "${") {
			continue
		}
		if info, err := os.Stat(r.System.Path(arg)); err == nil && info.Mode().IsRegular() {
			r.out.Add(at, codes.BadValue.Msgf("the service %q would not find %q, which is beside the system file: it starts in a new and empty folder", s.Name, arg), "write \"${here}/"+arg+"\", or set the service's `dir` to .")
		}
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
		return len(s.Placeholders("without")) > 0
	})
}
