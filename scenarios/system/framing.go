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
	r.mapping(v, "framing", framingKeys, func(key string, v ast.Node, _ source.Pos) {
		switch key {
		case "width":
			g.Width = r.width(v)
		case "little":
			g.Little = r.boolValue(v)
		case "includes":
			g.Includes = r.boolValue(v)
		case "lockstep":
			g.Lockstep = r.boolValue(v)
		}
	})
	return g
}

// width reads the width of a length field, in bytes.
func (r *reader) width(n ast.Node) int {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		r.out.Add(r.at(n), codes.BadStructure.Message("a width has to be a number, not "+kindOf(n)), "write 1, 2, 4 or 8")
		return 1 // to report a mistake only once
	}
	value, ok := i.Value.(uint64)
	if !ok || (value != 1 && value != 2 && value != 4 && value != 8) {
		r.out.Add(r.at(n), codes.BadValue.Msgf("no length has %v bytes", i.Value), "write 1, 2, 4 or 8")
		return 1
	}
	return int(value)
}
