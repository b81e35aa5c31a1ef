package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// facilitator leads through a game day. One goroutine reads all keys; the scenario that runs asks questions.
type facilitator struct {
	day       *day
	by        string // the person at the keys
	keys      *keyboard
	screen    *reports.Live
	echo      bool // show each character of a note
	cancelRun context.CancelCauseFunc
	record    func(journal.Note) // set before the first key is read
	abort     func()             // heals everything and ends the day; returns when that is verified
	checked   bool               // the checklist was confirmed

	mu       sync.Mutex // never held while an event is written
	card     *card      // that is played; nil before the first
	question string     // "" if none is open
	answered chan struct{}
	since    time.Time // keys that were read before answer no question
	onHold   bool
	typing   []byte          // a note; nil if none is being written
	live     map[string]bool // IDs of the faults that are live
	heal     func()          // heals what is live; nil if nothing can be healed
	end      chan struct{}   // closed when the day is aborted
	over     bool            // the day is being aborted
	finished bool            // the run has ended
}

// errAborted ends the questions of a day that was aborted.
var errAborted = errors.New("the game day was aborted")

func newFacilitator(d *day, by string, keys *keyboard, screen *reports.Live, cancelRun context.CancelCauseFunc) *facilitator {
	return &facilitator{day: d, by: by, keys: keys, screen: screen, cancelRun: cancelRun, live: map[string]bool{}, end: make(chan struct{})}
}

// dayKey is what a key does at any time. The facilitator's mutex is not held.
type dayKey struct {
	char  byte
	label string
	do    func(*facilitator)
}

// dayKeys returns a row for each key beside those that answer questions.
func dayKeys() []dayKey {
	return []dayKey{
		{'o', "o: hold", (*facilitator).hold},
		{'h', "h: heal", (*facilitator).healNow},
		{'n', "n: note", (*facilitator).startNote},
		{'d', "d: detected", func(f *facilitator) { f.say("detected", "detected") }},
		{'m', "m: mitigated", func(f *facilitator) { f.say("mitigated", "mitigated") }},
		{'!', "!: abort", (*facilitator).abortDay},
		{'q', "", (*facilitator).quit},
	}
}

// lead makes a run ask the facilitator, and reads keys from when its journal is open.
func (f *facilitator) lead(ctx context.Context, o *runner.Options) {
	dir, watch := o.Dir, o.Watch
	o.Watch = func(e journal.Event) {
		watch(e)
		f.event(e)
		if e.Run != nil {
			folder := filepath.Join(dir, e.Run.ID)
			f.abort = func() { f.abortRun(ctx, folder) }
		}
	}
	o.Opened = func(record func(journal.Note)) {
		f.record = record
		go f.read()
	}
	o.BeforeScenario = f.beforeCard
	o.BeforeInject = func(ctx context.Context, says string) (bool, error) {
		return false, f.ask(ctx, "next: inject: "+says+"\n  undo: "+f.undo(), "continue: "+says)
	}
	o.Confirm = func(ctx context.Context, what string) error {
		return f.ask(ctx, "please confirm: "+what, "confirmed: "+what)
	}
	o.HealRequested = f.healing
}

// beforeCard asks for the checklist once, and before each card.
func (f *facilitator) beforeCard(ctx context.Context, e *scenarios.Experiment) error {
	if !f.checked {
		f.say("day", f.day.summary())
		for i, item := range f.day.preflight {
			if err := f.ask(ctx, fmt.Sprintf("before the first card, %d of %d: %s", i+1, len(f.day.preflight), item), "confirmed: "+item); err != nil {
				return err
			}
		}
		f.checked = true
	}
	for i, c := range f.day.cards {
		if c.experiment == e {
			f.mu.Lock()
			f.card = c
			f.mu.Unlock()
			f.screen.Say("\n" + c.text(i+1, len(f.day.cards)))
			return f.ask(ctx, "next: start the services and the load of this card\n  undo: they are ended with the card", fmt.Sprintf("card %d: %s; hypothesis: %s; owner: %s", i+1, c.title, c.hypothesis, c.owner))
		}
	}
	return fmt.Errorf("no card runs the scenario %q", e.Name)
}

func (f *facilitator) undo() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.card.undo
}

