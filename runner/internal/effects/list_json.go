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
	b := &boundedReader{r: body}
	b.next()
	p := page{listing: l, fields: h.fields, d: json.NewDecoder(b), b: b, each: each}
	first, err := p.d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the body is empty: it must be a JSON array, [] if there are no effects")
	case err != nil:
		return fmt.Errorf("it is not JSON: it begins with %q: %w", b.head, err)
	case h.isPath || h.next != nil:
		err = p.walk(first, h.items, h.next)
	case first == nil:
		return errNull
	case first == json.Delim('['):
		err = p.array()
	case first == json.Delim('{'):
		err = p.object()
	default:
		return fmt.Errorf("it is %s: it must be an array of objects with a \"key\" each", kindOfToken(first))
	}
	if err != nil {
		return err
	}
	b.next()
	if _, err := p.d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("there is more data after the list of %s effects: it must be a single JSON value", check.Count(l.items))
	}
	return nil
}

// page is a page of a list while it is decoded.
type page struct {
	*listing
	fields Fields
	d      *json.Decoder
	b      *boundedReader
	each   func(journal.Effect) error
}

// walk reads a value, of which the first token was read, with the list at one path and the URL of the next page at
// another.
func (p page) walk(first json.Token, items, next source.JSONPath) error {
	switch {
	case first == nil:
		return errNull
	case len(items) == 0 && first == json.Delim('['):
		return p.array()
	case len(items) == 0:
		return fmt.Errorf("the list is %s: it must be an array of objects", kindOfToken(first))
	case first != json.Delim('{'):
		return fmt.Errorf("it is %s: it must be an object with a field %q", kindOfToken(first), items[0])
	}
	var names []string
	found := false
	for p.d.More() {
		p.b.next()
		token, err := p.d.Token()
		if err != nil {
			return fmt.Errorf("it cannot be read: %w", err)
		}
		p.b.next()
		name := fmt.Sprint(token)
		if name == items[0] && !found {
			found = true
			first, err := p.d.Token()
			if err != nil {
				return fmt.Errorf("its field %q cannot be read: %w", name, err)
			}
			var inside source.JSONPath
			if len(next) > 1 && next[0] == name {
				inside = next[1:]
			}
			if err := p.walk(first, items[1:], inside); err != nil {
				return fmt.Errorf("its field %q: %w", name, err)
			}
			continue
		}
		var raw json.RawMessage
		if err := p.d.Decode(&raw); err != nil {
			return fmt.Errorf("its field %q cannot be read: %w", name, err)
		}
		names = append(names, name)
		p.notePaging(name, raw, true)
		if len(next) > 0 && name == next[0] {
			if err := p.noteNext(raw, next); err != nil {
				return err
			}
		}
	}
	if _, err := p.d.Token(); err != nil {
		return fmt.Errorf("it ends early: %w", err)
	}
	if !found {
		return fmt.Errorf("it has no field %q (it has %s)", items[0], quotedNames(names))
	}
	return nil
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

// array reads the effects up to the end of the array.
func (p page) array() error {
	var raw json.RawMessage
	for p.d.More() {
		p.b.next()
		raw = raw[:0]
		if err := p.d.Decode(&raw); err != nil {
			return fmt.Errorf("item %d cannot be read: %w", p.items+1, err)
		}
		e, err := p.fields.Effect(raw)
		if err == nil {
			err = p.each(e)
		}
		if err != nil {
			return fmt.Errorf("item %d %w", p.items+1, err)
		}
		p.items++
	}
	if _, err := p.d.Token(); err != nil {
		return fmt.Errorf("it ends early, after item %d: %w", p.items, err)
	}
	return nil
}

// object reads an object that holds the list in its field "effects", and checks its other fields for
// further pages.
func (p page) object() error {
	var names []string
	found := false
	for p.d.More() {
		p.b.next()
		name, err := p.d.Token()
		if err != nil {
			return fmt.Errorf("it is not JSON: it begins with %q: %w", p.b.head, err)
		}
		p.b.next()
		if name == "effects" {
			if found {
				return errors.New("it has two fields \"effects\": it must have one")
			}
			if found, err = true, p.effectsField(); err != nil {
				return err
			}
			continue
		}
		var raw json.RawMessage
		if err := p.d.Decode(&raw); err != nil {
			return fmt.Errorf("its field %q cannot be read: %w", name, err)
		}
		names = append(names, fmt.Sprint(name))
		p.notePaging(fmt.Sprint(name), raw, true)
	}
	if _, err := p.d.Token(); err != nil {
		return fmt.Errorf("it ends early: %w", err)
	}
	if !found {
		return fmt.Errorf("it is an object without \"effects\" (it has %s): it must be an array, or an object with an array \"effects\"", quotedNames(names))
	}
	return nil
}

// effectsField reads the list in the field "effects".
func (p page) effectsField() error {
	first, err := p.d.Token()
	switch {
	case err != nil:
		return fmt.Errorf("its field \"effects\" cannot be read: %w", err)
	case first == nil:
		return fmt.Errorf("its field \"effects\": %w", errNull)
	case first != json.Delim('['):
		return fmt.Errorf("its field \"effects\" is %s: it must be an array of objects", kindOfToken(first))
	}
	return p.array()
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
		return journal.Effect{}, fmt.Errorf("has no \"key\" (it has %s): each effect needs a \"key\", the idempotency key of its request", fieldsOf(raw))
	}
	id, ok := plainText(fields.ID)
	if !ok {
		return journal.Effect{}, fmt.Errorf("has an \"id\" that is %s: it must be a string, a number or absent", kindOfRaw(fields.ID))
	}
	return NewEffect(key, id)
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

func kindOfToken(t json.Token) string {
	switch t.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "true or false"
	case json.Delim:
		return "an object"
	}
	return "a number"
}

// boundedReader limits the size of a body and of each value in it, because a decoder keeps a value in
// memory until it is complete.
type boundedReader struct {
	r         io.Reader
	read      int64
	remaining int
	head      []byte
}

// next starts a new value.
func (b *boundedReader) next() { b.remaining = maxItemBytes }

func (b *boundedReader) Read(p []byte) (int, error) {
	switch {
	case b.remaining <= 0:
		return 0, fmt.Errorf("a value is longer than %d bytes", maxItemBytes)
	case b.read > maxListBytes:
		return 0, fmt.Errorf("the list is longer than %d bytes", int64(maxListBytes))
	}
	n, err := b.r.Read(p[:min(len(p), b.remaining)])
	b.remaining -= n
	b.read += int64(n)
	if len(b.head) < excerptLength {
		b.head = append(b.head, p[:min(n, excerptLength-len(b.head))]...)
	}
	return n, err
}
