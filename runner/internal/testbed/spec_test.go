package testbed

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// The configuration files of services are removed once, although a system may be stopped twice.
func TestStopTwice(t *testing.T) {
	svc := scenarios.Service{Name: "a", Files: []system.File{{Name: "a.conf", Template: "port: 1"}}}
	s := newSystem(Config{Experiment: &scenarios.Experiment{System: scenarios.System{Services: []scenarios.Service{svc}}}, Dir: t.TempDir()})
	require.NoError(t, s.writeFiles(svc))
	require.NoError(t, s.Stop(t.Context()))
	require.NoError(t, s.Stop(t.Context()))
}

func TestServicesGetNamedVariablesOfTheRun(t *testing.T) {
	t.Setenv("GREETING", "hello")
	s := &System{}
	args, env, err := s.expand(scenarios.Service{Name: "a", Command: []string{"greet", "${env:GREETING}"}, Env: map[string]string{"SAY": "${env:GREETING}!"}})
	require.NoError(t, err)
	assert.Equal(t, []string{"greet", "hello"}, args)
	assert.Equal(t, []string{"SAY=hello!"}, env)
	_, _, err = s.expand(scenarios.Service{Name: "a", Command: []string{"greet", "${env:NO_SUCH_GREETING}"}})
	require.ErrorContains(t, err, `"${env:NO_SUCH_GREETING}" stands for nothing`)
}
