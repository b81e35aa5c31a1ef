package scenarios

import (
	"fmt"
	"io"
	"io/fs"
	"strings"

	gherkin "github.com/cucumber/gherkin/go/v26"
)

// Limits on input. They are far above the size of real files, and keep a wrong or hostile file from using up the
// memory.
const (
	maxFeatureFile = 8 << 20
	maxLine        = 1 << 20  // line of a feature file, in bytes
	maxExpanded    = 64 << 20 // all steps of a feature file, with outlines and backgrounds expanded
	maxSystemFile  = 1 << 20
	maxDepth       = 32  // nesting of mappings and lists in a system file
	maxProblems    = 500 // problems that are listed
)

// readFile returns the content of a file, or an error if it is larger than limit bytes.
func readFile(fsys fs.FS, name string, limit int) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	raw, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > limit {
		return nil, fmt.Errorf("%q is larger than %d MiB", name, limit>>20)
	}
	return raw, nil
}

// lineScanner passes lines to the Gherkin parser, whose own scanner panics on lines of 64 KiB.
type lineScanner struct {
	lines []string
	n     int
}

// Scan returns the next line.
func (s *lineScanner) Scan() (line *gherkin.Line, atEOF bool, err error) {
	s.n++
	if s.n > len(s.lines) {
		return &gherkin.Line{LineNumber: s.n, AtEof: true}, true, nil
	}
	text := s.lines[s.n-1]
	return &gherkin.Line{LineText: text, LineNumber: s.n, TrimmedLineText: strings.TrimLeft(text, " \t")}, false, nil
}

// longLine returns the number of the first line that is longer than maxLine, or 0 if there is none.
func longLine(lines []string) int {
	for i, l := range lines {
		if len(l) > maxLine {
			return i + 1
		}
	}
	return 0
}

// recoverPanic reports a panic of a parser as a problem, so that no file can crash the program. It must be
// deferred.
func (c *problemList) recoverPanic(file string) {
	if r := recover(); r != nil {
		c.add(pos{file: file}, fmt.Sprintf("reading the file panicked: %v", r), "this is a bug in firedrill: please report it with the file")
	}
}
