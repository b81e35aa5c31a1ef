package scenarios

import (
	"regexp"
	"strings"
)

// nearest is the candidate most like word, or "" when none is alike.
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

// didYouMean is a hint: the nearest candidate, else all of them.
func didYouMean(word string, candidates []string, noun string) string {
	if n := nearest(word, candidates); n != "" {
		return "did you mean \"" + n + "\"?"
	}
	if len(candidates) == 0 {
		return "there are no " + noun
	}
	return noun + ": " + list(candidates)
}

// list is `"a", "b"`.
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

// skeleton is a sentence without its values.
func skeleton(s string) string {
	return strings.ToLower(numbers.ReplaceAllString(quotes.ReplaceAllString(s, `""`), "0"))
}

// nearestSentence is the example most like text, or "".
func nearestSentence(text string) string {
	best, least := "", 0.4
	want := skeleton(text)
	if len(want) > 500 {
		return "" // no sentence is so long
	}
	for _, r := range table() {
		for _, e := range r.Examples {
			have := skeleton(e)
			d := float64(distance(want, have)) / float64(max(len([]rune(want)), len([]rune(have)), 1))
			if d < least {
				best, least = e, d
			}
		}
	}
	return best
}

// distance counts the edits (insert, delete, replace, swap two neighbours) from a to b.
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
