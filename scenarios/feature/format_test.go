package feature_test

import (
	"flag"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	gherkin "github.com/cucumber/gherkin/go/v26"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestFormatGolden formats each testdata/format/NAME.before and compares it with NAME.after.
func TestFormatGolden(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob("testdata/format/*.before")
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, name := range all {
		before, err := os.ReadFile(name)
		require.NoError(t, err)
		got := formatted(t, string(before))
		golden := strings.TrimSuffix(name, ".before") + ".after"
		if *update {
			require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		assert.Equal(t, string(want), got, "%s; -update writes it anew", golden)
		keepsAll(t, string(before), got)
		assert.Equal(t, got, formatted(t, got), "%s: formatted twice", name)
	}
}

func TestFormatBytes(t *testing.T) {
	t.Parallel()
	const plain = "Feature: a\n\n  Scenario: b\n    Given c\n"
	crlf := strings.ReplaceAll(plain, "\n", "\r\n")
	for name, c := range map[string]struct{ text, want string }{
		"formatted":                            {plain, plain},
		"an empty file":                        {"", ""},
		"empty lines alone":                    {"\n \n\t\n", ""},
		"a byte order mark":                    {"\ufeff" + plain, plain},
		"tabs":                                 {"Feature: a\n\tScenario: b\n\t\tGiven c\t\n", "Feature: a\n\n  Scenario: b\n    Given c\t\n"}, // Gherkin counts the last tab to the text
		"no line end at the end":               {strings.TrimSpace(plain), plain},
		"several line ends at the end":         {plain + "\n\n", plain},
		"Windows":                              {crlf, crlf},
		"Windows, byte order mark, unordered":  {"\ufeffFeature: a\r\nScenario: b\r\nGiven c", crlf},
		"line ends of the first line":          {"Feature: a\r\nScenario: b\nGiven c\n", crlf},
		"line ends of the first line, mixed":   {"Feature: a\nScenario: b\r\nGiven c\r\n", plain},
		"a step without a text":                {"Feature: a\nScenario: b\nGiven \n", "Feature: a\n\n  Scenario: b\n    Given \n"}, // without its blank it is no step
		"carriage returns in a doc string":     {"Feature: a\nScenario: b\nGiven c\n\"\"\"\nx\r\r\n\"\"\"", "Feature: a\n\n  Scenario: b\n    Given c\n      \"\"\"\n      x\r\r\n      \"\"\"\n"},
		"blanks in a doc string":               {"Feature: a\nScenario: b\nGiven c\n  \"\"\"\n  \n     x  \n\ty\n z\n  \"\"\"", "Feature: a\n\n  Scenario: b\n    Given c\n      \"\"\"\n\n         x  \n      \ty\n      z\n      \"\"\"\n"},
		"a doc string that is indented by tab": {"Feature: a\nScenario: b\nGiven c\n\t\"\"\"\n\tx\n\t\"\"\"", "Feature: a\n\n  Scenario: b\n    Given c\n      \"\"\"\n      \tx\n      \"\"\"\n"},
		"a comment before a table":             {"Feature: a\nScenario: b\nGiven c\n# d\n\n|e|", "Feature: a\n\n  Scenario: b\n    Given c\n      # d\n      | e |\n"},
		"a row without cells":                  {"Feature: a\nScenario: b\nGiven c\n| rest", "Feature: a\n\n  Scenario: b\n    Given c\n      | rest\n"},
		"a lone @":                             {"@ @x@@y\t#z\nFeature: a", "@ @x @ @y #z\nFeature: a\n"},
	} {
		got := formatted(t, c.text)
		assert.Equal(t, c.want, got, name)
		assert.Equal(t, got, formatted(t, got), "%s: formatted twice", name)
		keepsAll(t, c.text, got)
	}
}

// TestFormatProblems: what is not Gherkin gets a place, a cause and a remedy, and no text.
func TestFormatProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Feature: a\n\nScenario: b\n  Given c\n  Wen d\n": "a.feature:5:3: this line is not Gherkin",
		"Feature: a\nScenario b\n  Given c\n":             `a.feature:2:1: a colon is missing after "Scenario"`,
		"Feature: a\nScenario: b\nGiven c\n|1|2|\n|1|":    "a.feature:5:1: this row has another number of cells",
		"Given c\n":                 "a.feature:1:1: this line is not Gherkin",
		"Feature: a\xff\n":          "a.feature:1: the file is not UTF-8",
		strings.Repeat("\n", 9<<20): "a.feature: the file is larger than 8 MiB",
	} {
		got, err := feature.Format("a.feature", []byte(text))
		assert.Nil(t, got)
		var problems source.Problems
		require.ErrorAs(t, err, &problems, "%.40q", text)
		assert.Contains(t, problems.Error(), want)
		assert.NotEmpty(t, problems[0].Hint)
		assert.NotEmpty(t, problems[0].Code)
	}
}

