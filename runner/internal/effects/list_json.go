package effects

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// decode reads a page of the list.
func (h List) decode(body io.Reader, l *listing, each func(journal.Effect) error) error {
	p := page{listing: l, fields: h.fields, r: newJSONReader(body), each: each}
	var err error
	switch first, bad := p.r.peek(); {
	case errors.Is(bad, io.EOF):
		return errors.New("the body is empty: it must be a JSON array, [] if there are no effects")
	case bad != nil:
		return bad
	case h.isPath || h.next != nil:
		err = p.walk(h.items, h.next)
	case first == '[':
		err = p.array()
	case first == '{':
		err = p.object()
	default:
		err = p.noList("it", `an array of objects with a "key" each`)
	}
	if err == nil && !p.r.end() {
		err = fmt.Errorf("there is more data after the list of %s effects: it must be a single JSON value", check.Count(l.items))
	}
	return err
}

// page is a page of a list while it is decoded.
type page struct {
	*listing
	fields Fields
	r      *jsonReader
	each   func(journal.Effect) error
}

// noList returns an error for a value that should be something else.
func (p page) noList(what, should string) error {
	raw, err := p.r.value()
	switch {
	case err == nil && string(raw) == "null": // some services write it as long as there is nothing to list
		return fmt.Errorf("%w: %s is null: it must be %s, or [] if there are none", ErrNone, what, should)
	case err != nil || validJSON(raw) != nil:
		return fmt.Errorf("it is not JSON: it begins with %q", p.r.head)
	}
	return fmt.Errorf("%s is %s: it must be %s", what, kindOfRaw(raw), should)
}

// walk reads a value with the list at one path and the URL of the next page at another.
func (p page) walk(items, next source.JSONPath) error {
	first, err := p.r.peek()
	switch {
	case err != nil:
		return noEOF(err)
	case len(items) == 0 && first == '[':
		return p.array()
	case len(items) == 0:
		return p.noList("the list", "an array of objects")
	case first != '{':
		return p.noList("it", fmt.Sprintf("an object with a field %q", items[0]))
	}
	var names []string
	found := false
	err = p.r.object(func(name string) error {
		if name == items[0] && !found {
			found = true
			var inside source.JSONPath
			if len(next) > 1 && next[0] == name {
				inside = next[1:]
			}
			if err := p.walk(items[1:], inside); err != nil {
				return fmt.Errorf("its field %q: %w", name, err)
			}
			return nil
		}
		raw, err := p.r.field(name)
		if err != nil {
			return err
		}
		names = append(names, name)
		p.notePaging(name, raw, true)
		if len(next) > 0 && name == next[0] {
			return p.noteNext(raw, next)
		}
		return nil
	})
	if err == nil && !found {
		return fmt.Errorf("it has no field %q (it has %s)", items[0], quotedNames(names))
	}
	return err
}

// noteNext notes the URL of the next page, which is at a path that begins with the field raw.
func (p page) noteNext(raw json.RawMessage, path source.JSONPath) error {
	value, err := path[1:].Find(raw)
	if err != nil {
		return err
	}
	text, ok := plainText(value)
	if !ok {
		return fmt.Errorf("its field %q, the next page, is %s: it must be a URL, or null after the last page", strings.Join(path, "."), kindOfRaw(value))
	}
	p.listing.next = text
	return nil
}

// array reads the effects of an array.
func (p page) array() error {
	more, err := p.r.begin('[', ']')
	for ; err == nil && more; more, err = p.r.more(']') {
		e, err := p.item()
		if err == nil {
			err = p.each(e)
		}
		if err != nil {
			return fmt.Errorf("item %d %w", p.items+1, err)
		}
		p.items++
	}
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("it ends early, after item %d: %w", p.items, err)
	case err != nil:
		return fmt.Errorf("item %d cannot be read: %w", p.items+1, err)
	}
	return nil
}

