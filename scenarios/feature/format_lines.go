package feature

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	gherkin "github.com/cucumber/gherkin/go/v26"
)

// blanks are characters that are removed at the end of a line.
const blanks = " \t\r"

// kind is what a line of a feature file is.
type kind int

// The kinds of lines.
const (
	comment kind = iota
	tags
	languageHeader
	featureLine
	part // Rule, Background or Scenario
	examples
	step
	row
	docDelimiter
	docContent
	prose   // of a description
	fileEnd // after the last line
)

// line is a line of a feature file that is not empty, or is empty within a description or a doc string.
type line struct {
	kind  kind
	text  string // without its indentation
	level int    // of indentation
	after bool   // it follows an empty line in the file
	gap   bool   // it follows an empty line in the formatted file
}

// styled returns the lines of the file in the canonical style, except for the levels of comments and tags and for
// gaps, which arrange sets. section is the level of scenarios at the end of the file.
func (d *document) styled() (lines []*line, section int) {
	quoted := -1 // within a doc string: the number of characters before its delimiter
	title := 0   // level of the last line with a title
	after := false
	for _, t := range d.tokens {
		if t.Type == gherkin.TokenTypeEOF {
			break
		}
		raw := d.lines[t.Location.Line-1]
		text := strings.Trim(raw, blanks)
		add := func(k kind, level int, text string) {
			lines = append(lines, &line{kind: k, level: level, text: text, after: after})
			after = false
		}
		switch t.Type {
		case gherkin.TokenTypeEmpty:
			after = true
		case gherkin.TokenTypeComment:
			add(comment, 0, text)
		case gherkin.TokenTypeTagLine:
			add(tags, 0, spacedTags(text))
		case gherkin.TokenTypeLanguage:
			add(languageHeader, 0, "# language: "+t.Text)
		case gherkin.TokenTypeFeatureLine:
			section, title = 1, 0
			add(featureLine, title, titleText(t))
		case gherkin.TokenTypeRuleLine:
			section, title = 2, 1
			add(part, title, titleText(t))
		case gherkin.TokenTypeBackgroundLine, gherkin.TokenTypeScenarioLine:
			title = section
			add(part, title, titleText(t))
		case gherkin.TokenTypeExamplesLine:
			title = section + 1
			add(examples, title, titleText(t))
		case gherkin.TokenTypeStepLine:
			add(step, section+1, t.Keyword+t.Text)
		case gherkin.TokenTypeTableRow:
			add(row, section+2, text)
		case gherkin.TokenTypeDocStringSeparator:
			add(docDelimiter, section+2, text)
			if quoted < 0 {
				quoted = len(raw) - len(strings.TrimLeft(raw, " \t"))
			} else {
				quoted = -1
			}
		case gherkin.TokenTypeOther:
			if quoted >= 0 {
				add(docContent, section+2, dedented(raw, quoted))
			} else {
				add(prose, title+1, strings.TrimRight(raw, blanks))
			}
		}
	}
	alignTables(lines)
	return dedentProse(lines), section
}

// titleText returns a line such as "Scenario: name".
func titleText(t *gherkin.Token) string {
	if t.Text == "" {
		return t.Keyword + ":"
	}
	return t.Keyword + ": " + t.Text
}

// dedented returns a line of a doc string without the indentation that Gherkin removes: as many spaces as precede the
// delimiter. Tabs are content.
func dedented(raw string, indent int) string {
	if text := strings.TrimLeft(raw, " "); len(raw)-len(text) <= indent {
		return text
	}
	return raw[indent:]
}

var tagComment = regexp.MustCompile(`\s+#`)

// spacedTags returns a line of tags with one space between them, and with its comment.
func spacedTags(text string) string {
	comment := ""
	if at := tagComment.FindStringIndex(text); at != nil {
		text, comment = text[:at[0]], " "+text[at[1]-1:]
	}
	var all []string
	for _, name := range strings.Split(text, gherkin.TagPrefix)[1:] {
		all = append(all, gherkin.TagPrefix+strings.TrimRightFunc(name, unicode.IsSpace))
	}
	return strings.Join(all, " ") + comment
}

// dedentProse removes from each description the empty lines at its ends, and the indentation that all its lines have
// in common.
func dedentProse(lines []*line) []*line {
	var all []*line
	for i := 0; i < len(lines); {
		if lines[i].kind != prose {
			all = append(all, lines[i])
			i++
			continue
		}
		end := i
		for end < len(lines) && lines[end].kind == prose {
			end++
		}
		text := trimEmpty(lines[i:end])
		common := commonIndent(text)
		for _, l := range text {
			l.text = strings.TrimPrefix(l.text, common)
		}
		if end < len(lines) && (len(text) == 0 || text[len(text)-1] != lines[end-1]) {
			lines[end].after = true
		}
		all = append(all, text...)
		i = end
	}
	return all
}

// trimEmpty returns the lines without the empty ones at both ends.
func trimEmpty(lines []*line) []*line {
	filled := func(l *line) bool { return l.text != "" }
	first := slices.IndexFunc(lines, filled)
	if first < 0 {
		return nil
	}
	last := len(lines) - 1
	for !filled(lines[last]) {
		last--
	}
	return lines[first : last+1]
}

// commonIndent returns the longest run of spaces and tabs with which all lines begin that are not empty.
func commonIndent(lines []*line) string {
	common, first := "", true
	for _, l := range lines {
		if l.text == "" {
			continue
		}
		indent := l.text[:len(l.text)-len(strings.TrimLeft(l.text, " \t"))]
		if first {
			common, first = indent, false
		}
		n := 0
		for n < min(len(common), len(indent)) && common[n] == indent[n] {
			n++
		}
		common = common[:n]
	}
	return common
}

// written returns the text of the lines.
func written(lines []*line, end string) []byte {
	var b strings.Builder
	for _, l := range lines {
		if l.gap {
			b.WriteString(end)
		}
		if l.text != "" {
			b.WriteString(strings.Repeat("  ", l.level))
		}
		b.WriteString(l.text)
		if strings.HasSuffix(l.text, "\r") {
			b.WriteString("\r\n") // after LF alone, the carriage return would be a part of the line end
		} else {
			b.WriteString(end)
		}
	}
	return []byte(b.String())
}
