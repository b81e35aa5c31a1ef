package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Environment returns the value of an environment variable, which must be set. lookup is os.LookupEnv.
func Environment(name string, lookup func(name string) (string, bool)) (string, error) {
	value, _ := lookup(name)
	if value == "" {
		return "", source.Mistakef(codes.UnsetVariable, "set "+name+" in the environment of the run", "the environment variable %s is not set", name)
	}
	return value, nil
}

// minSecret is the length of the shortest value that is hidden in artefacts. A shorter one also occurs by chance.
const minSecret = 8

// secrets are the values of environment variables that appear in no artefact, by name.
type secrets map[string]string

// add adds the value of a variable.
func (s secrets) add(name string, lookup func(name string) (string, bool)) error {
	value, err := Environment(name, lookup)
	switch {
	case err != nil:
		return err
	case len(value) < minSecret:
		return source.Mistakef(codes.UnsetVariable, fmt.Sprintf("use one of at least %d characters, or write the value itself in place of the variable", minSecret), "the value of the environment variable %s is too short to be hidden in reports", name)
	case strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }):
		return source.Mistakef(codes.UnsetVariable, "set it without line ends and other control characters", "the environment variable %s holds a control character", name)
	}
	s[name] = value
	return nil
}

func (s secrets) addTemplate(t Template, lookup func(name string) (string, bool)) error {
	for _, p := range t {
		if p.Kind == EnvPart {
			if err := s.add(p.Arg, lookup); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s secrets) addLoad(l *Load, lookup func(name string) (string, bool)) error {
	for _, t := range l.templates() {
		if err := s.addTemplate(t, lookup); err != nil {
			return err
		}
	}
	return nil
}

// addLogin adds the variables in the login of a service, if a load needs it.
func (s secrets) addLogin(e *Experiment, svc system.Service, lookup func(name string) (string, bool)) error {
	needed := slices.ContainsFunc(e.Loads(), func(l *Load) bool {
		return slices.ContainsFunc(l.Mix, func(rt Route) bool { return rt.Kind != "" && rt.Service == svc.Name })
	})
	if !needed {
		return nil
	}
	for _, name := range svc.LoginVariables() {
		if err := s.add(name, lookup); err != nil {
			what, hint := source.Parts(err)
			return source.Mistakef(what.Code(), hint, "login of service %q: %s", svc.Name, what)
		}
	}
	return nil
}

// addService adds the variables that a service gets and that hold secrets, unless they are too short to be hidden: a service
// may print them.
func (s secrets) addService(svc system.Service, lookup func(name string) (string, bool)) {
	for _, name := range secretVariables(svc) {
		if value, _ := lookup(name); len(value) >= minSecret {
			s[name] = value
		}
	}
}

// secretVariables returns the names of the environment variables in the settings of a service that hold secrets, by their names
// or by those of the variables of the service that get their values.
func secretVariables(s system.Service) []string {
	all := slices.DeleteFunc(s.Placeholders("env"), func(name string) bool { return !journal.NamesSecret(name) })
	for name, value := range s.Env {
		if journal.NamesSecret(name) {
			all = append(all, system.Service{Command: []string{value}}.Placeholders("env")...)
		}
	}
	return all
}

// Secrets returns the values of the environment variables that requests and logins contain, and of those that services get and
// that are named as secrets, by name. They appear in no artefact. lookup is os.LookupEnv.
func (e *Experiment) Secrets(lookup func(name string) (string, bool)) (map[string]string, error) {
	all := secrets{}
	for _, l := range e.Loads() {
		if err := all.addLoad(l, lookup); err != nil {
			return nil, err
		}
	}
	for _, svc := range e.System.Services {
		if err := all.addLogin(e, svc, lookup); err != nil {
			return nil, err
		}
		all.addService(svc, lookup)
	}
	return all, nil
}

// CheckEnvironment reports environment variables that services, their logins and requests need and that are not set, or
// cannot be hidden.
func (r *Resolver) CheckEnvironment(lookup func(name string) (string, bool)) {
	all := secrets{}
	for _, s := range r.System.Services {
		for _, name := range s.Placeholders("env") {
			if _, ok := lookup(name); !ok {
				r.AddProblem(r.systemAt, codes.UnsetVariable.Msgf("%q needs the environment variable %s, which is not set", s.Name, name), "set "+name+" in the environment of the run")
			}
		}
		if err := all.addLogin(r.Experiment, s, lookup); err != nil {
			r.addError(r.systemAt, err)
		}
	}
	if r.Load == nil {
		return
	}
	for i, l := range r.Loads() {
		for j, h := range l.Headers {
			if l != r.Load && j < r.sharedHeaders(l) {
				continue
			}
			t, _ := ParseTemplate(h.Value, Plain, nil)
			if err := all.addTemplate(t, lookup); err != nil {
				r.addError(r.headerAt(l, j), err)
			}
		}
		headless := *l
		headless.Headers = nil
		if err := all.addLoad(&headless, lookup); err != nil {
			r.addError(r.positionOf(i), err)
		}
	}
}
