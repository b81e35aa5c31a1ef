package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message/duplex"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

// copyBody copies a body to w unchanged, including its framing, and returns the number of bytes. A nil w
// discards it. An answer that tells the client where other servers are is read meanwhile.
func copyBody(w io.Writer, r *bufio.Reader, h *head) (int64, error) {
	if w == nil {
		w = io.Discard
	}
	if h.guidance != nil {
		w = guided{w, h.guidance}
		defer h.guidance.Report() // before finishAnswer flushes the end to the client
	}
	switch h.body {
	case sized:
		return duplex.CopyN(w, r, h.size)
	case chunked:
		return copyChunks(w, r)
	case untilClose:
		return duplex.CopyAll(w, r)
	}
	return 0, nil
}

// guided shows what is written to a Guidance.
type guided struct {
	io.Writer
	guidance *http2.Guidance
}

func (g guided) Write(p []byte) (int, error) {
	g.guidance.Add(p)
	return g.Writer.Write(p)
}

func (g guided) Flush() error { return duplex.Flush(g.Writer) }

// nextLine reads a line. It flushes w first if the line is not in the buffer of r.
func nextLine(w io.Writer, r *bufio.Reader) ([]byte, error) {
	if part, _ := r.Peek(r.Buffered()); bytes.IndexByte(part, '\n') < 0 {
		if err := duplex.Flush(w); err != nil {
			return nil, err
		}
	}
	return readLine(r, maxHead)
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
			return done, duplex.WriteFailed(err)
		}
		done += int64(len(line))
		digits, _, _ := strings.Cut(string(duplex.TrimLine(line)), ";")
		size, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 62)
		if err != nil {
			return done, fmt.Errorf("chunk size %q: %w", digits, errNotHTTP)
		}
		if size == 0 {
			n, err := copyTrailers(w, r)
			return done + n, err
		}
		n, err := duplex.CopyN(w, r, int64(size)) //nolint:gosec // 62 bits
		if done += n; err != nil {
			return done, err
		}
		line, err = copyLine(w, r)
		if done += int64(len(line)); err != nil {
			return done, err
		}
		if len(duplex.TrimLine(line)) > 0 {
			return done, fmt.Errorf("a chunk longer than its size: %w", errNotHTTP)
		}
	}
}

func copyTrailers(w io.Writer, r *bufio.Reader) (int64, error) {
	var done int64
	for {
		line, err := copyLine(w, r)
		if done += int64(len(line)); err != nil || len(duplex.TrimLine(line)) == 0 {
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
		return line, duplex.WriteFailed(err)
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
