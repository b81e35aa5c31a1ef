package http2

import (
	"encoding/binary"
	"errors"
	"slices"
	"strconv"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// payload is the payload of a message that a lane holds; for gRPC, the first message with a payload.
type payload struct {
	c *Conn
	s *stream
	w *way
}

func (p *payload) parts() (before, payload, after []byte) {
	p.c.Lock()
	defer p.c.Unlock()
	body := p.w.lane(p.s).body()
	if p.s.grpc {
		return grpcPayload(body)
	}
	return nil, body, nil
}

func (p *payload) Size(bool) int {
	_, payload, _ := p.parts()
	return len(payload)
}

func (p *payload) Damage(at int, cut bool) error {
	before, payload, after := p.parts()
	damaged := slices.Clone(payload[:at])
	if !cut {
		damaged = slices.Clone(payload)
		damaged[at] ^= 0x01
	}
	if p.s.grpc {
		binary.BigEndian.PutUint32(before[len(before)-4:], uint32(len(damaged))) //nolint:gosec // at most what it was
	}
	p.put(slices.Concat(before, damaged, after))
	return nil
}

// ReplaceBody implements message.BodyCarrier.
func (p *payload) ReplaceBody(body []byte) error {
	if p.Size(false) == 0 {
		return errors.New(message.NoPayload)
	}
	p.c.Lock()
	queue := p.w.lane(p.s).queue
	for i := range queue {
		p.w.heldWeight -= queue[i].weight()
		(&headers{&queue[i]}).ChangeHeaders([]message.Header{{Name: "Content-Encoding"}})
		p.w.heldWeight += queue[i].weight()
	}
	p.c.Unlock()
	p.put(body)
	return nil
}

// put replaces the held body.
func (p *payload) put(body []byte) {
	p.c.Lock()
	defer p.c.Unlock()
	w, l := p.w, p.w.lane(p.s)
	for i := range l.queue {
		w.refund(p.s, &l.queue[i]) // frames that have not been credited yet are about to be replaced
		w.heldWeight -= l.queue[i].weight()
	}
	l.replace(body)
	for _, f := range l.queue {
		w.heldWeight += f.weight()
	}
}

// grpcPayload returns the payload of the first message that has one. before ends with its length in four bytes.
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

// grpcMessages counts the messages of a body (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md,
// "Length-Prefixed-Message").
func grpcMessages(body []byte) (n int) {
	for len(body) >= 5 {
		n++
		body = body[min(5+int(binary.BigEndian.Uint32(body[1:])), len(body)):]
	}
	return n
}

// body returns the data of the held DATA frames.
func (l *lane) body() (body []byte) {
	for _, f := range l.queue {
		if f.kind == frameData {
			body = append(body, f.payload...)
		}
	}
	return body
}

// replace replaces the held body, and the value of content-length. The sender has got its credit for the old
// body back.
func (l *lane) replace(body []byte) {
	var queue []frame
	put := -1
	for _, f := range l.queue {
		switch {
		case f.kind == frameHeaders:
			f.fields = slices.Clone(f.fields)
			for i := range f.fields {
				if f.fields[i].Name == "content-length" {
					f.fields[i].Value = strconv.Itoa(len(body))
				}
			}
		case f.kind == frameData && put < 0:
			put = len(queue)
			f.payload, f.cost, f.credited = body, len(body), true
		case f.kind == frameData:
			queue[put].flags |= f.flags
			continue
		}
		queue = append(queue, f)
	}
	l.queue = queue
}
