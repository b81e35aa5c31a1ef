package reports

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// errorTable counts errors by kind and window.
func errorTable(h *journal.History) [][]string {
	counts := h.Total("", "").Errors
	if n := h.Total(journal.During, "").Unanswered; n > 0 {
		counts[journal.UnansweredAtHealing] = n
	}
	var rows [][]string
	for _, kind := range sorted(counts) {
		row := []string{kind}
		for _, w := range windows {
			row = append(row, fmt.Sprint(h.Total(w, "").Errors[kind]))
		}
		rows = append(rows, row)
	}
	return rows
}

// messageOutcomes counts the outcomes of messages, by fault and stage.
func messageOutcomes(h *journal.History) [][]string {
	counts := map[[2]string]int{}
	var order [][2]string
	for _, m := range h.Messages {
		k := [2]string{m.Fault, m.Stage}
		if counts[k]++; counts[k] == 1 {
			order = append(order, k)
		}
	}
	sentences := map[string]string{}
	for _, in := range h.Faults {
		sentences[in.ID] = in.Sentence
	}
	var rows [][]string
	for _, k := range order {
		rows = append(rows, []string{sentences[k[0]], k[1], fmt.Sprint(counts[k])})
	}
	return rows
}

// linkTable summarizes the calls of each link by window.
func linkTable(h *journal.History) [][]string {
	counts := map[string]int{}
	for _, c := range h.Calls {
		counts[c.Link] += c.Calls
	}
	var rows [][]string
	for _, link := range sorted(counts) {
		for _, w := range windows {
			t := h.CallsTotal(w, func(l string) bool { return l == link })
			if t.Calls > 0 {
				rows = append(rows, []string{link, string(w), check.Count(t.Calls), check.Count(t.Affected), check.Count(t.GaveUp), ms(journal.Quantile(t.Duration, 50)), ms(journal.Quantile(t.Duration, 95)), ms(journal.Quantile(t.Duration, 100))})
			}
		}
	}
	return rows
}
