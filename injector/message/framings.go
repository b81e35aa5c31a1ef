package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// Framing describes how a custom protocol marks its messages, for "lines" and "lengths". The zero value is lines
// without answers.
type Framing struct {
	Width    int  // "lengths": size of the length prefix in bytes: 1, 2, 4 or 8
	Little   bool // "lengths": little-endian
	Includes bool // "lengths": the length includes the prefix
	Lockstep bool // each message to the server has one answer, in order; otherwise messages are unrelated
}

// Check returns an error if the framing is invalid for a protocol.
func (g Framing) Check(protocol string) error {
	switch {
	case protocol == "lengths" && g.Width != 1 && g.Width != 2 && g.Width != 4 && g.Width != 8:
		return fmt.Errorf("framing with a length of %s: its width must be 1, 2, 4 or 8", plural(g.Width, "byte"))
	case protocol == "lines" && g != Framing{Lockstep: g.Lockstep}:
		return errors.New("framing of lines: there is no length; it can only be in lockstep")
	case protocol != "lengths" && protocol != "lines" && g != Framing{}:
		return fmt.Errorf("framing of %s: only lines and lengths have one to declare", protocol)
	}
	return nil
}

// Allows returns an error if a rule is invalid for messages with this framing.
func (g Framing) Allows(protocol string, r Rule) error {
	if g.Lockstep && r.Dir == ToClient {
		return fmt.Errorf("%s %s: in lockstep whatever comes back is an answer: choose replies", r.Action, r.Dir)
	}
	if (protocol != "lines" && protocol != "lengths") || (r.Action != Answer && !r.Action.OfReply()) || g.Lockstep {
		return nil
	}
	return fmt.Errorf("%s: no message is known to be answered; if each to the server is, declare the framing as lockstep", r.Action)
}

// message returns the properties of a message whose content is at body.
func (g Framing) message(dir Dir, method string, body [2]int) frame {
	f := frame{kind: isOneWay, method: method, payload: body}
	if g.Lockstep {
		f.kind, f.final = isRequest, true
		if dir == ToClient {
			f.kind = isAnswer
		}
	}
	return f
}

// lines parses messages that end with a line feed. The first word is the operation if it looks like one, and the
// rest is the payload.
type lines struct {
	Framing
	end string // line ending of the client
}

func openLines(cfg Config) dialect { return &lines{Framing: cfg.Framing, end: "\n"} }

func (*lines) feed(_ Dir, b []byte) (int, bool, error) {
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		return end + 1, true, nil
	}
	return len(b), false, nil
}

func (d *lines) inspect(dir Dir, raw []byte, _ *frame) frame {
	text := trim(raw)
	if end := string(raw[len(text):]); dir == ToServer && end != "" {
		d.end = end
	}
	word, from := text, 0
	if i := bytes.IndexAny(text, " \t"); i > 0 {
		word = text[:i]
		if rest := bytes.TrimLeft(text[i:], " \t"); len(rest) > 0 {
			from = len(text) - len(rest)
		}
	}
	return d.message(dir, operation(word), [2]int{from, len(text)})
}

// operation returns a word that looks like an operation, or "".
func operation(word []byte) string {
	for i, c := range word {
		letter := (c|0x20 >= 'a' && c|0x20 <= 'z') || c == '_'
		if i >= 32 || (!letter && (i == 0 || (c != '-' && c != '.' && (c < '0' || c > '9')))) {
			return ""
		}
	}
	return string(word)
}

func (*lines) sent(*frame) {}

// trim implements trimmer.
func (*lines) trim(f frame, raw []byte, keep int) []byte {
	return append(append([]byte(nil), raw[:f.payload[0]+keep]...), raw[f.payload[1]:]...)
}

// refuse implements refuser. The rule's code is the text of the error.
func (d *lines) refuse(code string, _ frame) ([]byte, error) { return []byte(code + d.end), nil }

func allowLines(r Rule) error {
	if r.Action == Answer && (r.Code == "" || strings.ContainsAny(r.Code, "\r\n")) {
		return fmt.Errorf("answer with %q: it must be one line", r.Code)
	}
	return nil
}

// lengths parses messages that begin with their length.
type lengths struct {
	Framing
	directions [2]lengthWay
}

// lengthWay finds the ends of messages in one direction.
type lengthWay struct {
	prefix    []byte
	remaining uint64
}

func openLengths(cfg Config) dialect { return &lengths{Framing: cfg.Framing} }

func (d *lengths) feed(dir Dir, b []byte) (int, bool, error) {
	w, n := &d.directions[dir], 0
	if w.remaining == 0 {
		n = min(d.Width-len(w.prefix), len(b))
		if w.prefix = append(w.prefix, b[:n]...); len(w.prefix) < d.Width {
			return n, false, nil
		}
		w.remaining = d.length(w.prefix)
		w.prefix = w.prefix[:0]
		if d.Includes {
			if w.remaining < uint64(d.Width) { //nolint:gosec // 1 to 8
				return n, false, errDialect
			}
			w.remaining -= uint64(d.Width) //nolint:gosec // 1 to 8
		}
	}
	take := min(w.remaining, uint64(len(b)-n))
	w.remaining -= take
	return n + int(take), w.remaining == 0, nil //nolint:gosec // at most len(b)
}

// length decodes a length prefix.
func (g Framing) length(prefix []byte) uint64 {
	var wide [8]byte
	if g.Little {
		copy(wide[:], prefix)
		return binary.LittleEndian.Uint64(wide[:])
	}
	copy(wide[8-g.Width:], prefix)
	return binary.BigEndian.Uint64(wide[:])
}

// withLength returns body with its length prefix. It returns false if the length does not fit.
func (g Framing) withLength(body []byte) ([]byte, bool) {
	n := uint64(len(body))
	if g.Includes {
		n += uint64(g.Width) //nolint:gosec // 1 to 8
	}
	if g.Width < 8 && n > uint64(math.MaxUint64)>>(64-8*g.Width) {
		return nil, false
	}
	var out []byte
	if g.Little {
		out = binary.LittleEndian.AppendUint64(nil, n)[:g.Width]
	} else {
		out = binary.BigEndian.AppendUint64(nil, n)[8-g.Width:]
	}
	return append(out, body...), true
}

func (d *lengths) inspect(dir Dir, raw []byte, _ *frame) frame {
	return d.message(dir, "", [2]int{min(d.Width, len(raw)), len(raw)})
}

func (*lengths) sent(*frame) {}

// trim implements trimmer.
func (d *lengths) trim(f frame, raw []byte, keep int) []byte {
	out, _ := d.withLength(raw[f.payload[0] : f.payload[0]+keep]) // always fits: it is shorter than before
	return out
}

// refuse implements refuser. The rule's code is the text of the error.
func (d *lengths) refuse(code string, _ frame) ([]byte, error) {
	out, ok := d.withLength([]byte(code))
	if !ok {
		return nil, fmt.Errorf("answer with %s: a length of %s cannot tell so much", plural(len(code), "byte"), plural(d.Width, "byte"))
	}
	return out, nil
}

func allowLengths(r Rule) error {
	if r.Action == Answer && r.Code == "" {
		return errors.New("answer with nothing: say what")
	}
	return nil
}
