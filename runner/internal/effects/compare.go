package effects

import (
	"regexp"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Comparison is how the effects of the requests that may change something differ between two sources.
type Comparison struct {
	Listed  [2]int // effects of the keys
	Valued  int    // keys of which both sources list values only
	Differs []int  // rows of the requests whose effects differ
}

// Compare compares what two sources listed in their last readings. It returns false if one of these failed.
func Compare(requests *journal.RequestRows, of [2]*Wait) (c Comparison, known bool) {
	for _, w := range of {
		if w.latest == nil || w.err != nil {
			return c, false
		}
	}
	var key []byte
	for i, r := range journal.Packed(requests) {
		if r.Common.Reads {
			continue
		}
		key = r.AppendKey(key[:0])
		d, differs := Difference(key, of)
		c.Listed[0], c.Listed[1] = c.Listed[0]+d.Count[0], c.Listed[1]+d.Count[1]
		if d.Values[0] != nil {
			c.Valued++
		}
		if differs {
			c.Differs = append(c.Differs, i)
		}
	}
	return c, true
}

// Difference returns how the effects of a key differ between the last readings of two sources, and whether they do. It
// has values only if both sources list them for each effect.
func Difference(key []byte, of [2]*Wait) (d journal.Difference, differs bool) {
	d.Key = string(key)
	valued := true
	for i, w := range of {
		for _, at := range w.latest.byKey().Of(key) {
			d.Values[i] = append(d.Values[i], normal(w.latest.Effects.At(at).Value))
		}
		slices.Sort(d.Values[i])
		d.Count[i] = len(d.Values[i])
		valued = valued && d.Count[i] > 0 && d.Values[i][0] != ""
	}
	if !valued {
		d.Values = [2][]string{}
	}
	return d, d.Count[0] != d.Count[1] || !slices.Equal(d.Values[0], d.Values[1])
}

var fraction = regexp.MustCompile(`^-?\d+\.\d*$`)

// normal returns a value in a form in which equal decimal numbers are equal: 10.50 and 10.5.
func normal(value string) string {
	if fraction.MatchString(value) {
		return strings.TrimSuffix(strings.TrimRight(value, "0"), ".")
	}
	return value
}
