package main

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/cmd/firedrill/live"
	"github.com/firedrill-dev/firedrill/cmd/firedrill/screen"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var (
	errQuit    = errors.New("the operator ended the run")
	errAborted = errors.New("the operator aborted the run")

	errNothingLive = errors.New("nothing is live")
)

// operator is the person at the keys of a run. The scenario that runs asks one question at a time; one goroutine reads all
// keys, some of which act at any time. What the person does goes to the journal.
type operator struct {
	by        string // the name of the person
	keys      *keyboard
	view      front
	actions   []action
	cancelRun context.CancelCauseFunc
	record    func(journal.Note) // set before the first key is read
	abort     func(by string)    // heals everything and ends the run; returns when that is verified

	showing sync.Mutex // held while what is asked is shown; locked before mu
	mu      sync.Mutex // never held while an event is written
	changed sync.Cond  // on mu: a question is open, a fault is live, or the run has ended
	asked   *question  // nil if none is open
	accepts bool       // keys answer the question
	since   time.Time  // keys that were read before answer no question
	onHold  bool
	typing  []byte // a note; nil if none is being written
	run     live.State
	heal    func()          // heals what is live; nil if nothing can be healed
	healing context.Context // not done while heal acts; nil like heal
	end     chan struct{}   // closed when the run is aborted
	over    bool            // the run is being aborted
	deaf    bool            // the input has ended
}

// question is what the scenario that runs waits for.
type question struct {
	text, undo string // undo is "" if nothing would have to be undone
	choices    []choice
	answered   chan byte // gets the key
}

// choice is an answer to a question: each of its keys does.
type choice struct{ keys, label string }

// answerKeys are the keys that answer some question.
const answerKeys = "\n\r cs"

func newOperator(by string, keys *keyboard, view front, actions []action, cancelRun context.CancelCauseFunc) *operator {
	o := &operator{by: by, keys: keys, view: view, actions: actions, cancelRun: cancelRun, end: make(chan struct{})}
	o.changed.L = &o.mu
	return o
}

// join lets the operator take part in a run, and reads keys from when its journal is open.
func (o *operator) join(ctx context.Context, run *runner.Options) {
	dir, watch := run.Dir, run.Watch
	run.Watch = func(e journal.Event) {
		watch(e)
		o.event(e)
		if e.Run != nil {
			folder := filepath.Join(dir, e.Run.ID)
			o.abort = func(by string) { o.abortRun(ctx, folder, by) }
		}
	}
	run.Opened = func(record func(journal.Note)) {
		o.record = record
		go o.read()
	}
	run.HealRequested = o.canHealUntil
}

// askBefore makes a run ask before each injection, and for confirmations. undo returns how an injection is undone.
func (o *operator) askBefore(run *runner.Options, inject, confirm []choice, undo func(says string) string) {
	run.BeforeInject = func(ctx context.Context, says string) (skip bool, err error) {
		k, err := o.ask(ctx, question{text: "next: inject: " + says, undo: undo(says), choices: inject})
		switch {
		case err != nil:
			return false, err
		case k == 's':
			o.say("skipped", "skipped: "+says)
			return true, nil
		}
		o.say("continued", "continue: "+says)
		return false, nil
	}
	run.Confirm = func(ctx context.Context, what string) error {
		return o.confirm(ctx, question{text: "please confirm: " + what, choices: confirm}, "confirmed: "+what)
	}
}

// confirm asks a question, and records that it was answered.
func (o *operator) confirm(ctx context.Context, q question, record string) error {
	_, err := o.ask(ctx, q)
	if err == nil {
		o.say("continued", record)
	}
	return err
}

