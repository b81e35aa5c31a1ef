package language

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// reading is a scenario while its sentences are read.
type reading struct {
	*scenarios.Resolver
	vocabulary *Vocabulary
	open       func(name string) (system.System, error) // reads a system file
	files      fs.FS                                    // holds the files that features name
}

// read returns the content of a file that a sentence names.
func (r *reading) read(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, fmt.Errorf("%s lies outside of the folder that features are read from", name)
	}
	return source.ReadFile(r.files, name, scenarios.MaxRecording)
}

// addOwnStep makes the current step a user-defined one.
func (r *reading) addOwnStep(s feature.Step) {
	own := scenarios.Own{Type: s.Kind, Doc: s.Doc}
	for _, row := range s.Table {
		own.Table = append(own.Table, row.Cells)
	}
	r.MarkForeign(own)
}

// experiment converts a scenario to an Experiment.
func (p *parse) experiment(sc *feature.Scenario, id string) *scenarios.Experiment {
	e := &scenarios.Experiment{ID: id, Name: sc.Name, Feature: sc.Feature, File: sc.File, Line: sc.Line, Row: sc.Row, Tags: sc.Tags}
	begin := source.Pos{File: sc.File, Line: sc.Line}
	if sc.Line <= len(sc.Lines) {
		begin.Text = sc.Lines[sc.Line-1]
	}
	scope := scenarios.Scope{Faults: p.Vocabulary.faults, Protocols: p.Vocabulary.protocols, Handlers: p.Handlers, AllowTargets: p.AllowTargets}
	r := &reading{Resolver: scenarios.NewResolver(e, begin, &p.out, scope), vocabulary: p.Vocabulary, open: p.open, files: p.FS}
	if sc.Partial {
		r.Misunderstood()
	}
	for _, s := range sc.Steps {
		r.AddStep(s.Keyword, s.Text, s.At)
		p.step(r, sc, s)
	}
	r.Finish()
	if p.LookupEnv != nil {
		r.CheckEnvironment(p.LookupEnv)
	}
	if p.Find != nil {
		r.CheckPrograms(p.Find)
	}
	return e
}

// step finds the row of the phrase table that matches a step, and builds it.
func (p *parse) step(r *reading, sc *feature.Scenario, s feature.Step) {
	if p.out.Full() {
		return // the search for similar sentences takes milliseconds for each step
	}
	if s.Unfilled {
		r.Misunderstood()
		return
	}
	own := false
	for _, re := range p.own {
		own = own || re.MatchString(s.Text)
	}
	all := p.Vocabulary.match(s.Text)
	switch {
	case len(all) == 0 && own:
		r.addOwnStep(s)
	case len(all) == 0:
		what := "this sentence is not known"
		if !s.Exact {
			what += ", with the values of row " + strconv.Itoa(sc.Row) + " of the examples: " + s.Text
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
		r.AddProblem(s.At, codes.AmbiguousSentence.Message("this sentence can be read in several ways: "+strings.Join(names, "; ")), "say it otherwise")
	default:
		p.build(r, s, all[0])
	}
}

func (p *parse) build(r *reading, s feature.Step, f found) {
	r.SetPhrase(f.phrase.Name)
	if c, i := source.ControlIn(s.Text); i >= 0 {
		at := s.At
		if s.Exact && at.Col > 0 {
			at.Col += utf8.RuneCountInString(s.Text[:i])
		}
		r.AddProblem(at, codes.BadValue.Msgf("this sentence holds the control character %U", c), "leave it out")
		return
	}
	switch {
	case f.phrase.table && len(s.Table) == 0:
		r.AddProblem(s.At, codes.WrongArgument.Msgf("a table has to follow this sentence"), f.phrase.Means)
		return
	case !f.phrase.table && len(s.Table) > 0:
		r.AddProblem(s.At, codes.WrongArgument.Msgf("this sentence takes no table"), "leave the table out")
		return
	case f.phrase.doc && s.Doc == nil:
		r.AddProblem(s.At, codes.WrongArgument.Msgf("a doc string has to follow this sentence"), f.phrase.Means)
		return
	case !f.phrase.doc && s.Doc != nil:
		r.AddProblem(s.At, codes.WrongArgument.Msgf("this sentence takes no doc string"), "leave it out")
		return
	}
	name, a := args{r: r, at: s.At, text: s.Text, exact: s.Exact, values: f.values, from: f.from, table: s.Table, doc: s.Doc}.load(f.phrase)
	r.NameLoad(name)
	f.phrase.build(r, a)
	r.NameLoad("")
}
