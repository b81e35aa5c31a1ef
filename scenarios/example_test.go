package scenarios_test

import (
	"fmt"
	"os"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

func ExampleNew() {
	e, err := scenarios.New("payments are slow").
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Address: "127.0.0.1:8080"}, {Name: "payments", Address: "127.0.0.1:8081"}},
			Links:    []scenarios.Link{{From: "orders", To: "payments", Protocol: "http"}},
		}).
		Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "GET", Path: "/orders"}}}).
		Inject("orders", "payments", injector.SlowCalls{By: 800 * time.Millisecond}).For(5 * time.Second).
		Check(check.Success{Ratio: 0.99, Window: journal.During}).
		Build()
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = scenarios.Plan(os.Stdout, []*scenarios.Experiment{e})
	// Output:
	//   payments are slow
	//     blast radius  not limited; faults touch orders -> payments
	//          0s  find payments at 127.0.0.1:8081, orders at 127.0.0.1:8080
	//          0s  open orders -> payments (http)
	//          0s  load: 50 requests per second on "GET /orders"
	//          0s  clients give up on an attempt after 10s; do not retry
	//          0s  measure the baseline for 5s
	//          5s  calls from "orders" to "payments" are delayed by 800ms for 5s
	//              on orders -> payments; undone after 5s: waiting calls go at once
	//         10s  watch recovery for at most 2s
	//         12s  check: at least 99% of requests succeed during the fault
	//     about 14 s
	//
	// 1 scenario, about 14 s
}
