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

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// openFile returns the reader of a file with a line for each effect.
func openFile(p Place) (Reader, error) {
	l := lines{path: p.At}
	var err error
	if format := p.Settings["format"]; format != "" && format != "json" {
		l.pattern, err = regexp.Compile(format)
	} else {
		l.fields, err = NewFields(p.Settings["key"], p.Settings["id"])
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
		if err := l.line(line[:len(line)-1], each); err != nil {
			return fmt.Errorf("line %d %w", n, err)
		}
	}
}

// line reads one line. Empty lines, and lines that the pattern does not match, are no effects.
func (l lines) line(line []byte, each func(journal.Effect) error) error {
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
		id := ""
		if i := l.pattern.SubexpIndex("id"); i >= 0 {
			id = string(found[i])
		}
		e, err = NewEffect(string(found[l.pattern.SubexpIndex("key")]), id)
	}
	if err != nil {
		return err
	}
	return each(e)
}