// ask shows a question and waits for a key that answers it, typed after the question was visible.
func (o *operator) ask(ctx context.Context, q question) (byte, error) {
	q.answered = make(chan byte, 1)
	o.mu.Lock()
	o.asked = &q
	o.mu.Unlock()
	o.show()
	defer func() {
		o.mu.Lock()
		o.asked, o.accepts = nil, false
		o.mu.Unlock()
		o.show()
	}()
	visible := time.NewTimer(o.view.Delay())
	defer visible.Stop()
	for {
		select {
		case <-visible.C:
			o.accept()
		case k := <-q.answered:
			return k, nil
		case <-o.end:
			return 0, errAborted
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// accept lets the next key answer the question. Keys typed before are ignored. If the input has ended, the run is stopped.
func (o *operator) accept() {
	o.mu.Lock()
	o.since, o.accepts = o.keys.discard(), true
	o.changed.Broadcast()
	deaf := o.deaf
	o.mu.Unlock()
	if deaf {
		o.unanswered()
		return
	}
	o.show()
}

func (o *operator) unanswered() {
	o.view.Say("the input ended, and this question needs a person who answers")
	o.quit()
}

// show shows what is asked and which keys act now, or the note that is being written.
func (o *operator) show() {
	o.showing.Lock()
	defer o.showing.Unlock()
	o.view.Show(o.prompt())
}

func (o *operator) prompt() screen.Prompt {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.run.Over {
		return screen.Prompt{}
	}
	p := screen.Prompt{OnHold: o.onHold, Typing: o.typing != nil, Note: string(o.typing)}
	if o.asked != nil {
		p.Question, p.Undo = o.asked.text, o.asked.undo
	}
	if o.asked != nil && o.accepts {
		for _, c := range o.asked.choices {
			p.Keys = append(p.Keys, c.label)
		}
	}
	if o.onHold {
		p.Keys = []string{"c: go on"}
	}
	for _, a := range o.actions {
		if a.label != "" && (a.char != 'h' || o.canHeal()) && (a.char != 'o' || !o.onHold) {
			p.Keys = append(p.Keys, a.label)
		}
	}
	return p
}

// say records what a person did or saw. It is shown as each note is.
func (o *operator) say(kind, text string) {
	o.record(journal.Note{Text: text, Kind: kind, By: o.by})
}

// reached records that the team has detected or mitigated the fault.
func (o *operator) reached(what, by string) {
	o.record(journal.Note{Text: what, Kind: what, By: by})
}

// read reads keys until the input ends. Those written in advance wait until they can act.
func (o *operator) read() {
	for k := range o.keys.typed {
		if o.keys.inAdvance {
			o.mu.Lock()
			for !o.run.Over && !o.accepts && o.typing == nil && (!o.canHeal() || strings.IndexByte(answerKeys, k.char) >= 0) {
				o.changed.Wait()
			}
			o.mu.Unlock()
		}
		o.press(k)
	}
	o.mu.Lock()
	o.deaf = true
	accepts := o.accepts
	o.mu.Unlock()
	if accepts {
		o.unanswered()
	}
}

func (o *operator) press(k key) {
	o.mu.Lock()
	typing, done := o.typing != nil, o.run.Over
	answers := !typing && o.accepts && !k.at.Before(o.since) && slices.ContainsFunc(o.asked.choices, func(c choice) bool { return strings.IndexByte(c.keys, k.char) >= 0 })
	released := answers && o.onHold
	switch {
	case released:
		o.onHold = false
	case answers:
		o.asked.answered <- k.char
		o.accepts = false
	}
	o.mu.Unlock()
	switch {
	case done:
	case released:
		o.say("released", "goes on")
		o.show()
	case answers:
	case typing:
		o.write(k.char)
	default:
		for _, a := range o.actions {
			if a.char == k.char {
				a.do(o)
			}
		}
	}
}

// holdOn makes the next answer only end the hold, so that nothing is injected by a key typed too much.
func (o *operator) holdOn() {
	o.mu.Lock()
	again := o.onHold
	o.onHold = true
	o.mu.Unlock()
	if !again {
		o.say("hold", "on hold: nothing further is injected")
		o.show()
	}
}

func (o *operator) startNote() {
	o.mu.Lock()
	o.typing = []byte{}
	o.mu.Unlock()
	o.show()
}

// maxNote is the length of a note, in bytes.
const maxNote = 1000

// write adds a byte to the note. Enter ends it.
func (o *operator) write(char byte) {
	const backspace, del = 8, 127
	o.mu.Lock()
	text := ""
	switch {
	case char == '\n' || char == '\r':
		text = strings.TrimSpace(strings.ToValidUTF8(string(o.typing), "?"))
		o.typing = nil
	case char == backspace || char == del:
		_, size := utf8.DecodeLastRune(o.typing)
		o.typing = o.typing[:len(o.typing)-size]
	case len(o.typing) < maxNote:
		o.typing = append(o.typing, char)
	}
	o.mu.Unlock()
	if text != "" {
		if err := o.note(o.by, text); err != nil {
			o.view.Say(err.Error())
		}
	}
	o.show()
}

// canHealUntil returns a channel that is closed when the operator heals before ctx is done.
func (o *operator) canHealUntil(ctx context.Context) <-chan struct{} {
	healed := make(chan struct{})
	o.mu.Lock()
	o.heal, o.healing = sync.OnceFunc(func() { close(healed) }), ctx
	o.changed.Broadcast()
	o.mu.Unlock()
	o.show()
	return healed
}

// canHeal reports whether something is live that can be healed. o.mu must be held.
func (o *operator) canHeal() bool {
	return o.heal != nil && o.healing.Err() == nil && len(o.run.Faults) > 0
}

// healNow heals what is live. It is an error, which is shown, if nothing is.
func (o *operator) healNow(by string) error {
	o.mu.Lock()
	heal, can := o.heal, o.canHeal()
	if can {
		o.heal = nil
	}
	o.mu.Unlock()
	if !can {
		o.view.Say(errNothingLive.Error())
		return errNothingLive
	}
	o.record(journal.Note{Text: "healed by hand", Kind: "heal", By: by})
	heal()
	o.show()
	return nil
}

// event follows which faults are live, and when the run ends.
func (o *operator) event(e journal.Event) {
	o.mu.Lock()
	before := o.canHeal()
	if o.run.Event(e); e.Begin != nil {
		o.heal = nil
	}
	changed := o.canHeal() != before || o.run.Over
	if changed {
		o.changed.Broadcast()
	}
	o.mu.Unlock()
	if changed {
		o.show()
	}
}

// abortNow heals everything, as "firedrill abort" does, and ends the run.
func (o *operator) abortNow(by string) {
	o.mu.Lock()
	again := o.over
	o.over = true
	o.mu.Unlock()
	if again {
		return
	}
	o.record(journal.Note{Text: "aborts the run", Kind: "abort", By: by})
	o.abort(by)
	close(o.end)
}

func (o *operator) abortRun(ctx context.Context, folder, by string) {
	ctx, cancel := context.WithTimeout(ctx, abortWithin)
	defer cancel()
	reply, err := control.Call(ctx, folder, control.Request{Do: "abort", By: by})
	if err != nil {
		o.view.Say(err.Error() + ": the run is interrupted instead")
		o.quit()
		return
	}
	o.view.Say(strings.Join(reply.Lines, "\n"))
}

func (o *operator) quit() {
	o.view.Say("stop")
	o.cancelRun(errQuit)
}
