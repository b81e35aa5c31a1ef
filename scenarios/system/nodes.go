package system

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func (r *reader) port(n ast.Node) int {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		r.Out.Add(r.At(n), codes.BadStructure.Message("a port has to be a number, not "+source.KindOf(n)), "write 8080, or leave it out for a free one")
		return 0
	}
	value, ok := i.Value.(uint64)
	if !ok || value > 65535 {
		r.Out.Add(r.At(n), codes.BadValue.Msgf("%v is not a port", i.Value), "write one from 1 to 65535, or leave it out for a free one")
		return 0
	}
	return int(value)
}
