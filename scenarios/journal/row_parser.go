package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// rowParser reads the rows of an event. encoding/json would take most of the time in which a journal is read.
type rowParser struct {
	raw     []byte
	at      int
	started bool // a value of the row was read
	err     error
}

// parseRows reads a list of lists, calls row for each, and returns what follows.
func parseRows(raw []byte, row func(*rowParser)) (rest []byte, err error) {
	p := &rowParser{raw: raw}
	p.expect('[')
	for n := 0; p.err == nil && p.peek() != ']'; n++ {
		if n > 0 {
			p.expect(',')
		}
		p.expect('[')
		p.started = false
		if row(p); p.err == nil && !p.more() {
			p.expect(']')
		} else if p.err == nil {
			p.err = errors.New("too many values")
		}
		if p.err != nil {
			return nil, fmt.Errorf("row %d: %w", n+1, p.err)
		}
	}
	p.expect(']')
	return p.raw[p.at:], p.err
}

func (p *rowParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// peek returns the next byte that is not white space, or 0 at the end.
func (p *rowParser) peek() byte {
	for ; p.at < len(p.raw); p.at++ {
		switch c := p.raw[p.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (p *rowParser) expect(c byte) {
	if p.err != nil {
		return
	}
	if got := p.peek(); got != c {
		p.fail(fmt.Errorf("%q instead of %q", got, c))
		return
	}
	p.at++
}

// more reports whether the row has a further value.
func (p *rowParser) more() bool { return p.err == nil && p.peek() != ']' }

// next moves to the next value of the row.
func (p *rowParser) next() {
	if p.started {
		p.expect(',')
	}
	p.started = true
}

// int reads a whole number.
func (p *rowParser) int() (n int64) {
	p.next()
	negative := p.peek() == '-'
	if negative {
		p.at++
	}
	from := p.at
	for ; p.err == nil && p.at < len(p.raw); p.at++ {
		c := p.raw[p.at] - '0'
		if c > 9 {
			break
		}
		if n > (math.MaxInt64-int64(c))/10 {
			p.fail(errors.New("a number is too large"))
			return 0
		}
		n = 10*n + int64(c)
	}
	if p.at == from || p.at < len(p.raw) && (p.raw[p.at] == '.' || p.raw[p.at]|' ' == 'e') {
		p.fail(errors.New("a whole number is missing"))
		return 0
	}
	if negative {
		return -n
	}
	return n
}

// text reads a string. The result is valid until the input changes.
func (p *rowParser) text() []byte {
	p.next()
	p.expect('"')
	from := p.at
	plain := true
	for ; p.err == nil && p.at < len(p.raw); p.at++ {
		switch c := p.raw[p.at]; {
		case c == '"':
			p.at++
			if plain {
				return p.raw[from : p.at-1]
			}
			var text string
			if err := json.Unmarshal(p.raw[from-1:p.at], &text); err != nil {
				p.fail(err)
			}
			return []byte(text)
		case c == '\\':
			plain = false
			p.at++
		case c < ' ' || c > '~':
			plain = false
		}
	}
	p.fail(errors.New("a string does not end"))
	return nil
}

// field reads a field: a number, or a whole text, which it adds to whole.
func (p *rowParser) field(whole *texts) field {
	if p.err != nil {
		return 0
	}
	comma := p.at
	if p.started && p.peek() == ',' {
		comma = p.at + 1
	}
	if next := bytes.TrimLeft(p.raw[comma:], " \t\n\r"); len(next) > 0 && next[0] == '"' {
		return wholeField(whole, p.text())
	}
	n := p.int()
	if n < 0 || n >= int64(wholeText) {
		p.fail(errors.New("a number is out of range"))
	}
	return field(n) //nolint:gosec // in range, or an error
}
