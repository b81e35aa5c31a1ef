package feature

import (
	"strings"

	gherkin "github.com/cucumber/gherkin/go/v26"
	messages "github.com/cucumber/messages/go/v21"
)

// expanded estimates the size of all steps in bytes, with the rows of outlines and the backgrounds expanded.
func (d *document) expanded(feature *messages.Feature) int {
	background := 0
	total := 0
	add := func(sc *messages.Scenario, background int) {
		rows := 0
		for _, e := range sc.Examples {
			rows += len(e.TableBody)
		}
		total += (background + stepsSize(sc.Steps)) * max(rows, 1)
	}
	for _, child := range feature.Children {
		switch {
		case child.Background != nil:
			background = stepsSize(child.Background.Steps)
		case child.Scenario != nil:
			add(child.Scenario, background)
		case child.Rule != nil:
			inner := background
			for _, c := range child.Rule.Children {
				if c.Background != nil {
					inner += stepsSize(c.Background.Steps)
				}
				if c.Scenario != nil {
					add(c.Scenario, inner)
				}
			}
		}
	}
	return total
}

// stepSize is the approximate size of a step without its text.
const stepSize = 1000

func stepsSize(steps []*messages.Step) int {
	size := 0
	for _, s := range steps {
		size += stepSize + len(s.Text)
		if s.DocString != nil {
			size += len(s.DocString.Content)
		}
		if s.DataTable != nil {
			for _, r := range s.DataTable.Rows {
				for _, c := range r.Cells {
					size += stepSize/10 + len(c.Value)
				}
			}
		}
	}
	return size
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

// Limits on feature files. They are far above the size of real files, and keep a wrong or hostile file from using up
// the memory.
const (
	maxFeatureFile = 8 << 20
	maxLine        = 1 << 20  // in bytes
	maxExpanded    = 64 << 20 // all steps of a file, with outlines and backgrounds expanded
)
