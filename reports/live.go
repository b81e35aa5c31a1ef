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
// event. Elsewhere it writes the lines of events only. Events must arrive in the order of the
// journal; times are those of the events.
type Live struct {
	mu    sync.Mutex
	w     io.Writer
	tty   bool
	names map[string]string
	ticks map[string]journal.Tick
	order []string
	whole map[string]*journal.Fault // live partitions, by scenario and id: the counters of their links so far
	parts map[string]int            // how many of their links are not healed yet
}

// NewLive returns a Live that writes to w. tty reports whether w is a terminal.
func NewLive(w io.Writer, tty bool) *Live {
	return &Live{w: w, tty: tty, names: map[string]string{}, ticks: map[string]journal.Tick{}, whole: map[string]*journal.Fault{}, parts: map[string]int{}}
}

// Event shows an event, unless its kind is not shown.
func (l *Live) Event(e journal.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
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
		l.line(e.At, name, e.Note.Text)
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

func clock(at time.Duration) string {
	return fmt.Sprintf("%d:%04.1f", int(at.Minutes()), (at % time.Minute).Seconds())
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// status repaints the line of figures.
func (l *Live) status(at time.Duration) {
	if !l.tty || len(l.ticks) == 0 {
		return
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
	// Automatic wrapping is off, so that a narrow terminal truncates the line and it can still be repainted.
	fmt.Fprintf(l.w, "\r\x1b[K\x1b[?7l%8s  %s\x1b[?7h", clock(at), plain(shorten(strings.Join(parts, " | "), 150)))
}

func (l *Live) clear() {
	if l.tty {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
}

// Close removes the line of figures from the terminal. It does not close the writer.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clear()
}
