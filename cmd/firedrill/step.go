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
)

var errQuit = errors.New("the operator ended the run")

// desk is where the operator sits: a question at a time, and one key that heals whatever is live, also while a question is open. Its methods are called from the
// one scenario that runs.
type desk struct {
	keys <-chan byte
	talk io.Writer
	quit context.CancelCauseFunc // ends the run

	live    context.Context // while there is something that h could heal
	healed  chan struct{}   // closed by h; nil when there is nothing
	stop    context.CancelFunc
	reading sync.WaitGroup
}

// facilitate makes the run ask before each injection and heal it on a key.
func facilitate(o *runner.Options, d *desk) {
	o.Parallel = 1
	o.Before = func(ctx context.Context, says string) (skip bool, err error) {
		k, err := d.ask(ctx, "\nnext: "+says+"\n  Enter or space: go on   s: skip   q: stop the run > ", "\n\r s")
		switch {
		case err != nil:
			return false, err
		case k == 's':
			fmt.Fprintln(d.talk, "skipped")
			return true, nil
		}
		fmt.Fprintln(d.talk, "injecting; h: heal now")
		return false, nil
	}
	o.Confirm = func(ctx context.Context, what string) error {
		_, err := d.ask(ctx, "\nplease confirm: "+what+"\n  Enter: done   q: stop the run > ", "\n\r ")
		if err == nil {
			fmt.Fprintln(d.talk, "confirmed")
		}
		return err
	}
	o.Healing = d.healing
}

// ask waits for one of the keys; q, and an end of the input, end the run.
func (d *desk) ask(ctx context.Context, question, keys string) (byte, error) {
	d.pause()
	defer d.listen()
	if d.healed != nil && d.live.Err() == nil {
		question = strings.Replace(question, "   q: ", "   h: heal what is live   q: ", 1)
	}
	fmt.Fprint(d.talk, question)
	for {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case k, ok := <-d.keys:
			switch {
			case !ok || k == 'q':
				fmt.Fprintln(d.talk, "stop")
				d.quit(errQuit)
				return 0, errQuit
			case k == 'h':
				d.heal()
			case strings.IndexByte(keys, k) >= 0:
				return k, nil
			}
		}
	}
}

// healing lets h close the channel until ctx ends.
func (d *desk) healing(ctx context.Context) <-chan struct{} {
	d.pause()
	d.live, d.healed = ctx, make(chan struct{})
	healed := d.healed
	d.listen()
	return healed
}

func (d *desk) heal() {
	if d.healed == nil || d.live.Err() != nil {
		return
	}
	fmt.Fprintln(d.talk, "healing")
	close(d.healed)
	d.healed = nil
}

// listen waits for h while no question is open; pause ends that.
func (d *desk) listen() {
	if d.healed == nil {
		return
	}
	ctx, cancel := context.WithCancel(d.live)
	d.stop = cancel
	d.reading.Go(func() {
		for d.healed != nil {
			select {
			case <-ctx.Done():
				return
			case k, ok := <-d.keys:
				switch {
				case !ok:
					return
				case k == 'h':
					d.heal()
				}
			}
		}
	})
}

func (d *desk) pause() {
	if d.stop != nil {
		d.stop()
		d.reading.Wait()
		d.stop = nil
	}
}

// readKeys delivers what is typed, key by key on a terminal; restore sets the terminal back. The reader ends with the program: a blocked
// read of a terminal cannot be cut short.
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
