package scenarios

import (
	"math"
	"regexp"
	"strings"
	"unicode/utf8"
)

// nearest returns the candidate most similar to word, or "" if none is similar.
func nearest(word string, candidates []string) string {
	least := 1 + len([]rune(word))/3
	best, small := "", strings.ToLower(word)
	for _, c := range candidates {
		d := distance(small, strings.ToLower(c))
		if len(small) >= 3 && strings.HasPrefix(strings.ToLower(c), small) {
			d = 1
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// Nearest returns the candidate most similar to words, or "" if none is similar.
func Nearest(words string, candidates []string) string { return nearest(words, candidates) }

// didYouMean returns a hint with the most similar candidate, or with all candidates if none is similar.
func didYouMean(word string, candidates []string, noun string) string {
	if n := nearest(word, candidates); n != "" {
		return "did you mean \"" + n + "\"?"
	}
	if len(candidates) == 0 {
		return "there are no " + noun
	}
	return noun + ": " + list(candidates)
}

// list formats `"a", "b"`.
func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return `"` + strings.Join(words, `", "`) + `"`
}

var (
	quotes  = regexp.MustCompile(quoted)
	numbers = regexp.MustCompile(`\d[\d.,]*`)
)

// skeleton returns a sentence with its values removed.
func skeleton(s string) string {
	return strings.ToLower(numbers.ReplaceAllString(quotes.ReplaceAllString(s, `""`), "0"))
}

// nearest returns the example most similar to text, or "" if the share of differing characters is at least
// least for all.
func (v *Vocabulary) nearest(text string, least float64) string {
	best := ""
	want := skeleton(text)
	if len(want) > 500 {
		return "" // no sentence is that long
	}
	for _, r := range v.phrases {
		for _, e := range r.Examples {
			have := skeleton(e)
			wide, other := utf8.RuneCountInString(want), utf8.RuneCountInString(have)
			longer := float64(max(wide, other, 1))
			if math.Abs(float64(wide-other))/longer >= least {
				continue // at least as many edits are needed
			}
			d := float64(distance(want, have)) / longer
			if d < least {
				best, least = e, d
			}
		}
	}
	return best
}

// distance returns the number of edits from a to b (insert, delete, replace, swap two adjacent characters).
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	var older []int
	prev := make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row := make([]int, len(y)+1)
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, prev = prev, row
	}
	return prev[len(y)]
}
