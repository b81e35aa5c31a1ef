package scenarios

import (
	"bytes"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	gherkin "github.com/cucumber/gherkin/go/v26"
	messages "github.com/cucumber/messages/go/v21"
)

// scenario is one scenario or one row of an outline, as it stands in a file.
type scenario struct {
	file, feature, name string
	row                 int
	line, last, rowLine int // last: where it ends; rowLine: 0 when it is no outline
	cells               []string
	tags                []string
	steps               []step
	lines               []string
}

// step is a step with its values filled in.
type step struct {
	keyword, text string
	at            place // the column is where the text begins
	exact         bool  // nothing was filled in
	table         []line
	doc           *string
}

// covers tells whether a line selects the scenario: any line of it, or its row of the examples.
func (s *scenario) covers(line int) bool {
	if s.rowLine > 0 && line > s.line && slices.Contains(s.rowLines(), line) {
		return line == s.rowLine
	}
	return line >= s.line && line <= s.last
}

func (s *scenario) rowLines() []int {
	var all []int
	for i := s.line; i <= s.last && i <= len(s.lines); i++ {
		if strings.HasPrefix(strings.TrimSpace(s.lines[i-1]), "|") {
			all = append(all, i)
		}
	}
	return all
}

// document is a feature file, read.
type document struct {
	p     *parse
	name  string
	lines []string
	steps map[string]*messages.Step     // by id
	rows  map[string]*messages.TableRow // of examples, by id
	of    map[string]*messages.Scenario
}

// scenarios reads a file.
func (p *parse) scenarios(f file) []*scenario {
	raw, err := fs.ReadFile(p.FS, f.name)
	if err != nil {
		p.out.add(place{file: f.name}, fmt.Sprintf("the file cannot be read: %v", err), "check that it may be read")
		return nil
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	d := &document{p: p, name: f.name, lines: strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n"),
		steps: map[string]*messages.Step{}, rows: map[string]*messages.TableRow{}, of: map[string]*messages.Scenario{}}
	if !utf8.Valid(raw) {
		p.out.add(place{file: f.name, line: 1}, "the file is not UTF-8", "save it as UTF-8")
		return nil
	}
	n := 0
	id := func() string { n++; return strconv.Itoa(n) }
	doc, err := gherkin.ParseGherkinDocument(bytes.NewReader(raw), id)
	if err != nil {
		d.syntax(err)
		return nil
	}
	if doc.Feature == nil {
		p.out.add(place{file: f.name, line: 1}, "the file holds no feature", "begin with: Feature: what the system has to survive")
		return nil
	}
	ends := d.index(doc.Feature)
	return d.compile(doc, id, ends)
}

// compile fills in the rows of outlines.
func (d *document) compile(doc *messages.GherkinDocument, id func() string, ends map[string]int) []*scenario {
	var all []*scenario
	rows := map[string]int{}
	for _, pickle := range gherkin.Pickles(*doc, d.name, id) {
		sc := d.of[pickle.AstNodeIds[0]]
		s := &scenario{file: d.name, feature: doc.Feature.Name, name: pickle.Name, line: int(sc.Location.Line), last: ends[sc.Id], lines: d.lines}
		for _, t := range pickle.Tags {
			s.tags = append(s.tags, t.Name)
		}
		if len(pickle.AstNodeIds) > 1 {
			rows[sc.Id]++
			s.row = rows[sc.Id]
			r := d.rows[pickle.AstNodeIds[1]]
			s.rowLine = int(r.Location.Line)
			for _, c := range r.Cells {
				s.cells = append(s.cells, c.Value)
			}
			if pickle.Name == sc.Name {
				s.name = fmt.Sprintf("%s (%s)", pickle.Name, strings.Join(s.cells, ", "))
			}
		}
		for _, ps := range pickle.Steps {
			s.steps = append(s.steps, d.step(ps))
		}
		all = append(all, s)
	}
	return all
}

// index notes what stands where, and complains of what would silently come to nothing.
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
		d.p.out.add(d.at(feature.Location), "the feature has no scenario", "add: Scenario: what happens")
	}
	ends := map[string]int{}
	for i, sc := range order {
		ends[sc.Id] = len(d.lines)
		if i+1 < len(order) {
			ends[sc.Id] = d.begins(order[i+1]) - 1
		}
	}
	return ends
}

// begins is a scenario's first line, its tags included.
func (d *document) begins(sc *messages.Scenario) int {
	line := sc.Location.Line
	for _, t := range sc.Tags {
		line = min(line, t.Location.Line)
	}
	return int(line)
}

var placeholderIn = regexp.MustCompile(`<([^<>]+)>`)

// examples notes the rows of an outline.
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
		d.p.out.add(d.at(sc.Location), "the outline has no examples, so it would never run", "add: Examples: and a table with a row for each run")
		return
	}
	if len(sc.Examples) == 0 {
		return
	}
	for _, s := range sc.Steps {
		for _, m := range placeholderIn.FindAllStringSubmatch(s.Text, -1) {
			if !slices.Contains(names, m[1]) {
				d.p.out.add(d.at(s.Location), fmt.Sprintf("the examples have no column %q", m[1]), didYouMean(m[1], names, "columns"))
			}
		}
	}
}

func (d *document) step(ps *messages.PickleStep) step {
	ast := d.steps[ps.AstNodeIds[0]]
	at := d.at(ast.Location)
	if i := strings.Index(at.text, ast.Text); i >= 0 && ast.Text != "" {
		at.col = utf8.RuneCountInString(at.text[:i]) + 1
	}
	s := step{keyword: strings.TrimSpace(ast.Keyword), text: ps.Text, at: at, exact: ps.Text == ast.Text}
	if ps.Argument != nil && ps.Argument.DocString != nil {
		s.doc = &ps.Argument.DocString.Content
	}
	if ps.Argument != nil && ps.Argument.DataTable != nil {
		for i, r := range ps.Argument.DataTable.Rows {
			l := line{at: d.at(ast.DataTable.Rows[i].Location)}
			for j, c := range r.Cells {
				l.cells = append(l.cells, c.Value)
				l.cols = append(l.cols, int(ast.DataTable.Rows[i].Cells[j].Location.Column))
			}
			s.table = append(s.table, l)
		}
	}
	return s
}

func (d *document) at(l *messages.Location) place { return d.spot(int(l.Line), int(l.Column)) }

func (d *document) spot(line, col int) place {
	at := place{file: d.name, line: line, col: col}
	if line >= 1 && line <= len(d.lines) {
		at.text = d.lines[line-1]
	}
	return at
}
