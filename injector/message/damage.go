package message

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

const noPayload = "it has no payload"

// damage returns a payload with a bit flipped, or cut short, and what was done. Where is decided like everything else. The payload itself stays as it is, and
// is not empty.
func (r *Relay) damage(c chosen, m message, payload []byte) (damaged []byte, detail string) {
	n := len(payload)
	at := int(evidence.Hash(c.rule.Seed, c.n, r.cfg.Link, c.rule.ID, "which byte", m.method, r.class(c.rule, m)) % uint64(n)) //nolint:gosec // below n
	if c.rule.Do == Truncate {
		return slices.Clone(payload[:at]), "cut after " + plural(at, "byte") + " of " + strconv.Itoa(n)
	}
	damaged = slices.Clone(payload)
	damaged[at] ^= 0x01
	return damaged, "a bit flipped in byte " + strconv.Itoa(at+1) + " of the payload"
}

// spoil damages the body of a request that is kept whole, and returns what to send instead.
func (c *httpConn) spoil(x *exchange, body []byte) []byte {
	payload, end := body, []byte(nil)
	if x.head.body == chunked {
		payload, end = unchunk(body)
	}
	if len(payload) == 0 {
		c.skip(x, noPayload)
		return body
	}
	damaged, detail := c.relay.damage(x.chosen, x.msg, payload)
	x.touched = true
	c.relay.applied(x.chosen.rule, x.msg, detail)
	if x.head.body != chunked {
		x.head.resize(len(damaged))
		return damaged
	}
	if len(damaged) == 0 {
		return end
	}
	return slices.Concat(fmt.Appendf(nil, "%x\r\n", len(damaged)), damaged, []byte("\r\n"), end)
}

// unchunk takes a chunked body apart that copyChunks has passed: its payload, and what begins with the last chunk.
func unchunk(body []byte) (payload, end []byte) {
	for {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		digits, _, _ := strings.Cut(string(trim(line)), ";")
		size, err := strconv.ParseUint(strings.TrimRight(digits, " \t"), 16, 62)
		if err != nil || size == 0 || size > uint64(len(rest)) {
			return payload, body
		}
		payload = append(payload, rest[:size]...)
		_, body, _ = bytes.Cut(rest[size:], []byte("\n"))
	}
}

// resize gives the head another Content-Length.
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
