// Package source reads values in feature files and system files, such as "800ms" and "POST /orders", and collects
// problems with their position, cause and remedy.
package source

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Problem is an error in a feature or system file.
type Problem struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Col  int    `json:"column,omitempty"` // 1-based, in characters; 0 if unknown
	Text string `json:"-"`                // the source line
	Code string `json:"code"`             // of the kind of problem, see package codes
	What string `json:"message"`          // cause
	Hint string `json:"remedy,omitempty"` // remedy, or the most similar sentence
}

// Error returns the problem with position, code, source line, caret, cause and hint.
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
	b.WriteString(journal.RedactText(p.What))
	if p.Code != "" {
		b.WriteString(" [" + p.Code + "]")
	}
	b.WriteString("\n")
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

// WriteJSON writes each problem as a JSON object on a line of its own. Secrets in texts are redacted.
func (p Problems) WriteJSON(w io.Writer) error {
	for _, one := range p {
		if err := WriteLine(w, one.Redacted()); err != nil {
			return err
		}
	}
	return nil
}

// Redacted returns the problem with secrets in its texts redacted.
func (p Problem) Redacted() Problem {
	p.What, p.Hint = journal.RedactText(p.What), journal.RedactText(p.Hint)
	return p
}

// WriteLine writes a value as JSON on a line.
func WriteLine(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// Pos is the position of a sentence or value in a source file. The zero value is an unknown position.
type Pos struct {
	File      string
	Line, Col int
	Text      string // the source line
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

// List collects problems. Equal ones are added once, since a Background is read for every scenario.
type List struct{ All Problems }

// Add adds a problem.
func (c *List) Add(at Pos, what codes.Message, hint string) {
	c.add(Problem{File: at.File, Line: at.Line, Col: at.Col, Text: at.Text, Code: what.Code().String(), What: what.String(), Hint: hint})
}

// AddAll adds the problems of another file.
func (c *List) AddAll(all Problems) {
	for _, p := range all {
		c.add(p)
	}
}

func (c *List) add(p Problem) {
	switch {
	case len(c.All) > MaxProblems:
		return
	case len(c.All) == MaxProblems:
		p = Problem{Code: codes.TooMany.String(), What: fmt.Sprintf("there are more than %d problems; the others are not listed", MaxProblems), Hint: "mend the first of them and try again"}
	}
	if !slices.Contains(c.All, p) {
		c.All = append(c.All, p)
	}
}

// Full reports whether further problems are discarded.
func (c *List) Full() bool { return len(c.All) > MaxProblems }

// Err returns the problems, sorted, or nil if there are none.
func (c *List) Err() error {
	if len(c.All) == 0 {
		return nil
	}
	slices.SortStableFunc(c.All, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return c.All
}

// mistake is an error with a hint.
type mistake struct {
	what codes.Message
	hint string
}

// Mistakef returns an error with a code and a hint.
func Mistakef(code codes.Code, hint, format string, args ...any) error {
	return &mistake{what: code.Msgf(format, args...), hint: hint}
}

func (m *mistake) Error() string { return m.what.String() + ": " + m.hint }

// Parts returns the cause and the hint of an error. The cause of an error that Mistakef did not make is a bad value.
func Parts(err error) (what codes.Message, hint string) {
	var m *mistake
	if errors.As(err, &m) {
		return m.what, m.hint
	}
	return codes.BadValue.Message(err.Error()), ""
}

// RecoverPanic reports a panic of a parser as a problem, so that no file can crash the program. It must be
// deferred.
func (c *List) RecoverPanic(file string) {
	if r := recover(); r != nil {
		c.Add(Pos{File: file}, codes.InternalError.Msgf("reading the file panicked: %v", r), "this is a bug in firedrill: please report it with the file")
	}
}

// ReadFile returns the content of a file, or an error if it is larger than limit bytes.
func ReadFile(fsys fs.FS, name string, limit int) ([]byte, error) {
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

// MaxProblems is how many problems are listed.
const MaxProblems = 500
