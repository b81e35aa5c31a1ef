package testbed

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

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
