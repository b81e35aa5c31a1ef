package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// keyboard reads keys as they are typed.
type keyboard struct {
	typed     <-chan key // closed at the end of the input
	inAdvance bool       // the input is not a terminal: it was written in advance for what will be asked
	discard   func() time.Time
	restore   func() // resets the terminal
}

// key is a typed byte, with the time when it was read.
type key struct {
	char byte
	at   time.Time
}

// action is what a key does at any time. The operator's mutex is not held.
type action struct {
	char  byte
	label string // "" if it is not shown
	do    func(*operator)
}

// anytime returns a row for each key beside those that answer questions.
func anytime() []action {
	return []action{
		{'h', "h: heal", func(o *operator) { _ = o.healNow(o.by) }},
		{'n', "n: note", (*operator).startNote},
		{'d', "d: detected", func(o *operator) { o.reached("detected", o.by) }},
		{'m', "m: mitigated", func(o *operator) { o.reached("mitigated", o.by) }},
		{'!', "!: abort", func(o *operator) { o.abortNow(o.by) }},
		{'q', "", (*operator).quit},
	}
}

// hold is the key of those who lead others.
var hold = action{'o', "o: hold", (*operator).holdOn}

// echoing turns on again what readKeys turned off in a terminal, or is nil: a program that exits immediately has to.
var echoing atomic.Pointer[func()]

// maxTyped is how many keys are kept until they are asked for. Further ones that are typed at a terminal are dropped.
const maxTyped = 256

// readKeys returns a keyboard that reads in, unbuffered by lines if that is a terminal. Its discard drops what was typed
// and not yet read, and returns the time: keys that were read before it were typed before it was called. Of what is not a
// terminal, nothing is dropped.
// The goroutine that reads runs until the program ends: a blocked read of a terminal cannot be cancelled.
func readKeys(in io.Reader) (*keyboard, error) {
	typed := make(chan key, maxTyped)
	k := &keyboard{typed: typed, inAdvance: true, restore: func() {}, discard: func() time.Time { return time.Time{} }}
	if f, ok := in.(*os.File); ok && isTerminal(f) {
		restore, err := keyByKey(int(f.Fd()))
		if err != nil {
			return nil, fmt.Errorf("switch the terminal to single keys: %w", err)
		}
		k.inAdvance, k.restore = false, restore
		echoing.Store(&restore)
		k.discard = func() time.Time {
			discardTyped(int(f.Fd()))
			return time.Now()
		}
	}
	go func() {
		defer close(typed)
		buf := make([]byte, 1)
		var seq sequence
		for {
			if _, err := in.Read(buf); err != nil {
				return
			}
			if seq.has(buf[0]) {
				continue
			}
			if k.inAdvance {
				typed <- key{buf[0], time.Now()}
				continue
			}
			select {
			case typed <- key{buf[0], time.Now()}:
			default:
			}
		}
	}()
	return k, nil
}

// sequence recognises what a terminal sends for arrows and function keys, such as ESC [ c and ESC O d: their last
// characters must not act as keys. The zero value is ready.
type sequence struct{ last byte } // ESC, '[' or 'O'; 0 outside of a sequence

// has reports whether the next character belongs to a sequence.
func (s *sequence) has(char byte) bool {
	const escape = 27
	switch {
	case char == escape:
		s.last = escape
	case s.last == escape && (char == '[' || char == 'O'):
		s.last = char
	case s.last == 'O', s.last == '[' && char >= '@' && char <= '~':
		s.last = 0
	case s.last == '[':
	default:
		s.last = 0
		return false
	}
	return true
}
