package framed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize/english"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// Lines returns the row of messages that end with a line feed.
func Lines() message.Protocol {
	return message.Protocol{
		Name: "lines", Means: "messages of your own that end with a line feed", Unit: "messages",
		Actions: message.AllActions(),
		Serve:   Serve(openLines), Matches: message.MatchWords, Class: message.ClassByParts(":"), Allow: allowLines, Frames: framesLines, Unpaired: unpairedFramed,
		Operation: func(string) bool { return true }, // there are no objects
	}
}

// Lengths returns the row of messages that begin with their length.
func Lengths() message.Protocol {
	return message.Protocol{
		Name: "lengths", Means: "messages of your own that begin with their length", Unit: "messages",
		Actions: message.AllActions(),
		Serve:   Serve(openLengths), Matches: message.MatchWords, Class: message.ClassByParts(":"), Allow: allowLengths, Frames: framesLengths, Unpaired: unpairedFramed,
	}
}

func framesLines(g message.Framing) error {
	if g != (message.Framing{Lockstep: g.Lockstep}) {
		return errors.New("framing of lines: there is no length; it can only be in lockstep")
	}
	return nil
}

func framesLengths(g message.Framing) error {
	if g.Width != 1 && g.Width != 2 && g.Width != 4 && g.Width != 8 {
		return fmt.Errorf("framing with a length of %s: its width must be 1, 2, 4 or 8", english.Plural(g.Width, "byte", ""))
	}
	return nil
}

// allowFramed returns an error if a rule is invalid for messages with a declared framing.
func allowFramed(r message.Rule, g message.Framing) error {
	switch {
	case g.Lockstep && r.Dir == message.ToClient:
		return fmt.Errorf("%s %s: in lockstep whatever comes back is an answer: choose replies", r.Action, r.Dir)
	case (r.Action == message.Answer || r.Action.OfReply()) && !g.Lockstep:
		return fmt.Errorf("%s: no message is known to be answered; if each to the server is, declare the framing as lockstep", r.Action)
	}
	return nil
}

// unpairedFramed implements Protocol.Unpaired.
func unpairedFramed(g message.Framing) string {
	if g.Lockstep {
		return ""
	}
	return "no message is known to be answered; if each to the server is, declare the framing as lockstep"
}

// framing is the declared framing of a connection.
type framing struct{ message.Framing }

// message returns the properties of a message whose content is at body.
func (g framing) message(dir message.Dir, method string, body [2]int) Frame {
	f := Frame{Kind: OneWay, Method: method, Payload: body}
	if g.Lockstep {
		f.Kind, f.Final = Request, true
		if dir == message.ToClient {
			f.Kind = Response
		}
	}
	return f
}

// lines parses messages that end with a line feed. The first word is the operation if it looks like one, and the
// rest is the payload.
type lines struct {
	framing
	end   string // line ending of the client
	begun bool   // the client has sent something
}

func openLines(cfg message.Config) Dialect { return &lines{framing: framing{cfg.Framing}, end: "\n"} }

func (d *lines) Feed(dir message.Dir, b []byte) (int, bool, error) {
	if dir == message.ToServer && !d.begun {
		if d.begun = true; b[0] == 0x16 { // a handshake, which may contain line feeds
			return 0, false, fmt.Errorf("%w: TLS", ErrNotUnderstood)
		}
	}
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		return end + 1, true, nil
	}
	return len(b), false, nil
}

func (d *lines) Inspect(dir message.Dir, raw []byte, _ *Frame) Frame {
	text := duplex.TrimLine(raw)
	if end := string(raw[len(text):]); dir == message.ToServer && end != "" {
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

func (*lines) Sent(*Frame) {}

// Trim implements Trimmer.
func (*lines) Trim(f Frame, raw []byte, keep int) []byte {
	return append(append([]byte(nil), raw[:f.Payload[0]+keep]...), raw[f.Payload[1]:]...)
}

// Refuse implements Refuser. The rule's code is the text of the error.
func (d *lines) Refuse(code string, _ Frame) ([]byte, error) { return []byte(code + d.end), nil }

func allowLines(r message.Rule, g message.Framing) error {
	switch m := r.Match; {
	case m.Path != "":
		return fmt.Errorf("%q: a message of lines has an operation, its first word, and no object: write %q", m.Method+" "+m.Path, m.Method)
	case m.Method != "" && operation([]byte(m.Method)) == "":
		return fmt.Errorf("%q: an operation of lines is a word of letters, digits, _, - and dots that begins with a letter, at most 32 of them", m.Method)
	case r.Action == message.Answer && (r.Code == "" || strings.ContainsAny(r.Code, "\r\n")):
		return fmt.Errorf("answer with %q: it must be one line", r.Code)
	}
	return allowFramed(r, g)
}

// lengths parses messages that begin with their length.
type lengths struct {
	framing
	directions [2]lengthWay
}

// lengthWay finds the ends of messages in one direction.
type lengthWay struct {
	prefix    []byte
	remaining uint64
}

func openLengths(cfg message.Config) Dialect { return &lengths{framing: framing{cfg.Framing}} }

func (d *lengths) Feed(dir message.Dir, b []byte) (int, bool, error) {
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
				return n, false, ErrNotUnderstood
			}
			w.remaining -= uint64(d.Width) //nolint:gosec // 1 to 8
		}
	}
	take := min(w.remaining, uint64(len(b)-n))
	w.remaining -= take
	return n + int(take), w.remaining == 0, nil //nolint:gosec // at most len(b)
}

// length decodes a length prefix.
func (g framing) length(prefix []byte) uint64 {
	var wide [8]byte
	if g.Little {
		copy(wide[:], prefix)
		return binary.LittleEndian.Uint64(wide[:])
	}
	copy(wide[8-g.Width:], prefix)
	return binary.BigEndian.Uint64(wide[:])
}

// withLength returns body with its length prefix. It returns false if the length does not fit.
func (g framing) withLength(body []byte) ([]byte, bool) {
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

func (d *lengths) Inspect(dir message.Dir, raw []byte, _ *Frame) Frame {
	return d.message(dir, "", [2]int{min(d.Width, len(raw)), len(raw)})
}

func (*lengths) Sent(*Frame) {}

// Trim implements Trimmer.
func (d *lengths) Trim(f Frame, raw []byte, keep int) []byte {
	out, _ := d.withLength(raw[f.Payload[0] : f.Payload[0]+keep]) // always fits: it is shorter than before
	return out
}

// Refuse implements Refuser. The rule's code is the text of the error.
func (d *lengths) Refuse(code string, _ Frame) ([]byte, error) {
	out, ok := d.withLength([]byte(code))
	if !ok {
		return nil, fmt.Errorf("answer with %s: a length of %s cannot express that", english.Plural(len(code), "byte", ""), english.Plural(d.Width, "byte", ""))
	}
	return out, nil
}

func allowLengths(r message.Rule, g message.Framing) error {
	switch m := r.Match; {
	case m.Method != "" || m.Path != "":
		return fmt.Errorf("%q: messages that begin with their length have no operations to choose by: choose by a share or a count", strings.TrimSpace(m.Method+" "+m.Path))
	case r.Action == message.Answer && r.Code == "":
		return errors.New("the answer is empty: write what to answer with")
	}
	return allowFramed(r, g)
}
