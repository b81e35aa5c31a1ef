package check_test

import (
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A check is judged on a History, which a journal holds. Without facts it is inconclusive.
func ExampleAsk() {
	h := &journal.History{Samples: []journal.Sample{
		{To: time.Second, Window: journal.Before, Route: "GET /", Sent: 40, OK: 38, Failed: 2, Errors: map[string]int{"timeout": 2}},
	}}
	for _, c := range []check.Check{check.Success{Ratio: 0.9, Window: journal.Before}, check.Success{Ratio: 0.99, Window: journal.Before}, check.ExactlyOnce{}} {
		v := check.Ask(c, h)
		fmt.Println(c)
		fmt.Printf("  %s, observed %q, reason %q\n", v.Outcome, v.Observed, v.Reason)
	}
	// Output:
	// at least 90% of requests succeed before the fault
	//   passed, observed "95.0% (38 of 40; 95% CI 83.5% to 98.6%)", reason ""
	// at least 99% of requests succeed before the fault
	//   failed, observed "95.0% (38 of 40; 95% CI 83.5% to 98.6%)", reason "2 of 40 requests did not succeed before the fault: timeout (2)"
	// every acknowledged request is applied exactly once
	//   inconclusive, observed "", reason "no effects were read"
}
