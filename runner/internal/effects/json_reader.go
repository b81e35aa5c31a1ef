package effects

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonReader reads a document of JSON piece by piece, so that a long list takes no memory.
type jsonReader struct {
	in   *bufio.Reader
	head []byte // the beginning of the document
	read int64
	long []byte // the last value, if it did not fit into the buffer
}

func newJSONReader(in io.Reader) *jsonReader { return &jsonReader{in: bufio.NewReaderSize(in, 64<<10)} }

// buffered returns the bytes that were read and not taken, of which there is at least one.
func (r *jsonReader) buffered() ([]byte, error) {
	if _, err := r.in.Peek(1); err != nil {
		return nil, err
	}
	return r.in.Peek(r.in.Buffered())
}

// take goes on behind n bytes of the buffer.
func (r *jsonReader) take(n int) error {
	if len(r.head) < excerptLength {
		buffer, _ := r.in.Peek(min(n, excerptLength-len(r.head)))
		r.head = append(r.head, buffer...)
	}
	_, _ = r.in.Discard(n) // they are in the buffer
	if r.read += int64(n); r.read > maxListBytes {
		return fmt.Errorf("the list is longer than %d bytes", int64(maxListBytes))
	}
	return nil
}

// errTooLong is returned for a value that would take too much memory.
var errTooLong = fmt.Errorf("a value is longer than %d bytes", maxItemBytes)

// peek returns the next byte that is not white space.
func (r *jsonReader) peek() (byte, error) {
	for spaces := 0; spaces < maxItemBytes; {
		buffer, err := r.buffered()
		if err != nil {
			return 0, err
		}
		n := 0
		for n < len(buffer) && (buffer[n] == ' ' || buffer[n] == '\n' || buffer[n] == '\r' || buffer[n] == '\t') {
			n++
		}
		if n < len(buffer) {
			next := buffer[n]
			return next, r.take(n)
		}
		if err := r.take(n); err != nil {
			return 0, err
		}
		spaces += n
	}
	return 0, errTooLong
}

// begin takes the opening bracket of an array or an object, and reports whether it has an element.
func (r *jsonReader) begin(opening, closing byte) (more bool, err error) {
	if err := r.expect(opening); err != nil {
		return false, err
	}
	c, err := r.peek()
	if err == nil && c == closing {
		return false, r.take(1)
	}
	return true, noEOF(err)
}

// more takes what follows an element, and reports whether there is another one.
func (r *jsonReader) more(closing byte) (bool, error) {
	if c, err := r.peek(); err == nil && c == closing {
		return false, r.take(1)
	}
	return true, r.expect(',')
}

// expect takes a byte.
func (r *jsonReader) expect(want byte) error {
	c, err := r.peek()
	switch {
	case err != nil:
		return noEOF(err)
	case c != want:
		return fmt.Errorf("%q instead of %q", c, want)
	}
	return r.take(1)
}

// end reports whether nothing follows.
func (r *jsonReader) end() bool {
	_, err := r.peek()
	return errors.Is(err, io.EOF)
}

// extent finds the end of a value.
type extent struct {
	depth            int
	inString, escape bool
	started          bool
}

// scan returns how many bytes of a text belong to the value, and whether it ends there.
func (x *extent) scan(text []byte) (n int, ended bool) {
	for i, c := range text {
		switch {
		case x.escape:
			x.escape = false
		case x.inString && c == '\\':
			x.escape = true
		case c == '"':
			if x.inString = !x.inString; !x.inString && x.depth == 0 {
				return i + 1, true
			}
		case x.inString:
		case c == '{', c == '[':
			x.depth++
		case c == '}', c == ']':
			if x.depth--; x.depth <= 0 {
				return i + x.depth + 1, true // without the bracket, if it ends something outside
			}
		case x.depth == 0 && x.started && (c == ',' || c == ':' || c <= ' '):
			return i, true
		}
		x.started = true
	}
	return len(text), false
}

// value takes the next value and returns its text, which need not be valid. It is valid until the next call.
func (r *jsonReader) value() (json.RawMessage, error) {
	if _, err := r.peek(); err != nil {
		return nil, noEOF(err)
	}
	var x extent
	r.long = r.long[:0]
	for {
		buffer, err := r.buffered()
		if errors.Is(err, io.EOF) && len(r.long) > 0 && x.depth == 0 && !x.inString { // a number at the end
			return r.long, nil
		}
		if err != nil {
			return nil, noEOF(err)
		}
		n, ended := x.scan(buffer)
		if len(r.long)+n > maxItemBytes {
			return nil, errTooLong
		}
		if ended && len(r.long) == 0 {
			return buffer[:n:n], r.take(n)
		}
		r.long = append(r.long, buffer[:n]...)
		if err := r.take(n); err != nil || ended {
			return r.long, err
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// validJSON returns why a text is not JSON.
func validJSON(text []byte) error {
	if json.Valid(text) {
		return nil
	}
	return json.Unmarshal(text, new(json.RawMessage))
}

// object reads an object. It calls field after the name of each field; field takes the value.
func (r *jsonReader) object(field func(name string) error) error {
	more, err := r.begin('{', '}')
	for ; err == nil && more; more, err = r.more('}') {
		var name string
		raw, err := r.value()
		if err == nil {
			err = json.Unmarshal(raw, &name)
		}
		if err == nil {
			err = r.expect(':')
		}
		if err != nil {
			return fmt.Errorf("the name of a field cannot be read: %w", err)
		}
		if err := field(name); err != nil {
			return err
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("it ends early: %w", err)
	}
	return err
}

// field reads the value of a field that is not a list.
func (r *jsonReader) field(name string) (json.RawMessage, error) {
	raw, err := r.value()
	if err == nil {
		err = validJSON(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("its field %q cannot be read: %w", name, err)
	}
	return raw, nil
}
