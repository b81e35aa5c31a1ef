package feature

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

var (
	noColon = regexp.MustCompile(`^\s*(Feature|Rule|Background|Scenario Outline|Scenario Template|Scenario|Examples)(\s+[^:]*)?$`)
	isStep  = regexp.MustCompile(`^\s*(?:(?:Given|When|Then|And|But)\s|\*\s)`)
)

// missingColons reports each line that begins a scenario, or another part of a feature, without a colon. Gherkin
// takes it and all steps below it as prose, or reports each of them. A line counts only if a step or another such
// line follows. The result is true if there is one.
func (d *document) missingColons() bool {
	found := false
	for i, line := range d.lines {
		m := noColon.FindStringSubmatch(line)
		if m == nil || !d.opens(i) {
			continue
		}
		name := strings.TrimSpace(m[2])
		if name == "" {
			name = "what happens"
		}
		d.out.Add(d.posAt(i+1, 1+strings.Index(line, m[1])), codes.NotGherkin.Msgf("a colon is missing after %q", m[1]), fmt.Sprintf("write: %s: %s", m[1], name))
		found = true
	}
	return found
}

// opens reports whether the next line after line i, apart from empty lines and comments, is a step, a row of
// examples or the beginning of another part.
func (d *document) opens(i int) bool {
	for _, next := range d.lines[i+1:] {
		text := strings.TrimSpace(next)
		if text == "" || strings.HasPrefix(text, "#") || strings.HasPrefix(text, "@") {
			continue
		}
		part, _, _ := strings.Cut(text, ":")
		return isStep.MatchString(next) || strings.HasPrefix(text, "|") || noColon.MatchString(part)
	}
	return false
}
