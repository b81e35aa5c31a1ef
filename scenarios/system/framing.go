package system

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

var framingKeys = []string{"width", "little", "includes", "lockstep"}

// framing reads the framing of a proprietary protocol.
func (r *reader) framing(v ast.Node) message.Framing {
	var g message.Framing
	r.Mapping(v, "framing", framingKeys, func(key string, v ast.Node, _ source.Pos) {
		switch key {
		case "width":
			g.Width = r.width(v)
		case "little":
			g.Little = r.Bool(v)
		case "includes":
			g.Includes = r.Bool(v)
		case "lockstep":
			g.Lockstep = r.Bool(v)
		}
	})
	return g
}

// width reads the width of a length field, in bytes.
func (r *reader) width(n ast.Node) int {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		r.Out.Add(r.At(n), codes.BadStructure.Message("a width has to be a number, not "+source.KindOf(n)), "write 1, 2, 4 or 8")
		return 1 // to report a mistake only once
	}
	value, ok := i.Value.(uint64)
	if !ok || (value != 1 && value != 2 && value != 4 && value != 8) {
		r.Out.Add(r.At(n), codes.BadValue.Msgf("no length has %v bytes", i.Value), "write 1, 2, 4 or 8")
		return 1
	}
	return int(value)
}
