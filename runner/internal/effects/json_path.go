package effects

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Fields says where the parts of an effect are in an item that is JSON. The zero value takes the fields "key", "id" and
// "value", of which only the first has to be there.
type Fields struct {
	key, id, value source.JSONPath
	group          string // the field that effects are grouped by; "" if they are not
}

// NewFields returns the fields that a source declares. A path that is not set stands for the default.
func NewFields(p Place) (f Fields, err error) {
	f.group = p.Group
	for name, path := range map[string]*source.JSONPath{"key": &f.key, "id": &f.id, "value": &f.value} {
		if text := p.Settings[name]; text != "" {
			if *path, err = source.ParseJSONPath(text); err != nil {
				return f, err
			}
		}
	}
	return f, nil
}

// Effect returns the effect that an item describes. The text of an error is as that of NewEffect.
func (f Fields) Effect(raw json.RawMessage) (journal.Effect, error) {
	if e, n := f.plain(raw); n > 0 && n == len(raw) {
		return e, nil
	}
	return f.effect(raw)
}

// effect is Effect for every kind of item.
func (f Fields) effect(raw json.RawMessage) (journal.Effect, error) {
	if len(f.key) == 0 && len(f.id) == 0 {
		e, err := parseEffect(raw)
		if err == nil {
			err = f.Detail(&e, raw)
		}
		return e, err
	}
	key, err := f.Key(raw)
	if err != nil {
		return journal.Effect{}, err
	}
	if key == "" {
		return journal.Effect{}, noKey(name(f.key, "key"), raw)
	}
	id, err := f.ID(raw)
	if err != nil {
		return journal.Effect{}, err
	}
	e, err := NewEffect(key, id)
	if err == nil {
		err = f.Detail(&e, raw)
	}
	return e, err
}

// Detail sets the value of the effect that an item describes and, if effects are grouped, its group and order.
func (f Fields) Detail(e *journal.Effect, raw json.RawMessage) (err error) {
	if f.group != "" {
		if e.Group, e.Order, err = groupAndOrder(raw, f.group); err != nil {
			return err
		}
	}
	e.Value, err = f.Value(raw)
	return err
}

// Value returns the value in an item, and "" if there is none. Without a path, a value that is an object or an array is
// none.
func (f Fields) Value(raw json.RawMessage) (string, error) {
	if len(f.value) > 0 {
		return f.text(raw, f.value, "value")
	}
	value, err := source.JSONPath{"value"}.Find(raw)
	if text, ok := plainText(value); ok && err == nil && len(text) <= maxNameBytes {
		return text, nil
	}
	return "", nil
}

// Key returns the key in an item, and "" if there is none.
func (f Fields) Key(raw json.RawMessage) (string, error) { return f.text(raw, f.key, "key") }

// ID returns the id in an item, and "" if there is none.
func (f Fields) ID(raw json.RawMessage) (string, error) { return f.text(raw, f.id, "id") }

// text returns the text at a path, and "" if there is none or it is null.
func (f Fields) text(raw json.RawMessage, path source.JSONPath, usual string) (string, error) {
	if len(path) == 0 {
		path = source.JSONPath{usual}
	}
	value, err := path.Find(raw)
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	text, ok := plainText(value)
	if !ok {
		return "", fmt.Errorf("has a %q that is %s: it must be a string or a number", name(path, usual), kindOfRaw(value))
	}
	return text, nil
}

func name(path source.JSONPath, usual string) string {
	if len(path) == 0 {
		return usual
	}
	return strings.Join(path, ".")
}

// TextAt returns the text of a string or a number at a path of a document, and "" if there is none.
func TextAt(document []byte, path source.JSONPath) string {
	value, err := path.Find(document)
	if err != nil {
		return ""
	}
	text, _ := plainText(value)
	return text
}

// groupAndOrder returns the group of an effect, and its field "seq".
func groupAndOrder(raw json.RawMessage, group string) (of, order string, err error) {
	var fields map[string]json.RawMessage
	if kindOfRaw(raw) != "an object" {
		return "", "", fmt.Errorf("is %s: to have a field %q it must be an object of JSON", kindOfRaw(raw), group)
	}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return "", "", fmt.Errorf("cannot be read: %w", err)
	}
	of, ok := plainText(fields[group])
	if !ok {
		return "", "", fmt.Errorf("has a %q that is %s: it must be a string, a number or absent", group, kindOfRaw(fields[group]))
	}
	if order, ok = plainText(fields["seq"]); !ok {
		return "", "", fmt.Errorf("has a \"seq\" that is %s: it must be a whole number, a time or absent", kindOfRaw(fields["seq"]))
	}
	if len(of) > maxNameBytes || len(order) > maxNameBytes {
		return "", "", fmt.Errorf("has a %q or a \"seq\" longer than %d bytes", group, maxNameBytes)
	}
	return of, order, nil
}
