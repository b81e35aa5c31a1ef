package system

import (
	"slices"
	"strings"
)

// notOneQuery returns why a text is not one SQL statement that only reads, or "". The transaction that runs it is
// read-only as well; this finds mistakes before anything starts.
func notOneQuery(text string) string {
	bare := withoutQuoted(text)
	first, rest, more := strings.Cut(bare, ";")
	if more && strings.TrimSpace(strings.Trim(rest, "; \t\r\n")) != "" {
		return "has more than one statement"
	}
	words := strings.FieldsFunc(first, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '_') })
	if len(words) == 0 {
		return "is empty"
	}
	if !slices.Contains([]string{"SELECT", "WITH", "TABLE", "VALUES"}, strings.ToUpper(words[0])) {
		return "begins with " + strings.ToUpper(words[0])
	}
	for _, word := range words[1:] {
		if word := strings.ToUpper(word); slices.Contains([]string{"INSERT", "UPDATE", "DELETE", "MERGE", "TRUNCATE", "DROP", "ALTER"}, word) && strings.EqualFold(words[0], "WITH") {
			return "contains " + word
		}
	}
	return ""
}

// withoutQuoted returns SQL with a space in place of each comment, string and quoted name. An unclosed one ends with
// the text.
func withoutQuoted(text string) string {
	var b strings.Builder
next:
	for text != "" {
		for _, quote := range quotes {
			if inside, ok := strings.CutPrefix(text, quote.open); ok {
				b.WriteByte(' ')
				_, text, _ = strings.Cut(inside, quote.end)
				continue next
			}
		}
		b.WriteByte(text[0])
		text = text[1:]
	}
	return b.String()
}

// quotes delimit what is not SQL itself. A doubled quotation mark inside a string is read as two strings.
var quotes = []struct{ open, end string }{{"--", "\n"}, {"/*", "*/"}, {"'", "'"}, {`"`, `"`}, {"`", "`"}, {"$$", "$$"}}
