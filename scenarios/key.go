package scenarios

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Key is where requests carry their idempotency keys. The zero value means that they carry none.
type Key struct {
	In   KeyPlace
	Name string // of the header or query parameter, or the field of the body, such as "order.key"; "" for InPath
}

// KeyPlace is a part of a request.
type KeyPlace string

// The places. InPath means that {{key}} stands in the path.
const (
	InHeader KeyPlace = "header"
	InBody   KeyPlace = "body"
	InQuery  KeyPlace = "query"
	InPath   KeyPlace = "path"
)

// HeaderKey returns the key in a header.
func HeaderKey(name string) Key { return Key{InHeader, name} }

// Keyed reports whether requests carry keys.
func (l *Load) Keyed() bool { return l.Key != Key{} }

// check returns an error if the key cannot stand there in any request.
func (k Key) check() error {
	switch k.In {
	case InHeader:
		if !httpguts.ValidHeaderFieldName(k.Name) {
			return source.Mistakef(codes.BadName, `write "Idempotency-Key"`, "%q cannot be the name of a header", k.Name)
		}
	case InQuery:
		if k.Name == "" || strings.ContainsAny(k.Name, "&=#? {}") {
			return source.Mistakef(codes.BadName, `write "key"`, "%q cannot be the name of a query parameter", k.Name)
		}
	case InBody:
		if slices.Contains(strings.Split(k.Name, "."), "") {
			return source.Mistakef(codes.BadName, `write "idempotency_key", or "order.key" for a field of an object`, "%q cannot be the name of a field", k.Name)
		}
	case InPath, InText:
	default:
		if k != (Key{}) {
			return source.Mistakef(codes.BadValue, "use InHeader, InBody, InQuery or InPath", "%q is not a place for a key", k.In)
		}
	}
	return nil
}

// place inserts the key into a request whose key is template, such as {{key}}. A key in a header or the query is
// added by the client.
func (k Key) place(r *Route, template string) error {
	switch k.In {
	case InBody:
		if r.Body == "" {
			return source.Mistakef(codes.Missing, "give it a body, or let a header carry the key", "%q has no body that could carry the key", r.Name())
		}
		body, err := withField(r.Body, strings.Split(k.Name, "."), `"`+template+`"`)
		if err != nil || r.syntax() != JSON {
			return source.Mistakef(codes.BadValue, "write an object of JSON, or let a header carry the key", "the body of %q is not an object of JSON that could carry the key in its field %q", r.Name(), k.Name)
		}
		r.Body = body
	case InPath:
		if !strings.Contains(r.Path, "{{key}}") {
			return source.Mistakef(codes.BadValue, fmt.Sprintf("write {{key}} there: %q", r.Method+" "+strings.TrimSuffix(r.Path, "/")+"/{{key}}"), "the path of %q does not hold the key", r.Name())
		}
	case InQuery:
		_, query, _ := strings.Cut(r.Path, "?")
		for part := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(part, "=")
			if name, err := url.QueryUnescape(name); err == nil && name == k.Name {
				return source.Mistakef(codes.Duplicate, "leave it out of the path", "the query of %q has a %s already: %q", r.Name(), k.Name, value)
			}
		}
	}
	return nil
}

// withField returns a JSON object with a field set to a value of JSON. Everything else remains as it is. The body may
// contain placeholders.
func withField(body string, field []string, value string) (string, error) {
	masked := []byte(body) // placeholders are replaced by digits, so that it is JSON
	for _, at := range placeholder.FindAllStringIndex(body, -1) {
		copy(masked[at[0]:at[1]], bytes.Repeat([]byte("1"), at[1]-at[0]))
	}
	if !json.Valid(masked) {
		return "", fmt.Errorf("it is not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(masked))
	from, to, text, err := findField(dec, field, value)
	if err != nil {
		return "", err
	}
	return body[:from] + text + body[to:], nil
}

// findField returns the part of an object to replace, and by what, in order to set a field. dec is before the object.
func findField(dec *json.Decoder, field []string, value string) (from, to int64, text string, err error) {
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return 0, 0, "", fmt.Errorf("it is not an object")
	}
	begin, fields := dec.InputOffset(), 0
	for ; dec.More(); fields++ {
		name, err := dec.Token()
		if err != nil {
			return 0, 0, "", err
		}
		if name == field[0] && len(field) > 1 {
			return findField(dec, field[1:], value)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return 0, 0, "", err
		}
		if name == field[0] {
			end := dec.InputOffset()
			return end - int64(len(raw)), end, value, nil
		}
	}
	for i, name := range slices.Backward(field) {
		quoted := StringValue(name).JSON + ": "
		if value = quoted + value; i > 0 {
			value = "{" + value + "}"
		}
	}
	if fields > 0 {
		value += ", "
	}
	return begin, begin, value, nil
}
