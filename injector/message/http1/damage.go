package http1

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// bufferedBody is the body of a buffered message.
type bufferedBody struct {
	head    *head
	body    []byte // including its chunk framing
	payload []byte
	last    []byte // the last chunk and everything after it
}

func (b *bufferedBody) Size(bool) int {
	b.payload, b.last = b.body, nil
	if b.head.body == chunked {
		b.payload, b.last = unchunk(b.body)
	}
	return len(b.payload)
}

func (b *bufferedBody) Damage(at int, cut bool) error {
	damaged := slices.Clone(b.payload[:at])
	if !cut {
		damaged = slices.Clone(b.payload)
		damaged[at] ^= 0x01
	}
	b.put(damaged)
	return nil
}

// put replaces the payload. Size has been called.
func (b *bufferedBody) put(payload []byte) {
	switch {
	case b.head.body != chunked:
		b.head.resize(len(payload))
		b.body = payload
	case len(payload) == 0:
		b.body = b.last
	default:
		b.body = slices.Concat(fmt.Appendf(nil, "%x\r\n", len(payload)), payload, []byte("\r\n"), b.last)
	}
}

// ReplaceBody implements message.BodyCarrier.
func (b *bufferedBody) ReplaceBody(body []byte) error {
	if b.head.body == noBody {
		return errors.New(message.NoPayload)
	}
	b.Size(false)
	b.put(body)
	b.head.ChangeHeaders([]message.Header{{Name: "Content-Encoding"}})
	return nil
}

// endless returns why an answer's body must not be buffered, or "".
func (h *head) endless(method string) string {
	switch {
	case h.status == 101, method == "CONNECT" && h.status/100 == 2:
		return "another protocol follows"
	case strings.HasPrefix(strings.ToLower(h.header("content-type")), "text/event-stream"):
		return "a stream of events"
	}
	return ""
}

// unchunk splits a valid chunked body into its payload and the part that starts with the last chunk.
func unchunk(body []byte) (payload, end []byte) {
	for {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		digits, _, _ := strings.Cut(string(duplex.TrimLine(line)), ";")
		size, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 62)
		if err != nil || size == 0 || size > uint64(len(rest)) {
			return payload, body
		}
		payload = append(payload, rest[:size]...)
		_, body, _ = bytes.Cut(rest[size:], []byte("\n"))
	}
}

// resize replaces the value of Content-Length.
func (h *head) resize(n int) {
	var raw []byte
	for line := range bytes.Lines(h.raw) {
		name, _, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(name), "content-length") {
			line = fmt.Appendf(nil, "%s: %d\r\n", name, n)
		}
		raw = append(raw, line...)
	}
	h.raw = raw
}
