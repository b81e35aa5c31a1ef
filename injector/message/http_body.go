package message

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// copyBody copies a body to w unchanged, including its framing, and returns the number of bytes. A nil w
// discards it.
func copyBody(w io.Writer, r *bufio.Reader, h *head) (int64, error) {
	if w == nil {
		w = io.Discard
	}
	switch h.body {
	case sized:
		return copyN(w, r, h.size)
	case chunked:
		return copyChunks(w, r)
	case untilClose:
		return copyAll(w, r)
	}
	return 0, nil
}

// flusher is a buffering writer, such as a bufio.Writer.
type flusher interface{ Flush() error }

// flush flushes w before a read that may block, so that only the end of a body stays in the buffer.
func flush(w io.Writer) error {
	if f, ok := w.(flusher); ok {
		if err := f.Flush(); err != nil {
			return sinkError{err}
		}
	}
	return nil
}

// nextLine reads a line. It flushes w first if the line is not in the buffer of r.
func nextLine(w io.Writer, r *bufio.Reader) ([]byte, error) {
	if part, _ := r.Peek(r.Buffered()); bytes.IndexByte(part, '\n') < 0 {
		if err := flush(w); err != nil {
			return nil, err
		}
	}
	return readLine(r, maxHead)
}

// await blocks until r has input. It flushes w first if r is empty.
func await(w io.Writer, r *bufio.Reader) error {
	if r.Buffered() == 0 {
		if err := flush(w); err != nil {
			return err
		}
	}
	_, err := r.Peek(1)
	return err
}

func copyN(w io.Writer, r *bufio.Reader, n int64) (int64, error) {
	var done int64
	for done < n {
		if err := await(w, r); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return done, err
		}
		part, _ := r.Peek(int(min(int64(r.Buffered()), n-done)))
		if _, err := w.Write(part); err != nil {
			return done, sinkError{err}
		}
		_, _ = r.Discard(len(part))
		done += int64(len(part))
	}
	return done, nil
}

// copyAll copies r to w until r ends.
func copyAll(w io.Writer, r *bufio.Reader) (int64, error) {
	var done int64
	for {
		if err := await(w, r); err != nil {
			if err == io.EOF { //nolint:errorlint // the reader's own end, and not a flush's
				return done, nil
			}
			return done, err
		}
		n, err := copyN(w, r, int64(r.Buffered()))
		done += n
		if err != nil {
			return done, err
		}
	}
}

// copyChunks copies a chunked body with its extensions and trailers (RFC 9112, section 7.1).
func copyChunks(w io.Writer, r *bufio.Reader) (int64, error) {
	var done int64
	for {
		line, err := nextLine(w, r)
		if err != nil {
			return done, writePartial(w, line, err)
		}
		if _, err := w.Write(line); err != nil {
			return done, sinkError{err}
		}
		done += int64(len(line))
		digits, _, _ := strings.Cut(string(trim(line)), ";")
		size, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 62)
		if err != nil {
			return done, fmt.Errorf("chunk size %q: %w", digits, errNotHTTP)
		}
		if size == 0 {
			n, err := copyTrailers(w, r)
			return done + n, err
		}
		n, err := copyN(w, r, int64(size)) //nolint:gosec // 62 bits
		if done += n; err != nil {
			return done, err
		}
		line, err = copyLine(w, r)
		if done += int64(len(line)); err != nil {
			return done, err
		}
		if len(trim(line)) > 0 {
			return done, fmt.Errorf("a chunk longer than its size: %w", errNotHTTP)
		}
	}
}

func copyTrailers(w io.Writer, r *bufio.Reader) (int64, error) {
	var done int64
	for {
		line, err := copyLine(w, r)
		if done += int64(len(line)); err != nil || len(trim(line)) == 0 {
			return done, err
		}
	}
}

func copyLine(w io.Writer, r *bufio.Reader) ([]byte, error) {
	line, err := nextLine(w, r)
	if err != nil {
		return line, writePartial(w, line, err)
	}
	if _, err := w.Write(line); err != nil {
		return line, sinkError{err}
	}
	return line, nil
}

// writePartial writes what was received before a stream broke.
func writePartial(w io.Writer, rest []byte, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	_, _ = w.Write(rest)
	return err
}

// sinkError is an error of the writing side, as opposed to the reading side.
type sinkError struct{ error }

func (e sinkError) Unwrap() error { return e.error }

// isSinkError reports whether an error comes from the writing side.
func isSinkError(err error) bool {
	if err == nil {
		return false // saves the allocation of errors.As
	}
	var sink sinkError
	return errors.As(err, &sink)
}

// spill buffers up to limit bytes. On overflow it calls onOverflow for a writer, to which it copies the buffer
// and forwards everything else.
type spill struct {
	buf        []byte
	limit      int64
	onOverflow func() (io.Writer, error)
	to         io.Writer
}

func (s *spill) Write(p []byte) (int, error) {
	if s.to == nil && int64(len(s.buf)+len(p)) <= s.limit {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	if s.to == nil {
		to, err := s.onOverflow()
		if err != nil {
			return 0, err
		}
		s.to = to
		if _, err := to.Write(s.buf); err != nil {
			return 0, err
		}
		s.buf = nil
	}
	return s.to.Write(p)
}

func (s *spill) Flush() error {
	if f, ok := s.to.(flusher); ok {
		return f.Flush()
	}
	return nil
}
