package machine_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// ending is a test that records how it was ended.
type ending struct {
	testing.TB
	how string
}

func (*ending) Helper() {}

func (e *ending) Skip(args ...any) { e.how = "skipped: " + fmt.Sprint(args...) }

func (e *ending) Fatal(args ...any) {
	e.how = "failed: " + fmt.Sprint(args...)
	panic(e) // as a test that fails goes no further
}

func TestNeed(t *testing.T) {
	missing := errors.New("redis-server is not installed")
	need := func(missing error, remedy string) (how string) {
		e := &ending{}
		defer func() { _ = recover(); how = e.how }()
		machine.Need(e, missing, remedy)
		return e.how
	}
	for mustRun, verb := range map[string]string{"": "skipped", "1": "failed"} {
		t.Setenv("FIREDRILL_MUST_RUN", mustRun)
		assert.Equal(t, verb+": redis-server is not installed: apt-get install redis-server", need(missing, "apt-get install redis-server"))
		assert.Equal(t, verb+": redis-server is not installed", need(missing, ""))
		assert.Empty(t, need(nil, "apt-get install redis-server"))
	}
}
