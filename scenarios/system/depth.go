package system

import (
	"github.com/goccy/go-yaml/token"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

// tooDeep returns the first token that is nested deeper than maxDepth, or nil if there is none. It is called
// before parsing, because the memory of the parser grows with the square of the depth.
func tooDeep(tokens token.Tokens) *token.Token {
	flow := 0       // open brackets and braces
	var block []int // columns of open block mappings and lists
	for _, t := range tokens {
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(flow-1, 0)
		case token.SequenceEntryType, token.MappingKeyType:
			block = nested(block, flow, t.Position.Column)
		case token.MappingValueType:
			if t.Prev != nil {
				block = nested(block, flow, t.Prev.Position.Column)
			}
		}
		if flow+len(block) > maxDepth {
			return t
		}
	}
	return nil
}

// nested updates the open levels for an entry at a column. It closes deeper levels, and opens a new one unless one
// is open at that column.
func nested(block []int, flow, column int) []int {
	if flow > 0 {
		return block
	}
	for len(block) > 0 && block[len(block)-1] > column {
		block = block[:len(block)-1]
	}
	if len(block) == 0 || block[len(block)-1] < column {
		block = append(block, column)
	}
	return block
}

// parsable reports whether the file may be parsed: its nesting is within the limit, and it has no anchors and
// aliases, whose parsing time is quadratic.
func (r *reader) parsable(tokens token.Tokens) bool {
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			r.out.Add(r.posAt(t.Position.Line, t.Position.Column), codes.BadStructure.Msgf("an anchor or an alias cannot be used here"), "write the value at each place")
			return false
		}
	}
	t := tooDeep(tokens)
	if t != nil {
		r.out.Add(r.posAt(t.Position.Line, t.Position.Column), codes.TooLarge.Msgf("mappings and lists are nested more than %d deep", maxDepth), "a system file needs six levels at most")
	}
	return t == nil
}

// Limits on system files; see those on feature files.
const (
	maxSystemFile = 1 << 20
	maxDepth      = 32 // nesting of mappings and lists
)