// ask shows a question and waits until the facilitator continues. It records that.
func (f *facilitator) ask(ctx context.Context, question, record string) error {
	f.screen.Say("\n" + question)
	answered := make(chan struct{})
	f.mu.Lock()
	f.since = f.keys.discard()
	f.question, f.answered = question, answered
	f.mu.Unlock()
	f.showKeys()
	defer func() {
		f.mu.Lock()
		f.question, f.answered = "", nil
		f.mu.Unlock()
		f.showKeys()
	}()
	select {
	case <-answered:
		f.say("continued", record)
		return nil
	case <-f.end:
		return errAborted
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// showKeys shows the keys that do something now, or the note that is being written.
func (f *facilitator) showKeys() {
	f.mu.Lock()
	var line []string
	if f.question != "" {
		line = append(line, "c: continue")
	}
	if f.onHold {
		line = []string{"ON HOLD c: go on"}
	}
	for _, k := range dayKeys() {
		if k.label != "" && (k.char != 'h' || f.canHeal()) && (k.char != 'o' || !f.onHold) {
			line = append(line, k.label)
		}
	}
	text := strings.Join(line, "  ")
	if f.typing != nil {
		text = "note: " + string(f.typing)
	}
	if f.finished {
		text = ""
	}
	f.mu.Unlock()
	f.screen.Ask(text)
}

// say records what a person did or saw. The screen shows it as it shows each note.
func (f *facilitator) say(kind, text string) {
	f.record(journal.Note{Text: text, Kind: kind, By: f.by})
}

// read reads keys until the input ends, which stops the run.
func (f *facilitator) read() {
	for k := range f.keys.typed {
		f.press(k)
	}
	f.screen.Say("the input ended, and a game day needs a person who answers")
	f.quit()
}

func (f *facilitator) press(k key) {
	f.mu.Lock()
	typing := f.typing != nil
	answers := !typing && (k.char == 'c' || k.char == ' ') && f.answered != nil && !k.at.Before(f.since)
	if answers && !f.onHold {
		close(f.answered)
		f.answered = nil
	}
	released, finished := answers && f.onHold, f.finished
	f.onHold = f.onHold && !released
	f.mu.Unlock()
	switch {
	case finished:
	case released:
		f.say("released", "goes on")
		f.showKeys()
	case answers:
	case typing:
		f.write(k.char)
	default:
		for _, row := range dayKeys() {
			if row.char == k.char {
				row.do(f)
			}
		}
	}
}

// hold makes the next continue only end the hold, so that nothing is injected by a key typed too much.
func (f *facilitator) hold() {
	f.mu.Lock()
	again := f.onHold
	f.onHold = true
	f.mu.Unlock()
	if !again {
		f.say("hold", "on hold: nothing further is injected")
		f.showKeys()
	}
}

func (f *facilitator) startNote() {
	f.mu.Lock()
	f.typing = []byte{}
	f.mu.Unlock()
	f.showKeys()
}

// maxNote is the length of a note, in bytes.
const maxNote = 1000

// write adds a byte to the note. Enter ends it.
func (f *facilitator) write(char byte) {
	const backspace, del = 8, 127
	f.mu.Lock()
	done := ""
	switch {
	case char == '\n' || char == '\r':
		done = strings.TrimSpace(strings.ToValidUTF8(string(f.typing), "?"))
		f.typing = nil
	case char == backspace || char == del:
		_, size := utf8.DecodeLastRune(f.typing)
		f.typing = f.typing[:len(f.typing)-size]
	case len(f.typing) < maxNote:
		f.typing = append(f.typing, char)
	}
	ended := f.typing == nil
	f.mu.Unlock()
	if done != "" {
		f.say("note", done)
	}
	if ended || f.echo {
		f.showKeys()
	}
}

// healing returns a channel that is closed when the facilitator heals.
func (f *facilitator) healing(context.Context) <-chan struct{} {
	healed := make(chan struct{})
	once := sync.OnceFunc(func() { close(healed) })
	f.mu.Lock()
	f.heal = once
	f.mu.Unlock()
	f.showKeys()
	return healed
}

// canHeal reports whether something is live that can be healed. f.mu must be held.
func (f *facilitator) canHeal() bool { return f.heal != nil && len(f.live) > 0 }

func (f *facilitator) healNow() {
	f.mu.Lock()
	heal, can := f.heal, f.canHeal()
	if can {
		f.heal = nil
	}
	f.mu.Unlock()
	if !can {
		f.screen.Say("nothing is live")
		return
	}
	f.say("heal", "healed by hand")
	heal()
	f.showKeys()
}

// event follows which faults are live, and when the run ends.
func (f *facilitator) event(e journal.Event) {
	f.mu.Lock()
	before := f.canHeal()
	switch {
	case e.Begin != nil:
		f.live, f.heal = map[string]bool{}, nil
	case e.Fault != nil && e.Fault.Stage == "live":
		f.live[e.Fault.ID] = true
	case e.Fault != nil && e.Fault.Stage == "healed":
		delete(f.live, e.Fault.ID)
	case e.End != nil && e.Scenario == "":
		f.finished = true
	}
	changed := f.canHeal() != before || f.finished
	f.mu.Unlock()
	if changed {
		f.showKeys()
	}
}

// abortDay heals everything, as "firedrill abort" does, and ends the day.
func (f *facilitator) abortDay() {
	f.mu.Lock()
	again := f.over
	f.over = true
	f.mu.Unlock()
	if again {
		return
	}
	f.say("abort", "aborts the day")
	f.abort()
	close(f.end)
}

func (f *facilitator) abortRun(ctx context.Context, folder string) {
	ctx, cancel := context.WithTimeout(ctx, abortWithin)
	defer cancel()
	reply, err := control.Call(ctx, folder, control.Request{Do: "abort", By: f.by})
	if err != nil {
		f.screen.Say(err.Error() + ": the run is interrupted instead")
		f.quit()
		return
	}
	f.screen.Say(strings.Join(reply.Lines, "\n"))
}

func (f *facilitator) quit() {
	f.screen.Say("stop")
	f.cancelRun(errQuit)
}
