package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// spec returns how to start a service, and releases its ports.
func (s *system) spec(svc scenarios.Service, h hooks) (process.Spec, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spec := process.Spec{
		Name: svc.Name, Log: filepath.Join(s.dir, "logs", svc.Name+".log"), Dir: s.workDir(svc),
		Event: func(e process.Event) { h.process(svc.Name, e) },
	}
	var err error
	if spec.Args, spec.Env, err = s.expand(svc); err != nil {
		return spec, fmt.Errorf("start service %q: %w", svc.Name, err)
	}
	if err := s.writeFiles(svc); err != nil {
		return spec, fmt.Errorf("start service %q: %w", svc.Name, err)
	}
	spec.Ready, err = readiness(svc, s.addresses[svc.Name])
	spec.Listens, spec.Signal, spec.Grace = s.endpoints(svc), svc.Stop.Signal, svc.Stop.Within
	s.release(svc.Name)
	return spec, err
}

// expand returns the arguments and the environment of a process of a service.
func (s *system) expand(svc scenarios.Service) (args, env []string, err error) {
	expand := func(text string) (string, error) { return scenarios.Expand(text, s.values(svc)) }
	for _, arg := range svc.Command {
		text, err := expand(arg)
		if err != nil {
			return nil, nil, fmt.Errorf("argument %q: %w", arg, err)
		}
		args = append(args, text)
	}
	if program := args[0]; strings.ContainsRune(program, '/') && !filepath.IsAbs(program) {
		args[0] = absolute(filepath.Join(s.e.System.ProgramDir(svc), program))
	}
	names := make([]string, 0, len(svc.Env))
	for name := range svc.Env {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text, err := expand(svc.Env[name])
		if err != nil {
			return nil, nil, fmt.Errorf("environment %q: %w", name, err)
		}
		env = append(env, name+"="+text)
	}
	return args, env, nil
}

// folder returns the folder of a service, which is new in each run.
func (s *system) folder(svc scenarios.Service) string {
	return filepath.Join(s.dir, "services", svc.Name)
}

func (s *system) workDir(svc scenarios.Service) string {
	if svc.Dir == "" {
		return s.folder(svc)
	}
	return s.e.System.Path(svc.Dir)
}

// writeFiles makes the folder of a service, with its configuration files. They are removed when the system stops, since they
// may hold secrets.
func (s *system) writeFiles(svc scenarios.Service) error {
	if err := os.MkdirAll(s.folder(svc), 0o700); err != nil {
		return err
	}
	for _, f := range svc.Files {
		text, err := f.Expand(s.values(svc))
		if err != nil {
			return fmt.Errorf("template %q: %w", f.From, err)
		}
		name := filepath.Join(s.folder(svc), f.Name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			return err
		}
		s.written = append(s.written, name)
	}
	return nil
}

func readiness(svc scenarios.Service, address string) (process.Ready, error) {
	r := process.Ready{Within: svc.Ready.Within}
	switch {
	case svc.Ready.HTTP != "":
		r.HTTP = "http://" + address + svc.Ready.HTTP
	case svc.Ready.Line != "":
		line, err := regexp.Compile(svc.Ready.Line)
		if err != nil {
			return r, fmt.Errorf("await service %q: %w", svc.Name, err)
		}
		r.Line = line
	default:
		r.TCP = address
	}
	return r, nil
}

// values returns a function that looks up the values of a service's placeholders.
func (s *system) values(svc scenarios.Service) func(name, arg string) (string, bool) {
	return func(name, arg string) (string, bool) {
		switch name {
		case "self":
			return s.o.Self, true
		case "port":
			fixed := 0
			if arg == "" {
				fixed = svc.Port
			}
			p, err := s.port(svc.Name, arg, fixed)
			return strconv.Itoa(p), err == nil
		case "dir":
			return absolute(s.folder(svc)), true
		case "here":
			return absolute(s.e.System.Dir), true
		case "link":
			l, _ := s.e.System.Link(svc.Name, arg)
			return s.link(l.Name())
		case "address":
			a, ok := s.addresses[arg]
			return a, ok
		case "ca":
			return s.caFile, s.caFile != ""
		case "without":
			return strings.Join(s.o.Without, ","), true
		case "seed":
			return strconv.FormatUint(s.seed, 10), true
		case "env":
			return os.LookupEnv(arg)
		}
		return "", false
	}
}
