package runner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// checkWithout returns an error if a protection cannot be switched off: no service receives ${without}, or every
// system whose services do lists its protections, and none lists this one.
func checkWithout(without []string, es []*scenarios.Experiment, handlers []string) error {
	if len(without) == 0 {
		return nil
	}
	var known []string
	taken, listed := false, true
	for _, e := range es {
		if e.TakesWithout(handlers) {
			taken, listed = true, listed && e.System.Protections != nil
			known = append(known, e.System.Protections...)
		}
	}
	if !taken {
		return fmt.Errorf("run without %q: no service uses ${without}: pass it to a service in its `command` or `env`, or omit --without", without)
	}
	if !listed {
		return nil
	}
	slices.Sort(known)
	known = slices.Compact(known)
	for _, name := range without {
		if name = strings.TrimSpace(name); slices.Contains(known, name) {
			continue
		}
		suggestion := ""
		if nearest := source.Nearest(name, known); nearest != "" {
			suggestion = fmt.Sprintf("did you mean %q? ", nearest)
		}
		return fmt.Errorf("run without %q: the system has no such protection: %swrite one of %s", name, suggestion, source.Quote(known))
	}
	return nil
}
