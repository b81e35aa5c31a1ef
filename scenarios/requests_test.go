package scenarios

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// oneService returns a builder with a system of one service.
func oneService() *Builder {
	return New("b").System(System{Services: []Service{{Name: "orders", Address: "127.0.0.1:80"}}})
}

// The key is inserted into a body without changing anything else, even between placeholders.
func TestKeyInTheBody(t *testing.T) {
	for body, want := range map[string]string{
		`{}`:                                `{"k": "{{key}}"}`,
		`{"n": {{n}}}`:                      `{"k": "{{key}}", "n": {{n}}}`,
		`{"a": "{{row.x}}", "k": "old" }`:   `{"a": "{{row.x}}", "k": "{{key}}" }`,
		`{"k": {{n}}, "b": [1,{"k":2}]}`:    `{"k": "{{key}}", "b": [1,{"k":2}]}`,
		`{"in": {"k": 1}, "big": 1.50e400}`: `{"k": "{{key}}", "in": {"k": 1}, "big": 1.50e400}`,
		" {\n}":                             " {\"k\": \"{{key}}\"\n}",
	} {
		r := Route{Method: "POST", Path: "/", Body: body}
		require.NoError(t, Key{InBody, "k"}.place(&r, "{{key}}"), body)
		assert.Equal(t, want, r.Body)
	}
	for body, want := range map[string]string{
		`{"n": {{n}}}`: `{"order": {"key": "{{key}}"}, "n": {{n}}}`, `{"order": {"n": 1}}`: `{"order": {"key": "{{key}}", "n": 1}}`,
		`{"order": {"key": [1, 2]}}`: `{"order": {"key": "{{key}}"}}`, `{"order": {}, "n": 1}`: `{"order": {"key": "{{key}}"}, "n": 1}`,
	} {
		r := Route{Method: "POST", Path: "/", Body: body}
		require.NoError(t, Key{InBody, "order.key"}.place(&r, "{{key}}"), body)
		assert.Equal(t, want, r.Body)
	}
	for _, body := range []string{``, `[1]`, `"k"`, `{"order": 1}`, `{"order": [{}]}`, `a=b`, `{"n": }`} {
		r := Route{Method: "POST", Path: "/", Body: body}
		require.Error(t, Key{InBody, "order.key"}.place(&r, "{{key}}"), body)
		assert.Equal(t, body, r.Body)
	}
	form := Route{Method: "POST", Path: "/", Body: `{}`, Type: "text/plain"}
	require.ErrorContains(t, Key{InBody, "k"}.place(&form, "{{key}}"), "not an object of JSON")
}

func TestTemplatesAreParsed(t *testing.T) {
	all, err := ParseTemplate(`{"a{{n}}": {{n}}, "\"{{n}}": [{{random 1 6}}, "${env:T}"]}`, JSON, nil)
	require.NoError(t, err)
	var in []Syntax
	text := ""
	for _, p := range all {
		text += p.Text
		if p.Kind != LiteralPart {
			in = append(in, p.In)
		}
	}
	assert.Equal(t, []Syntax{JSONString, JSON, JSONString, JSON, JSONString}, in)
	assert.Equal(t, `{"a{{n}}": {{n}}, "\"{{n}}": [{{random 1 6}}, "${env:T}"]}`, text)
	for text, hint := range map[string]string{
		"{{keys}}": `did you mean "key"?`, "{{ordr}}": `did you mean "order"?`, "{{}}": "placeholders", "{{n": "two braces", "{{random}}": "{{random 1 100}}", "{{random 2 1}}": "{{random 1 100}}",
		"{{random 1 99999999999999999999}}": "{{random 1 100}}", "${TOKEN}": "${env:NAME}", "${evn:TOKEN}": "${env:NAME}", "${env:}": "${env:NAME}", "{{row.}}": "row.column", "{{rowemail}}": "placeholders",
	} {
		_, err := ParseTemplate("a "+text+" b", Plain, []string{"order"})
		require.Error(t, err, text)
		_, got := source.Parts(err)
		assert.Contains(t, got, hint, text)
	}
}

