package scenarios

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// experiment converts a scenario to an Experiment.
func (p *parse) experiment(sc *scenario) *Experiment {
	e := &Experiment{ID: sc.id, Name: sc.name, Feature: sc.feature, File: sc.file, Line: sc.line, Row: sc.row, Tags: sc.tags}
	begin := source.Pos{File: sc.file, Line: sc.line}
	if sc.line <= len(sc.lines) {
		begin.Text = sc.lines[sc.line-1]
	}
	d := newResolver(e, begin, &p.out, p.Vocabulary)
	d.open, d.handlers = p.open, p.Handlers
	if sc.partial {
		d.problems++
	}
	for _, s := range sc.steps {
		d.addStep(s.keyword, s.text, s.at)
		p.step(d, sc, s)
	}
	d.finish()
	if p.Find != nil {
		d.programs(p.Find)
	}
	return e
}

// step finds the row of the phrase table that matches a step, and builds it.
func (p *parse) step(r *resolver, sc *scenario, s step) {
	if p.out.Full() {
		return // the search for similar sentences takes milliseconds for each step
	}
	if s.unfilled {
		r.problems++
		return
	}
	own := false
	for _, re := range p.own {
		own = own || re.MatchString(s.text)
	}
	all := p.Vocabulary.match(s.text)
	switch {
	case len(all) == 0 && own:
		r.addOwnStep(s)
	case len(all) == 0:
		what := "this sentence is not known"
		if !s.exact {
			what += ", with the values of row " + strconv.Itoa(sc.row) + " of the examples: " + s.text
		}
		r.unknown(s, what)
	case len(all) > 1 || own:
		var names []string
		for _, f := range all {
			names = append(names, f.phrase.Pattern)
		}
		if own {
			names = append(names, "a step of your own")
		}
		r.addProblem(s.at, "this sentence can be read in several ways: "+strings.Join(names, "; "), "say it otherwise")
	default:
		p.build(r, s, all[0])
	}
}

func (p *parse) build(r *resolver, s step, f found) {
	r.step.Phrase = f.phrase.Name
	if c, i := source.ControlIn(s.text); i >= 0 {
		at := s.at
		if s.exact && at.Col > 0 {
			at.Col += utf8.RuneCountInString(s.text[:i])
		}
		r.addProblem(at, fmt.Sprintf("this sentence holds the control character %U", c), "leave it out")
		return
	}
	switch {
	case f.phrase.table && len(s.table) == 0:
		r.addProblem(s.at, "a table has to follow this sentence", f.phrase.Means)
		return
	case !f.phrase.table && len(s.table) > 0:
		r.addProblem(s.at, "this sentence takes no table", "leave the table out")
		return
	case f.phrase.doc && s.doc == nil:
		r.addProblem(s.at, "a doc string has to follow this sentence", f.phrase.Means)
		return
	case !f.phrase.doc && s.doc != nil:
		r.addProblem(s.at, "this sentence takes no doc string", "leave it out")
		return
	}
	f.phrase.build(r, args{r: r, at: s.at, text: s.text, exact: s.exact, values: f.values, from: f.from, table: s.table, doc: s.doc})
}
