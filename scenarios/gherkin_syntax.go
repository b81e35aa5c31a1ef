package scenarios

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	messages "github.com/cucumber/messages/go/v21"
)

// description complains of steps that Gherkin takes for prose: a misspelt keyword in the first step, or a step before the first scenario.
func (d *document) description(after *messages.Location, text string) {
	for i, prose := range strings.Split(text, "\n") {
		_, rest, _ := strings.Cut(strings.TrimSpace(prose), " ")
		if len(match(rest)) == 0 {
			continue
		}
		for n := int(after.Line) + i; n < len(d.lines); n++ {
			if strings.TrimSpace(d.lines[n]) == strings.TrimSpace(prose) {
				at := d.spot(n+1, 1+len(d.lines[n])-len(strings.TrimLeft(d.lines[n], " \t")))
				d.p.out.add(at, "this line is prose to Gherkin, though it reads like a step", "steps stand in a scenario and begin with Given, When, Then, And or But")
				break
			}
		}
	}
}

var syntaxError = regexp.MustCompile(`(?m)^\((\d+):(\d+)\): (.*)$`)

// syntax tells what the Gherkin parser found.
func (d *document) syntax(err error) {
	all := syntaxError.FindAllStringSubmatch(err.Error(), -1)
	if len(all) == 0 {
		d.p.out.add(place{file: d.name}, fmt.Sprintf("the file cannot be read as Gherkin: %v", err), "a feature file begins with: Feature: what the system has to survive")
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
		d.p.out.add(d.spot(line, col), what, hint)
	}
}

func (d *document) hasFeature() bool {
	return slices.ContainsFunc(d.lines, func(l string) bool {
		l = strings.TrimSpace(l)
		return strings.HasPrefix(l, "Feature:") || strings.HasPrefix(l, "#") && strings.Contains(l, "language:")
	})
}
