package duplex

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// flusher is a buffering writer, such as a bufio.Writer.
type flusher interface{ Flush() error }

// Flush flushes w before a read that may block, so that only the end of a body stays in the buffer.
func Flush(w io.Writer) error {
	if f, ok := w.(flusher); ok {
		if err := f.Flush(); err != nil {
			return WriteFailed(err)
		}
	}
	return nil
}

// await blocks until r has input. It flushes w first if r is empty.
func await(w io.Writer, r *bufio.Reader) error {
	if r.Buffered() == 0 {
		if err := Flush(w); err != nil {
			return err
		}
	}
	_, err := r.Peek(1)
	return err
}

// CopyN copies n bytes of r to w. It returns io.ErrUnexpectedEOF if r ends earlier.
func CopyN(w io.Writer, r *bufio.Reader, n int64) (int64, error) {
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
			return done, WriteFailed(err)
		}
		_, _ = r.Discard(len(part))
		done += int64(len(part))
	}
	return done, nil
}

// CopyAll copies r to w until r ends.
func CopyAll(w io.Writer, r *bufio.Reader) (int64, error) {
	var done int64
	for {
		if err := await(w, r); err != nil {
			if err == io.EOF { //nolint:errorlint // the reader's own end, and not a flush's
				return done, nil
			}
			return done, err
		}
		n, err := CopyN(w, r, int64(r.Buffered()))
		done += n
		if err != nil {
			return done, err
		}
	}
}

// writeError is an error of the writing side, as opposed to the reading side.
type writeError struct{ error }

func (e writeError) Unwrap() error { return e.error }

// WriteFailed marks an error as one of the writing side.
func WriteFailed(err error) error { return writeError{err} }

// IsWriteError reports whether an error comes from the writing side.
func IsWriteError(err error) bool {
	if err == nil {
		return false // saves the allocation of errors.As
	}
	var w writeError
	return errors.As(err, &w)
}

// Spill buffers up to limit bytes. On overflow it calls OnOverflow for a writer, to which it copies the buffer
// and forwards everything else.
type Spill struct {
	Buf        []byte
	Limit      int64
	OnOverflow func() (io.Writer, error)
	to         io.Writer
}

func (s *Spill) Write(p []byte) (int, error) {
	if s.to == nil && int64(len(s.Buf)+len(p)) <= s.Limit {
		s.Buf = append(s.Buf, p...)
		return len(p), nil
	}
	if s.to == nil {
		to, err := s.OnOverflow()
		if err != nil {
			return 0, err
		}
		s.to = to
		if _, err := to.Write(s.Buf); err != nil {
			return 0, err
		}
		s.Buf = nil
	}
	return s.to.Write(p)
}

func (s *Spill) Flush() error {
	if f, ok := s.to.(flusher); ok {
		return f.Flush()
	}
	return nil
}

// TrimLine removes the line ending, CRLF or LF.
func TrimLine(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}
