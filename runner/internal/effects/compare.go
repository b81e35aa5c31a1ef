package effects

import (
	"regexp"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Comparison is how the effects of some keys differ between two sources.
type Comparison struct {
	Listed  [2]int // effects of the keys
	Valued  int    // keys of which both sources list values only
	Differs map[string]journal.Difference
}

// Compare compares what two sources listed in their last readings. It returns false if one of these failed.
func Compare(keys map[string]bool, of [2]*Wait) (Comparison, bool) {
	c := Comparison{Differs: map[string]journal.Difference{}}
	var listed [2]map[string][]string // values by key
	for i, w := range of {
		if w.latest == nil || w.err != nil {
			return c, false
		}
		listed[i] = map[string][]string{}
		all := w.latest.detailed()
		for _, e := range all.All() {
			if keys[e.Key] {
				c.Listed[i]++
				listed[i][e.Key] = append(listed[i][e.Key], normal(e.Value))
			}
		}
	}
	for key := range keys {
		d := journal.Difference{Key: key}
		valued := true
		for i := range listed {
			values := listed[i][key]
			slices.Sort(values)
			d.Count[i] = len(values)
			valued = valued && len(values) > 0 && values[0] != ""
		}
		if valued {
			c.Valued++
			d.Values = [2][]string{listed[0][key], listed[1][key]}
		}
		if d.Count[0] != d.Count[1] || !slices.Equal(d.Values[0], d.Values[1]) {
			c.Differs[key] = d
		}
	}
	return c, true
}

var fraction = regexp.MustCompile(`^-?\d+\.\d*$`)

// normal returns a value in a form in which equal decimal numbers are equal: 10.50 and 10.5.
func normal(value string) string {
	if fraction.MatchString(value) {
		return strings.TrimSuffix(strings.TrimRight(value, "0"), ".")
	}
	return value
}
