package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// nats follows NATS core and JetStream (https://docs.nats.io/reference/reference-protocols/nats-protocol). A message is a PUB or HPUB of the client, or a MSG or
// HMSG of the server; both are one-way, and their path is the subject. A PUB that names a reply subject is paired with the MSG on that subject, so a
// JetStream publish is answered by its acknowledgement. A loss takes that message only, unless the rule names an ending: nothing in NATS ends with it.
//
// INFO names the server's addresses; it is rewritten so that a client that connects anew comes back to the link, and is the only message that is
// changed without a rule. Status messages (heartbeats, flow control, no responders) are JetStream's own and met by no rule. What comes after a change
// to TLS is not followed, nor are the connections between servers.
type nats struct {
	up, down     natsLines
	verbose      bool // each message is answered with +OK
	noResponders bool
	subs         map[string]*natsSub // by their number, for answers of the relay's own
}

// natsSub is a subscription of the client.
type natsSub struct {
	subject    string
	seen, most int // messages so far, and after how many it ends; 0 means never
}

func openNATS(Config) dialect {
	return &nats{
		up:   natsLines{words: []string{"PUB", "HPUB", "SUB", "UNSUB", "PING", "PONG", "CONNECT"}},
		down: natsLines{words: []string{"MSG", "HMSG", "+OK", "PING", "PONG", "INFO", "-ERR"}},
		subs: map[string]*natsSub{}, verbose: true, // as the server has it, until CONNECT says otherwise
	}
}

// natsLines finds the end of a message, piece by piece.
type natsLines struct {
	words []string
	line  []byte // under way
	skip  int    // bytes of a payload that are still to come
}

func (l *natsLines) feed(b []byte) (n int, whole bool, err error) {
	if l.skip == 0 {
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			l.line = append(l.line, b...)
			return len(b), false, l.begins()
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
		if h.payload < 0 {
			return n, true, nil
		}
		l.skip = h.payload + len("\r\n")
	}
	take := min(l.skip, len(b)-n)
	l.skip -= take
	return n + take, l.skip == 0, nil
}

// begins tells whether the line under way can become a message. Other protocols may never send its end.
func (l *natsLines) begins() error {
	word := l.line[:min(len(l.line), 16)]
	end := bytes.IndexAny(word, " \t\r")
	ended := end >= 0
	if ended {
		word = word[:end]
	}
	for _, w := range l.words {
		if len(l.line) <= longestLine && len(word) <= len(w) && strings.EqualFold(w[:len(word)], string(word)) && (!ended || len(word) == len(w)) {
			return nil
		}
	}
	if l.line[0] == 0x16 {
		return fmt.Errorf("%w: TLS", errDialect)
	}
	return errDialect
}

// natsHead is the first line of a message.
type natsHead struct {
	word          string // as in words
	args          [5][]byte
	n             int  // of args
	reply         bool // args holds one
	payload, head int  // their sizes, that of the payload with its head; -1 where the line is all
}

// read takes a line apart; only messages with a payload must have the right arguments.
func (l *natsLines) read(line []byte) (natsHead, error) {
	h := natsHead{payload: -1}
	word, rest := natsField(line)
	for _, w := range l.words {
		if strings.EqualFold(w, string(word)) && line[0] != ' ' && line[0] != '\t' {
			h.word = w
		}
	}
	most := 0
	switch h.word {
	case "":
		return h, errDialect
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
		return h, errDialect
	}
	if cr := bytes.IndexByte(line, '\r'); h.n < most-1 || h.n > most || (cr >= 0 && cr != len(line)-2) { // elsewhere servers read it in ways of their own
		return h, errDialect
	}
	h.reply = h.n == most
	h.payload = natsSize(h.args[h.n-1])
	if h.word[0] == 'H' {
		h.head = natsSize(h.args[h.n-2])
	}
	if h.payload < 0 || h.head < 0 || h.head > h.payload {
		return h, errDialect
	}
	return h, nil
}

// natsField is the first word of a line, and what comes after it.
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

func (d *nats) feed(dir Dir, b []byte) (int, bool, error) {
	if dir == ToServer {
		return d.up.feed(b)
	}
	return d.down.feed(b)
}

// look also keeps what the client asked for: what is of no payload goes on at once.
func (d *nats) look(dir Dir, raw []byte, _ *frame) frame {
	lines := &d.down
	if dir == ToServer {
		lines = &d.up
	}
	end := bytes.IndexByte(raw, '\n') + 1
	h, err := lines.read(raw[:end])
	if err != nil { // of a message larger than what is kept, and even its first line is
		return frame{}
	}
	if h.payload < 0 {
		d.note(h, raw[:end])
		return frame{method: h.word}
	}
	f := frame{kind: isOneWay, method: strings.TrimPrefix(h.word, "H"), path: string(h.args[0])}
	head := raw[end:min(end+h.head, len(raw))]
	f.payload = [2]int{end + len(head), max(end+len(head), min(end+h.payload, len(raw)))}
	if h.head > 0 {
		f.header = func(name string) string { return natsHeader(head, name) }
		f.key = natsHeader(head, "Nats-Msg-Id")
	}
	if dir == ToServer {
		if d.verbose {
			f.immune = "its client asked for +OK after each"
		}
		if h.reply && !strings.HasPrefix(f.path, "$JS.API.CONSUMER.MSG.NEXT.") { // which asks for many
			f.id = string(h.args[1])
		}
		return f
	}
	d.delivered(string(h.args[1]))
	f.id = f.path
	if status := natsStatus(head); status != "" {
		f.exempt, f.says = true, "status "+status
		return f
	}
	f.says = natsSays(raw[f.payload[0]:f.payload[1]])
	return f
}

// note keeps what a message without a payload says of the connection.
func (d *nats) note(h natsHead, line []byte) {
	switch h.word {
	case "CONNECT":
		var asked struct {
			Verbose      *bool `json:"verbose"`
			NoResponders bool  `json:"no_responders"`
		}
		_ = json.Unmarshal(line[len(h.word):], &asked) // else the server ends the connection
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
			s.most = natsSize(h.args[1])
		default:
			delete(d.subs, sid)
		}
	}
}

// delivered counts a message for a subscription, which may end with it.
func (d *nats) delivered(sid string) {
	if s := d.subs[sid]; s != nil {
		if s.seen++; s.seen == s.most {
			delete(d.subs, sid)
		}
	}
}

func (*nats) sent(*frame) {}

// natsHeader is the value of a header, whose case matters in NATS.
func natsHeader(head []byte, name string) string {
	for line := range bytes.Lines(head) {
		if n, v, ok := bytes.Cut(line, []byte(":")); ok && string(n) == name {
			return string(bytes.TrimSpace(v))
		}
	}
	return ""
}

// natsStatus is the status in a head's first line: "" of a message that somebody published.
func natsStatus(head []byte) string {
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	status, _ := natsField(bytes.TrimPrefix(line, []byte("NATS/1.0")))
	return string(status)
}

// natsSays is what JetStream's answer to a publish comes to.
func natsSays(payload []byte) string {
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
