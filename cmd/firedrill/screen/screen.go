// Package screen shows a run on a whole terminal.
//
// It shows what is asked and which keys act, the figures of the last second, live faults with the time until they are
// healed, links, how near the stop rules are, and what happened last. It reads no keys. Start takes the terminal; Close
// gives it back and writes what happened below what stood there before.
package screen

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/live"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// frame is the least time between two redraws. Nothing is written for a frame that equals the last one, and only the
// difference otherwise, so that the screen can be used over a slow link.
const frame = 200 * time.Millisecond

// Delay is the time after which what was shown is visible.
const Delay = 3 * frame

// Screen is what a terminal shows of a run. Its methods may be called concurrently, and do not wait for the terminal,
// except Close.
type Screen struct {
	out     io.Writer
	colours bool
	program *tea.Program
	ended   chan struct{} // closed once the terminal is given back
	close   func()

	mu  sync.Mutex // guards what follows
	log *reports.Live
	// said is what the log has written. It is bounded by the length of a run.
	said          bytes.Buffer
	run           live.State
	width, height int // of the terminal; 0 before it is known
	card          Card
	prompt        Prompt
}

// Card is what the current scenario is about.
type Card struct {
	Heading string
	Text    string      // all of it, for where there is no screen; "" if the heading is all
	Facts   [][2]string // name and text, the most important one first
	Actions []Action    // in order
}

// Action is an injection of the scenario.
type Action struct{ ID, Text, Undo string }

// Prompt is what the person at the keys is asked, and which keys act now. The zero value shows nothing.
type Prompt struct {
	Question, Undo string // "" if none is open, or nothing would have to be undone
	Keys           []string
	OnHold         bool
	Typing         bool // a note, whose text so far is Note
	Note           string
}

// New returns a screen for a terminal, which out is.
func New(out io.Writer, colours bool) *Screen {
	s := &Screen{out: out, colours: colours, ended: make(chan struct{})}
	s.log = reports.NewLive(&s.said, false)
	s.close = sync.OnceFunc(s.leave)
	return s
}

// Start takes the terminal. failed is called if the screen cannot be shown any more.
func (s *Screen) Start(failed func(error)) {
	profile := colorprofile.ASCII
	if s.colours {
		profile = colorprofile.ANSI
	}
	s.program = tea.NewProgram(model{s}, tea.WithInput(nil), tea.WithOutput(s.out), tea.WithoutSignalHandler(),
		tea.WithFPS(int(time.Second/frame)), tea.WithColorProfile(profile))
	go func() {
		defer close(s.ended)
		if _, err := s.program.Run(); err != nil {
			failed(fmt.Errorf("show the screen: %w", err))
		}
	}()
}

// Close gives the terminal back and writes what happened. It may be called several times.
func (s *Screen) Close() { s.close() }

func (s *Screen) leave() {
	s.program.Quit()
	<-s.ended
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.out.Write(s.said.Bytes()) // the terminal may be lost
}

// Event shows an event. Events have to arrive in the order of the journal.
func (s *Screen) Event(e journal.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run.Event(e)
	if e.Begin == nil && e.End == nil {
		e.Scenario = "" // its name stands at the top, and few columns are left
	}
	s.log.Event(e)
}

// Say shows lines of text that are not about an event.
func (s *Screen) Say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log.Say(text)
}

// Begin shows what the scenario that follows is about.
func (s *Screen) Begin(c Card) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.card = c
}

// Show shows what the person at the keys is asked.
func (s *Screen) Show(p Prompt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prompt = p
}

// Delay returns the time after which what was shown is visible.
func (s *Screen) Delay() time.Duration { return Delay }
