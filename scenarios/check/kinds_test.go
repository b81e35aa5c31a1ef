package check

import (
	"slices"
	"strings"
)

// kindsByName returns all kinds, sorted by name, with the implied ones last.
func kindsByName() []Kind {
	kinds := Kinds()
	slices.SortFunc(kinds, func(a, b Kind) int {
		switch {
		case a.Implied == b.Implied:
			return strings.Compare(a.Name, b.Name)
		case a.Implied:
			return 1
		}
		return -1
	})
	return kinds
}
