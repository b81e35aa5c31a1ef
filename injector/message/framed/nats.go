package framed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// NATS returns the row of NATS.
func NATS() message.Protocol {
	return message.Protocol{
		Name: "nats", Heads: true, Means: "NATS core and JetStream; TLS where the handshake comes first", Unit: "messages",
		Actions: message.AllActions(),
		Serve:   Serve(openNATS), Matches: matchSubject, Class: subjectClass, Operation: message.Words("MSG PUB"), Allow: allowNATS,
		Unpaired: func(message.Framing) string {
			return "a caller that gives up on a request keeps its connection, so that its wait has no end on the link"
		},
	}
}

// nats parses NATS core and JetStream (https://docs.nats.io/reference/reference-protocols/nats-protocol). A
// message is a PUB or HPUB from the client, or a MSG or HMSG from the server. All are one-way, and their path is
// the subject. A PUB with a reply subject is paired with the MSG on that subject, so a JetStream publish is
// answered by its acknowledgement. A loss affects only that message, unless the rule names an ending.
//
// INFO contains the server's addresses. It is rewritten so that clients reconnect through the link, and is the
// only message that changes without a rule. Status messages (heartbeats, flow control, no responders) are not
// subject to rules. Traffic after an upgrade to TLS and connections between servers are not parsed.
type nats struct {
	up, down     natsLines
	verbose      bool // each message is answered with +OK
	noResponders bool
	subs         map[string]*natsSub // by subscription ID, for generated answers
}

// natsSub is a subscription of the client.
type natsSub struct {
	subject     string
	seen, limit int // messages so far, and the number after which it ends; 0 means never
}

func openNATS(message.Config) Dialect {
	return &nats{
		up:   natsLines{words: []string{"PUB", "HPUB", "SUB", "UNSUB", "PING", "PONG", "CONNECT"}},
		down: natsLines{words: []string{"MSG", "HMSG", "+OK", "PING", "PONG", "INFO", "-ERR"}},
		subs: map[string]*natsSub{}, verbose: true, // the server's default until CONNECT
	}
}

// natsLines finds the ends of messages piece by piece.
type natsLines struct {
	words     []string
	line      []byte // the incomplete line
	remaining int    // remaining bytes of the payload
}

func (l *natsLines) feed(b []byte) (n int, whole bool, err error) {
	if l.remaining == 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			l.line = append(l.line, b...)
			return len(b), false, l.checkStart()
		}
		n = end + 1
		line := b[:n]
		if len(l.line) > 0 {
			l.line = append(l.line, line...)
			line = l.line
		}
		h, err := l.read(line)
		if err != nil {
			return n, false, err
		}
		l.line = l.line[:0]
		if h.payloadLen < 0 {
			return n, true, nil
		}
		l.remaining = h.payloadLen + len("\r\n")
	}
	take := min(l.remaining, len(b)-n)
	l.remaining -= take
	return n + take, l.remaining == 0, nil
}

// checkStart returns an error if the incomplete line cannot become a message. Other protocols may never send a
// line ending.
func (l *natsLines) checkStart() error {
	word := l.line[:min(len(l.line), 16)]
	end := bytes.IndexAny(word, " \t\r")
	ended := end >= 0
	if ended {
		word = word[:end]
	}
	for _, w := range l.words {
		if len(l.line) <= maxLineLen && len(word) <= len(w) && strings.EqualFold(w[:len(word)], string(word)) && (!ended || len(word) == len(w)) {
			return nil
		}
	}
	if l.line[0] == 0x16 {
		return fmt.Errorf("%w: TLS", ErrNotUnderstood)
	}
	return ErrNotUnderstood
}

// natsHead is the first line of a message.
type natsHead struct {
	word                  string // one of words
	args                  [5][]byte
	n                     int  // number of args
	reply                 bool // the args include a reply subject
	payloadLen, headerLen int  // sizes in bytes; payload includes head and is -1 for messages without payload
}

// read parses a line. It checks the arguments only of messages with a payload.
func (l *natsLines) read(line []byte) (natsHead, error) {
	h := natsHead{payloadLen: -1}
	word, rest := natsField(line)
	for _, w := range l.words {
		if strings.EqualFold(w, string(word)) && line[0] != ' ' && line[0] != '\t' {
			h.word = w
		}
	}
	most := 0
	switch h.word {
	case "":
		return h, ErrNotUnderstood
	case "PUB":
		most = 3
	case "HPUB", "MSG":
		most = 4
	case "HMSG":
		most = 5
	}
	for h.n < len(h.args) {
		var arg []byte
		if arg, rest = natsField(rest); len(arg) == 0 {
			break
		}
		h.args[h.n] = arg
		h.n++
	}
	if most == 0 {
		return h, nil
	}
	if more, _ := natsField(rest); len(more) > 0 {
		return h, ErrNotUnderstood
	}
	// Servers disagree about how to read such lines.
	if cr := bytes.IndexByte(line, '\r'); h.n < most-1 || h.n > most || (cr >= 0 && cr != len(line)-2) {
		return h, ErrNotUnderstood
	}
	h.reply = h.n == most
	h.payloadLen = natsSize(h.args[h.n-1])
	if h.word[0] == 'H' {
		h.headerLen = natsSize(h.args[h.n-2])
	}
	if h.payloadLen < 0 || h.headerLen < 0 || h.headerLen > h.payloadLen {
		return h, ErrNotUnderstood
	}
	return h, nil
}

