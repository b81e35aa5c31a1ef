package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// maxSummary limits summary.md, in bytes. GitHub drops a job's summary as a whole if it is longer than 1 MiB, and several
// steps may write to it.
const maxSummary = 200_000

// writeSummary writes a run as Markdown for the summary of a CI job: why it did not pass, and a line for each scenario. A
// run that would take too much room lists its worst scenarios.
func writeSummary(w io.Writer, b *journal.Book) error {
	s := summary{}
	o := Outcome(b)
	s.line("## %s %s", icons[o], strings.ToUpper(o))
	s.line("")
	s.line("%s; seed %d", strings.Join(countOutcomes(b, func(_, text string) string { return text }), ", "), b.Run.Seed)
	if reason := unjudgedReason(b); reason != "" && (len(causes(b)) == 0 || abortReason(b) != "") {
		s.line("")
		s.line("%s", markdown(reason))
	}
	s.why(causes(b))
	s.scenarios(b)
	s.gameDay(newGameDay(b))
	if command := rerun(b); command != "" && !strings.Contains(command, "\n") {
		fence := strings.Repeat("`", 3+strings.Count(command, "`"))
		s.line("")
		s.line("%ssh\n%s\n%s", fence, plain(command), fence)
	}
	return writeVisible(w, journal.Visible, func(w io.Writer) error {
		_, err := io.WriteString(w, s.String())
		return err
	})
}

// summary is Markdown of limited length.
type summary struct{ strings.Builder }

func (s *summary) line(format string, args ...any) { fmt.Fprintf(s, format+"\n", args...) }

// rows writes a table, within a share of the limit, and how many rows there was no room for.
func (s *summary) rows(share float64, head string, rows []string) {
	s.line("")
	s.line("%s", head)
	s.line("|%s", strings.Repeat(" --- |", strings.Count(head, "|")-1))
	room := int(share * maxSummary)
	for i, row := range rows {
		if room -= len(row) + 1; room < 0 {
			s.line("")
			s.line("%s more in report.html", check.Count(len(rows)-i))
			return
		}
		s.line("%s", row)
	}
}

// why writes why the run did not pass.
func (s *summary) why(all []reason) {
	if len(all) == 0 {
		return
	}
	var rows []string
	for _, r := range all {
		observed := r.Observed
		if r.Expected != "" {
			observed += " (expected: " + r.Expected + ")"
		}
		rows = append(rows, fmt.Sprintf("| %s %s%s | %s | %s | %s | %s |", icons[r.Outcome], r.Outcome, comma(r.Standing), cell(r.Check), cell(observed), cell(r.Reason), cell(r.Position)))
	}
	s.rows(0.4, "| | check | observed | why | step |", rows)
}

// scenarios writes a line for each scenario, worst first.
func (s *summary) scenarios(b *journal.Book) {
	byOutcome := map[string][]*journal.History{}
	for _, h := range b.Scenarios {
		byOutcome[outcome(h)] = append(byOutcome[outcome(h)], h)
	}
	var all []*journal.History
	for _, o := range slices.Backward(ranks) {
		all = append(all, byOutcome[o]...)
	}
	var rows []string
	for _, h := range all {
		var success, p95, faults []string
		for _, w := range windows {
			f := figuresOf(h, w, "")
			success, p95 = append(success, percent(f.Good, f.Sent)), append(p95, ms(f.P95))
		}
		for _, in := range h.CombinedFaults() {
			faults = append(faults, affected(in))
		}
		o := outcome(h)
		rows = append(rows, fmt.Sprintf("| %s %s%s | %s | %s | %s | %s | %s |", icons[o], o, comma(strings.Join(standingOf(b, h).badges(), ", ")), cell(nameWithQuarantine(h)), cell(strings.Join(faults, "; ")),
			strings.Join(success, " / "), strings.Join(p95, " / "), check.Duration((h.Ended-h.Began).Round(100*time.Millisecond))))
	}
	for _, p := range b.NotRun() {
		rows = append(rows, fmt.Sprintf("| not run | %s | | | | |", cell(p.Name)))
	}
	if len(rows) > 0 {
		s.rows(0.5, "| | scenario | faults | success before / during / after | p95 before / during / after | took |", rows)
	}
}

// comma separates text from what is before it. Nothing needs no comma.
func comma(text string) string {
	if text == "" {
		return ""
	}
	return ", " + text
}

// nameWithQuarantine returns the name of a scenario, with the owner and the last day of its quarantine.
func nameWithQuarantine(h *journal.History) string {
	if q := h.Quarantine; q != nil {
		return fmt.Sprintf("%s (quarantine until %s: %s)", h.Name, q.Until, q.Owner)
	}
	return h.Name
}

// cell returns a text for a cell of a table, without markup and not too long.
func cell(text string) string { return markdown(short(plain(text))) }

// short limits the length of a text.
func short(text string) string {
	const most = 300
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// markdown returns a text in which nothing is markup of Markdown or HTML.
func markdown(text string) string { return markup.Replace(plain(text)) }

var markup = func() *strings.Replacer {
	pairs := []string{"&", "&amp;", "<", "&lt;", ">", "&gt;", "@", "&#64;", "://", "&#58;//", "www.", "www&#46;"}
	for _, c := range "\\`*_{}[]()#+!|~$^" {
		pairs = append(pairs, string(c), "\\"+string(c))
	}
	return strings.NewReplacer(pairs...)
}()

// causes returns why a run did not pass: failed checks, then ends of scenarios that were stopped or interrupted, then what
// is not proven. It is empty if no scenario gives a reason.
func causes(b *journal.Book) []reason {
	var failed, ended, unproven []reason
	aborted := abortReason(b)
	for _, h := range b.Scenarios {
		for _, v := range notPassed(aborted, &scenario{History: h, Outcome: outcome(h)}) {
			r := reason{v, position(h, v), strings.Join(standingOf(b, h).badges(), ", ")}
			switch v.Outcome {
			case "failed":
				failed = append(failed, r)
			case "inconclusive":
				unproven = append(unproven, r)
			default:
				ended = append(ended, r)
			}
		}
	}
	return slices.Concat(failed, ended, unproven)
}
