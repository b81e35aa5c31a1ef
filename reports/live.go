package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Live shows the progress of a run. On a terminal it keeps one line of figures up to date, below a line for each
// event. Elsewhere it writes the lines of events only, and the figures every few seconds while a question is open.
// Events must arrive in the order of the journal; times are those of the events.
type Live struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	names map[string]string
	ticks map[string]journal.Tick
	order []string
	whole map[string]*journal.Fault // live partitions, by scenario and id: the counters of their links so far
	parts map[string]int            // how many of their links are not healed yet

	question string        // "" if none is open
	rows     int           // of the terminal that hold the figures and the question: 0, 1 or 2
	latest   time.Duration // of the last event
	figured  time.Duration // when figures were last written, unless w is a terminal
}

// figuresEvery is how often figures are written while a question is open, unless on a terminal.
const figuresEvery = 5 * time.Second

// NewLive returns a Live that writes to w. tty reports whether w is a terminal.
func NewLive(w io.Writer, tty bool) *Live {
	return &Live{w: w, tty: tty, names: map[string]string{}, ticks: map[string]journal.Tick{}, whole: map[string]*journal.Fault{}, parts: map[string]int{}}
}

// Event shows an event, unless its kind is not shown.
func (l *Live) Event(e journal.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = e.At
	name := l.names[e.Scenario]
	switch {
	case e.Begin != nil:
		l.names[e.Scenario] = e.Begin.Name
		l.order = append(l.order, e.Scenario)
		l.line(e.At, e.Begin.Name, "started")
	case e.Phase != nil && e.Phase.Name != "done":
		l.line(e.At, name, e.Phase.Name)
	case e.Fault != nil:
		l.fault(e, name)
	case e.Process != nil && (e.Process.What == "crashed" || e.Process.What == "hung"):
		l.line(e.At, name, fmt.Sprintf("%s %s", e.Process.Service, e.Process.What))
	case e.Process != nil && (e.Process.What == "exited" || e.Process.What == "killed" || e.Process.What == "daemon"):
		l.line(e.At, name, fmt.Sprintf("%s %s: %s", e.Process.Service, e.Process.What, e.Process.Detail))
	case e.Verdict != nil && e.Verdict.Outcome != "passed":
		l.line(e.At, name, fmt.Sprintf("%s %s: %s", icons[e.Verdict.Outcome], e.Verdict.Check, e.Verdict.Reason))
	case e.Note != nil:
		l.line(e.At, name, said(e.Note))
	case e.End != nil && e.Scenario != "":
		delete(l.ticks, e.Scenario)
		l.order = slices.DeleteFunc(l.order, func(id string) bool { return id == e.Scenario })
		l.line(e.At, name, strings.ToUpper(e.End.Outcome))
	case e.Tick != nil:
		l.ticks[e.Scenario] = *e.Tick
		l.status(e.At)
	}
}

// fault shows the beginning and the end of a fault. A partition is shown once, with the sum over its links.
func (l *Live) fault(e journal.Event, name string) {
	f, id := *e.Fault, e.Scenario+" "+journal.FaultID(e.Fault.ID)
	part := journal.FaultID(f.ID) != f.ID
	switch f.Stage {
	case "injected":
		if part {
			if l.parts[id]++; l.parts[id] > 1 {
				return
			}
			l.whole[id] = &journal.Fault{}
		}
		l.line(e.At, name, "inject: "+f.Stated())
	case "healed":
		if w := l.whole[id]; part && w != nil {
			w.Seen, w.Affected = w.Seen+f.Seen, w.Affected+f.Affected
			if l.parts[id]--; l.parts[id] > 0 {
				return
			}
			f.Seen, f.Affected = w.Seen, w.Affected
			delete(l.parts, id)
			delete(l.whole, id)
		}
		l.line(e.At, name, fmt.Sprintf("healed: %s (%d of %d %s affected)", f.Stated(), f.Affected, f.Seen, f.Unit))
	}
}

func (l *Live) line(at time.Duration, name, text string) {
	l.clear()
	if name != "" { // otherwise it is about the whole run
		text = shorten(name, 48) + ": " + text
	}
	fmt.Fprintf(l.w, "%8s  %s\n", clock(at), plain(text))
	if l.tty {
		l.status(at)
	}
}

// said returns the text of a note, with its author.
func said(n *journal.Note) string {
	if n.By == "" {
		return n.Text
	}
	return n.By + ": " + n.Text
}

func clock(at time.Duration) string {
	return fmt.Sprintf("%d:%04.1f", int(at.Minutes()), (at % time.Minute).Seconds())
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// Say writes lines of text that are not about an event.
func (l *Live) Say(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
	fmt.Fprintln(l.w, journal.Visible(text))
	l.status(l.latest)
}

// Ask shows a question of one line, together with the figures, until it is called with "".
func (l *Live) Ask(question string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
	if question != "" && question != l.question && !l.tty {
		l.figured = l.latest
		fmt.Fprintln(l.w, plain(question))
	}
	l.question = question
	l.status(l.latest)
}

// status repaints the line of figures, and that of the question.
func (l *Live) status(at time.Duration) {
	figures := l.figures(at)
	switch {
	case !l.tty && figures != "" && l.question != "" && at-l.figured >= figuresEvery:
		l.figured = at
		fmt.Fprintln(l.w, figures)
	case l.tty && (figures != "" || l.question != ""):
		l.clear()
		// Automatic wrapping is off, so that a narrow terminal truncates the lines and they can still be repainted.
		fmt.Fprint(l.w, "\x1b[?7l", figures)
		l.rows = 1
		if l.question != "" && figures != "" {
			fmt.Fprint(l.w, "\n")
			l.rows = 2
		}
		fmt.Fprint(l.w, plain(l.question), "\x1b[?7h")
	}
}

// figures returns the figures of the scenarios that run, or "" if there are none yet.
func (l *Live) figures(at time.Duration) string {
	if len(l.ticks) == 0 {
		return ""
	}
	var parts []string
	for _, id := range l.order {
		if t, ok := l.ticks[id]; ok {
			part := fmt.Sprintf("%s %.0f/s p99 %s %d errors", t.Phase, t.Rate, ms(t.P99), t.Errors)
			if len(t.Faults) > 0 {
				part += " ⚡" + fmt.Sprint(len(t.Faults))
			}
			parts = append(parts, part)
		}
	}
	return fmt.Sprintf("%8s  %s", clock(at), plain(shorten(strings.Join(parts, " | "), 150)))
}

// clear removes the figures and the question from a terminal.
func (l *Live) clear() {
	if !l.tty {
		return
	}
	fmt.Fprint(l.w, "\r\x1b[K")
	if l.rows == 2 {
		fmt.Fprint(l.w, "\x1b[A\x1b[K")
	}
	l.rows = 0
}

// Close removes the line of figures from the terminal. It does not close the writer.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
}
