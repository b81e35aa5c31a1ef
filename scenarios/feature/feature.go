// Package feature reads the scenarios of a feature file, with its outlines expanded. It reports what Gherkin would
// ignore, such as a step without a keyword. It also formats feature files.
package feature

import (
	"bytes"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	gherkin "github.com/cucumber/gherkin/go/v26"
	messages "github.com/cucumber/messages/go/v21"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Scenario is a scenario, or one row of an outline, in a feature file.
type Scenario struct {
	File, Feature, Name string
	Row                 int
	Line, last, rowLine int      // last: its last line; rowLine: 0 if it is not an outline
	Cells               []string // of its row
	Tags                []string
	Steps               []Step
	Lines               []string
	Partial             bool // some steps of the file are parsed as prose, which was reported
}

// Step is a step with its placeholders expanded.
type Step struct {
	Keyword, Text string
	Kind          string     // "Context", "Action" or "Outcome"
	At            source.Pos // the column is that of the text
	Exact         bool       // it had no placeholders
	Unfilled      bool       // it has an unknown placeholder, which was reported
	Table         []Line
	Doc           *string
}

// Covers reports whether a line selects the scenario: any of its lines, or its row of the examples.
func (s *Scenario) Covers(line int) bool {
	if s.rowLine > 0 && line > s.Line && slices.Contains(s.rowLines(), line) {
		return line == s.rowLine
	}
	return line >= s.Line && line <= s.last
}

func (s *Scenario) rowLines() []int {
	var all []int
	for i := s.Line; i <= s.last && i <= len(s.Lines); i++ {
		if strings.HasPrefix(strings.TrimSpace(s.Lines[i-1]), "|") {
			all = append(all, i)
		}
	}
	return all
}

// document is a feature file.
type document struct {
	known  func(text string) bool
	out    *source.List
	name   string
	lines  []string
	tokens []*gherkin.Token              // of its lines, once it is parsed
	steps  map[string]*messages.Step     // by id
	rows   map[string]*messages.TableRow // rows of examples, by id
	of     map[string]*messages.Scenario

	partial  bool            // some steps are parsed as prose
	unfilled map[string]bool // ids of steps with an unknown placeholder
}

// Read reads the scenarios of a feature file, and adds its problems to out. known reports whether a text is a
// sentence.
func Read(fsys fs.FS, name string, known func(text string) bool, out *source.List) (all []*Scenario) {
	defer out.RecoverPanic(name)
	raw, err := source.ReadFile(fsys, name, maxFeatureFile)
	if err != nil {
		out.Add(source.Pos{File: name}, codes.UnreadableFile.Msgf("the file cannot be read: %v", err), "check that it may be read; a large one can be split")
		return nil
	}
	d := &document{known: known, out: out, name: name, steps: map[string]*messages.Step{}, rows: map[string]*messages.TableRow{}, of: map[string]*messages.Scenario{}, unfilled: map[string]bool{}}
	n := 0
	id := func() string { n++; return strconv.Itoa(n) }
	doc := d.parse(raw, id)
	if doc == nil {
		return nil
	}
	if doc.Feature == nil {
		out.Add(source.Pos{File: name, Line: 1}, codes.NotGherkin.Msgf("the file holds no feature"), "begin with: Feature: what the system has to survive")
		return nil
	}
	ends := d.index(doc.Feature)
	if d.expanded(doc.Feature) > maxExpanded {
		out.Add(d.at(doc.Feature.Location), codes.TooLarge.Msgf("with its outlines filled in, the feature is larger than %d MiB", maxExpanded>>20), "write fewer rows of examples, or smaller bodies")
		return nil
	}
	return d.compile(doc, id, ends)
}

// parse splits the text of the file into lines and runs the Gherkin parser. The result is nil if the text is not
// Gherkin, which it reports.
func (d *document) parse(raw []byte, id func() string) *messages.GherkinDocument {
	raw = bytes.TrimPrefix(raw, []byte(byteOrderMark))
	d.lines = strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n")
	if !utf8.Valid(raw) {
		d.out.Add(source.Pos{File: d.name, Line: 1}, codes.UnreadableFile.Msgf("the file is not UTF-8"), "save it as UTF-8")
		return nil
	}
	if n := longLine(d.lines); n > 0 {
		d.out.Add(source.Pos{File: d.name, Line: n}, codes.TooLarge.Msgf("the line is longer than %d MiB", maxLine>>20), "a body can stand on several lines of a doc string")
		return nil
	}
	lines := d.lines
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1] // there is no line after the last line feed
	}
	builder := &tokenRecorder{AstBuilder: gherkin.NewAstBuilder(id)}
	parser := gherkin.NewParser(builder)
	parser.StopAtFirstError(false)
	err := parser.Parse(&lineScanner{lines: lines}, gherkin.NewLanguageMatcher(gherkin.DialectsBuiltin(), gherkin.DefaultDialect))
	if err != nil {
		if !d.missingColons() {
			d.syntax(err)
		}
		return nil
	}
	doc := builder.GetGherkinDocument()
	if doc.Feature != nil && d.holdsSteps(doc.Feature) && d.missingColons() {
		return nil
	}
	d.tokens = builder.tokens
	return doc
}

// byteOrderMark may stand at the beginning of a file, where it means nothing.
const byteOrderMark = "\ufeff"

// tokenRecorder keeps the tokens of the lines, from which it builds the syntax tree.
type tokenRecorder struct {
	gherkin.AstBuilder
	tokens []*gherkin.Token
}

// Build adds the token of the next line.
func (r *tokenRecorder) Build(t *gherkin.Token) (bool, error) {
	r.tokens = append(r.tokens, t)
	return r.AstBuilder.Build(t)
}

func (d *document) at(l *messages.Location) source.Pos { return d.posAt(int(l.Line), int(l.Column)) }

func (d *document) posAt(line, col int) source.Pos {
	at := source.Pos{File: d.name, Line: line, Col: col}
	if line >= 1 && line <= len(d.lines) {
		at.Text = d.lines[line-1]
	}
	return at
}

// Line is a row of a table.
type Line struct {
	At    source.Pos
	Cells []string
	Cols  []int
}
