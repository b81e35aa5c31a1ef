package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/firedrill-dev/firedrill/runner"
)

var errQuit = errors.New("the operator ended the run")

// facilitate makes the run ask before each injection and heal it on a key.
func facilitate(o *runner.Options, keys <-chan byte, talk io.Writer) {
	o.Parallel = 1
	o.Before = func(ctx context.Context, says string) (bool, error) {
		fmt.Fprintf(talk, "\nnext: %s\n  Enter or space: go on   s: skip   q: stop the run > ", says)
		for {
			select {
			case <-ctx.Done():
				return false, ctx.Err()
			case k, ok := <-keys:
				switch {
				case !ok || k == 'q':
					fmt.Fprintln(talk, "stop")
					return false, errQuit
				case k == 's':
					fmt.Fprintln(talk, "skipped")
					return true, nil
				case k == '\n' || k == '\r' || k == ' ':
					fmt.Fprintln(talk, "injecting; h: heal now")
					return false, nil
				}
			}
		}
	}
	o.Healing = func(ctx context.Context) <-chan struct{} {
		healed := make(chan struct{})
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case k, ok := <-keys:
					if !ok {
						return
					}
					if k == 'h' {
						fmt.Fprintln(talk, "healing")
						close(healed)
						return
					}
				}
			}
		}()
		return healed
	}
	o.Confirm = func(ctx context.Context, what string) error {
		fmt.Fprintf(talk, "\nplease confirm: %s\n  Enter: done   q: stop the run > ", what)
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case k, ok := <-keys:
				switch {
				case !ok || k == 'q':
					return errQuit
				case k == '\n' || k == '\r' || k == ' ':
					fmt.Fprintln(talk, "confirmed")
					return nil
				}
			}
		}
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
