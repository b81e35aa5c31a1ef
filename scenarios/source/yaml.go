package source

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

// YAML reads a YAML file strictly and records positions: unknown keys, wrong types and duplicate keys are problems. It
// walks the syntax tree, because a decoder would report only the first error.
type YAML struct {
	File  string
	Lines []string // of the file
	Out   List     // the problems found so far
}

// Limits on YAML files; see those on feature files.
const (
	maxYAML  = 1 << 20
	maxDepth = 32 // nesting of mappings and lists
)

// ReadYAML reads the file and passes its document to each. Problems are added to Out; the error is that of reading.
// empty is the remedy for an empty file.
func (r *YAML) ReadYAML(fsys fs.FS, name, empty string, each func(document ast.Node)) error {
	raw, err := ReadFile(fsys, name, maxYAML)
	if err != nil {
		return err
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	r.File, r.Lines = name, strings.Split(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n")
	defer r.Out.RecoverPanic(r.File)
	tokens := lexer.Tokenize(string(raw))
	if !r.parsable(tokens) {
		return nil
	}
	doc, err := parser.Parse(tokens, 0)
	if err != nil {
		r.syntax(err)
		return nil
	}
	if len(doc.Docs) == 0 || doc.Docs[0].Body == nil {
		r.Out.Add(Pos{File: r.File, Line: 1}, codes.BadStructure.Msgf("the file is empty"), empty)
		return nil
	}
	if len(doc.Docs) > 1 {
		r.Out.Add(r.At(doc.Docs[1].Body), codes.BadStructure.Msgf("the file holds a second document"), "leave one of them out")
	}
	each(doc.Docs[0].Body)
	return nil
}

// PosAt returns a position in the file.
func (r *YAML) PosAt(line, col int) Pos {
	at := Pos{File: r.File, Line: line, Col: col}
	if line >= 1 && line <= len(r.Lines) {
		at.Text = r.Lines[line-1]
	}
	return at
}

// At returns the position of a node.
func (r *YAML) At(n ast.Node) Pos {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return Pos{File: r.File, Line: 1}
	}
	if m, ok := n.(*ast.MappingNode); ok && !m.IsFlowStyle && len(m.Values) > 0 {
		return r.At(m.Values[0].Key)
	}
	p := n.GetToken().Position
	return r.PosAt(p.Line, p.Column)
}

// AddProblem adds an error of Mistakef, or another one, at a node.
func (r *YAML) AddProblem(n ast.Node, err error) {
	what, hint := Parts(err)
	r.Out.Add(r.At(n), what, hint)
}

// Mapping calls each for every entry. keys are the allowed keys; nil allows all. It returns false if n is not a
// mapping.
func (r *YAML) Mapping(n ast.Node, what string, keys []string, each func(key string, v ast.Node, at Pos)) bool {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		r.Out.Add(r.At(n), codes.BadStructure.Msgf("%s has to be a mapping, not %s", what, KindOf(n)), "write `key: value` lines, indented")
		return false
	}
	seen := map[string]bool{}
	for _, v := range values {
		k, ok := v.Key.(*ast.StringNode)
		if !ok {
			r.Out.Add(r.At(v.Key), codes.BadStructure.Msgf("a key of %s has to be a word, not %s", what, KindOf(v.Key)), "write it in quotes")
			continue
		}
		key := k.Value
		switch {
		case seen[key]:
			r.Out.Add(r.At(v.Key), codes.Duplicate.Msgf("%q stands there twice", key), "leave one of them out")
		case keys != nil && !slices.Contains(keys, key):
			r.Out.Add(r.At(v.Key), codes.UnknownName.Msgf("%s has no key %q", what, key), DidYouMean(key, keys, "keys"))
		default:
			each(key, v.Value, r.At(v.Key))
		}
		seen[key] = true
	}
	return true
}

// List reads a list of texts. It calls each for every node.
func (r *YAML) List(n ast.Node, each func(i int, v ast.Node)) []string {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.Out.Add(r.At(n), codes.BadStructure.Message("this has to be a list, not "+KindOf(n)), `write ["a", "b"]`)
		return nil
	}
	var all []string
	for i, v := range seq.Values {
		each(i, v)
		all = append(all, r.Text(v))
	}
	return all
}

// Sequence calls each for every element of a list.
func (r *YAML) Sequence(n ast.Node, each func(i int, v ast.Node)) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		r.Out.Add(r.At(n), codes.BadStructure.Message("this has to be a list, not "+KindOf(n)), "write each element in a line of its own, after `- `")
		return
	}
	for i, v := range seq.Values {
		each(i, v)
	}
}

// Text reads a text without control characters. They do not belong in routes, addresses or arguments, and a NUL
// cannot be passed to a program.
func (r *YAML) Text(n ast.Node) string {
	s := r.AnyText(n)
	if err := NoControl(s); err != nil {
		r.AddProblem(n, err)
	}
	return s
}

// AnyText reads a text. Numbers and other scalars must be quoted, so that nothing is interpreted differently from
// how it is written.
func (r *YAML) AnyText(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return n.Value.Value
	}
	r.Out.Add(r.At(n), codes.BadStructure.Message("this has to be a text, not "+KindOf(n)), "write it in quotes")
	return ""
}

// Bool reads true or false.
func (r *YAML) Bool(n ast.Node) bool {
	b, ok := n.(*ast.BoolNode)
	if !ok {
		r.Out.Add(r.At(n), codes.BadStructure.Message("this has to be true or false, not "+KindOf(n)), "write true or false, without quotes")
		return false
	}
	return b.Value
}

// KindOf describes what a node is, for messages.
func KindOf(n ast.Node) string {
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

// syntax reports a file that is not valid YAML.
func (r *YAML) syntax(err error) {
	at, what := Pos{File: r.File, Line: 1}, err.Error()
	var e yaml.Error
	if errors.As(err, &e) {
		what = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			at = r.PosAt(t.Position.Line, t.Position.Column)
		}
	}
	hint := "check indentation, quotes and brackets"
	if strings.Contains(what, "already defined") {
		hint = "leave one of them out"
	}
	r.Out.Add(at, codes.BadStructure.Message(strings.TrimSpace(what)), hint)
}

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
func (r *YAML) parsable(tokens token.Tokens) bool {
	for _, t := range tokens {
		switch t.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType:
			r.Out.Add(r.PosAt(t.Position.Line, t.Position.Column), codes.BadStructure.Msgf("an anchor or an alias cannot be used here"), "write the value at each place")
			return false
		}
	}
	t := tooDeep(tokens)
	if t != nil {
		r.Out.Add(r.PosAt(t.Position.Line, t.Position.Column), codes.TooLarge.Msgf("mappings and lists are nested more than %d deep", maxDepth), "such a file needs six levels at most")
	}
	return t == nil
}
