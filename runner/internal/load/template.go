package load

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// values are what the placeholders of one text stand for.
type values struct {
	*transaction
	number uint64 // of the request
	text   string // identifies the text, so that random numbers of different texts differ
}

// values returns the values for a text of request number, which the key does not depend on.
func (x *transaction) values(number uint64, text string) values { return values{x, number, text} }

// fill returns the text of a template.
func (v values) fill(t scenarios.Template) string {
	if len(t) == 1 && t[0].Kind == scenarios.LiteralPart {
		return t[0].Text
	}
	var b strings.Builder
	for _, p := range t {
		if p.Kind == scenarios.LiteralPart {
			b.WriteString(p.Text)
			continue
		}
		b.WriteString(escape(v.of(p), p.In))
	}
	return b.String()
}

// of returns the value of a placeholder.
func (v values) of(p scenarios.Part) scenarios.Value {
	number := func(text string) scenarios.Value { return scenarios.Value{Text: text, JSON: text} }
	c := v.client
	switch p.Kind {
	case scenarios.NumberPart:
		return number(strconv.FormatUint(v.number, 10))
	case scenarios.SeedPart:
		return number(strconv.FormatUint(c.Seed, 10))
	case scenarios.KeyPart:
		return scenarios.StringValue(c.Key(v.n))
	case scenarios.RandomPart:
		at := evidence.Draw(c.Seed, v.number, "random", v.text, strconv.Itoa(p.At))
		return number(strconv.FormatInt(p.Low+int64(at*float64(p.High-p.Low+1)), 10))
	case scenarios.RowPart:
		if rows := c.Load.Rows; len(rows) > 0 {
			return rows[v.number%uint64(len(rows))][p.Arg]
		}
	case scenarios.KeptPart:
		return v.kept[p.Arg]
	case scenarios.EnvPart:
		return scenarios.StringValue(c.Env[p.Arg])
	}
	return scenarios.Value{}
}

// escape returns a value as it is written in a syntax.
func escape(v scenarios.Value, in scenarios.Syntax) string {
	switch in {
	case scenarios.JSON:
		return v.JSON
	case scenarios.JSONString:
		quoted := scenarios.StringValue(v.Text).JSON
		return quoted[1 : len(quoted)-1]
	case scenarios.Path:
		return url.PathEscape(v.Text)
	case scenarios.Query:
		return url.QueryEscape(v.Text)
	case scenarios.SQL:
		return strings.ReplaceAll(v.Text, "'", "''")
	case scenarios.Words:
		return scenarios.Word(v.Text)
	}
	return v.Text
}
