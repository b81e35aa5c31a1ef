package journal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible returns text with all characters escaped that a terminal or a browser would interpret instead of
// displaying. These are control characters other than line feed and tab (\x1b), characters that format text or
// change its direction (\u202e), line and paragraph separators, and bytes that are not UTF-8. Every printed text
// must pass through it.
func Visible(text string) string {
	return escapeInvisible(text, func(r rune) string {
		switch {
		case r <= 0xff:
			return fmt.Sprintf(`\x%02x`, r)
		case r <= 0xffff:
			return fmt.Sprintf(`\u%04x`, r)
		}
		return fmt.Sprintf(`\U%08x`, r)
	})
}

// VisibleJSON is Visible for a JSON document. The meaning of the document does not change.
func VisibleJSON(document string) string {
	return escapeInvisible(document, func(r rune) string {
		if r <= 0xffff {
			return fmt.Sprintf(`\u%04x`, r)
		}
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	})
}

// ShellWord returns a word as it is typed in a POSIX shell: in single quotes if any of its characters may have a meaning there.
func ShellWord(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@%+"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// escapeInvisible replaces each invisible character by its spelling.
func escapeInvisible(text string, spelling func(rune) string) string {
	if !strings.ContainsFunc(text, invisible) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteString(spelling(rune(text[i])))
		case invisible(r):
			b.WriteString(spelling(r))
		default:
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}

// invisible reports whether a character must be escaped. That includes the replacement character, which stands for
// bytes that are not UTF-8.
func invisible(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case r < utf8.RuneSelf:
		return r < ' ' || r == 0x7f
	}
	return r == utf8.RuneError || r == 0xfffe || r == 0xffff || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
