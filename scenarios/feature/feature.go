// Package feature reads the scenarios of a feature file, with its outlines expanded. It reports what Gherkin would
// ignore, such as a step without a keyword.
package feature

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios/source"

	gherkin "github.com/cucumber/gherkin/go/v26"

	messages "github.com/cucumber/messages/go/v21"
)

// Scenario is a scenario, or one row of an outline, in a feature file.
type Scenario struct {
	ID                  string // see ID
	File, Feature, Name string
	Row                 int
	Line, last, rowLine int // last: its last line; rowLine: 0 if it is not an outline
	cells               []string
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
	known func(text string) bool
	out   *source.List
	name  string
	lines []string
	steps map[string]*messages.Step     // by id
	rows  map[string]*messages.TableRow // rows of examples, by id
	of    map[string]*messages.Scenario

	partial  bool            // some steps are parsed as prose
	unfilled map[string]bool // ids of steps with an unknown placeholder
}

// Read reads the scenarios of a feature file, and adds its problems to out. known reports whether a text is a
// sentence.
func Read(fsys fs.FS, name string, known func(text string) bool, out *source.List) (all []*Scenario) {
	defer out.RecoverPanic(name)
	raw, err := source.ReadFile(fsys, name, maxFeatureFile)
	if err != nil {
		out.Add(source.Pos{File: name}, fmt.Sprintf("the file cannot be read: %v", err), "check that it may be read; a large one can be split")
		return nil
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	d := &document{known: known, out: out, name: name, lines: strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"),
		steps: map[string]*messages.Step{}, rows: map[string]*messages.TableRow{}, of: map[string]*messages.Scenario{}, unfilled: map[string]bool{}}
	if !utf8.Valid(raw) {
		out.Add(source.Pos{File: name, Line: 1}, "the file is not UTF-8", "save it as UTF-8")
		return nil
	}
	if n := longLine(d.lines); n > 0 {
		out.Add(source.Pos{File: name, Line: n}, fmt.Sprintf("the line is longer than %d MiB", maxLine>>20), "a body can stand on several lines of a doc string")
		return nil
	}
	n := 0
	id := func() string { n++; return strconv.Itoa(n) }
	doc, err := d.parse(id)
	if err != nil {
		if !d.missingColons() {
			d.syntax(err)
		}
		return nil
	}
	if doc.Feature == nil {
		out.Add(source.Pos{File: name, Line: 1}, "the file holds no feature", "begin with: Feature: what the system has to survive")
		return nil
	}
	if d.holdsSteps(doc.Feature) && d.missingColons() {
		return nil
	}
	ends := d.index(doc.Feature)
	if d.expanded(doc.Feature) > maxExpanded {
		out.Add(d.at(doc.Feature.Location), fmt.Sprintf("with its outlines filled in, the feature is larger than %d MiB", maxExpanded>>20), "write fewer rows of examples, or smaller bodies")
		return nil
	}
	all = d.compile(doc, id, ends)
	identify(all)
	return all
}

// parse runs the Gherkin parser.
func (d *document) parse(id func() string) (*messages.GherkinDocument, error) {
	lines := d.lines
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1] // there is no line after the last line feed
	}
	builder := gherkin.NewAstBuilder(id)
	parser := gherkin.NewParser(builder)
	parser.StopAtFirstError(false)
	err := parser.Parse(&lineScanner{lines: lines}, gherkin.NewLanguageMatcher(gherkin.DialectsBuiltin(), gherkin.DefaultDialect))
	return builder.GetGherkinDocument(), err
}

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

// compile expands the rows of outlines.
func (d *document) compile(doc *messages.GherkinDocument, id func() string, ends map[string]int) []*Scenario {
	var all []*Scenario
	rows := map[string]int{}
	for _, pickle := range gherkin.Pickles(*doc, d.name, id) {
		sc := d.of[pickle.AstNodeIds[0]]
		s := &Scenario{File: d.name, Feature: doc.Feature.Name, Name: pickle.Name, Line: int(sc.Location.Line), last: ends[sc.Id], Lines: d.lines, Partial: d.partial}
		for _, t := range pickle.Tags {
			s.Tags = append(s.Tags, t.Name)
		}
		if len(pickle.AstNodeIds) > 1 {
			rows[sc.Id]++
			s.Row = rows[sc.Id]
			r := d.rows[pickle.AstNodeIds[1]]
			s.rowLine = int(r.Location.Line)
			for _, c := range r.Cells {
				s.cells = append(s.cells, c.Value)
			}
			if pickle.Name == sc.Name {
				s.Name = fmt.Sprintf("%s (%s)", pickle.Name, strings.Join(s.cells, ", "))
			}
		}
		for _, ps := range pickle.Steps {
			s.Steps = append(s.Steps, d.step(ps))
		}
		all = append(all, s)
	}
	return all
}

