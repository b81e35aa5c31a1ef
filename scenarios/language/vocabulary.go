// Package language reads experiments from feature files and the system files that they name.
//
// Parse returns the experiments, or all problems of the files. A Vocabulary is what the files can name; it prints its
// sentences and the JSON Schema of system files, for editors. Package feature reads the syntax of feature files. This
// package finds the sentence of each step, parses its values, and makes the statements of a scenarios.Resolver, which
// validates them.
//
// # The sentences
//
// A Vocabulary has a table of sentences. A row holds a Cucumber Expression, which is the single source for the regular
// expressions that a Gherkin runner needs, the list that PrintSteps prints, and the suggestions for unknown
// sentences. Sentences about faults and checks are in the rows of injector.Kinds and check.Kinds; to add one of the
// others, add a row to one of the tables in phrases*.go. The examples of a row are its first
// tests. A selection such as "10% of calls" or "only "POST /charge" calls" is one parameter, {calls}, so that each
// fault on calls supports all selections with a single row.
//
// Expressions match more than what is valid. For example, they accept "800 parsecs" as a duration, and the
// validation of the parameter rejects it. Otherwise a wrong unit would be reported as an unknown sentence.
package language

import (
	"fmt"
	"regexp"
	"slices"
	"sync"

	cucumber "github.com/cucumber/cucumber-expressions/go/v17"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Vocabulary is what feature files and system files can name: sentences, faults, checks and protocols.
type Vocabulary struct {
	faults    []injector.Kind
	protocols protocols.Table
	phrases   []Phrase
}

// Standard returns the vocabulary that is used unless another one is given.
func Standard() *Vocabulary { return standard() }

var standard = sync.OnceValue(func() *Vocabulary { return NewVocabulary(injector.Kinds(), check.Kinds(), protocols.All()) })

// NewVocabulary returns a vocabulary with the given kinds of faults and checks and their sentences, with the given
// protocols, and with all sentences about the system, load, time and people. It panics if a pattern or a protocol is
// not valid. For rows of your own, append to the standard ones:
//
//	NewVocabulary(append(injector.Kinds(), injector.Describe(Brownout{})), check.Kinds(), protocols.All())
func NewVocabulary(faults []injector.Kind, checks []check.Kind, table protocols.Table) *Vocabulary {
	return newVocabulary(faults, table, phrases(faults, checks))
}

func newVocabulary(faults []injector.Kind, table protocols.Table, phrases []Phrase) *Vocabulary {
	if err := table.Check(); err != nil {
		panic(err.Error())
	}
	v := &Vocabulary{faults: faults, protocols: table, phrases: phrases}
	registry := cucumber.NewParameterTypeRegistry()
	for _, p := range v.parameters() {
		kind, err := cucumber.NewParameterType(p.name, []*regexp.Regexp{regexp.MustCompile(p.expression)}, "string", nil, true, false, false)
		if err == nil {
			err = registry.DefineParameterType(kind)
		}
		if err != nil {
			panic(fmt.Sprintf("parameter %q: %v", p.name, err))
		}
	}
	for i := range phrases {
		p := &phrases[i]
		p.variants = variants(p.Pattern)
		for _, example := range p.Examples {
			p.skeletons = append(p.skeletons, skeleton(example))
		}
		p.loadSlot = slices.Index(parameterIn.FindAllString(p.Pattern, -1), "{load}")
		for j, v := range p.variants {
			e, err := cucumber.NewCucumberExpression(v.source, registry)
			if err != nil {
				panic(fmt.Sprintf("phrase %q: %v", p.Name, err))
			}
			p.variants[j].expr = e.Regexp()
		}
	}
	return v
}

// Phrases returns the sentences, in the order of `firedrill steps`.
func (v *Vocabulary) Phrases() []Phrase { return slices.Clone(v.phrases) }

// Group returns the group of a sentence, such as "faults", or "" if it is not known.
func (v *Vocabulary) Group(sentence string) string {
	if found := v.match(sentence); len(found) > 0 {
		return found[0].phrase.Group
	}
	return ""
}

// Schema returns the JSON Schema of system files, for editors.
func (v *Vocabulary) Schema() []byte { return system.Schema(v.protocols) }

// Regexps returns the regular expressions that match the phrase, for Gherkin runners without Cucumber Expressions.
func (p Phrase) Regexps() []string {
	var all []string
	for _, v := range p.variants {
		all = append(all, v.expr.String())
	}
	return all
}

// found is a phrase that matches a step.
type found struct {
	phrase *Phrase
	values []string // by slot
	from   []int    // byte offset of each value in the text; -1 if absent
}

// match returns the phrases that match text. A known sentence has exactly one.
func (v *Vocabulary) match(text string) []found {
	var all []found
	for i := range v.phrases {
		p := &v.phrases[i]
		for _, form := range p.variants {
			at := form.expr.FindStringSubmatchIndex(text)
			if at == nil {
				continue
			}
			f := found{phrase: p}
			for n, slot := range form.slots {
				for len(f.values) <= slot {
					f.values, f.from = append(f.values, ""), append(f.from, -1)
				}
				f.values[slot], f.from[slot] = text[at[2*n+2]:at[2*n+3]], at[2*n+2]
			}
			all = append(all, f)
			break
		}
	}
	return all
}

// knows reports whether text is a sentence.
func (v *Vocabulary) knows(text string) bool { return len(v.match(text)) > 0 }
