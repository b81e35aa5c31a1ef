package scenarios

import (
	"strconv"
	"strings"
)

// experiment understands a scenario.
func (p *parse) experiment(sc *scenario) *Experiment {
	e := &Experiment{Name: sc.name, Feature: sc.feature, File: sc.file, Line: sc.line, Row: sc.row, Tags: sc.tags}
	words := []string{sc.feature, sc.name}
	if sc.row > 0 {
		words = append(words, strconv.Itoa(sc.row))
	}
	e.ID = slug(strings.Join(words, " "))
	if e.ID == "" {
		e.ID = slug(strings.TrimSuffix(sc.file, ".feature") + " " + strconv.Itoa(sc.line))
	}
	begin := place{file: sc.file, line: sc.line}
	if sc.line <= len(sc.lines) {
		begin.text = sc.lines[sc.line-1]
	}
	d := newDraft(e, begin, &p.out)
	d.open, d.handlers = p.open, p.Handlers
	for _, s := range sc.steps {
		d.begins(s.keyword, s.text, s.at)
		p.step(d, sc, s)
	}
	d.finish()
	return e
}

// step finds the row of the phrase table that a step is, and lets it build.
func (p *parse) step(d *draft, sc *scenario, s step) {
	own := false
	for _, re := range p.own {
		own = own || re.MatchString(s.text)
	}
	all := match(s.text)
	switch {
	case len(all) == 0 && own:
		d.foreign()
	case len(all) == 0:
		hint := "firedrill steps prints the sentences"
		if n := nearestSentence(s.text); n != "" {
			hint = "did you mean: " + n
		}
		what := "nobody knows this sentence"
		if !s.exact {
			what += ", with the values of row " + strconv.Itoa(sc.row) + " of the examples: " + s.text
		}
		d.blame(s.at, what, hint)
	case len(all) > 1 || own:
		var names []string
		for _, f := range all {
			names = append(names, f.row.Pattern)
		}
		if own {
			names = append(names, "a step of your own")
		}
		d.blame(s.at, "this sentence can be read in several ways: "+strings.Join(names, "; "), "say it otherwise")
	default:
		p.build(d, s, all[0])
	}
}

func (p *parse) build(d *draft, s step, f found) {
	d.step.Phrase = f.row.Name
	switch {
	case f.row.table && len(s.table) == 0:
		d.blame(s.at, "a table has to follow this sentence", f.row.Means)
		return
	case !f.row.table && len(s.table) > 0:
		d.blame(s.at, "this sentence takes no table", "leave the table out")
		return
	case f.row.doc && s.doc == nil:
		d.blame(s.at, "a doc string has to follow this sentence", f.row.Means)
		return
	case !f.row.doc && s.doc != nil:
		d.blame(s.at, "this sentence takes no doc string", "leave it out")
		return
	}
	f.row.build(d, args{d: d, at: s.at, text: s.text, exact: s.exact, values: f.values, from: f.from, table: s.table, doc: s.doc})
}
