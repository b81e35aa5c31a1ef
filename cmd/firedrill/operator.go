package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var errQuit = errors.New("the operator ended the run")

// operator reads the keys of the person at the terminal. It asks one question at a time, and one key heals the
// live faults at any time. Its methods must be called from the single scenario that runs, except event.
type operator struct {
	keys      *keyboard
	screen    *reports.Live
	cancelRun context.CancelCauseFunc // cancels the run

	watched context.Context // not done while h can heal a fault
	healed  chan struct{}   // closed by h; nil if there is nothing to heal
	since   time.Time       // keys typed before are ignored
	stop    context.CancelFunc
	reading sync.WaitGroup

	mu   sync.Mutex
	live map[string]bool // IDs of the faults that are live
}

// askedAt makes a run ask at the terminal of a command.
func askedAt(cmd *cobra.Command) attach {
	return func(o *runner.Options, screen *reports.Live, cancelRun context.CancelCauseFunc) (func(), error) {
		keys, err := readKeys(cmd.InOrStdin())
		if err != nil {
			return nil, err
		}
		askOperator(o, &operator{keys: keys, screen: screen, cancelRun: cancelRun})
		return keys.restore, nil
	}
}

// askOperator makes the run ask before each injection, and heal it when a key is pressed.
func askOperator(o *runner.Options, op *operator) {
	o.Parallel = 1
	o.BeforeInject = func(ctx context.Context, says string) (skip bool, err error) {
		k, err := op.ask(ctx, "\nnext: "+says, "Enter or space: continue   s: skip", "\n\r s")
		switch {
		case err != nil:
			return false, err
		case k == 's':
			op.screen.Say("skipped")
			return true, nil
		}
		op.screen.Say("injecting")
		return false, nil
	}
	o.Confirm = func(ctx context.Context, what string) error {
		_, err := op.ask(ctx, "\nplease confirm: "+what, "Enter: done", "\n\r ")
		if err == nil {
			op.screen.Say("confirmed")
		}
		return err
	}
	o.HealRequested = op.healing
	watch := o.Watch
	o.Watch = func(e journal.Event) {
		watch(e)
		op.event(e)
	}
}

// event follows which faults are live.
func (op *operator) event(e journal.Event) {
	op.mu.Lock()
	defer op.mu.Unlock()
	switch {
	case e.Begin != nil:
		op.live = map[string]bool{}
	case e.Fault != nil && e.Fault.Stage == "live":
		op.live[e.Fault.ID] = true
	case e.Fault != nil && e.Fault.Stage == "healed":
		delete(op.live, e.Fault.ID)
	}
}

// canHeal reports whether h would heal something.
func (op *operator) canHeal() bool {
	op.mu.Lock()
	defer op.mu.Unlock()
	return len(op.live) > 0 && op.healed != nil && op.watched.Err() == nil
}

// ask waits for one of the keys, typed after the question is shown. q and the end of the input cancel the run.
func (op *operator) ask(ctx context.Context, text, choices, keys string) (byte, error) {
	op.pause()
	defer op.listen()
	if op.canHeal() {
		choices += "   h: heal the live faults"
	}
	op.screen.Say(text)
	op.since = op.keys.discard()
	op.screen.Ask("  " + choices + "   q: stop the run > ")
	defer op.screen.Ask("")
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case k, ok := <-op.keys.typed:
			switch {
			case ok && k.at.Before(op.since):
			case !ok || k.char == 'q':
				op.screen.Say("stop")
				op.cancelRun(errQuit)
				return 0, errQuit
			case k.char == 'h':
				op.heal()
			case strings.IndexByte(keys, k.char) >= 0:
				return k.char, nil
			}
		}
	}
}

// healing returns a channel that is closed when h is pressed before ctx is done.
func (op *operator) healing(ctx context.Context) <-chan struct{} {
	op.pause()
	if op.healed == nil || op.watched.Err() != nil { // nothing was live before that h could be meant for
		op.since = op.keys.discard()
	}
	op.watched, op.healed = ctx, make(chan struct{})
	healed := op.healed
	if op.canHeal() {
		op.screen.Say("h: heal now")
	}
	op.listen()
	return healed
}

func (op *operator) heal() {
	if !op.canHeal() {
		op.screen.Say("nothing is live")
		return
	}
	op.screen.Say("healing")
	close(op.healed)
	op.healed = nil
}

// listen waits for h in the background while no question is open. pause stops it.
func (op *operator) listen() {
	if op.healed == nil {
		return
	}
	ctx, cancel := context.WithCancel(op.watched)
	op.stop = cancel
	op.reading.Go(func() {
		for op.healed != nil {
			select {
			case <-ctx.Done():
				return
			case k, ok := <-op.keys.typed:
				switch {
				case !ok:
					return
				case k.char == 'h' && !k.at.Before(op.since):
					op.heal()
				}
			}
		}
	})
}

func (op *operator) pause() {
	if op.stop != nil {
		op.stop()
		op.reading.Wait()
		op.stop = nil
	}
}

// keyboard reads keys as they are typed.
type keyboard struct {
	typed   <-chan key // closed at the end of the input
	discard func() time.Time
	restore func() // resets the terminal
}

// key is a typed byte, with the time when it was read.
type key struct {
	char byte
	at   time.Time
}

// maxTyped is how many keys are kept until they are asked for. Further ones are dropped.
const maxTyped = 256

// readKeys returns a keyboard that reads in, unbuffered by lines if that is a terminal. Its discard drops what was typed
// and not yet read, and returns the time: keys that were read before it were typed before it was called. What is not a
// terminal was written in advance for what will be asked, and nothing of it is dropped.
// The goroutine that reads runs until the program ends: a blocked read of a terminal cannot be cancelled.
func readKeys(in io.Reader) (*keyboard, error) {
	typed := make(chan key, maxTyped)
	k := &keyboard{typed: typed, restore: func() {}, discard: func() time.Time { return time.Time{} }}
	if f, ok := in.(*os.File); ok && isTerminal(f) {
		restore, err := keyByKey(int(f.Fd()))
		if err != nil {
			return nil, fmt.Errorf("switch the terminal to single keys: %w", err)
		}
		k.restore = restore
		k.discard = func() time.Time {
			discardTyped(int(f.Fd()))
			return time.Now()
		}
	}
	go func() {
		defer close(typed)
		buf := make([]byte, 1)
		for {
			if _, err := in.Read(buf); err != nil {
				return
			}
			select {
			case typed <- key{buf[0], time.Now()}:
			default:
			}
		}
	}()
	return k, nil
}
