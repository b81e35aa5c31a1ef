package runner

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// EffectSource is a kind of source of effects, as in package sources.
type EffectSource = effects.Kind

// sourceKinds returns the table of sources of a run.
func sourceKinds(further []EffectSource) []effects.Kind {
	return slices.Concat(effects.Kinds(), further)
}

// declaredSources returns the declared sources that an experiment reads.
func declaredSources(e *scenarios.Experiment) []scenarios.DeclaredSource {
	var all []scenarios.DeclaredSource
	for _, d := range e.System.Effects {
		if slices.ContainsFunc(e.ReadSources(), func(s scenarios.EffectSource) bool { return s.Declared() && s.Name == d.Name }) ||
			e.Effects != nil && slices.ContainsFunc(e.Effects.Once, func(c scenarios.Convergence) bool { return c.Source == d.Name }) {
			all = append(all, d)
		}
	}
	return all
}

// checkSources returns why a source cannot be read, as far as it can be known before anything is started: its client
// library or its driver is not linked, or an environment variable is not set.
func checkSources(further []EffectSource, es []*scenarios.Experiment) error {
	var errs []error
	seen := map[string]bool{}
	for _, e := range es {
		for _, d := range declaredSources(e) {
			if d.Kind == "stand_in" {
				continue
			}
			at, secrets, err := expandSource(d, func(_, arg string) string { return arg + ".invalid:1" })
			if err == nil {
				d.At = at
				_, err = effects.Open(sourceKinds(further), effects.Place{EffectSource: d}, secrets)
			}
			if err == nil {
				continue
			}
			if err = fmt.Errorf("effects source %q: %w", d.Name, err); !seen[err.Error()] {
				seen[err.Error()] = true
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// expandSource replaces the placeholders of a source by values and by environment variables, and returns the texts that
// must not be shown: those of the variables, and the password of the URL. They may be too short to be hidden in all
// artefacts, as a name of a database often is, and are hidden in the errors of the source.
func expandSource(d scenarios.DeclaredSource, value func(name, arg string) string) (at string, secrets []string, err error) {
	var missing error
	inURL := !strings.HasPrefix(d.At, "${env:") && strings.Contains(d.At, "://")
	at, err = scenarios.Expand(d.At, func(name, arg string) (string, bool) {
		if name != "env" {
			return value(name, arg), true
		}
		text, err := scenarios.Environment(arg, os.LookupEnv)
		missing = errors.Join(missing, err)
		secrets = append(secrets, text)
		if inURL {
			text = source.EscapeURL(text)
		}
		return text, true
	})
	if err == nil {
		err = missing
	}
	if u, bad := url.Parse(at); bad == nil && u.User != nil {
		password, _ := u.User.Password()
		secrets = append(secrets, password)
	}
	return at, secrets, err
}

// openSource returns the reader of a declared source. group is the field that a check groups its effects by, or "".
func (s *session) openSource(name, group string) (effects.Reader, error) {
	d, ok := s.e.System.Effect(name)
	if !ok {
		return effects.Reader{}, fmt.Errorf("effects source %q: the system declares none of this name", name)
	}
	at, secrets, err := expandSource(d, s.sourceValue)
	if err != nil {
		return effects.Reader{}, fmt.Errorf("effects source %q: %w", name, err)
	}
	d.At = at
	if d.Kind == "stand_in" {
		return s.standInReader(at)
	}
	p := effects.Place{EffectSource: d, Trust: s.system.Trust, Group: group}
	switch d.Kind {
	case "http":
		service, _, path, err := d.Route()
		if err != nil {
			return effects.Reader{}, fmt.Errorf("effects source %q: %w", name, err)
		}
		p.URL = s.system.Trust.URL(s.system.Addresses[service], path)
	case "file":
		p.At = s.e.System.Path(at)
	case "sql":
		if path, ok := strings.CutPrefix(at, "sqlite:"); ok {
			p.At = "sqlite:" + s.e.System.Path(path)
		}
	}
	r, err := effects.Open(sourceKinds(s.o.Sources), p, secrets)
	if err != nil {
		return r, fmt.Errorf("effects source %q: %w", name, err)
	}
	return r, nil
}

// sourceValue returns the value of a placeholder of a source of effects.
func (s *session) sourceValue(name, service string) string {
	i := slices.IndexFunc(s.e.System.Services, func(svc scenarios.Service) bool { return svc.Name == service })
	switch {
	case name == "address":
		return s.system.Addresses[service]
	case i < 0:
		return ""
	case name == "log":
		return s.system.Log(service)
	}
	return s.system.Folder(s.e.System.Services[i])
}
