package scenarios

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one thing wrong in a feature or system file.
type Problem struct {
	File string
	Line int
	Col  int    // 1-based, in characters; 0 when unknown
	Text string // the source line
	What string // cause
	Hint string // what to do, or the nearest sentence
}

// Error is the problem with its place, source line, caret, cause and hint.
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
	b.WriteString(p.What + "\n")
	if p.Text != "" {
		fmt.Fprintf(&b, "    %s\n", p.Text)
		if p.Col > 0 {
			fmt.Fprintf(&b, "    %s^\n", blank(p.Text, p.Col-1))
		}
	}
	if p.Hint != "" {
		b.WriteString("  " + p.Hint + "\n")
	}
	return b.String()
}

// blank is as wide as the first n characters of text; tabs stay tabs.
func blank(text string, n int) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, string([]rune(text)[:min(n, utf8.RuneCountInString(text))]))
}

// Problems is what Parse returns as its error: sorted by file and line, never empty.
type Problems []Problem

// Error lists all problems, with place, source line, caret, cause and hint.
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

// place is where something was said. The zero place is unknown.
type place struct {
	file      string
	line, col int
	text      string // the source line
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }

// ledger of problems: each is told once, though a Background is read for every scenario.
type complaints struct{ list Problems }

func (c *complaints) add(at place, what, hint string) {
	p := Problem{File: at.file, Line: at.line, Col: at.col, Text: at.text, What: what, Hint: hint}
	if !slices.Contains(c.list, p) {
		c.list = append(c.list, p)
	}
}

// err sorts; it is nil when nothing is wrong.
func (c *complaints) err() error {
	if len(c.list) == 0 {
		return nil
	}
	slices.SortStableFunc(c.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return c.list
}

// mistake is an error with what to do about it.
type mistake struct{ what, hint string }

func wrong(hint, format string, args ...any) error {
	return &mistake{what: fmt.Sprintf(format, args...), hint: hint}
}

func (m *mistake) Error() string { return m.what + ": " + m.hint }

// parts are cause and hint of an error.
func parts(err error) (what, hint string) {
	var m *mistake
	if errors.As(err, &m) {
		return m.what, m.hint
	}
	return err.Error(), ""
}
