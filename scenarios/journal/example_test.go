package journal_test

import (
	"bytes"
	"fmt"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// A journal is written event by event. Fold turns it into one History for each scenario.
func ExampleFold() {
	var file bytes.Buffer
	w := journal.NewWriter(&file, time.Now())
	w.Write(journal.Event{Run: &journal.Run{Schema: journal.Schema, ID: "20260102T030405-7f3a"}})
	w.Write(journal.Event{Scenario: "orders--slow", Begin: &journal.Begin{ID: "orders--slow", Name: "Orders survive slow payments"}})
	w.Write(journal.Event{Scenario: "orders--slow", Sample: &journal.Sample{Window: journal.During, Route: "POST /orders", Sent: 50, OK: 49, Failed: 1}})
	if err := w.Err(); err != nil {
		fmt.Println(err)
		return
	}
	book, err := journal.Fold(&file)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, h := range book.Scenarios {
		t := h.Total(journal.During, "")
		fmt.Printf("%s: %d of %d requests succeeded during the fault\n", h.Name, h.Good(t), t.Sent)
	}
	fmt.Println("the run ended:", book.End != nil)
	// Output:
	// Orders survive slow payments: 49 of 50 requests succeeded during the fault
	// the run ended: false
}
