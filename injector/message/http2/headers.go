package http2

import (
	"slices"
	"strings"

	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// headers is a header block that a rule can change.
type headers struct{ *frame }

// ChangeHeaders implements message.HeaderCarrier. A header that is set comes after all others.
func (h *headers) ChangeHeaders(changes []message.Header) (changed bool) {
	for _, c := range changes {
		name := strings.ToLower(c.Name)
		var was []string
		for _, f := range h.fields {
			if f.Name == name {
				was = append(was, f.Value)
			}
		}
		if len(was) == 0 && c.Value == "" || len(was) == 1 && c.Value != "" && was[0] == c.Value {
			continue
		}
		changed = true
		h.fields = slices.DeleteFunc(slices.Clone(h.fields), func(f hpack.HeaderField) bool { return f.Name == name })
		if c.Value != "" {
			h.fields = append(h.fields, hpack.HeaderField{Name: name, Value: c.Value})
		}
	}
	return changed
}

// edit changes the headers of a frame that has just arrived. From then on, all headers of its direction are encoded
// anew, since the receiver's table no longer equals the sender's. The lock is held.
func (c *Conn) edit(s *stream, w *way, f *frame) {
	c.Relay.Edit(&s.Exchange, &headers{f})
	if s.Rule() != nil { // it was not skipped
		c.modified = true
		w.reencodeHeaders(f)
	}
}
