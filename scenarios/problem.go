package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Problem is an error in a feature or system file.
type Problem struct {
	File string
	Line int
	Col  int    // 1-based, in characters; 0 if unknown
	Text string // the source line
	What string // cause
	Hint string // remedy, or the most similar sentence
}

// Error returns the problem with position, source line, caret, cause and hint.
func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
			if p.Col > 0 {
				fmt.Fprintf(&b, ":%d", p.Col)
			}
		}
		b.WriteString(": ")
	}
	b.WriteString(journal.RedactText(p.What) + "\n")
	if text, col := spelled(excerpt(redacted(p.Text, p.Col))); text != "" {
		fmt.Fprintf(&b, "    %s\n", text)
		if col > 0 {
			fmt.Fprintf(&b, "    %s^\n", blank(text, col-1))
		}
	}
	if p.Hint != "" {
		b.WriteString("  " + journal.RedactText(p.Hint) + "\n")
	}
	return journal.Visible(b.String())
}

// redacted returns a source line without secrets and the new column of col, which is 0 inside a secret.
func redacted(text string, col int) (string, int) {
	shown := journal.RedactText(text)
	all := []rune(text)
	if shown == text || col < 1 || col > len(all)+1 {
		return shown, col
	}
	before := journal.RedactText(string(all[:col-1]))
	if !strings.HasPrefix(shown, before) {
		return shown, 0
	}
	return shown, utf8.RuneCountInString(before) + 1
}

// maxExcerpt is how many characters of a source line are shown.
const maxExcerpt = 160

// excerpt returns the part of a source line around col, and the column in it.
func excerpt(text string, col int) (string, int) {
	if len(text) <= maxExcerpt || utf8.RuneCountInString(text) <= maxExcerpt {
		return text, col
	}
	all := []rune(text)
	from := min(max(col-1-maxExcerpt/2, 0), len(all)-maxExcerpt)
	part := string(all[from : from+maxExcerpt])
	if from > 0 {
		part, col = "…"+part, col-from+1
	}
	if from+maxExcerpt < len(all) {
		part += "…"
	}
	return part, min(col, maxExcerpt+2)
}

// spelled returns the visible form of a text, and the column in it of the character at col.
func spelled(text string, col int) (string, int) {
	all := []rune(text)
	if col < 1 || col > len(all)+1 {
		return journal.Visible(text), col
	}
	before := journal.Visible(string(all[:col-1]))
	return before + journal.Visible(string(all[col-1:])), utf8.RuneCountInString(before) + 1
}

// blank returns a string as wide as the first n characters of text. Tabs are kept.
func blank(text string, n int) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string([]rune(text)[:min(n, utf8.RuneCountInString(text))]))
}

// Problems is the error of Parse. It is sorted by file and line, and never empty.
type Problems []Problem

// Error returns all problems with position, source line, caret, cause and hint.
func (p Problems) Error() string {
	var b strings.Builder
	for _, one := range p {
		b.WriteString(one.Error())
	}
	if len(p) == 1 {
		b.WriteString("1 problem; nothing was started\n")
	} else {
		fmt.Fprintf(&b, "%d problems; nothing was started\n", len(p))
	}
	return b.String()
}

// pos is the position of a sentence or value in a source file. The zero value is an unknown position.
type pos struct {
	file      string
	line, col int
	text      string // the source line
}

func (p pos) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// problemList collects problems. Equal ones are added once, since a Background is read for every scenario.
type problemList struct{ list Problems }

func (c *problemList) add(at pos, what, hint string) {
	p := Problem{File: at.file, Line: at.line, Col: at.col, Text: at.text, What: what, Hint: hint}
	switch {
	case len(c.list) > maxProblems:
		return
	case len(c.list) == maxProblems:
		p = Problem{What: fmt.Sprintf("there are more than %d problems; the others are not listed", maxProblems), Hint: "mend the first of them and try again"}
	}
	if !slices.Contains(c.list, p) {
		c.list = append(c.list, p)
	}
}

// full reports whether further problems are discarded.
func (c *problemList) full() bool { return len(c.list) > maxProblems }

// err returns the problems, sorted, or nil if there are none.
func (c *problemList) err() error {
	if len(c.list) == 0 {
		return nil
	}
	slices.SortStableFunc(c.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return c.list
}

// mistake is an error with a hint.
type mistake struct{ what, hint string }

func mistakef(hint, format string, args ...any) error {
	return &mistake{what: fmt.Sprintf(format, args...), hint: hint}
}

func (m *mistake) Error() string { return m.what + ": " + m.hint }

// parts returns the cause and the hint of an error.
func parts(err error) (what, hint string) {
	var m *mistake
	if errors.As(err, &m) {
		return m.what, m.hint
	}
	return err.Error(), ""
}