// FuzzFormat: what can be read is formatted, keeps all it means and its comments, and is then formatted.
func FuzzFormat(f *testing.F) {
	seeds := 0
	for _, pattern := range []string{"*/*.feature", "*/*/*.feature", "*/*/*/*.feature", "*/testdata/module/features/*.feature", "scenarios/feature/testdata/format/*"} {
		all, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(pattern)))
		require.NoError(f, err)
		for _, name := range all {
			raw, err := os.ReadFile(name)
			require.NoError(f, err)
			f.Add(string(raw))
			f.Add(strings.ReplaceAll(string(raw), "\n", "\r\n"))
			f.Add(strings.ReplaceAll(string(raw), "  ", "\t"))
			seeds++
		}
	}
	require.Greater(f, seeds, 40, "the feature files of the repository")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := feature.Format("a.feature", []byte(text))
		if err != nil {
			require.NotContains(t, err.Error(), "internal-error")
			return
		}
		keepsAll(t, text, string(got))
		require.Equal(t, string(got), formatted(t, string(got)), "formatted twice")
	})
}

// TestFormatRandomLines does the same with files that are put together at random.
func TestFormatRandomLines(t *testing.T) {
	t.Parallel()
	steps := []string{"Given a", "* <x>  ", "Given ", "# c", "#", "", "", "|a|\\||", "| \u00a0日本 | b | rest", "||x|", "\"\"\"", "\"\"\"json ", "```", "  text", "\t\\\"\\\"\\\"", "\r"}
	titles := []string{"Scenario:", "Scenario Outline: a <x>", "Background:", "Rule: r", "Examples:", "Examples: e", "@a", "@a  @b@c #c", "prose", "  prose of <x>", "# c", "", "\r"}
	indents := []string{"", "", "  ", "    ", "\t", "       ", " \t "}
	ends := []string{"\n", "\n", "\n", " \n", "\t\n", "\r\n", "\n\n"}
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(all []string) string { return all[r.IntN(len(all))] }
	parsed := 0
	for range 5_000 {
		var b strings.Builder
		write := func(text string) { b.WriteString(pick(indents) + text + pick(ends)) }
		for range r.IntN(3) {
			write(pick([]string{"", "# c", "@a", "# language: en"}))
		}
		write("Feature: f")
		for range r.IntN(4) {
			for range r.IntN(4) {
				write(pick(titles))
			}
			for range r.IntN(5) {
				write(pick(steps))
			}
		}
		got, err := feature.Format("a.feature", []byte(b.String()))
		if err != nil {
			require.NotContains(t, err.Error(), "internal-error", "%q", b.String())
			continue
		}
		parsed++
		keepsAll(t, b.String(), string(got))
		require.Equal(t, string(got), formatted(t, string(got)), "formatted twice: %q", b.String())
	}
	require.Greater(t, parsed, 2000)
}

func formatted(t *testing.T, text string) string {
	t.Helper()
	got, err := feature.Format("a.feature", []byte(text))
	require.NoError(t, err)
	return string(got)
}

// keepsAll compares what Firedrill reads of two texts, their comments, and all their characters except white space.
func keepsAll(t *testing.T, before, after string) {
	t.Helper()
	require.Equal(t, scenariosIn(before), scenariosIn(after))
	require.Equal(t, commentsIn(t, before), commentsIn(t, after))
	require.Equal(t, withoutSpace(before), withoutSpace(after))
}

// scenarioText is what a scenario consists of, without positions.
type scenarioText struct {
	Feature, Name string
	Row           int
	Cells, Tags   []string
	Steps         []stepText
}

type stepText struct {
	Keyword, Text, Kind string
	Table               [][]string
	Doc                 *string
}

func scenariosIn(text string) (all []scenarioText) {
	unknown := func(string) bool { return false }
	for _, s := range feature.Read(fstest.MapFS{"a.feature": &fstest.MapFile{Data: []byte(text), Mode: fs.ModePerm}}, "a.feature", unknown, &source.List{}) {
		one := scenarioText{Feature: s.Feature, Name: s.Name, Row: s.Row, Cells: s.Cells, Tags: s.Tags}
		for _, st := range s.Steps {
			step := stepText{Keyword: st.Keyword, Text: st.Text, Kind: st.Kind, Doc: st.Doc}
			for _, row := range st.Table {
				step.Table = append(step.Table, row.Cells)
			}
			one.Steps = append(one.Steps, step)
		}
		all = append(all, one)
	}
	return all
}

// commentsIn returns the comments that the parser of Gherkin finds.
func commentsIn(t *testing.T, text string) (all []string) {
	t.Helper()
	text = strings.TrimPrefix(text, "\ufeff")
	doc, err := gherkin.ParseGherkinDocument(strings.NewReader(text), func() string { return "" })
	if err != nil && strings.Contains(err.Error(), "token too long") {
		return nil // the scanner of the parser; Format has one of its own
	}
	require.NoError(t, err)
	for _, c := range doc.Comments {
		all = append(all, strings.TrimSpace(c.Text))
	}
	return all
}

func withoutSpace(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '\ufeff' {
			return -1
		}
		return r
	}, text)
}
