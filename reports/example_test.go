package reports_test

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const recorded = `{"seq":1,"run":{"schema":1,"id":"20260102T030405-7f3a","began":"2026-01-02T03:04:05Z","seed":"42"}}
{"seq":2,"at":1000000000,"scenario":"orders--retries","begin":{"id":"orders--retries","name":"A retried order is charged once","file":"orders.feature","line":12}}
{"seq":3,"at":9000000000,"scenario":"orders--retries","step":"orders.feature:16","verdict":{"check":"no request is applied more than once","kind":"none twice","outcome":"failed","observed":"40 acknowledged","reason":"2 applied more than once","evidence":[2]}}
{"seq":4,"at":9100000000,"scenario":"orders--retries","end":{"outcome":"failed"}}
{"seq":5,"at":9200000000,"end":{"outcome":"failed"}}
`

// A run is rendered from its journal, as often as needed.
func ExampleText() {
	book, err := journal.Fold(strings.NewReader(recorded))
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := reports.Text(os.Stdout, book, false); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ✗ FAILED  A retried order is charged once  (orders.feature:12)
	//     ✗ no request is applied more than once  — 40 acknowledged
	//         orders.feature:16: 2 applied more than once
	//
	// FAILED  1 failed; seed 42
}

// Programs can add formats of their own to the table.
func ExampleTable() {
	book, err := journal.Fold(strings.NewReader(recorded))
	if err != nil {
		fmt.Println(err)
		return
	}
	formats := append(reports.Formats(), reports.Format{
		Name: "chat", File: "chat.txt", Means: "a chat room: one line",
		Write: func(w io.Writer, b *journal.Book) error {
			_, err := fmt.Fprintf(w, "run %s: %s\n", b.Run.ID, reports.Outcome(b))
			return err
		},
	})
	fmt.Println(formats.Names())
	if err := formats.WriteTo(os.Stdout, "chat", book); err != nil {
		fmt.Println(err)
	}
	// Output:
	// [html json junit messages metrics summary text vegeta chat]
	// run 20260102T030405-7f3a: failed
}
