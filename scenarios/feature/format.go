package feature

import (
	"slices"
	"strconv"
	"strings"

	gherkin "github.com/cucumber/gherkin/go/v26"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Format returns the text of a feature file in the canonical style:
//
//   - two spaces of indent per level: Feature 0, Rule 1; Background and Scenario 1, in a Rule 2; steps and Examples one
//     more, tables and doc strings two more; descriptions one more than the line that they describe
//   - columns of tables are aligned, to the left; a table has no empty lines
//   - one empty line before each Rule, Background, Scenario and Examples, and after a description; none between a
//     title and its first step, nor between tags and what they tag; elsewhere at most one, where there was one
//   - comments are indented like the line that follows; those directly below a line and above an empty line belong to
//     the line above
//   - no blanks at the end of a line, and one line end at the end of the file; a byte order mark is removed
//   - the line ends of the whole file are those of its first line, LF or CRLF
//
// What the file means stays the same, and so do its comments, the content of doc strings, the escape sequences in
// cells, and the relative indentation and empty lines of descriptions. Format of a formatted text is the same text.
//
// The name is for problems. The error is of type source.Problems: the text is not Gherkin.
func Format(name string, text []byte) ([]byte, error) {
	out := &source.List{}
	formatted := format(name, text, out)
	if err := out.Err(); err != nil {
		return nil, err
	}
	return formatted, nil
}

func format(name string, text []byte, out *source.List) []byte {
	defer out.RecoverPanic(name)
	if len(text) > maxFeatureFile {
		out.Add(source.Pos{File: name}, codes.TooLarge.Msgf("the file is larger than %d MiB", maxFeatureFile>>20), "split it")
		return nil
	}
	before := &document{out: out, name: name}
	if before.parse(text, counter()) == nil {
		return nil
	}
	lines, section := before.styled()
	arrange(lines, section)
	formatted := written(lines, lineEnd(text))

	after := &document{out: out, name: name}
	if after.parse(formatted, counter()) == nil || !slices.Equal(before.meaning(), after.meaning()) {
		out.Add(source.Pos{File: name}, codes.InternalError.Msgf("the formatted text would not mean the same"), "this is a bug in firedrill: please report it with the file")
		return nil
	}
	return formatted
}

// counter returns a function that returns ids: "1", "2" and so on.
func counter() func() string {
	n := 0
	return func() string { n++; return strconv.Itoa(n) }
}

// lineEnd returns the line end of the first line.
func lineEnd(text []byte) string {
	first, _, _ := strings.Cut(string(text), "\n")
	if strings.HasSuffix(first, "\r") {
		return "\r\n"
	}
	return "\n"
}

// meaning returns the tokens of the file, from which the parser builds all else, without positions, and without
// blanks and empty lines where they mean nothing.
func (d *document) meaning() []string {
	var all []string
	quoted := false // the line is content of a doc string
	for _, t := range d.tokens {
		text := t.Text
		switch t.Type {
		case gherkin.TokenTypeEmpty, gherkin.TokenTypeEOF:
			continue
		case gherkin.TokenTypeComment:
			text = strings.TrimSpace(text)
		case gherkin.TokenTypeDocStringSeparator:
			text = strings.TrimRight(text, blanks)
			quoted = !quoted
		case gherkin.TokenTypeOther:
			if !quoted {
				text = strings.Trim(text, blanks)
			}
			if !quoted && text == "" {
				continue
			}
		}
		all = append(all, t.Type.Name(), t.Keyword, text)
		for _, item := range t.Items {
			all = append(all, item.Text)
		}
	}
	return all
}
