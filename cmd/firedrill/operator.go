package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var errQuit = errors.New("the operator ended the run")

// operator reads the keys of the person at the terminal. It asks one question at a time, and one key heals the
// live fault at any time. Its methods must be called from the single scenario that runs.
type operator struct {
	keys      <-chan byte
	console   io.Writer
	cancelRun context.CancelCauseFunc // cancels the run

	live    context.Context // not done while h can heal a fault
	healed  chan struct{}   // closed by h; nil if there is nothing to heal
	stop    context.CancelFunc
	reading sync.WaitGroup
}

// askOperator makes the run ask before each injection, and heal it when a key is pressed.
func askOperator(o *runner.Options, op *operator) {
	o.Parallel = 1
	o.BeforeInject = func(ctx context.Context, says string) (skip bool, err error) {
		k, err := op.ask(ctx, "\nnext: "+says+"\n  Enter or space: continue   s: skip   q: stop the run > ", "\n\r s")
		switch {
		case err != nil:
			return false, err
		case k == 's':
			fmt.Fprintln(op.console, "skipped")
			return true, nil
		}
		fmt.Fprintln(op.console, "injecting; h: heal now")
		return false, nil
	}
	o.Confirm = func(ctx context.Context, what string) error {
		_, err := op.ask(ctx, "\nplease confirm: "+what+"\n  Enter: done   q: stop the run > ", "\n\r ")
		if err == nil {
			fmt.Fprintln(op.console, "confirmed")
		}
		return err
	}
	o.HealRequested = op.healing
}

// ask waits for one of the keys. q and the end of the input cancel the run.
func (op *operator) ask(ctx context.Context, question, keys string) (byte, error) {
	op.pause()
	defer op.listen()
	if op.healed != nil && op.live.Err() == nil {
		question = strings.Replace(question, "   q: ", "   h: heal the live faults   q: ", 1)
	}
	fmt.Fprint(op.console, journal.Visible(question))
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case k, ok := <-op.keys:
			switch {
			case !ok || k == 'q':
				fmt.Fprintln(op.console, "stop")
				op.cancelRun(errQuit)
				return 0, errQuit
			case k == 'h':
				op.heal()
			case strings.IndexByte(keys, k) >= 0:
				return k, nil
			}
		}
	}
}

// healing returns a channel that is closed when h is pressed before ctx is done.
func (op *operator) healing(ctx context.Context) <-chan struct{} {
	op.pause()
	op.live, op.healed = ctx, make(chan struct{})
	healed := op.healed
	op.listen()
	return healed
}

func (op *operator) heal() {
	if op.healed == nil || op.live.Err() != nil {
		return
	}
	fmt.Fprintln(op.console, "healing")
	close(op.healed)
	op.healed = nil
}

// listen waits for h in the background while no question is open. pause stops it.
func (op *operator) listen() {
	if op.healed == nil {
		return
	}
	ctx, cancel := context.WithCancel(op.live)
	op.stop = cancel
	op.reading.Go(func() {
		for op.healed != nil {
			select {
			case <-ctx.Done():
				return
			case k, ok := <-op.keys:
				switch {
				case !ok:
					return
				case k == 'h':
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

// readKeys returns a channel of typed bytes, unbuffered by lines if in is a terminal. restore resets the terminal.
// The goroutine that reads runs until the program ends: a blocked read of a terminal cannot be cancelled.
func readKeys(in io.Reader) (keys <-chan byte, restore func(), err error) {
	restore = func() {}
	if f, ok := in.(*os.File); ok && isTerminal(f) {
		if restore, err = keyByKey(int(f.Fd())); err != nil {
			return nil, nil, fmt.Errorf("switch the terminal to single keys: %w", err)
		}
	}
	typed := make(chan byte)
	go func() {
		defer close(typed)
		buf := make([]byte, 1)
		for {
			if _, err := in.Read(buf); err != nil {
				return
			}
			typed <- buf[0]
		}
	}()
	return typed, restore, nil
}