// item reads an effect.
func (p page) item() (journal.Effect, error) {
	if _, err := p.r.peek(); err == nil {
		buffer, _ := p.r.buffered() // it has a byte
		if e, n := p.fields.plain(buffer); n > 0 {
			return e, p.r.take(n)
		}
	}
	raw, err := p.r.value()
	if err == nil {
		err = validJSON(raw)
	}
	if err != nil {
		return journal.Effect{}, fmt.Errorf("cannot be read: %w", err)
	}
	return p.fields.effect(raw)
}

// object reads an object that holds the list in its field "effects", and checks its other fields for
// further pages.
func (p page) object() error {
	var names []string
	found := false
	err := p.r.object(func(name string) error {
		if name == "effects" {
			if found {
				return errors.New("it has two fields \"effects\": it must have one")
			}
			found = true
			if first, err := p.r.peek(); err != nil || first != '[' {
				return p.noList(`its field "effects"`, "an array of objects")
			}
			return p.array()
		}
		raw, err := p.r.field(name)
		if err != nil {
			return err
		}
		names = append(names, name)
		p.notePaging(name, raw, true)
		return nil
	})
	if err == nil && !found {
		return fmt.Errorf("it is an object without \"effects\" (it has %s): it must be an array, or an object with an array \"effects\"", quotedNames(names))
	}
	return err
}

// parseEffect parses one effect.
func parseEffect(raw json.RawMessage) (journal.Effect, error) {
	if len(raw) == 0 || raw[0] != '{' {
		return journal.Effect{}, fmt.Errorf("is %s: each effect must be an object with a \"key\"", kindOfRaw(raw))
	}
	var fields struct{ Key, ID json.RawMessage }
	if err := json.Unmarshal(raw, &fields); err != nil {
		return journal.Effect{}, fmt.Errorf("cannot be read: %w", err)
	}
	key, ok := plainText(fields.Key)
	if !ok {
		return journal.Effect{}, fmt.Errorf("has a \"key\" that is %s: it must be a string or a number", kindOfRaw(fields.Key))
	}
	if key == "" {
		return journal.Effect{}, noKey("key", raw)
	}
	id, ok := plainText(fields.ID)
	if !ok {
		return journal.Effect{}, fmt.Errorf("has an \"id\" that is %s: it must be a string, a number or absent", kindOfRaw(fields.ID))
	}
	return NewEffect(key, id)
}

// noKey returns the error for an item whose key, in a field with a name, is absent or empty.
func noKey(field string, raw json.RawMessage) error {
	const needs = "each effect needs a key, the idempotency key of its request"
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) == nil && fields[field] != nil {
		return fmt.Errorf("has an empty %q: %s", field, needs)
	}
	return fmt.Errorf("has no %q (it has %s): %s", field, fieldsOf(raw), needs)
}

// plainText returns the text of a string, or a number exactly as written. It returns "" for null and
// for an absent field, and false for other values.
func plainText(raw json.RawMessage) (string, bool) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "", true
	case raw[0] == '"':
		var s string
		return s, json.Unmarshal(raw, &s) == nil
	case raw[0] == '-', raw[0] >= '0' && raw[0] <= '9':
		return string(raw), true
	}
	return "", false
}

// fieldsOf returns the names of the fields of an object.
func fieldsOf(raw json.RawMessage) string {
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(raw, &fields)
	var names []string
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return quotedNames(names)
}

func quotedNames(names []string) string {
	if len(names) == 0 {
		return "no fields"
	}
	var all []string
	for _, name := range names[:min(len(names), 8)] {
		all = append(all, strconv.Quote(name[:min(len(name), excerptLength)]))
	}
	return strings.Join(all, ", ")
}

func excerpt(raw json.RawMessage) string {
	if len(raw) > excerptLength {
		return strconv.Quote(string(raw[:excerptLength]) + "...")
	}
	return string(raw)
}

// kindOfRaw returns the kind of a JSON value.
func kindOfRaw(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "absent"
	}
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "true or false"
	}
	return "a number"
}
