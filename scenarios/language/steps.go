package language

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// PrintSteps prints the sentences by group, with their meaning and examples. With a word, it prints only those that
// contain it; a word that none contains is an error.
func (v *Vocabulary) PrintSteps(w io.Writer, word string) error {
	var b strings.Builder
	group := ""
	used := map[string]bool{}
	for _, p := range v.phrases {
		if !p.holds(word) {
			continue
		}
		if p.Group != group {
			fmt.Fprintf(&b, "%s\n\n", strings.ToUpper(p.Group))
			group = p.Group
		}
		fmt.Fprintf(&b, "  %s\n      %s\n", p.Pattern, p.Means)
		for _, e := range p.Examples {
			fmt.Fprintf(&b, "      e.g. %s\n", e)
		}
		b.WriteString("\n")
		for _, name := range parameterIn.FindAllString(p.Pattern, -1) {
			used[strings.Trim(name, "{}")] = true
		}
	}
	if used["outcome"] || used["statuses"] {
		printOutcomes(&b)
	}
	if strings.Contains(b.String(), "WHAT REQUESTS CONTAIN") {
		printPlaceholders(&b)
	}
	if used["operations"] {
		printKinds(&b)
	}
	if group == "" {
		return fmt.Errorf("no sentence contains %q: firedrill steps prints all", word)
	}
	b.WriteString("IN THE SENTENCES\n\n")
	wide := 0
	for _, p := range v.parameters() {
		wide = max(wide, utf8.RuneCountInString(p.name)+2)
	}
	fmt.Fprintf(&b, "  %-*s  may be left out\n", wide, "( )")
	fmt.Fprintf(&b, "  %-*s  one of the two\n", wide, "a/b")
	for _, p := range v.parameters() {
		if used[p.name] {
			fmt.Fprintf(&b, "  %-*s  %s\n", wide, "{"+p.name+"}", p.means)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p Phrase) holds(word string) bool {
	if word == "" {
		return true
	}
	all := strings.Join(append([]string{p.Name, p.Group, p.Pattern, p.Means}, p.Examples...), "\n")
	found, err := regexp.MatchString("(?i)"+regexp.QuoteMeta(word), all)
	return err == nil && found
}

// printOutcomes prints the table for PrintSteps.
func printOutcomes(b *strings.Builder) {
	b.WriteString("WHAT ANSWERS MEAN\n\n")
	for _, row := range scenarios.Outcomes() {
		fmt.Fprintf(b, "  %-38s  %-12s  %s\n", row.Answer, row.Outcome, row.Why)
	}
	b.WriteString("\n  Acknowledged: exactly one effect, and a success. Refused: no effect. Not known: none or one effect, never two.\n\n")
}

// printPlaceholders prints the table for PrintSteps.
func printPlaceholders(b *strings.Builder) {
	b.WriteString("WHAT REQUESTS CONTAIN\n\n")
	for _, row := range scenarios.Placeholders() {
		fmt.Fprintf(b, "  %-18s  %s\n", row.Form, row.Means)
	}
	b.WriteString("\n  In JSON, a value between quotes is escaped; without quotes it is a number, or else a string of its own.\n\n")
}

// printKinds prints the table for PrintSteps.
func printKinds(b *strings.Builder) {
	b.WriteString("LOAD THAT IS NOT HTTP\n\n")
	for _, k := range scenarios.LoadKinds() {
		fmt.Fprintf(b, "  %-34s  %s\n", kindForm(k), k.Means)
	}
	b.WriteString("\n  No answer, after something was written: not known. Nothing written, such as a refused dial: refused. Checks name a request by the\n  beginning of its text, by what it is about, or by its name in a mix.\n\n")
}
