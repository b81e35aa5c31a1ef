package scenarios

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Template is a text of a request that may contain placeholders, as a sequence of parts.
type Template []Part

// Part is a part of a Template: a literal text, or a placeholder.
type Part struct {
	Text      string // the literal text; for a placeholder, its source
	Kind      PartKind
	Arg       string // the column of a row, the name of a kept value, or an environment variable
	Low, High int64  // the limits of a random number, inclusive
	At        int    // byte offset; two random numbers of one text differ by it
	In        Syntax // where it stands, so that its value can be escaped
}

// PartKind is what a part stands for.
type PartKind uint8

// The kinds of parts, with their placeholders.
const (
	LiteralPart PartKind = iota
	NumberPart           // {{n}}: the number of the request
	KeyPart              // {{key}}: its idempotency key
	SeedPart             // {{seed}}: a number that the run's seed decides
	RandomPart           // {{random 1 100}}: drawn by seed, request and position
	RowPart              // {{row.email}}: a column of the request's row
	KeptPart             // {{order}}: kept from an answer of a previous step of the chain
	EnvPart              // ${env:TOKEN}: an environment variable, which appears in no artefact
)

// PlaceholderRow is a row of the table of placeholders.
type PlaceholderRow struct{ Form, Means string }

// Placeholders returns the table of placeholders that headers, paths and bodies of requests may contain.
func Placeholders() []PlaceholderRow {
	return []PlaceholderRow{
		{"{{n}}", "the number of the request, from 0"},
		{"{{key}}", "its idempotency key"},
		{"{{seed}}", "a number that the run's seed decides"},
		{"{{random 1 100}}", "a whole number from 1 to 100, drawn by seed, request and place; the same for every attempt"},
		{"{{row.email}}", "the column email of the request's row: row n of the file, modulo their number"},
		{"{{order}}", "in later steps of a chain: the value kept as order"},
		{"${env:TOKEN}", "the environment variable TOKEN; its value appears in no artefact"},
	}
}

// Syntax is the syntax of the text around a placeholder.
type Syntax uint8

// The syntaxes. ParseTemplate replaces JSON by JSONString within quotes, and Path by Query after a question mark.
const (
	Plain      Syntax = iota // a header, or a body of an unknown type
	JSON                     // a whole value of JSON
	JSONString               // within a string of JSON
	Path
	Query // also a body of type application/x-www-form-urlencoded
	Words // as SplitWords splits them; a value is part of one word
	SQL   // within a literal in single quotes
)

// placeholder matches {{n}} and ${env:TOKEN}.
var placeholder = regexp.MustCompile(`\{\{([^{}]*)\}\}|\$\{(\w+)(:[^}]*)?\}`)

// ParseTemplate parses a text with placeholders. kept are the names of values that previous steps of a chain keep.
func ParseTemplate(text string, in Syntax, kept []string) (Template, error) {
	var t Template
	at := 0
	literal := func(end int) error {
		if strings.Contains(text[at:end], "{{") {
			return source.Mistakef(codes.BadPlaceholder, "write {{n}}, with two braces at each end", "%q has a placeholder that is not closed", shorten(text[at:end]))
		}
		if at < end {
			t = append(t, Part{Text: text[at:end], At: at})
			in = after(text[at:end], in)
		}
		return nil
	}
	for _, found := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		if err := literal(found[0]); err != nil {
			return nil, err
		}
		var p Part
		var err error
		if found[2] >= 0 {
			p, err = parsePlaceholder(text[found[2]:found[3]], kept)
		} else {
			p, err = parseVariable(text[found[0]:found[1]])
		}
		if err != nil {
			return nil, err
		}
		p.Text, p.At, p.In = text[found[0]:found[1]], found[0], in
		t = append(t, p)
		at = found[1]
	}
	return t, literal(len(text))
}

// after returns the syntax that holds after a literal text.
func after(literal string, in Syntax) Syntax {
	switch in {
	case Path:
		if strings.Contains(literal, "?") {
			return Query
		}
	case JSON, JSONString:
		for i := 0; i < len(literal); i++ {
			switch {
			case literal[i] == '\\' && in == JSONString:
				i++
			case literal[i] == '"' && in == JSON:
				in = JSONString
			case literal[i] == '"':
				in = JSON
			}
		}
	}
	return in
}