// natsField returns the first word of a line and the rest.
func natsField(line []byte) (word, rest []byte) {
	line = bytes.TrimLeft(line, " \t")
	if end := bytes.IndexAny(line, " \t\r\n"); end >= 0 {
		return line[:end], line[end:]
	}
	return line, nil
}

func natsSize(b []byte) int {
	if len(b) == 0 || len(b) > 9 {
		return -1
	}
	n := 0
	for _, c := range b {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}

func (d *nats) Feed(dir message.Dir, b []byte) (int, bool, error) {
	if dir == message.ToServer {
		return d.up.feed(b)
	}
	return d.down.feed(b)
}

// Inspect also records subscriptions and options: messages without payload are forwarded at once.
func (d *nats) Inspect(dir message.Dir, raw []byte, _ *Frame) Frame {
	lines := &d.down
	if dir == message.ToServer {
		lines = &d.up
	}
	end := bytes.IndexByte(raw, '\n') + 1
	h, err := lines.read(raw[:end])
	if err != nil { // a large message of which not even the first line is buffered
		return Frame{}
	}
	if h.payloadLen < 0 {
		d.note(h, raw[:end])
		return Frame{Method: h.word}
	}
	f := Frame{Kind: OneWay, Method: strings.TrimPrefix(h.word, "H"), Path: string(h.args[0])}
	head := raw[end:min(end+h.headerLen, len(raw))]
	f.Payload = [2]int{end + len(head), max(end+len(head), min(end+h.payloadLen, len(raw)))}
	if h.headerLen > 0 {
		f.Header = func(name string) string { return natsHeader(head, name) }
		f.Key = natsHeader(head, "Nats-Msg-Id")
	}
	if dir == message.ToServer {
		if d.verbose {
			f.Immune = "its client asked for +OK after each"
		}
		if h.reply && !strings.HasPrefix(f.Path, "$JS.API.CONSUMER.MSG.NEXT.") { // requests many messages
			f.ID = string(h.args[1])
		}
		return f
	}
	d.delivered(string(h.args[1]))
	f.ID = f.Path
	if status := natsStatus(head); status != "" {
		f.Exempt, f.Detail = true, "status "+status
		return f
	}
	f.Detail = describeAck(raw[f.Payload[0]:f.Payload[1]])
	return f
}

// note records the options and subscriptions in a message without payload.
func (d *nats) note(h natsHead, line []byte) {
	switch h.word {
	case "CONNECT":
		var asked struct {
			Verbose      *bool `json:"verbose"`
			NoResponders bool  `json:"no_responders"`
		}
		_ = json.Unmarshal(line[len(h.word):], &asked) // on an error, the server ends the connection
		d.verbose = asked.Verbose == nil || *asked.Verbose
		d.noResponders = asked.NoResponders
	case "SUB":
		if h.n > 1 {
			d.subs[string(h.args[h.n-1])] = &natsSub{subject: string(h.args[0])}
		}
	case "UNSUB":
		sid := string(h.args[0])
		switch s := d.subs[sid]; {
		case s == nil:
		case h.n > 1 && natsSize(h.args[1]) > s.seen:
			s.limit = natsSize(h.args[1])
		default:
			delete(d.subs, sid)
		}
	}
}

// delivered counts a message for a subscription, which may end with it.
func (d *nats) delivered(sid string) {
	if s := d.subs[sid]; s != nil {
		if s.seen++; s.seen == s.limit {
			delete(d.subs, sid)
		}
	}
}

func (*nats) Sent(*Frame) {}

// natsHeader returns the value of a header. Header names in NATS are case-sensitive.
func natsHeader(head []byte, name string) string {
	for line := range bytes.Lines(head) {
		if n, v, ok := bytes.Cut(line, []byte(":")); ok && string(n) == name {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// natsStatus returns the status in the first line of a header, or "" for a published message.
func natsStatus(head []byte) string {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	status, _ := natsField(bytes.TrimPrefix(line, []byte("NATS/1.0")))
	return string(status)
}

// describeAck describes JetStream's answer to a publish.
func describeAck(payload []byte) string {
	if len(payload) > 1024 || (!bytes.HasPrefix(payload, []byte(`{"stream":`)) && !bytes.HasPrefix(payload, []byte(`{"error":`))) {
		return ""
	}
	var ack struct {
		Seq       uint64
		Duplicate bool
		Error     *struct {
			Code int `json:"err_code"`
		}
	}
	switch err := json.Unmarshal(payload, &ack); {
	case err != nil:
		return ""
	case ack.Error != nil:
		return "error " + strconv.Itoa(ack.Error.Code)
	case ack.Duplicate:
		return "duplicate of seq " + strconv.FormatUint(ack.Seq, 10)
	case ack.Seq == 0:
		return ""
	}
	return "stored seq " + strconv.FormatUint(ack.Seq, 10)
}
