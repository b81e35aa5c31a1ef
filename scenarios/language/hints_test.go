package language

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

const twoServices = "services:\n  web: {address: \"localhost:1\", serves: [/], depends: {back: http}}\n  back: {address: \"localhost:2\"}\n"

// problemsOf returns the problems of a feature about web and back.
func problemsOf(t *testing.T, feature string) source.Problems {
	t.Helper()
	_, err := Parse(Source{FS: fstest.MapFS{"a.feature": {Data: []byte(feature)}, "system.yaml": {Data: []byte(twoServices)}}, Paths: []string{"a.feature"}})
	var ps source.Problems
	require.True(t, errors.As(err, &ps), "%v", err)
	return ps
}

// TestIdeasAreSuggested: common words are answered with the corresponding sentence, with the names of the user's
// services.
func TestIdeasAreSuggested(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`When "back" is killed for 2s`:                                  `"back" crashes for 5s`,
		`When "back" is restarted`:                                      `"back" crashes for 5s`,
		`When "back" is down for 2s`:                                    `"back" crashes for 5s`,
		`When "back" freezes for 2s`:                                    `"back" hangs for 15s`,
		`When 10% packet loss between "web" and "back" for 2s`:          `requests from "web" to "back" are lost`,
		`When "web" and "back" are partitioned`:                         `"web" and "back" are cut off from each other`,
		`Then the error rate stays below 1%`:                            `at least 99% of requests succeed`,
		`When "back" is slow for 2s`:                                    `calls from "web" to "back" are delayed by 800ms`,
		`When "back" fails with 503`:                                    `to "back" answer with status 503`,
		`Then the p95 latncy stays below 400ms during the fault`:        `the p95 latency stays below 400ms during the fault`,
		`Then the p95 latency is below 1s`:                              `the p95 latency stays below 400ms during the fault`,
		`Then the 99th percentile is at most 1s`:                        `the p95 latency stays below 400ms during the fault`,
		`When calls from web to back are delayed by 200ms for 2s`:       `names and routes stand in quotes: calls from "web" to "back" are delayed by 200ms for 2s`,
		`When calls from front to back end are delayed by 200ms for 2s`: `did you mean`,
		`When back crashes for 2s`:                                      `names and routes stand in quotes: "back" crashes for 2s`,
		`And a steady load of 20 requests per second on GET /`:          `names and routes stand in quotes: a steady load of 20 requests per second on "GET /"`,
	} {
		ps := problemsOf(t, "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    "+text+"\n")
		assert.Contains(t, ps[0].Hint, want, text)
		assert.Equal(t, "this sentence is not known", ps[0].What)
	}
}

// TestIdeasAreKnownSentences requires that each suggestion is a known sentence.
func TestIdeasAreKnownSentences(t *testing.T) {
	t.Parallel()
	for _, idea := range ideas {
		assert.Len(t, Standard().match(idea.sentence), 1, idea.sentence)
	}
}

func TestMissingColonIsOneProblem(t *testing.T) {
	t.Parallel()
	const steps = "    Given the system described in \"system.yaml\"\n    And a steady load of 20 requests per second on \"GET /\"\n    When 5s pass\n    Then at least 99% of requests succeed\n"
	for name, c := range map[string]struct {
		text string
		line int
		hint string
	}{
		"first scenario":  {"Feature: f\n  Scenario back is slow\n" + steps, 2, "write: Scenario: back is slow"},
		"second scenario": {"Feature: f\n  Scenario: one\n" + steps + "  Scenario two\n" + steps, 7, "write: Scenario: two"},
		"feature":         {"Feature f\n  Scenario: one\n" + steps, 1, "write: Feature: f"},
		"background":      {"Feature: f\n  Background\n" + steps + "  Scenario: s\n" + steps, 2, "write: Background:"},
		"examples":        {"Feature: f\n  Scenario Outline: s\n" + steps + "    Examples\n      | a |\n      | b |\n", 7, "write: Examples:"},
	} {
		ps := problemsOf(t, c.text)
		require.Len(t, ps, 1, "%s: %v", name, ps)
		assert.Equal(t, c.line, ps[0].Line, name)
		assert.Contains(t, ps[0].What, "a colon is missing", name)
		assert.Contains(t, ps[0].Hint, c.hint, name)
	}
	prose := "Feature: f\n  Scenario planning is for people.\n\n  Examples are below.\n\n  Scenario: one\n" + steps
	_, err := Parse(Source{FS: fstest.MapFS{"a.feature": {Data: []byte(prose)}, "system.yaml": {Data: []byte(twoServices)}}, Paths: []string{"a.feature"}})
	assert.NoError(t, err)
}

func TestMissingLinksNameTheKey(t *testing.T) {
	t.Parallel()
	ps := problemsOf(t, "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    When calls from \"clients\" to \"web\" are delayed by 1s for 2s\n")
	assert.Contains(t, ps[0].Hint, "clients: {depends: {web: http}}")
}

// TestTypingErrorsAreExplained: for a sentence that differs from a known one only in quotes, white space or
// punctuation, the problem has the cause, its position, and the correct sentence.
func TestTypingErrorsAreExplained(t *testing.T) {
	t.Parallel()
	const slow, load = `calls from "web" to "back" are delayed by 1s for 2s`, `a steady load of 20 requests per second on "GET /"`
	for text, c := range map[string]struct{ cause, at, want string }{
		`calls from "web"  to "back" are delayed by 1s for 2s`:          {"two spaces in a row", ` to "back"`, slow},
		"calls from \"web\" to\t\"back\" are delayed by 1s for 2s":      {"a tab", "\t", slow},
		"calls from\u00a0\"web\" to \"back\" are delayed by 1s for 2s":  {"another kind of space (U+00A0)", "\u00a0", slow},
		"calls\u200b from \"web\" to \"back\" are delayed by 1s for 2s": {"an invisible character (U+200B)", "\u200b", slow},
		`calls from “web” to “back” are delayed by 1s for 2s`:           {"typographic quotes", "“web", slow},
		`calls from 'web' to 'back' are delayed by 1s for 2s`:           {`other quotes than "`, "'web", slow},
		`calls from "web to "back" are delayed by 1s for 2s`:            {"an odd number of quotes", ` to "back"`, slow},
		`calls from web" to "back" are delayed by 1s for 2s`:            {"an odd number of quotes", "web", slow},
		`a steady load of 20 requests per second on "GET /`:             {"an odd number of quotes", "", load},
		slow + `.`:   {`"." at its end`, ".", slow},
		slow + ` ; `: {`";" at its end`, " ;", slow},
		`Calls from "web" to "back" are delayed by 1s for 2s`: {"a capital letter at its beginning", "Calls", slow},
		`A steady load of 20 requests per second on “GET /”.`: {`typographic quotes and "." at its end and a capital letter at its beginning`, "A steady", load},
		`calls from web  to back are delayed by 1s for 2s`:    {"two spaces in a row and names or routes without quotes", "web", slow},
		`calls from "web  to "back" are slowed down a bit`:    {"an odd number of quotes", "calls", ""},
	} {
		ps := problemsOf(t, "Feature: f\n  Scenario: s\n    Given the system described in \"system.yaml\"\n    And "+text+"\n")
		require.NotEmpty(t, ps, text)
		assert.Equal(t, "this sentence is not known: it has "+c.cause, ps[0].What, text)
		assert.True(t, strings.HasPrefix(string([]rune(ps[0].Text)[ps[0].Col-1:]), c.at), "%q points at column %d", text, ps[0].Col)
		if c.want != "" {
			assert.Equal(t, "write: "+c.want, ps[0].Hint, text)
		}
	}
}