// parsePlaceholder parses what stands between {{ and }}.
func parsePlaceholder(name string, kept []string) (Part, error) {
	words := strings.Fields(name)
	column, isRow := strings.CutPrefix(strings.TrimSpace(name), "row.")
	switch {
	case isRow && column != "":
		return Part{Kind: RowPart, Arg: column}, nil
	case len(words) > 0 && words[0] == "random":
		return parseRandom(name, words[1:])
	case len(words) != 1:
	case words[0] == "n":
		return Part{Kind: NumberPart}, nil
	case words[0] == "key":
		return Part{Kind: KeyPart}, nil
	case words[0] == "seed":
		return Part{Kind: SeedPart}, nil
	case slices.Contains(kept, words[0]):
		return Part{Kind: KeptPart, Arg: words[0]}, nil
	}
	known := append([]string{"n", "key", "seed", "random 1 100", "row.column"}, kept...)
	return Part{}, source.Mistakef(codes.BadPlaceholder, source.DidYouMean(strings.TrimSpace(name), known, "placeholders"), "{{%s}} stands for nothing here", name)
}

func parseRandom(name string, limits []string) (Part, error) {
	p := Part{Kind: RandomPart}
	if len(limits) == 2 {
		var errLow, errHigh error
		p.Low, errLow = strconv.ParseInt(limits[0], 10, 64)
		p.High, errHigh = strconv.ParseInt(limits[1], 10, 64)
		const most = 1 << 53 // the draw is a float64
		if errLow == nil && errHigh == nil && p.Low <= p.High && p.Low > -most/2 && p.High < most/2 {
			return p, nil
		}
	}
	return p, source.Mistakef(codes.BadPlaceholder, "write the lowest and the highest whole number: {{random 1 100}}", "{{%s}} has no two limits", name)
}

// variableName matches the names of environment variables.
var variableName = regexp.MustCompile(`^\$\{env:(\w+)\}$`)

func parseVariable(text string) (Part, error) {
	if found := variableName.FindStringSubmatch(text); found != nil {
		return Part{Kind: EnvPart, Arg: found[1]}, nil
	}
	return Part{}, source.Mistakef(codes.BadPlaceholder, "write ${env:NAME} for the environment variable NAME", "%q stands for nothing in a request", text)
}

func shorten(s string) string {
	if i := strings.Index(s, "{{"); i > 20 {
		s = "…" + s[i-20:]
	}
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return s
}

// syntax returns the syntax of a body of this type.
func (r Route) syntax() Syntax {
	if k, ok := KindOfLoad(r.Kind); ok {
		return k.Syntax
	}
	switch media, _, _ := strings.Cut(strings.ToLower(r.ContentType()), ";"); {
	case media == "application/json", strings.HasSuffix(media, "+json"):
		return JSON
	case media == "application/x-www-form-urlencoded":
		return Query
	}
	return Plain
}

// Templates returns the templates of the path and the body of a route. kept are the names that previous steps keep.
func (r Route) Templates(kept []string) (path, body Template, err error) {
	inPath := Path
	if r.Kind != "" {
		inPath = Plain
	}
	if path, err = ParseTemplate(r.Path, inPath, kept); err != nil {
		return nil, nil, of("the path", r, err)
	}
	if body, err = ParseTemplate(r.Body, r.syntax(), kept); err != nil {
		return nil, nil, of("the body", r, err)
	}
	return path, body, nil
}

// of returns a mistake with the text of a route that it is in.
func of(part string, r Route, err error) error {
	what, hint := source.Parts(err)
	return source.Mistakef(what.Code(), hint, "%s of %q: %s", part, r.Name(), what)
}

// varies reports whether two requests of the route can have different bodies even with the same key.
func (r Route) varies() bool {
	body, _ := ParseTemplate(r.Body, r.syntax(), nil)
	return slices.ContainsFunc(body, func(p Part) bool {
		return p.Kind == NumberPart || p.Kind == RowPart || p.Kind == RandomPart && p.Low < p.High
	})
}