func TestRows(t *testing.T) {
	fsys := fstest.MapFS{
		"a.csv":         {Data: []byte("\uFEFFemail, age\n\"a \"\"b\"\"\",31\nnull,\n")},
		"a.json":        {Data: []byte(`[{"email": "a", "age": 31, "tags": [1, 2], "no": null}]`)},
		"short.csv":     {Data: []byte("a,b\n1\n")},
		"twice.csv":     {Data: []byte("a,a\n1,2\n")},
		"empty.csv":     {Data: []byte("a,b\n")},
		"nothing.csv":   {},
		"object.json":   {Data: []byte(`{"a": 1}`)},
		"null.json":     {Data: []byte(`[null]`)},
		"customers.txt": {Data: []byte("a")},
	}
	rows, err := ReadRows(fsys, "a.csv")
	require.NoError(t, err)
	assert.Equal(t, []Row{
		{"email": {`a "b"`, `"a \"b\""`}, "age": {"31", "31"}},
		{"email": {"null", "null"}, "age": {"", `""`}},
	}, rows)
	rows, err = ReadRows(fsys, "a.json")
	require.NoError(t, err)
	assert.Equal(t, []Row{{"email": {"a", `"a"`}, "age": {"31", "31"}, "tags": {"[1, 2]", "[1, 2]"}, "no": {"null", "null"}}}, rows)
	for name, what := range map[string]string{
		"short.csv": "wrong number of fields", "twice.csv": "occurs twice", "empty.csv": "it has no rows", "nothing.csv": "it has no rows", "object.json": "not an array of objects",
		"null.json": "row 1 is not an object", "customers.txt": "not a file of rows", "absent.csv": "does not exist",
	} {
		_, err := ReadRows(fsys, name)
		require.ErrorContains(t, err, what, name)
		require.ErrorContains(t, err, name)
		_, hint := source.Parts(err)
		assert.NotEmpty(t, hint, name)
	}
}

// Bare texts from a file without types are values of JSON.
func TestTextsAsJSON(t *testing.T) {
	for text, want := range map[string]string{"12": "12", "-1.5e3": "-1.5e3", "true": "true", "null": "null", "007": `"007"`, " 12": `" 12"`, "": `""`, "{}": `"{}"`, "[1]": `"[1]"`, `"a"`: `"\"a\""`, "<&>": `"<&>"`} {
		assert.Equal(t, want, TextValue(text).JSON, text)
		assert.True(t, json.Valid([]byte(TextValue(text).JSON)))
	}
}

// Secrets come from the environment; one that cannot be hidden is refused.
func TestSecrets(t *testing.T) {
	l := &Load{
		Headers: []Header{{Name: "Authorization", Value: "Bearer ${env:TOKEN}"}},
		Mix:     []Route{{Method: "POST", Path: "/?k=${env:KEY}", Body: `{"p": "${env:PASSWORD}"}`, Then: []Route{{Method: "GET", Path: "/${env:LATER}"}}}},
	}
	env := map[string]string{"TOKEN": "token-value", "KEY": "key-value", "PASSWORD": "password-value", "LATER": "later-value", "OTHER": "x"}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	e := &Experiment{Load: l, System: System{Services: []Service{{Name: "db", Login: "postgres://a:${env:PASSWORD}@/b"}, {Name: "not asked", Login: "postgres://a:${env:OTHER}@/b"}}}}
	all, err := e.Secrets(lookup)
	require.NoError(t, err)
	delete(env, "OTHER")
	assert.Equal(t, env, all)
	for value, what := range map[string]string{"": "PASSWORD is not set", "abc123": "PASSWORD is too short", "line\nend of": "PASSWORD holds a control"} {
		env["PASSWORD"] = value
		for _, l := range []*Load{l, {Mix: []Route{{Kind: "sql", Service: "db"}}}} {
			e.Load = l
			_, err := e.Secrets(lookup)
			require.ErrorContains(t, err, what)
			if value != "" {
				assert.NotContains(t, err.Error(), value)
			}
		}
	}
}

// A service may print the secrets that it gets. They are known by their names, and PWD is none.
func TestSecretsOfServices(t *testing.T) {
	env := map[string]string{"DB_PASSWORD": "password-value", "PG": "pg-password", "FILE_TOKEN": "token-value", "PORT_RANGE": "8000-9000", "PWD": "/srv/shop", "SHORT_TOKEN": "x"}
	e := &Experiment{System: System{Services: []Service{{
		Command: []string{"db", "--dir=${env:PWD}", "--url=postgres://a:${env:DB_PASSWORD}@b/", "${env:SHORT_TOKEN}"},
		Env:     map[string]string{"PGPASSWORD": "${env:PG}", "PORTS": "${env:PORT_RANGE}"},
		Files:   []system.File{{Name: "conf", Template: "token = ${env:FILE_TOKEN}"}},
	}}}}
	all, err := e.Secrets(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"DB_PASSWORD": "password-value", "PG": "pg-password", "FILE_TOKEN": "token-value"}, all)
}

