package reports

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cucumber/messages/go/v21"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// cucumberCase is a scenario, or a planned one that never began, with the IDs of its pickle and of the pickle's steps.
type cucumberCase struct {
	h      *journal.History
	notRun bool
	pickle string
	steps  []string // parallel to h.Steps
}

// features writes each feature with its scenarios.
func (m *messageWriter) features() (cases []cucumberCase) {
	all := slices.Clone(m.book.Scenarios)
	for _, p := range m.book.NotRun() {
		all = append(all, &journal.History{Begin: journal.Begin{ID: p.ID, Name: p.Name, File: p.File, Line: p.Line}})
	}
	for _, file := range files(all) {
		var own []*journal.History
		for _, h := range all {
			if h.File == file {
				own = append(own, h)
			}
		}
		uri := plain(file)
		if uri == "" {
			uri = "experiments built in Go"
		}
		m.write(messages.Envelope{Source: &messages.Source{Uri: uri, Data: cucumberSource(own), MediaType: messages.SourceMediaType_TEXT_X_CUCUMBER_GHERKIN_PLAIN}})
		document := &messages.GherkinDocument{Uri: uri, Comments: []*messages.Comment{}, Feature: &messages.Feature{
			Location: &messages.Location{Line: 1}, Tags: []*messages.Tag{}, Language: "en", Keyword: "Feature", Name: featureName(own), Children: []*messages.FeatureChild{},
		}}
		var pickles []*messages.Pickle
		for _, h := range own {
			node, pickle := m.scenario(h, uri)
			document.Feature.Children = append(document.Feature.Children, &messages.FeatureChild{Scenario: node})
			pickles = append(pickles, pickle)
			c := cucumberCase{h: h, pickle: pickle.Id, notRun: !slices.Contains(m.book.Scenarios, h)}
			for _, s := range pickle.Steps {
				c.steps = append(c.steps, s.Id)
			}
			cases = append(cases, c)
		}
		m.write(messages.Envelope{GherkinDocument: document})
		for _, p := range pickles {
			m.write(messages.Envelope{Pickle: p})
		}
	}
	return cases
}

// files returns the files of scenarios, in order.
func files(all []*journal.History) (names []string) {
	for _, h := range all {
		if !slices.Contains(names, h.File) {
			names = append(names, h.File)
		}
	}
	return names
}

func featureName(all []*journal.History) string {
	for _, h := range all {
		if h.Feature != "" {
			return plain(h.Feature)
		}
	}
	return ""
}

// scenario returns a scenario as a node of a Gherkin document and as a pickle.
func (m *messageWriter) scenario(h *journal.History, uri string) (*messages.Scenario, *messages.Pickle) {
	node := &messages.Scenario{
		Id: m.id(), Location: &messages.Location{Line: int64(h.Line)}, Tags: []*messages.Tag{}, Keyword: "Scenario", Name: plain(h.Name), Steps: []*messages.Step{}, Examples: []*messages.Examples{},
	}
	pickle := &messages.Pickle{
		Id: m.id(), Uri: uri, Name: node.Name, Language: "en", Steps: []*messages.PickleStep{}, Tags: []*messages.PickleTag{}, AstNodeIds: []string{node.Id},
	}
	for _, tag := range h.Tags {
		t := &messages.Tag{Id: m.id(), Location: node.Location, Name: plain(tag)}
		node.Tags = append(node.Tags, t)
		pickle.Tags = append(pickle.Tags, &messages.PickleTag{Name: t.Name, AstNodeId: t.Id})
	}
	means := messages.PickleStepType_UNKNOWN
	for _, s := range h.Steps {
		keyword := stepKeywords[s.Keyword]
		if keyword.means != "" {
			means = keyword.means
		}
		step := &messages.Step{Id: m.id(), Location: &messages.Location{Line: int64(lineOf(s.At))}, Keyword: plain(s.Keyword) + " ", KeywordType: keyword.kind, Text: plain(s.Text)}
		node.Steps = append(node.Steps, step)
		pickle.Steps = append(pickle.Steps, &messages.PickleStep{Id: m.id(), AstNodeIds: []string{step.Id}, Type: means, Text: step.Text})
	}
	return node, pickle
}

// stepKeywords are the types of keywords. Those of other languages, and those that continue a list, mean what the keyword
// before them means.
var stepKeywords = map[string]struct {
	kind  messages.StepKeywordType
	means messages.PickleStepType
}{
	"Given": {messages.StepKeywordType_CONTEXT, messages.PickleStepType_CONTEXT},
	"When":  {messages.StepKeywordType_ACTION, messages.PickleStepType_ACTION},
	"Then":  {messages.StepKeywordType_OUTCOME, messages.PickleStepType_OUTCOME},
	"And":   {messages.StepKeywordType_CONJUNCTION, ""},
	"But":   {messages.StepKeywordType_CONJUNCTION, ""},
	"*":     {messages.StepKeywordType_CONJUNCTION, ""},
}

// lineOf returns the line of a position file:line, or 0 if it has none.
func lineOf(position string) int {
	_, line, _ := cutLast(position, ":")
	n, err := strconv.Atoi(line)
	if err != nil {
		return 0
	}
	return n
}

// maxSourceLines limits the source of a feature, whose lines are numbered as the journal says.
const maxSourceLines = 20_000

// cucumberSource returns the text of a feature as far as scenarios hold it, each step in its line. Rows of an outline share
// lines, which are those of the first row.
func cucumberSource(all []*journal.History) string {
	text := map[int]string{1: "Feature: " + featureName(all)}
	last := 1
	put := func(line int, s string) {
		if text[line] == "" && line > 0 && line <= maxSourceLines {
			text[line] = s
			last = max(last, line)
		}
	}
	for _, h := range all {
		put(h.Line, "  Scenario: "+plain(h.Name))
		for _, s := range h.Steps {
			put(lineOf(s.At), "    "+plain(s.Keyword)+" "+plain(s.Text))
		}
	}
	var out strings.Builder
	for line := range last {
		out.WriteString(text[line+1] + "\n")
	}
	return out.String()
}
