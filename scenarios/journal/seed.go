package journal

import (
	"fmt"
	"strconv"
)

// Seed is the seed of a run. In JSON it is a string, since many JSON readers would round a number above 2^53.
// Numbers are accepted, too.
type Seed uint64

// MarshalText formats the seed as --seed accepts it.
func (s Seed) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(s), 10), nil }

// UnmarshalJSON parses a string or a number.
func (s *Seed) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if len(text) >= 2 && text[0] == '"' {
		text = text[1 : len(text)-1]
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("parse seed %s: it must be a whole number of at least 0", raw)
	}
	*s = Seed(n)
	return nil
}
