package feature

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// TestMeaning: what Format must keep is distinguished, and nothing else.
func TestMeaning(t *testing.T) {
	t.Parallel()
	const text = "@x\nFeature: a\n  prose\n\n  # note\n  Scenario: b\n    Given c\n      \"\"\"json\n      {\n        d\n      \"\"\"\n    When e\n      | f | g |\n"
	of := func(text string) []string {
		d := &document{out: &source.List{}, name: "a.feature"}
		require.NotNil(t, d.parse([]byte(text), counter()), text)
		return d.meaning()
	}
	require.Equal(t, of(text), of("  @x \n\nFeature:  a  \nprose\n\n\n# note  \n Scenario: b\n  Given c\n  \"\"\"json \n  {\n    d\n  \"\"\"\n\n  When e\n  |f|   g|\n"))
	for name, change := range map[string][2]string{
		"a tag":                     {"@x", "@y"},
		"a description":             {"prose", "prose."},
		"a comment":                 {"# note", "# not"},
		"a keyword":                 {"When", "Then"},
		"a name":                    {"Scenario: b", "Scenario: bb"},
		"blanks within a step":      {"Given c", "Given c  c"},
		"a media type":              {"json", ""},
		"an indent of a doc string": {"        d", "      d"},
		"blanks in a doc string":    {"{", "{ "},
		"a line of a doc string":    {"{", "{\n"},
		"cells":                     {"f | g", "f g"},
	} {
		other := strings.Replace(text, change[0], change[1], 1)
		require.NotEqual(t, of(text), of(other), name)
	}
}
