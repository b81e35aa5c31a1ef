package effects

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strconv"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// openFile returns the reader of a file with a line for each effect.
func openFile(p Place) (Reader, error) {
	l := lines{path: p.At}
	var err error
	if format := p.Settings["format"]; format != "" && format != "json" {
		l.pattern, err = regexp.Compile(format)
		l.fields.group = p.Group
	} else {
		l.fields, err = NewFields(p)
	}
	return Reader{Read: Timed(l.read), Whole: true}, err
}

// lines is a file. If pattern is nil, each line is JSON.
type lines struct {
	path    string
	pattern *regexp.Regexp
	fields  Fields
}

// read lists the lines that are effects. A last line without its end is being written: it may have only a part of its
// key, and is an error so that it is read again.
func (l lines) read(ctx context.Context, each func(journal.Effect) error) error {
	f, err := os.Open(l.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: %w", ErrNone, err)
	case err != nil:
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, maxItemBytes)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("line %d is longer than %d bytes", n, maxItemBytes)
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("line %d has no end: it is not written completely", n)
		case err != nil:
			return fmt.Errorf("line %d cannot be read: %w", n, err)
		}
		if err := l.line(n, line[:len(line)-1], each); err != nil {
			return fmt.Errorf("line %d %w", n, err)
		}
	}
}

// line reads the nth line. Empty lines, and lines that the pattern does not match, are not effects. Lines are written one
// after the other, so that their numbers are the order of application where nothing else states it.
func (l lines) line(n int, line []byte, each func(journal.Effect) error) error {
	if len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	var e journal.Effect
	var err error
	switch {
	case len(line) == 0:
		return nil
	case l.pattern == nil:
		e, err = l.fields.Effect(line)
	default:
		found := l.pattern.FindSubmatch(line)
		if found == nil {
			return nil
		}
		part := func(name string) string {
			if i := l.pattern.SubexpIndex(name); i >= 0 {
				return string(found[i])
			}
			return ""
		}
		e, err = NewEffect(part("key"), part("id"))
		e.Value = part("value")
		if l.fields.group != "" {
			e.Group, e.Order = part(l.fields.group), part("seq")
		}
	}
	if err != nil {
		return err
	}
	if l.fields.group != "" && e.Order == "" {
		e.Order = strconv.Itoa(n)
	}
	return each(e)
}
