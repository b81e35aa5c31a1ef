package shop_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"example.com/shop"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/linktest"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// forgetful breaks the service under test, to see that the tests notice.
var forgetful = os.Getenv("FORGETFUL") != ""

// TestLink injects one fault from Go.
func TestLink(t *testing.T) {
	payments := &shop.Payments{Forgetful: forgetful}
	server := httptest.NewServer(payments)
	defer server.Close()
	var orders shop.Orders
	l := linktest.New(t, "http", server.Listener.Addr().String())
	orders.ReachPaymentsAt(l.Addr())

	lost := l.Inject(injector.LoseReplies{Pick: injector.Pick{First: 2}})
	if err := orders.Charge("o-1"); err != nil {
		t.Error(err)
	}
	if n := len(payments.Charges()); n != 1 || lost.Affected() != 2 {
		t.Errorf("%d charges of one order; %d replies were lost", n, lost.Affected())
	}
}

// TestFeatures runs the features, with sentences of this module.
func TestFeatures(t *testing.T) {
	// excerpt: handlers
	payments, orders := &shop.Payments{Forgetful: forgetful}, &shop.Orders{}
	runner.Test(t, runner.Options{
		Handlers: map[string]http.Handler{"payments": payments, "orders": orders},
		Steps: []runner.Step{
			{Pattern: `^orders reach payments through their link$`, Do: func(ctx context.Context) {
				orders.ReachPaymentsAt(runner.FromContext(ctx).Link("orders", "payments"))
			}},
			{Pattern: `^payments made at least (\d+) charges$`, Do: func(least int) error {
				if n := len(payments.Charges()); n < least {
					return fmt.Errorf("payments made %d charges", n)
				}
				return nil
			}},
		},
	})
	// end of excerpt
}

// TestBuilder builds an experiment in Go.
func TestBuilder(t *testing.T) {
	e, err := scenarios.New("payments are slow").
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "payments", Handler: &shop.Payments{}, Serves: []string{"/charge"}}},
			Links:    []scenarios.Link{{From: "clients", To: "payments", Protocol: "http"}},
		}).
		Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "POST", Path: "/charge"}}}).
		Inject("clients", "payments", injector.SlowCalls{By: 50 * time.Millisecond}).For(time.Second).
		Check(check.Success{Ratio: 0.9}).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	runner.TestExperiments(t, runner.Options{}, e)
}
