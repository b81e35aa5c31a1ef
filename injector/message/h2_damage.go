package message

import (
	"encoding/binary"
	"slices"
	"strconv"
)

// spoil damages the payload of a request that is kept whole: of gRPC, that of its first message which has one.
func (c *h2Conn) spoil(s *h2Stream) {
	c.mu.Lock()
	body := s.up.body()
	c.mu.Unlock()
	before, payload, after := []byte(nil), body, []byte(nil)
	if s.grpc {
		before, payload, after = grpcPayload(body)
	}
	if len(payload) == 0 {
		c.skipped(s, noPayload, false)
		return
	}
	damaged, detail := c.relay.damage(s.chosen, s.msg, payload)
	if s.grpc {
		binary.BigEndian.PutUint32(before[len(before)-4:], uint32(len(damaged))) //nolint:gosec // at most what it was
	}
	c.mu.Lock()
	w := &c.toServer
	for i := range s.up.queue {
		w.refund(s, &s.up.queue[i]) // what had no room for that before: its frames will not be what they were
		w.kept -= s.up.queue[i].weight()
	}
	s.up.replace(slices.Concat(before, damaged, after))
	for _, f := range s.up.queue {
		w.kept += f.weight()
	}
	c.mu.Unlock()
	s.touched = true
	c.relay.applied(s.chosen.rule, s.msg, detail)
}

// grpcPayload finds the first message with a payload; before ends with its length, four bytes.
func grpcPayload(body []byte) (before, payload, after []byte) {
	for at := 0; at+5 <= len(body); {
		size := int(binary.BigEndian.Uint32(body[at+1:]))
		if size > len(body)-at-5 {
			break
		}
		if size > 0 {
			return slices.Clone(body[:at+5]), body[at+5 : at+5+size], body[at+5+size:]
		}
		at += 5
	}
	return nil, nil, nil
}

// grpcMessages counts the messages of a body (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Length-Prefixed-Message").
func grpcMessages(body []byte) (n int) {
	for len(body) >= 5 {
		n++
		body = body[min(5+int(binary.BigEndian.Uint32(body[1:])), len(body)):]
	}
	return n
}

// body is the DATA that a lane keeps.
func (l *h2Lane) body() (body []byte) {
	for _, f := range l.queue {
		if f.kind == h2Data {
			body = append(body, f.payload...)
		}
	}
	return body
}

// replace puts another body where the first DATA stands, and its length where the headers tell it. What was said has been given back to its sender.
func (l *h2Lane) replace(body []byte) {
	var queue []h2Frame
	put := -1
	for _, f := range l.queue {
		switch {
		case f.kind == h2Headers:
			f.fields = slices.Clone(f.fields)
			for i := range f.fields {
				if f.fields[i].Name == "content-length" {
					f.fields[i].Value = strconv.Itoa(len(body))
				}
			}
		case f.kind == h2Data && put < 0:
			put = len(queue)
			f.payload, f.cost, f.credited = body, len(body), true
		case f.kind == h2Data:
			queue[put].flags |= f.flags
			continue
		}
		queue = append(queue, f)
	}
	l.queue = queue
}
