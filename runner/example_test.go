package runner_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Run feature files as a Go test, with one subtest per scenario.
func ExampleTest() {
	TestDrills := func(t *testing.T) {
		runner.Test(t, runner.Options{FS: os.DirFS("testdata"), Paths: []string{"features"}})
	}
	_ = TestDrills
}

// A user-defined step runs in its place among the other steps.
func ExampleTest_ownSteps() {
	TestDrills := func(t *testing.T) {
		// excerpt: steps
		runner.Test(t, runner.Options{Steps: []runner.Step{{
			Pattern: `^the cache of "([^"]*)" is cleared$`,
			Do: func(ctx context.Context, service string) error {
				resp, err := http.Post("http://"+runner.FromContext(ctx).Address(service)+"/cache/clear", "", nil)
				if err != nil {
					return err
				}
				return resp.Body.Close()
			},
		}}})
		// end of excerpt
	}
	_ = TestDrills
}

// The requests of a load are made by a function.
func ExampleTest_function() {
	var shop interface {
		Place(ctx context.Context, key string) (id string, err error)
	}
	errSoldOut := errors.New("sold out")
	TestDrills := func(t *testing.T) {
		// excerpt: function
		runner.Test(t, runner.Options{Funcs: map[string]runner.Func{
			"place order": func(ctx context.Context, r runner.Request) runner.Outcome {
				id, err := shop.Place(ctx, r.Key)
				switch {
				case errors.Is(err, errSoldOut):
					return runner.Refused("sold-out")
				case err != nil:
					return runner.NotKnown("failed")
				}
				return runner.Acknowledged(id)
			},
		}})
		// end of excerpt
	}
	_ = TestDrills
}

// An experiment built in Go, with a service in this process.
func ExampleTestExperiments() {
	TestSlowClients := func(t *testing.T) {
		// excerpt: experiment
		hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") })
		e, err := scenarios.New("the way to hello is slow").
			System(scenarios.System{
				Services: []scenarios.Service{{Name: "hello", Handler: hello, Serves: []string{"/"}}},
				Links:    []scenarios.Link{{From: "clients", To: "hello", Protocol: "http"}},
			}).
			Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "GET", Path: "/"}}}).
			Inject("clients", "hello", injector.SlowCalls{By: 100 * time.Millisecond}).For(5 * time.Second).
			Check(check.Success{Ratio: 0.99, Window: journal.During}).
			Build()
		if err != nil {
			t.Fatal(err)
		}
		runner.TestExperiments(t, runner.Options{}, e)
		// end of excerpt
	}
	_ = TestSlowClients
}
