package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// spec returns how to start a service, and releases its ports.
func (s *System) spec(svc scenarios.Service) (process.Spec, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spec := process.Spec{
		Name: svc.Name, Log: filepath.Join(s.cfg.Dir, "logs", svc.Name+".log"), Dir: s.workDir(svc),
		Event: func(e process.Event) { s.cfg.Hooks.Process(svc.Name, e) },
	}
	var err error
	if spec.Args, spec.Env, err = s.expand(svc); err != nil {
		return spec, fmt.Errorf("start service %q: %w", svc.Name, err)
	}
	if err := s.writeFiles(svc); err != nil {
		return spec, fmt.Errorf("start service %q: %w", svc.Name, err)
	}
	spec.Ready, err = readiness(svc, s.Addresses[svc.Name])
	spec.Listens, spec.Signal, spec.Grace = s.endpoints(svc), svc.Stop.Signal, svc.Stop.Within
	s.release(svc.Name)
	return spec, err
}

// expand returns the arguments and the environment of a process of a service.
func (s *System) expand(svc scenarios.Service) (args, env []string, err error) {
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
func (s *System) folder(svc scenarios.Service) string {
	return filepath.Join(s.cfg.Dir, "services", svc.Name)
}

func (s *System) workDir(svc scenarios.Service) string {
	if svc.Dir == "" {
		return s.folder(svc)
	}
	return s.e.System.Path(svc.Dir)
}

// writeFiles makes the folder of a service, with its configuration files. They are removed when the system stops, since they
// may hold secrets.
func (s *System) writeFiles(svc scenarios.Service) error {
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
func (s *System) values(svc scenarios.Service) func(name, arg string) (string, bool) {
	return func(name, arg string) (string, bool) {
		switch name {
		case "self":
			return s.cfg.Self, true
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
			return s.Between(svc.Name, arg)
		case "address":
			a, ok := s.Addresses[arg]
			return a, ok
		case "ca":
			return s.CAFile, s.CAFile != ""
		case "without":
			return strings.Join(s.cfg.Without, ","), true
		case "seed":
			return strconv.FormatUint(s.cfg.Seed, 10), true
		case "env":
			return os.LookupEnv(arg)
		}
		return "", false
	}
}

// CommandSpec returns how to run a command of the system, and how long it may take. Its log is in the folder of the
// run's logs.
func (s *System) CommandSpec(name string) (process.Spec, time.Duration, error) {
	c, ok := s.e.System.CommandNamed(name)
	if !ok {
		return process.Spec{}, 0, fmt.Errorf("run command %q: the system has no such command", name)
	}
	svc := s.e.System.Process(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	args, env, err := s.expand(svc)
	if err != nil {
		return process.Spec{}, 0, fmt.Errorf("run command %q: %w", name, err)
	}
	return process.Spec{Name: "command " + name, Args: args, Env: env, Dir: s.workDir(svc), Log: filepath.Join(s.cfg.Dir, "logs", "command-"+name+".log")}, c.Limit(), nil
}

// Log returns the absolute path of the log of a service.
func (s *System) Log(service string) string {
	return absolute(filepath.Join(s.cfg.Dir, "logs", service+".log"))
}

// Folder returns the absolute path of the folder of a service, which is new in each run.
func (s *System) Folder(svc scenarios.Service) string { return absolute(s.folder(svc)) }

// absolute returns an absolute path, since relative ones start where the system file is.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