// index records the elements of the file by id, and reports elements that would be ignored silently. It returns
// the last line of each scenario.
func (d *document) index(feature *messages.Feature) map[string]int {
	var order []*messages.Scenario
	background := func(b *messages.Background) {
		d.description(b.Location, b.Description)
		for _, s := range b.Steps {
			d.steps[s.Id] = s
		}
	}
	add := func(sc *messages.Scenario) {
		order = append(order, sc)
		d.description(sc.Location, sc.Description)
		d.of[sc.Id] = sc
		for _, s := range sc.Steps {
			d.steps[s.Id] = s
		}
		d.examples(sc)
	}
	d.description(feature.Location, feature.Description)
	for _, child := range feature.Children {
		switch {
		case child.Background != nil:
			background(child.Background)
		case child.Scenario != nil:
			add(child.Scenario)
		case child.Rule != nil:
			for _, c := range child.Rule.Children {
				if c.Background != nil {
					background(c.Background)
				}
				if c.Scenario != nil {
					add(c.Scenario)
				}
			}
		}
	}
	if len(order) == 0 {
		d.out.Add(d.at(feature.Location), "the feature has no scenario", "add: Scenario: what happens")
	}
	ends := map[string]int{}
	for i, sc := range order {
		ends[sc.Id] = len(d.lines)
		if i+1 < len(order) {
			ends[sc.Id] = d.firstLine(order[i+1]) - 1
		}
	}
	return ends
}

// firstLine returns the first line of a scenario, including its tags.
func (d *document) firstLine(sc *messages.Scenario) int {
	line := sc.Location.Line
	for _, t := range sc.Tags {
		line = min(line, t.Location.Line)
	}
	return int(line)
}

var placeholderIn = regexp.MustCompile(`<([^<>]+)>`)

// examples records the rows of an outline.
func (d *document) examples(sc *messages.Scenario) {
	var names []string
	rows := 0
	for _, e := range sc.Examples {
		if e.TableHeader == nil {
			continue
		}
		var head []string
		for _, c := range e.TableHeader.Cells {
			head = append(head, c.Value)
		}
		names = append(names, head...)
		for _, r := range e.TableBody {
			d.rows[r.Id] = r
			rows++
		}
	}
	if len(sc.Examples) > 0 && rows == 0 || len(sc.Examples) == 0 && strings.Contains(sc.Keyword, "Outline") {
		d.out.Add(d.at(sc.Location), "the outline has no examples, so it would never run", "add: Examples: and a table with a row for each run")
		for _, s := range sc.Steps {
			d.unfilled[s.Id] = placeholderIn.MatchString(s.Text)
		}
		return
	}
	if len(sc.Examples) == 0 {
		return
	}
	for _, s := range sc.Steps {
		for _, m := range placeholderIn.FindAllStringSubmatch(s.Text, -1) {
			if !slices.Contains(names, m[1]) {
				d.unfilled[s.Id] = true
				d.out.Add(d.at(s.Location), fmt.Sprintf("the examples have no column %q", m[1]), source.DidYouMean(m[1], names, "columns"))
			}
		}
	}
}

func (d *document) step(ps *messages.PickleStep) Step {
	ast := d.steps[ps.AstNodeIds[0]]
	at := d.at(ast.Location)
	if i := strings.Index(at.Text, ast.Text); i >= 0 && ast.Text != "" {
		at.Col = utf8.RuneCountInString(at.Text[:i]) + 1
	}
	s := Step{Keyword: strings.TrimSpace(ast.Keyword), Kind: string(ps.Type), Text: ps.Text, At: at, Exact: ps.Text == ast.Text, Unfilled: d.unfilled[ast.Id]}
	if ps.Argument != nil && ps.Argument.DocString != nil {
		s.Doc = &ps.Argument.DocString.Content
	}
	if ps.Argument != nil && ps.Argument.DataTable != nil {
		for i, r := range ps.Argument.DataTable.Rows {
			l := Line{At: d.at(ast.DataTable.Rows[i].Location)}
			for j, c := range r.Cells {
				l.Cells = append(l.Cells, c.Value)
				l.Cols = append(l.Cols, int(ast.DataTable.Rows[i].Cells[j].Location.Column))
			}
			s.Table = append(s.Table, l)
		}
	}
	return s
}

func (d *document) at(l *messages.Location) source.Pos { return d.posAt(int(l.Line), int(l.Column)) }

func (d *document) posAt(line, col int) source.Pos {
	at := source.Pos{File: d.name, Line: line, Col: col}
	if line >= 1 && line <= len(d.lines) {
		at.Text = d.lines[line-1]
	}
	return at
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

// Line is a row of a table.
type Line struct {
	At    source.Pos
	Cells []string
	Cols  []int
}
