package language

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// TestOneRowOfASentence adds a sentence as a single row, and finds it in the list of sentences, in an experiment, in its
// plan and in suggestions. Package main has the test for kinds of faults and checks.
func TestOneRowOfASentence(t *testing.T) {
	// excerpt: sentence
	pause := Phrase{Name: "coffee", Group: "time and people", Pattern: `everybody has coffee for {duration}`, Means: "nothing happens", Examples: []string{`everybody has coffee for 5m`},
		build: func(r *reading, a args) { r.Act(a.at, scenarios.Wait{For: a.Duration(0)}) }}
	// end of excerpt
	v := newVocabulary(injector.Kinds(), protocols.All(), append(phrases(injector.Kinds(), check.Kinds()), pause))
	var b strings.Builder
	require.NoError(t, v.PrintSteps(&b, "coffee"))
	assert.True(t, strings.HasPrefix(b.String(), "TIME AND PEOPLE\n\n  everybody has coffee for {duration}\n      nothing happens\n      e.g. everybody has coffee for 5m\n"), b.String())

	parse := func(sentence string) ([]*scenarios.Experiment, error) {
		return Parse(Source{Vocabulary: v, Paths: []string{"a.feature"}, FS: files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When " + sentence + "\n")})
	}
	es, err := parse(`everybody has coffee for 3m`)
	require.NoError(t, err)
	assert.Equal(t, "coffee", es[0].Steps[1].Phrase)
	b.Reset()
	require.NoError(t, scenarios.Plan(&b, es))
	assert.Contains(t, b.String(), "everybody has coffee for 3m\n")
	assert.Contains(t, b.String(), "about 3 min 2 s")

	_, err = parse(`everbody has coffee for 3m`)
	require.ErrorContains(t, err, "did you mean: everybody has coffee for 5m")
	_, err = parse(`everybody has coffee for 3 parsecs`)
	require.ErrorContains(t, err, `"3 parsecs" is not a duration`)
}

func TestVocabularyRejectsBrokenProtocols(t *testing.T) {
	assert.PanicsWithValue(t, `protocol "mine": Serve, Matches and Class are required`, func() {
		NewVocabulary(injector.Kinds(), check.Kinds(), append(protocols.All(), message.Protocol{Name: "mine"}))
	})
}
