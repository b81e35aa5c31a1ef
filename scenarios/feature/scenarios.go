package feature

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	gherkin "github.com/cucumber/gherkin/go/v26"
	messages "github.com/cucumber/messages/go/v21"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

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
				s.Cells = append(s.Cells, c.Value)
			}
			if pickle.Name == sc.Name {
				s.Name = fmt.Sprintf("%s (%s)", pickle.Name, strings.Join(s.Cells, ", "))
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
		d.out.Add(d.at(feature.Location), codes.NotGherkin.Msgf("the feature has no scenario"), "add: Scenario: what happens")
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
		d.out.Add(d.at(sc.Location), codes.Missing.Msgf("the outline has no examples, so it would never run"), "add: Examples: and a table with a row for each run")
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
				d.out.Add(d.at(s.Location), codes.NotGherkin.Msgf("the examples have no column %q", m[1]), source.DidYouMean(m[1], names, "columns"))
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
