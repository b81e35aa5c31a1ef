package language

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
)

// respelled is a sentence with corrected quotes, white space, punctuation or capitalization, and the causes of the
// corrections.
type respelled struct {
	text   string
	causes []string
}

// unknown reports an unknown sentence. The hint is the corrected sentence if only a typing error makes it unknown,
// and otherwise the most similar sentence.
func (r *reading) unknown(s feature.Step, what string) {
	at, hint := s.At, r.hint(s.Text)
	if fix, ok := r.respell(s.Text); ok {
		if s.Exact && at.Col > 0 {
			at.Col += sharedPrefix(s.Text, fix.text)
		}
		what, hint = what+": it has "+strings.Join(fix.causes, " and "), "write: "+fix.text
	} else if strings.Count(s.Text, `"`)%2 != 0 {
		what += ": it has " + oddQuotes
	}
	r.AddProblem(at, codes.UnknownSentence.Message(what), hint)
}

const oddQuotes = "an odd number of quotes"

// longestRespelled is the length in bytes up to which a correction is tried.
const longestRespelled = 250

// respell returns the known sentence that results if only quotes, white space, punctuation and the first letter
// are corrected.
func (r *reading) respell(text string) (respelled, bool) {
	if len(text) > longestRespelled {
		return respelled{}, false
	}
	tries := withStraightQuotes(text).withClosedQuotes()
	for _, fix := range tries {
		fix = fix.withSingleSpaces().withoutEndMarks().withLowerFirst()
		if fix.text == text {
			return fix, false
		}
		if r.vocabulary.knows(fix.text) {
			return fix, true
		}
		if len(tries) > 1 {
			continue
		}
		if q := r.quoted(fix.text); q != "" {
			return respelled{q, append(fix.causes, "names or routes without quotes")}, true
		}
	}
	return respelled{}, false
}

// with returns r with another text. It adds the cause if the text differs.
func (r respelled) with(text, cause string) respelled {
	if text != r.text {
		r.text, r.causes = text, append(r.causes[:len(r.causes):len(r.causes)], cause)
	}
	return r
}

var (
	typographic  = strings.NewReplacer("“", `"`, "”", `"`, "„", `"`, "‟", `"`, "«", `"`, "»", `"`, "″", `"`, "＂", `"`, "''", `"`)
	single       = strings.NewReplacer("‘", "'", "’", "'", "‚", "'", "`", "'")
	singleQuoted = regexp.MustCompile(`(^|[\s(])'([^'"]*)'`)
	wordEdge     = regexp.MustCompile(`\s+|$`)
	endMarks     = regexp.MustCompile(`[\s.,;:!]+$`)
)

// withStraightQuotes replaces other quotes by straight double quotes.
func withStraightQuotes(text string) respelled {
	r := respelled{text: text}.with(typographic.Replace(text), "typographic quotes")
	if !strings.Contains(r.text, `"`) {
		r = r.with(singleQuoted.ReplaceAllString(single.Replace(r.text), `$1"$2"`), "other quotes than \"")
	}
	return r
}

// withClosedQuotes returns r or, if it has an odd number of quotes, all ways to add one at the edge of a word.
func (r respelled) withClosedQuotes() []respelled {
	if strings.Count(r.text, `"`)%2 == 0 {
		return []respelled{r}
	}
	var all []respelled
	for _, gap := range wordEdge.FindAllStringIndex(r.text, -1) {
		for _, at := range gap { // after a word, and before the next
			all = append(all, r.with(r.text[:at]+`"`+r.text[at:], oddQuotes))
		}
	}
	return append(all, r.with(`"`+r.text, oddQuotes))
}

// withSingleSpaces removes repeated spaces and invisible characters.
func (r respelled) withSingleSpaces() respelled {
	cause := "two spaces in a row"
	text := outsideQuotes(r.text, func(part string) string {
		var b strings.Builder
		space := false
		for _, c := range part {
			switch {
			case unicode.Is(unicode.Cf, c):
				cause = fmt.Sprintf("an invisible character (%U)", c)
				continue
			case c == '\t':
				cause = "a tab"
			case c != ' ' && unicode.IsSpace(c):
				cause = fmt.Sprintf("another kind of space (%U)", c)
			}
			if !unicode.IsSpace(c) {
				b.WriteRune(c)
			} else if !space {
				b.WriteByte(' ')
			}
			space = unicode.IsSpace(c)
		}
		return b.String()
	})
	return r.with(text, cause)
}

// withoutEndMarks removes a full stop or other punctuation at the end.
func (r respelled) withoutEndMarks() respelled {
	mark := endMarks.FindString(r.text)
	return r.with(strings.TrimSuffix(r.text, mark), strconv.Quote(strings.TrimSpace(mark))+" at its end")
}

// withLowerFirst makes the first letter lower-case, as in all sentences.
func (r respelled) withLowerFirst() respelled {
	c, size := utf8.DecodeRuneInString(r.text)
	return r.with(string(unicode.ToLower(c))+r.text[size:], "a capital letter at its beginning")
}

// sharedPrefix returns the length of the common prefix of two texts, in characters.
func sharedPrefix(a, b string) int {
	n := 0
	for a != "" && b != "" {
		x, size := utf8.DecodeRuneInString(a)
		y, other := utf8.DecodeRuneInString(b)
		if x != y {
			break
		}
		a, b = a[size:], b[other:]
		n++
	}
	return n
}
