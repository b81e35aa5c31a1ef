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
)

// decodeEffects reads a JSON array of objects with "key" and "id": the whole body, or the field
// "effects" of an object. group is the field that effects are grouped by, or "".
func decodeEffects(body io.Reader, group string, each func(journal.Effect) error) (listing, error) {
	b := &boundedReader{r: body}
	b.next()
	d := json.NewDecoder(b)
	l := listing{total: -1, group: group}
	first, err := d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return l, errors.New("the body is empty: it must be a JSON array, [] if there are no effects")
	case err != nil:
		return l, fmt.Errorf("it is not JSON: it begins with %q: %w", b.head, err)
	case first == nil:
		return l, errNull
	case first == json.Delim('['):
		err = l.array(d, b, each)
	case first == json.Delim('{'):
		err = l.object(d, b, each)
	default:
		return l, fmt.Errorf("it is %s: it must be an array of objects with a \"key\" each", kindOfToken(first))
	}
	if err != nil {
		return l, err
	}
	b.next()
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return l, fmt.Errorf("there is more data after the list of %s effects: it must be a single JSON value", check.Count(l.items))
	}
	return l, nil
}

// array reads the effects up to the end of the array.
func (l *listing) array(d *json.Decoder, b *boundedReader, each func(journal.Effect) error) error {
	var raw json.RawMessage
	for d.More() {
		b.next()
		raw = raw[:0]
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("item %d cannot be read: %w", l.items+1, err)
		}
		e, err := parseEffect(raw)
		if err == nil && l.group != "" {
			e.Place = l.items + 1
			e.Group, e.Order, err = groupAndOrder(raw, l.group)
		}
		if err == nil {
			err = each(e)
		}
		if err != nil {
			return fmt.Errorf("item %d %w", l.items+1, err)
		}
		l.items++
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("it ends early, after item %d: %w", l.items, err)
	}
	return nil
}

// object reads an object that holds the list in its field "effects", and checks its other fields for
// further pages.
func (l *listing) object(d *json.Decoder, b *boundedReader, each func(journal.Effect) error) error {
	var names []string
	found := false
	for d.More() {
		b.next()
		name, err := d.Token()
		if err != nil {
			return fmt.Errorf("it is not JSON: it begins with %q: %w", b.head, err)
		}
		b.next()
		if name == "effects" {
			if found {
				return errors.New("it has two fields \"effects\": it must have one")
			}
			if found, err = true, l.effectsField(d, b, each); err != nil {
				return err
			}
			continue
		}
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("its field %q cannot be read: %w", name, err)
		}
		names = append(names, fmt.Sprint(name))
		l.notePaging(fmt.Sprint(name), raw, true)
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("it ends early: %w", err)
	}
	if !found {
		return fmt.Errorf("it is an object without \"effects\" (it has %s): it must be an array, or an object with an array \"effects\"", quotedNames(names))
	}
	return nil
}

// effectsField reads the list in the field "effects".
func (l *listing) effectsField(d *json.Decoder, b *boundedReader, each func(journal.Effect) error) error {
	first, err := d.Token()
	switch {
	case err != nil:
		return fmt.Errorf("its field \"effects\" cannot be read: %w", err)
	case first == nil:
		return fmt.Errorf("its field \"effects\": %w", errNull)
	case first != json.Delim('['):
		return fmt.Errorf("its field \"effects\" is %s: it must be an array of objects", kindOfToken(first))
	}
	return l.array(d, b, each)
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
	if len(key) > maxNameBytes || len(id) > maxNameBytes {
		return journal.Effect{}, fmt.Errorf("has a \"key\" or an \"id\" longer than %d bytes", maxNameBytes)
	}
	if id == key { // the ID would make two effects of one request look the same
		id = ""
	}
	return journal.Effect{Key: key, ID: id}, nil
}

// groupAndOrder returns the group of an effect, and its field "seq".
func groupAndOrder(raw json.RawMessage, group string) (of, order string, err error) {
	var fields map[string]json.RawMessage
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
