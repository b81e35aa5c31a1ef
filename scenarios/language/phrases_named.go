package language

import (
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

// namedLoads returns the sentences about loads with names: those of rows that define a steady load, or users.
func namedLoads(rows []Phrase) []Phrase {
	steady := strings.NewReplacer("a steady load of ", "the {load} load of ", "{number} user(s) ask(s)", "the {load} load of {number} user(s) asking",
		"{number} user(s) send(s)", "the {load} load of {number} user(s) sending", "{number} user(s) call(s)", "the {load} load of {number} user(s) calling")
	example := strings.NewReplacer("a steady load of ", `the "checkout" load of `, "20 users ask", `the "browsing" load of 20 users asking`,
		"20 users send", `the "browsing" load of 20 users sending`, "20 users call", `the "browsing" load of 20 users calling`)
	var all []Phrase
	for _, p := range rows {
		pattern := steady.Replace(p.Pattern)
		if pattern == p.Pattern {
			continue
		}
		p.Name, p.Pattern = "named "+p.Name, pattern
		p.Means = "one of several loads, each with checks of its own; otherwise as above"
		var examples []string
		for _, e := range p.Examples {
			examples = append(examples, example.Replace(e))
		}
		p.Examples = examples
		all = append(all, p)
	}
	return all
}

// byLoad returns the pattern of a check that can be asked about one load. The load is named before the words by; if they
// are "", the pattern is unchanged.
func byLoad(pattern, by string) string {
	if by == "" {
		return pattern
	}
	return strings.Replace(pattern, by, "( of the {load} load)"+by, 1)
}

// load returns the name of the load that a sentence names, "" if it names none, and the arguments without it.
func (a args) load(p *Phrase) (name string, rest args) {
	i := p.loadSlot
	if i < 0 {
		return "", a
	}
	name = a.Text(i)
	if a.Has(i) && strings.TrimSpace(name) == "" {
		a.Problem(i, codes.BadName.Msgf("the name of a load is empty"), "write a name between the quotes")
	}
	if i < len(a.values) {
		a.values = append(append([]string(nil), a.values[:i]...), a.values[i+1:]...)
		a.from = append(append([]int(nil), a.from[:i]...), a.from[i+1:]...)
	}
	return name, a
}
