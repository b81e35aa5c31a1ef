package http1

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// ChangeHeaders implements message.HeaderCarrier. A header that is set comes after all others.
func (h *head) ChangeHeaders(changes []message.Header) (changed bool) {
	for _, c := range changes {
		was := h.fieldLines(c.Name)
		if len(was) == 0 && c.Value == "" || len(was) == 1 && c.Value != "" && h.header(c.Name) == c.Value {
			continue
		}
		changed = true
		h.replaceLines(was, c)
	}
	return changed
}

// fieldLines returns the positions of the lines of all fields with a name, with obsolete foldings.
func (h *head) fieldLines(name string) (spans [][2]int) {
	at, first, found := 0, true, false
	for line := range bytes.Lines(h.raw) {
		text := duplex.TrimLine(line)
		switch {
		case first: // empty lines may precede the request line or status line
			first = len(text) == 0
		case len(text) > 0 && (text[0] == ' ' || text[0] == '\t'):
			if found {
				spans[len(spans)-1][1] += len(line)
			}
		default:
			field, _, ok := bytes.Cut(text, []byte(":"))
			if found = ok && strings.EqualFold(string(field), name); found {
				spans = append(spans, [2]int{at, at + len(line)})
			}
		}
		at += len(line)
	}
	return spans
}

// replaceLines removes lines and adds the header, unless it has no value.
func (h *head) replaceLines(lines [][2]int, c message.Header) {
	raw, from := make([]byte, 0, len(h.raw)+len(c.Name)+len(c.Value)+4), 0
	for _, l := range lines {
		raw = append(raw, h.raw[from:l[0]]...)
		from = l[1]
	}
	raw = append(raw, h.raw[from:]...)
	if c.Value != "" {
		end := len(bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))) // before the empty line
		raw = slices.Insert(raw, end, fmt.Appendf(nil, "%s: %s\r\n", c.Name, c.Value)...)
	}
	h.raw = raw
}
