package feature

import (
	"strings"
	"unicode"

	gherkin "github.com/cucumber/gherkin/go/v26"
	"golang.org/x/text/width"
)

// alignTables aligns the columns of each table. Comments may stand between the rows of one.
func alignTables(lines []*line) {
	var table []*line
	for _, l := range lines {
		switch l.kind {
		case row:
			table = append(table, l)
		case comment:
		default:
			align(table)
			table = nil
		}
	}
	align(table)
}

// align pads the cells of the rows of a table.
func align(rows []*line) {
	var widths []int
	for _, r := range rows {
		cells, _ := cellsOf(r.text)
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], columns(c))
		}
	}
	for _, r := range rows {
		cells, rest := cellsOf(r.text)
		var b strings.Builder
		b.WriteRune(gherkin.TableCellSeparator)
		for i, c := range cells {
			b.WriteString(" " + c + strings.Repeat(" ", widths[i]-columns(c)) + " ")
			b.WriteRune(gherkin.TableCellSeparator)
		}
		if rest != "" {
			b.WriteString(" " + rest)
		}
		r.text = b.String()
	}
}

// cellsOf returns the cells of a row as they are written, with escape sequences, and the text after the last
// separator, which Gherkin ignores.
func cellsOf(text string) (cells []string, rest string) {
	text = strings.TrimPrefix(text, string(gherkin.TableCellSeparator))
	begin, escaped := 0, false
	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case r == gherkin.EscapeChar:
			escaped = true
		case r == gherkin.TableCellSeparator:
			cells = append(cells, strings.TrimFunc(text[begin:i], unicode.IsSpace))
			begin = i + 1
		}
	}
	return cells, strings.TrimFunc(text[begin:], unicode.IsSpace)
}

// columns returns how many columns of a terminal a text takes up.
func columns(text string) int {
	n := 0
	for _, r := range text {
		switch k := width.LookupRune(r).Kind(); {
		case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
