package main

import (
	"io"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// front shows a run to the person at its keys.
type front interface {
	Event(journal.Event)  // in the order of the journal
	Say(text string)      // lines that are not about an event
	Show(prompt)          // one at a time
	Delay() time.Duration // until what was shown is visible
	Close()
}

// prompt is what the person at the keys is asked, and which keys act now. The zero value shows nothing.
type prompt struct {
	question, undo string // "" if none is open, or nothing would have to be undone
	keys           []string
	onHold         bool
	typing         bool // a note, whose text so far is note
	note           string
}

// lines is a front that writes line by line. On a terminal the last lines are kept up to date.
type lines struct {
	*reports.Live
	echo  bool   // show each character of a note
	asked string // the question that was shown last
}

func newLines(w io.Writer) *lines {
	return &lines{Live: reports.NewLive(w, styled(w)), echo: styled(w)}
}

// Delay returns 0: what was written is visible.
func (l *lines) Delay() time.Duration { return 0 }

// Show writes the question once, and keeps the keys below what happens.
func (l *lines) Show(p prompt) {
	if p.question != l.asked && p.question != "" {
		text := "\n" + p.question
		if p.undo != "" {
			text += "\n  undo: " + p.undo
		}
		l.Say(text)
	}
	l.asked = p.question
	line := strings.Join(p.keys, "  ")
	switch {
	case p.typing && l.echo:
		line = "note: " + p.note
	case p.typing:
		line = "note: "
	case p.onHold:
		line = "ON HOLD " + line
	}
	l.Ask(line)
}
