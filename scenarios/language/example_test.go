package language_test

import (
	"fmt"
	"testing/fstest"

	"github.com/firedrill-dev/firedrill/scenarios/language"
)

func ExampleParse() {
	files := fstest.MapFS{
		"system.yaml": {Data: []byte(`
services:
  orders:
    command: [bin/orders, "${port}", "${link:payments}"]
    depends: {payments: http}
  payments:
    command: [bin/payments, "${port}"]
`)},
		"slow.feature": {Data: []byte(`
Feature: Orders
  Scenario: payments are slow
    Given the system described in "system.yaml"
    When calls from "orders" to "payment" are delayed by 800 for 5s
`)},
	}
	_, err := language.Parse(language.Source{FS: files, Paths: []string{"slow.feature"}})
	fmt.Println(err)
	// Output:
	// slow.feature:5:10: there is no service "payment" [unknown-name]
	//         When calls from "orders" to "payment" are delayed by 800 for 5s
	//              ^
	//   did you mean "payments"?
	// slow.feature:5:58: "800" has no unit [bad-value]
	//         When calls from "orders" to "payment" are delayed by 800 for 5s
	//                                                              ^
	//   write 800ms, 2s, 5m or 30 seconds
	// 2 problems; nothing was started
}
