package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// plain returns text on one line, with the characters escaped that a terminal or a browser would interpret.
func plain(s string) string { return journal.Visible(lineFeeds.Replace(s)) }

var lineFeeds = strings.NewReplacer("\n", " ", "\t", " ")

// writeVisible renders a page and escapes the characters in it that a terminal or a browser would interpret.
func writeVisible(w io.Writer, escape func(string) string, render func(io.Writer) error) error {
	var page strings.Builder
	if err := render(&page); err != nil {
		return err
	}
	_, err := io.WriteString(w, escape(page.String()))
	return err
}

// lighten leaves out of a page what HTML does not need, which is a fifth of a report: the end tags of cells, rows, items
// and parts of tables, quotes of attributes in drawings, and escapes of html/template in text, where only "<" and "&" have
// to be escaped. Inside of tags, where everything has its escape, ">" never stands for itself.
func lighten(page string) string {
	var out strings.Builder
	out.Grow(len(page))
	drawing := false
	for len(page) > 0 {
		text, rest, tag := strings.Cut(page, "<")
		out.WriteString(textEscapes.Replace(text))
		if !tag {
			break
		}
		end := strings.IndexByte(rest, '>') + 1
		tagText := rest[:end]
		drawing = drawing && tagText != "/svg>" || strings.HasPrefix(tagText, "svg ")
		switch {
		case drawing:
			unquote(&out, tagText)
		case !slices.Contains(optionalEnds, tagText):
			out.WriteString("<" + tagText)
		}
		page = rest[end:]
	}
	return out.String()
}

var optionalEnds = []string{"/td>", "/th>", "/tr>", "/li>", "/dt>", "/dd>", "/thead>", "/tbody>"}

// unquote writes a tag whose "<" was read, without the quotes of values that consist of a few safe characters only.
func unquote(out *strings.Builder, tag string) {
	out.WriteByte('<')
	for {
		name, rest, found := strings.Cut(tag, `="`)
		out.WriteString(name)
		if !found {
			return
		}
		value, after, _ := strings.Cut(rest, `"`)
		switch {
		case value == "" || strings.ContainsFunc(value, needsQuotes):
			out.WriteString(`="` + value + `"`)
		case after == "/>": // the slash would belong to the value
			out.WriteString("=" + value + " ")
		default:
			out.WriteString("=" + value)
		}
		tag = after
	}
}

// needsQuotes reports whether a value with a character is written in quotes: fewer would need them.
func needsQuotes(c rune) bool {
	return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("#.-_%(),", c)
}

var textEscapes = strings.NewReplacer("&#43;", "+", "&#34;", `"`, "&#39;", "'", "&gt;", ">")

// ms formats a duration for a table.
func ms(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < 10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// size formats a number of bytes for a table, in decimal units.
func size(n int64) string {
	v, unit := float64(n), 0
	for v >= 999.95 && unit < 4 {
		v /= 1000
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, []string{"KB", "MB", "GB", "TB"}[unit-1])
}

// percent formats a share for a table.
func percent(n, of int) string {
	if of == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(of))
}

// shares formats the interval of a share for a table.
func shares(ends [2]float64) string { return fmt.Sprintf("%.1f to %.1f%%", 100*ends[0], 100*ends[1]) }

// times formats the interval of a duration for a table.
func times(ends [2]time.Duration) string { return ms(ends[0]) + " to " + ms(ends[1]) }
