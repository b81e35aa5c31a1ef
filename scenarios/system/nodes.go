package system

import (
	"errors"
	"slices"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

func asYAML(err error, e *yaml.Error) bool { return errors.As(err, e) }

// posAt returns a position in the file.
func (r *reader) posAt(line, col int) source.Pos {
	at := source.Pos{File: r.file, Line: line, Col: col}
	if line >= 1 && line <= len(r.lines) {
		at.Text = r.lines[line-1]
	}
	return at
}

func (r *reader) at(n ast.Node) source.Pos {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return source.Pos{File: r.file, Line: 1}
	}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return r.at(m.Values[0].Key)
	}
	p := n.GetToken().Position
	return r.posAt(p.Line, p.Column)
}

func (r *reader) addProblem(n ast.Node, err error) {
	what, hint := source.Parts(err)
	r.out.Add(r.at(n), what, hint)
}

// mapping calls each for every entry. keys are the allowed keys; nil allows all. It returns false if n is not a
// mapping.
func (r *reader) mapping(n ast.Node, what string, keys []string, each func(key string, v ast.Node, at source.Pos)) bool {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		r.out.Add(r.at(n), codes.BadStructure.Msgf("%s has to be a mapping, not %s", what, kindOf(n)), "write `key: value` lines, indented")
		return false
	}
	seen := map[string]bool{}
	for _, v := range values {
		k, ok := v.Key.(*ast.StringNode)
		if !ok {
			r.out.Add(r.at(v.Key), codes.BadStructure.Msgf("a key of %s has to be a word, not %s", what, kindOf(v.Key)), "write it in quotes")
			continue
		}
		key := k.Value
		switch {
		case seen[key]:
			r.out.Add(r.at(v.Key), codes.Duplicate.Msgf("%q stands there twice", key), "leave one of them out")
		case keys != nil && !slices.Contains(keys, key):
			r.out.Add(r.at(v.Key), codes.UnknownName.Msgf("%s has no key %q", what, key), source.DidYouMean(key, keys, "keys"))
		default:
			each(key, v.Value, r.at(v.Key))
		}
		seen[key] = true
	}
	return true
}

// list reads a list of texts. It calls each for every node.
func (r *reader) list(n ast.Node, each func(i int, v ast.Node)) []string {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.out.Add(r.at(n), codes.BadStructure.Message("this has to be a list, not "+kindOf(n)), `write ["a", "b"]`)
		return nil
	}
	var all []string
	for i, v := range seq.Values {
		each(i, v)
		all = append(all, r.text(v))
	}
	return all
}

// sequence calls each for every element of a list.
func (r *reader) sequence(n ast.Node, each func(i int, v ast.Node)) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.out.Add(r.at(n), codes.BadStructure.Message("this has to be a list, not "+kindOf(n)), "write each element in a line of its own, after `- `")
		return
	}
	for i, v := range seq.Values {
		each(i, v)
	}
}

// text reads a text without control characters. They do not belong in routes, addresses or arguments, and a NUL
// cannot be passed to a program.
func (r *reader) text(n ast.Node) string {
	s := r.anyText(n)
	if err := source.NoControl(s); err != nil {
		r.addProblem(n, err)
	}
	return s
}

// anyText reads a text. Numbers and other scalars must be quoted, so that nothing is interpreted differently from
// how it is written.
func (r *reader) anyText(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	}
	r.out.Add(r.at(n), codes.BadStructure.Message("this has to be a text, not "+kindOf(n)), "write it in quotes")
	return ""
}

func (r *reader) boolValue(n ast.Node) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.out.Add(r.at(n), codes.BadStructure.Message("this has to be true or false, not "+kindOf(n)), "write true or false, without quotes")
		return false
	}
	return b.Value
}

func (r *reader) port(n ast.Node) int {
	i, ok := n.(*ast.IntegerNode)
	if !ok {
		r.out.Add(r.at(n), codes.BadStructure.Message("a port has to be a number, not "+kindOf(n)), "write 8080, or leave it out for a free one")
		return 0
	}
	value, ok := i.Value.(uint64)
	if !ok || value > 65535 {
		r.out.Add(r.at(n), codes.BadValue.Msgf("%v is not a port", i.Value), "write one from 1 to 65535, or leave it out for a free one")
		return 0
	}
	return int(value)
}

func kindOf(n ast.Node) string {
	switch n.(type) {
	case nil, *ast.NullNode:
		return "nothing"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.TagNode:
		return "a tag"
	case *ast.StringNode, *ast.LiteralNode:
		return "a text"
	}
	return "this"
}
