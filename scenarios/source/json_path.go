package source

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

// JSONPath is a path to a value of JSON, of names and indexes.
type JSONPath []string

var jsonStep = regexp.MustCompile(`^(?:\.([^.\[\]\s$"']+)|\[(\d+)\])`)

// ParseJSONPath parses "$.items[0].id". The leading "$." may be left out.
func ParseJSONPath(s string) (JSONPath, error) {
	rest, root := strings.CutPrefix(s, "$")
	if !root && !strings.HasPrefix(s, "[") {
		rest = "." + s
	}
	var p JSONPath
	for rest != "" {
		found := jsonStep.FindStringSubmatch(rest)
		if found == nil {
			return nil, Mistakef(codes.BadValue, "write names and indexes, as in $.items[0].id", "%q is not a path in JSON", s)
		}
		p = append(p, found[1]+found[2])
		rest = rest[len(found[0]):]
	}
	return p, nil
}

// Find returns the value at the path, and nil if the document has none. An error means that the document is not JSON.
func (p JSONPath) Find(document []byte) (json.RawMessage, error) {
	raw := json.RawMessage(bytes.TrimSpace(document))
	for _, step := range p {
		var object map[string]json.RawMessage
		var array []json.RawMessage
		switch {
		case bytes.HasPrefix(raw, []byte("{")):
			if err := json.Unmarshal(raw, &object); err != nil {
				return nil, err
			}
			raw = object[step]
		case bytes.HasPrefix(raw, []byte("[")):
			if err := json.Unmarshal(raw, &array); err != nil {
				return nil, err
			}
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(array) {
				return nil, nil
			}
			raw = array[i]
		default:
			return nil, json.Unmarshal(raw, new(json.RawMessage))
		}
		if raw == nil {
			return nil, nil
		}
	}
	if len(p) == 0 {
		return raw, json.Unmarshal(raw, new(json.RawMessage))
	}
	return raw, nil
}

// Text returns a string of JSON without its quotes, and any other value as it is written.
func Text(raw json.RawMessage) string {
	var text string
	if bytes.HasPrefix(raw, []byte(`"`)) && json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// Mark is what marks an answer as a fallback: a header, or a field of its JSON body.
type Mark struct {
	Name   string // of the header, or the path of the field
	Value  string
	InBody bool
}

// String returns the mark as sentences write it.
func (m Mark) String() string { return strings.TrimSpace(m.Name + ": " + m.Value) }

// ParseMark parses the mark of fallbacks: a header, or with inBody a field such as "order.estimated: true".
func ParseMark(s string, inBody bool) (*Mark, error) {
	if !inBody {
		h, err := ParseHeader(s)
		if err != nil {
			return nil, err
		}
		return &Mark{Name: h.Name, Value: h.Value}, nil
	}
	name, value, ok := strings.Cut(s, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if _, err := ParseJSONPath(name); !ok || err != nil || name == "" || value == "" {
		return nil, Mistakef(codes.BadValue, "write a field and its value, as in \"tax_estimated: true\"", "%q is not a field with a value", s)
	}
	return &Mark{Name: name, Value: value, InBody: true}, nil
}

// MatchesBody reports whether a body holds the field of the mark with its value, as a text or a number is written.
func (m Mark) MatchesBody(body []byte) bool {
	path, err := ParseJSONPath(m.Name)
	if err != nil {
		return false
	}
	raw, err := path.Find(body)
	return err == nil && raw != nil && Text(raw) == m.Value
}
