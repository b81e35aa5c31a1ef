package process

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// CanSignal proves what a crash, a hang and a stop need, without doing anything to the service: it runs and listens, no other
// process listens at its address, and this program may signal each of its processes (signal 0 is sent, which only asks). It
// returns what was proved, in a line.
func (s *Service) CanSignal() (proved string, err error) {
	r := s.current()
	if r == nil || !s.listens(r.family) {
		return "", fmt.Errorf("%q does not run and listen", s.spec.Name)
	}
	if err := checkNoOthers(s.spec.Listens, r.family); err != nil {
		return "", err
	}
	var names []string
	var errs []error
	for _, m := range r.family.alive() {
		names = append(names, m.String())
		if err := m.signal(0); err != nil {
			errs = append(errs, fmt.Errorf("signal %w: it runs as another user: run Firedrill as root, or leave this fault out", err))
		}
	}
	if len(names) == 0 {
		errs = append(errs, fmt.Errorf("%q has ended meanwhile", s.spec.Name))
	}
	proved = fmt.Sprintf("it runs, and may be signalled (%s)", strings.Join(names, ", "))
	if len(s.spec.Listens) > 0 {
		proved += ", and nothing else listens at " + s.addresses()
	}
	return proved, errors.Join(errs...)
}

// CanRestart proves what can be proved of the next start of a service without starting it: its program is there, its log can
// be written, and what it would leave behind would be recorded. It returns what was proved, in a line.
func (s *Service) CanRestart() (proved string, err error) {
	if err := LeaseEnded(); err != nil {
		return "", err
	}
	path, err := FindProgram(s.spec.Dir, s.spec.Args[0])
	if err != nil {
		return "", fmt.Errorf("start again %q: %w", s.spec.Name, err)
	}
	switch log, err := os.OpenFile(s.spec.Log, os.O_APPEND|os.O_WRONLY, 0); {
	case err == nil:
		_ = log.Close()
	case !errors.Is(err, os.ErrNotExist): // it would be created
		return "", fmt.Errorf("start again %q: %w", s.spec.Name, err)
	}
	proved = fmt.Sprintf("%q is there to start it again", path)
	if len(s.spec.Listens) > 0 {
		proved += " at " + s.addresses()
	}
	return proved, nil
}

// addresses lists the addresses at which the service listens.
func (s *Service) addresses() string {
	var all []string
	for _, e := range s.spec.Listens {
		all = append(all, e.String())
	}
	return strings.Join(all, " and ")
}