// Loads that cannot be sent as they are defined are refused before anything starts.
func TestRequestsThatCannotBeSent(t *testing.T) {
	orders := Route{Method: "POST", Path: "/orders"}
	type load = Load
	for name, c := range map[string]struct {
		load load
		want string
	}{
		"no place":              {load{Key: Key{Name: "x"}}, "not a place for a key"},
		"body that is not JSON": {load{Key: Key{InBody, "key"}, Mix: []Route{{Method: "POST", Path: "/orders", Body: "a=b"}}}, `the body of "POST /orders" is not an object of JSON`},
		"no body":               {load{Key: Key{InBody, "key"}, Mix: []Route{{Method: "DELETE", Path: "/orders"}}}, `"DELETE /orders" has no body that could carry the key`},
		"empty field":           {load{Key: Key{InBody, "a..b"}}, "cannot be the name of a field"},
		"path without key":      {load{Key: Key{In: InPath}}, `the path of "POST /orders" does not hold the key`},
		"query has it":          {load{Key: Key{InQuery, "k"}, Mix: []Route{{Method: "POST", Path: "/orders?k=1"}}}, `has a k already: "1"`},
		"unknown placeholder":   {load{Mix: []Route{{Method: "POST", Path: "/orders/{{id}}"}}}, `the path of "POST /orders/{{id}}": {{id}} stands for nothing here`},
		"kept too late":         {load{Mix: []Route{{Method: "POST", Path: "/orders", Body: "{{id}}", Keep: []Kept{{"id", "$.id"}}}}}, `{{id}} stands for nothing here`},
		"kept nowhere":          {load{Mix: []Route{{Method: "POST", Path: "/orders", Keep: []Kept{{"id", "$..id"}}}}}, "is not a path in JSON"},
		"kept under n":          {load{Mix: []Route{{Method: "POST", Path: "/orders", Keep: []Kept{{"n", "$.id"}}}}}, `"n" cannot be the name of a kept value`},
		"no rows":               {load{Mix: []Route{{Method: "POST", Path: "/orders", Body: "{{row.a}}"}}}, "{{row.a}} needs rows, and there are none"},
		"no such column":        {load{Rows: []Row{{"a": {}}, {"b": {}}}, Mix: []Route{{Method: "POST", Path: "/orders", Body: "{{row.a}}"}}}, `row 2 has no column "a"`},
		"header of the client":  {load{Headers: []Header{{Name: "content-length", Value: "3"}}}, `the header "Content-Length" is set by the client itself`},
		"header of the key":     {load{Key: HeaderKey("k"), Headers: []Header{{Name: "K", Value: "3"}}}, `the header "K" carries the key`},
		"header with a mistake": {load{Headers: []Header{{Name: "X", Value: "{{m}}"}}}, "{{m}} stands for nothing here"},
		"variable not set":      {load{Headers: []Header{{Name: "X", Value: "${env:FIREDRILL_TEST_NOT_SET}"}}}, "FIREDRILL_TEST_NOT_SET is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.load.Mix == nil {
				c.load.Mix = []Route{orders}
			}
			c.load.Rate = 5
			_, err := oneService().Load(c.load).Wait(time.Second).Build()
			var problems Problems
			require.ErrorAs(t, err, &problems)
			require.Len(t, problems, 1, "%v", err)
			assert.Contains(t, problems[0].What, c.want)
			assert.NotEmpty(t, problems[0].Hint)
		})
	}
}

// Every further step of a chain carries a key of its own, also in its body.
func TestKeysOfChains(t *testing.T) {
	chain := Route{Method: "GET", Path: "/cart", Then: []Route{{Method: "POST", Path: "/orders", Body: `{}`}, {Method: "POST", Path: "/pay", Body: `{}`}}}
	e, err := oneService().Load(Load{Rate: 5, Key: Key{InBody, "key"}, Mix: []Route{chain}}).Wait(time.Second).Build()
	require.NoError(t, err)
	assert.Equal(t, `{"key": "{{key}}"}`, e.Load.Mix[0].Then[0].Body, "the first step that is not read-only has the key of the request")
	assert.Equal(t, `{"key": "3.{{key}}"}`, e.Load.Mix[0].Then[1].Body)
	assert.Equal(t, `{}`, chain.Then[0].Body, "the caller's value does not change")
	_, err = oneService().Load(Load{Rate: 5, Key: Key{InBody, "key"}, Mix: []Route{chain}}).Wait(time.Second).Check(check.SameResponse{}).Build()
	require.ErrorContains(t, err, "a chain cannot be sent again")
}

// A header Content-Type becomes the type of bodies, which determines how values are escaped.
func TestContentType(t *testing.T) {
	e, err := oneService().Load(Load{Rate: 5, Headers: []Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}}, Mix: []Route{{Method: "POST", Path: "/orders", Body: "n={{n}}"}}}).Wait(time.Second).Build()
	require.NoError(t, err)
	r := e.Load.Mix[0]
	assert.Equal(t, "application/x-www-form-urlencoded", r.ContentType())
	_, body, err := r.Templates(nil)
	require.NoError(t, err)
	assert.Equal(t, Query, body[1].In)
	assert.True(t, strings.HasPrefix(Route{}.ContentType(), "application/json"))
}
