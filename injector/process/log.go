package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	maxLogSize   = 64 << 20 // size at which a log is truncated; checked once in a while
	keptLogSize  = 32 << 20 // how much of the beginning is kept then
	maxTailRead  = 64 << 10 // how much of the end is read at most
	tailLines    = 20
	maxTailShown = 8 << 10 // how much of the end is shown at most
)

// truncateLog truncates a log larger than bound to its first head bytes and a note. The process has
// opened the file with O_APPEND, so it continues to write at the new end and does not notice.
func truncateLog(path string, bound, head int64) error {
	info, err := os.Stat(path)
	if err != nil || info.Size() <= bound {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Truncate(head); err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\n--- truncated: the log had grown to %d MiB; everything from here until now was removed\n", info.Size()>>20)
	return err
}

// tail returns the last lines of an instance's log, or "" if it is empty.
func tail(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	if info.Size() < from { // the log was truncated
		from = 0
	}
	from = max(from, info.Size()-maxTailRead)
	raw := make([]byte, info.Size()-from)
	n, err := f.ReadAt(raw, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	raw = bytes.TrimSpace(raw[:n])
	raw = raw[max(0, len(raw)-maxTailShown):]
	for len(raw) > 0 && !utf8.RuneStart(raw[0]) {
		raw = raw[1:]
	}
	lines := strings.Split(strings.ToValidUTF8(string(raw), "\uFFFD"), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

// logTail formats the end of the log for an error.
func logTail(text string) string {
	if text == "" {
		return "; its log is empty"
	}
	return "; the end of its log:\n    " + strings.ReplaceAll(text, "\n", "\n    ")
}

// finder searches a growing log for a line.
type finder struct {
	path    string
	at      int64
	partial []byte // the incomplete last line, at most maxTailRead bytes of it
	found   bool
}

// next reads new output and reports whether any line so far has matched.
func (f *finder) next(line *regexp.Regexp) bool {
	file, err := os.Open(f.path)
	if err != nil {
		return f.found
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() < f.at { // the log was truncated
		f.at, f.partial = 0, nil
	}
	buf := make([]byte, maxTailRead)
	for !f.found {
		n, err := file.ReadAt(buf, f.at)
		f.at += int64(n)
		f.look(buf[:n], line)
		if err != nil {
			break
		}
	}
	return f.found
}

// look appends raw to the incomplete line and matches complete lines. It also matches the incomplete
// one, since a prompt has no newline.
func (f *finder) look(raw []byte, line *regexp.Regexp) {
	raw = append(f.partial, raw...)
	for {
		text, after, ended := bytes.Cut(raw, []byte("\n"))
		f.found = f.found || len(text) > 0 && line.Match(bytes.TrimRight(text, "\r"))
		if !ended {
			f.partial = bytes.Clone(text[max(0, len(text)-maxTailRead):])
			return
		}
		raw = after
	}
}
