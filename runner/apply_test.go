package runner

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// countingFault is a user-defined fault that counts how often it is live.
type countingFault struct{ live *int }

func (f countingFault) Inject(context.Context, injector.Target) (injector.Heal, error) {
	*f.live++
	return func(context.Context) error { *f.live--; return nil }, nil
}

func (countingFault) Kind() injector.Kind { return injector.Kind{Name: "counting"} }

func (countingFault) Say(_, _ string) string { return "it is bearable" }

type failingFault struct{ countingFault }

func (failingFault) Inject(context.Context, injector.Target) (injector.Heal, error) {
	return nil, errors.New("it is not")
}

// The step itself heals its other faults, rather than the end of the scenario. Earlier faults stay
// live.
func TestFailedStepHealsItsFaults(t *testing.T) {
	sys := scenarios.System{Services: []scenarios.Service{{Name: "a", Handler: http.NotFoundHandler()}, {Name: "b", Handler: http.NotFoundHandler()}}, Links: []scenarios.Link{{From: "a", To: "b"}}}
	live := 0
	f := countingFault{&live}
	e, err := scenarios.New("unbearable").System(sys).
		Inject("a", "b", f).
		Together(scenarios.Placed{From: "a", To: "b", Fault: f}, scenarios.Placed{From: "a", To: "b", Fault: failingFault{f}}, scenarios.Placed{From: "a", To: "b", Fault: f}).
		Wait(1).Build()
	require.NoError(t, err)
	r, err := begin(Options{Dir: t.TempDir()}, nil)
	require.NoError(t, err)
	s := newSession(t.Context(), r, e, try{number: 1})
	s.begin()
	require.NoError(t, s.step(1))
	require.Equal(t, 1, live)
	require.ErrorContains(t, s.step(2), "inject it is bearable: it is not")
	require.Equal(t, 1, live)
	require.Len(t, s.live, 1)
	require.Error(t, s.step(3), "nothing more happens")
	s.finish()
	require.Zero(t, live)
	_, err = r.end(t.Context())
	require.NoError(t, err)
}
