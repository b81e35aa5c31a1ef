package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// errorTable counts errors by kind, route and window, and says when each was first seen.
func errorTable(h *journal.History) (rows [][]string) {
	counts := h.Total("", "").Errors
	if n := h.Total(journal.During, "").Unanswered; n > 0 {
		counts[journal.UnansweredAtHealing] = n
	}
	for _, kind := range sorted(counts) {
		for _, route := range routes(h) {
			row, all := []string{kind, route}, 0
			for _, w := range windows {
				n := h.Total(w, route).Errors[kind]
				row, all = append(row, fmt.Sprint(n)), all+n
			}
			if first := firstError(h, kind, route); all > 0 || first != "–" {
				rows = append(rows, append(row, first))
			}
		}
	}
	return rows
}

// firstError describes the first slice with an error of a route.
func firstError(h *journal.History, kind, route string) string {
	for _, s := range h.Samples {
		if n := s.Errors[kind]; n > 0 && s.Route == route && s.Window != journal.Warmup {
			return fmt.Sprintf("%d of %s due from %s to %s", n, things(s.Sent, "request"), at(s.From), at(s.To))
		}
	}
	return "–"
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

// linkTable summarizes the calls of each link by window, and its traffic in the whole scenario. Links that carried nothing
// are left out.
func linkTable(h *journal.History) (rows [][]string) {
	traffic := map[string]journal.Traffic{}
	links := linksOf(h)
	for _, t := range h.Traffic {
		traffic[t.Link] = t
		if t.Opened > 0 && !slices.Contains(links, t.Link) {
			links = append(links, t.Link)
		}
	}
	for _, link := range links {
		of := func(l string) bool { return l == link }
		calls, p95 := make([]string, 0, len(windows)), make([]string, 0, len(windows))
		for _, w := range windows {
			t := h.CallsTotal(w, of)
			calls, p95 = append(calls, check.Count(t.Calls)), append(p95, ms(journal.Quantile(t.Duration, 95)))
		}
		all := h.CallsTotal("", of)
		row := []string{link, strings.Join(calls, " / "), check.Count(all.Affected), check.Count(all.GaveUp), strings.Join(p95, " / "), ms(journal.Quantile(all.Duration, 100)), "–", "–", "–", "–"}
		if t, ok := traffic[link]; ok {
			opened := check.Count(t.Opened)
			if t.Live > 0 {
				opened += fmt.Sprintf(" (%s open at the end)", check.Count(t.Live))
			}
			row = append(row[:6], opened, check.Count(t.Refused), check.Count(t.Resets), size(t.BytesToServer)+" / "+size(t.BytesToClient))
		}
		rows = append(rows, row)
	}
	return rows
}

// processLines lists the changes of each service, one line for a service. Services that only started and stopped share one.
func processLines(h *journal.History) (lines []string) {
	by := map[string][]string{}
	changes := map[string]string{}
	var names, quiet []string
	for _, p := range h.Processes {
		if by[p.Service] == nil {
			names = append(names, p.Service)
		}
		text := at(p.At) + " " + p.What
		if p.Detail != "" {
			text += " (" + p.Detail + ")"
		}
		by[p.Service] = append(by[p.Service], text)
		changes[p.Service] += p.What + " "
	}
	for _, name := range names {
		if changes[name] != "started ready stopped " {
			lines = append(lines, name+": "+strings.Join(by[name], ", "))
			continue
		}
		quiet = append(quiet, name)
	}
	if len(quiet) > 0 {
		lines = append(lines, "started, became ready and were stopped at the end: "+strings.Join(quiet, ", "))
	}
	return lines
}
