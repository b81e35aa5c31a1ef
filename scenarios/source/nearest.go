package source

import (
	"strings"
)

// longestWord is how many characters are compared at most: the time for it grows with the square of their number.
const longestWord = 200

// Nearest returns the candidate most similar to word, or "" if none is similar. A word of more than longestWord bytes has none.
func Nearest(word string, candidates []string) string {
	if len(word) > longestWord {
		return ""
	}
	least := 1 + len([]rune(word))/3
	best, small := "", strings.ToLower(word)
	for _, c := range candidates {
		if len(c) > longestWord {
			continue
		}
		d := Distance(small, strings.ToLower(c))
		if len(small) >= 3 && strings.HasPrefix(strings.ToLower(c), small) {
			d = 1
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// DidYouMean returns a hint with the most similar candidate, or with all candidates if none is similar.
func DidYouMean(word string, candidates []string, noun string) string {
	if n := Nearest(word, candidates); n != "" {
		return "did you mean \"" + n + "\"?"
	}
	if len(candidates) == 0 {
		return "there are no " + noun
	}
	return noun + ": " + Quote(candidates)
}

// Quote formats `"a", "b"`.
func Quote(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return `"` + strings.Join(words, `", "`) + `"`
}

// Distance returns the number of edits from a to b (insert, delete, replace, swap two adjacent characters).
func Distance(a, b string) int {
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
