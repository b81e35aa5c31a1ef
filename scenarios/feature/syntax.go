package feature

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"

	messages "github.com/cucumber/messages/go/v21"
)

// description reports steps that Gherkin takes as prose: because of a misspelt keyword in the first step, or
// because they precede the first scenario.
func (d *document) description(after *messages.Location, text string) {
	for i, prose := range strings.Split(text, "\n") {
		_, rest, _ := strings.Cut(strings.TrimSpace(prose), " ")
		if !d.known(rest) {
			continue
		}
		for n := int(after.Line) + i; n < len(d.lines); n++ {
			if strings.TrimSpace(d.lines[n]) == strings.TrimSpace(prose) {
				at := d.posAt(n+1, 1+len(d.lines[n])-len(strings.TrimLeft(d.lines[n], " \t")))
				d.partial = true
				d.out.Add(at, codes.NotGherkin.Msgf("this line is prose to Gherkin, though it reads like a step"), "steps stand in a scenario and begin with Given, When, Then, And or But")
				break
			}
		}
	}
}

// holdsSteps reports whether a description contains a line that looks like a step.
func (d *document) holdsSteps(feature *messages.Feature) bool {
	texts := []string{feature.Description}
	for _, child := range feature.Children {
		if child.Background != nil {
			texts = append(texts, child.Background.Description)
		}
		if child.Scenario != nil {
			texts = append(texts, child.Scenario.Description)
		}
		if child.Rule != nil {
			texts = append(texts, child.Rule.Description)
			for _, c := range child.Rule.Children {
				if c.Background != nil {
					texts = append(texts, c.Background.Description)
				}
				if c.Scenario != nil {
					texts = append(texts, c.Scenario.Description)
				}
			}
		}
	}
	for line := range strings.Lines(strings.Join(texts, "\n")) {
		if isStep.MatchString(line) {
			return true
		}
	}
	return false
}

var syntaxError = regexp.MustCompile(`(?m)^\((\d+):(\d+)\): (.*)$`)

// syntax reports the errors of the Gherkin parser.
func (d *document) syntax(err error) {
	all := syntaxError.FindAllStringSubmatch(err.Error(), -1)
	if len(all) == 0 {
		d.out.Add(source.Pos{File: d.name}, codes.NotGherkin.Msgf("the file cannot be read as Gherkin: %v", err), "a feature file begins with: Feature: what the system has to survive")
	}
	for _, m := range all {
		line, _ := strconv.Atoi(m[1])
		col, _ := strconv.Atoi(m[2])
		what, hint := m[3], ""
		switch {
		case strings.HasPrefix(what, "unexpected end of file"):
			what, hint = "the file ends too early", "a doc string or a scenario is not finished"
			line = len(d.lines)
		case strings.HasPrefix(what, "expected:"):
			what, hint = "this line is not Gherkin", "steps begin with Given, When, Then, And, But or *; comments with #"
			if d.name != "" && !d.hasFeature() {
				hint = "a feature file begins with: Feature: what the system has to survive"
			}
		case strings.HasPrefix(what, "inconsistent cell count"):
			what, hint = "this row has another number of cells than the table's header", "each cell ends with |"
		case strings.HasPrefix(what, "Language not supported"):
			what, hint = strings.Replace(what, "Language not supported: ", "there is no language ", 1), "write # language: en, or leave it out"
		case strings.HasPrefix(what, "A tag"):
			what, hint = "a tag cannot hold white space", "write each tag with its own @"
		}
		d.out.Add(d.posAt(line, col), codes.NotGherkin.Message(what), hint)
	}
}

func (d *document) hasFeature() bool {
	return slices.ContainsFunc(d.lines, func(l string) bool {
		l = strings.TrimSpace(l)
		return strings.HasPrefix(l, "Feature:") || strings.HasPrefix(l, "#") && strings.Contains(l, "language:")
	})
}
