package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxHead bounds a message's head; beyond it the connection goes through as plain bytes.
const maxHead = 256 << 10

// errNotHTTP tells that the bytes cannot be followed as HTTP/1.1: they go on as they are.
var errNotHTTP = errors.New("not understood as HTTP/1.1")

// framing says where a body ends (RFC 9112, section 6.3).
type framing uint8

const (
	noBody framing = iota
	sized
	chunked
	untilClose
)

// head is the start of a message: its exact bytes and what the relay has to know of them.
type head struct {
	raw     []byte // request or status line, fields, and the empty line
	line    string // the first without its end
	method  string // of a request
	target  string
	status  int // of a response
	body    framing
	size    int64 // of a sized body
	key     string
	close   bool // the connection ends after this message
	upgrade bool // a request that asks for another protocol, CONNECT included
	expects bool // Expect: 100-continue
	fields  fields
}

type fields struct {
	last                  string // name of the latest, as in concerning
	length, encoding      string
	lengths, codings      int
	connection            string
	http10, upgradeHeader bool
}

// readHead reads one head. At an orderly end before its first byte the error is io.EOF; bytes that are no head come back in head.raw with errNotHTTP.
func readHead(r *bufio.Reader, request bool) (*head, error) {
	h := &head{}
	return h, h.read(r, request)
}

// read reads a head, see readHead. One that was read before may be read into again: its raw bytes are overwritten then.
func (h *head) read(r *bufio.Reader, request bool) error {
	*h = head{raw: h.raw[:0]}
	if b, _ := r.Peek(1); request && len(b) == 1 && !begins(b[0]) {
		return errNotHTTP // what has no lines is not waited for
	}
	h.raw = slices.Grow(h.raw, min(r.Buffered(), 1<<10)) // most heads are at hand, and not much else is
	for first := true; ; {
		line, err := readLine(r, maxHead-len(h.raw))
		h.raw = append(h.raw, line...)
		if err != nil {
			return err
		}
		text := trim(line)
		switch {
		case bytes.IndexByte(text, '\r') >= 0:
			return errNotHTTP // a line's end to some readers
		case first && len(text) == 0:
			continue // empty lines before a request line are to be skipped (RFC 9112, section 2.2); they stay in raw
		case first:
			if first = false; !h.start(string(text), request) {
				return errNotHTTP
			}
		case len(text) == 0:
			return h.frame(request)
		case !h.field(text):
			return errNotHTTP
		}
	}
}

// begins tells whether a request may begin so: with its method, or an empty line before it.
func begins(b byte) bool { return b == '\r' || b == '\n' || tokens[b] }

// strange names what came instead of HTTP/1.1: raw, or when that is empty what is at hand.
func strange(raw []byte, r *bufio.Reader) string {
	if len(raw) == 0 {
		raw, _ = r.Peek(r.Buffered())
	}
	switch {
	case bytes.HasPrefix(raw, []byte("PRI * HTTP/2")): // RFC 9113, section 3.4
		return "it is HTTP/2"
	case bytes.HasPrefix(raw, []byte{0x16, 3}): // a handshake (RFC 8446, section 5.1)
		return "it is TLS, which the link does not end"
	}
	return errNotHTTP.Error()
}

// trim takes a line's end off: CR LF, or LF alone.
func trim(line []byte) []byte {
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r"))
}

// readLine returns a line with its end, at most limit bytes. It is good until the next read.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	for line := []byte(nil); ; {
		part, err := r.ReadSlice('\n')
		if err == nil && line == nil {
			line = part // as it lies in the buffer
		} else {
			line = append(line, part...)
		}
		switch {
		case len(line) > limit:
			return line, errNotHTTP
		case err == nil:
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if errors.Is(err, io.EOF) && len(line) > 0 {
				return line, io.ErrUnexpectedEOF
			}
			return line, err
		}
	}
}

func (h *head) start(line string, request bool) bool {
	a, rest, ok := strings.Cut(line, " ")
	if !ok {
		return false
	}
	if request {
		i := strings.LastIndexByte(rest, ' ')
		if i < 0 || !token(a) || !version(rest[i+1:]) {
			return false
		}
		h.line, h.method, h.target = line, a, rest[:i]
		h.fields.http10 = rest[i+1:] == "HTTP/1.0"
		return true
	}
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || status < 100 || !version(a) {
		return false
	}
	h.status = status
	h.fields.http10 = a == "HTTP/1.0"
	return true
}

func version(s string) bool {
	return len(s) == len("HTTP/1.1") && strings.HasPrefix(s, "HTTP/1.") && s[7] >= '0' && s[7] <= '9'
}

// token tells whether s is a method's or a field's name (RFC 9110, section 5.6.2: letters, digits and a few marks).
func token[T string | []byte](s T) bool {
	for i := range len(s) {
		if !tokens[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// tokens are the bytes of a token.
var tokens = func() (in [256]bool) {
	for c := '!'; c < 0x7f; c++ {
		in[c] = !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	}
	return in
}()

// concerning is which of the fields that the relay looks at has this name; "-" is none.
func concerning(name []byte) string {
	for _, known := range [...]string{"content-length", "transfer-encoding", "connection", "upgrade", "expect", "idempotency-key"} {
		if len(name) == len(known) && bytes.EqualFold(name, []byte(known)) {
			return known
		}
	}
	return "-"
}

// field looks at a field line; false when other readers may understand it otherwise.
func (h *head) field(line []byte) bool {
	f := &h.fields
	if line[0] == ' ' || line[0] == '\t' { // the line before goes on: of no concern, unless that says where the body ends
		fine := f.last != ""
		switch f.last {
		case "content-length", "transfer-encoding", "connection", "upgrade", "expect":
			fine = false
		}
		return fine
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !token(name) {
		return false
	}
	if f.last = concerning(name); f.last == "-" {
		return true
	}
	text := string(bytes.TrimSpace(value))
	switch f.last {
	case "content-length":
		h.fields.lengths++
		h.fields.length = text
	case "transfer-encoding":
		h.fields.codings++
		h.fields.encoding = strings.ToLower(text)
	case "connection":
		h.fields.connection += "," + strings.ToLower(text)
	case "upgrade":
		h.fields.upgradeHeader = true
	case "expect":
		h.expects = strings.EqualFold(text, "100-continue")
	case "idempotency-key":
		h.key = text
	}
	return true
}

// frame decides where the body ends. Messages that two readers could frame differently are not followed.
func (h *head) frame(request bool) error {
	f := &h.fields
	has := func(option string) bool {
		for o := range strings.SplitSeq(f.connection, ",") {
			if strings.TrimSpace(o) == option {
				return true
			}
		}
		return false
	}
	h.close = has("close") || (f.http10 && !has("keep-alive"))
	h.upgrade = h.method == "CONNECT" || (f.upgradeHeader && has("upgrade"))
	switch {
	case f.codings > 0:
		if !request && f.codings == 1 && f.lengths == 0 && !strings.HasSuffix(f.encoding, "chunked") {
			h.body = untilClose // RFC 9112, section 6.3, rule 4
			return nil
		}
		if f.codings > 1 || f.lengths > 0 || f.encoding != "chunked" || f.http10 {
			return errNotHTTP
		}
		h.body = chunked
	case f.lengths > 0:
		size, err := strconv.ParseInt(f.length, 10, 63)
		if f.lengths > 1 || err != nil || f.length[0] < '0' {
			return errNotHTTP
		}
		h.body, h.size = sized, size
	case !request:
		h.body = untilClose
	}
	return nil
}

// answers adapts a response's framing to the request that it answers (RFC 9112, section 6.3, rules 1 and 2).
func (h *head) answers(method string) {
	switch {
	case method == "HEAD", h.status == 204, h.status == 304, h.interim():
		h.body = noBody
	case method == "CONNECT" && h.status/100 == 2:
		h.body = noBody
	}
}

// interim tells whether a final response is still to come.
func (h *head) interim() bool { return h.status/100 == 1 && h.status != 101 }

// op is the method and the path without query, as evidence names it.
func (h *head) op() string {
	path := h.path()
	if strings.HasPrefix(h.target, path) {
		return h.line[:len(h.method)+1+len(path)]
	}
	return h.method + " " + path
}

func (h *head) path() string {
	path := h.target
	if i := strings.Index(path, "://"); i >= 0 && h.method != "CONNECT" {
		path = path[i+3:]
		if j := strings.IndexByte(path, '/'); j >= 0 {
			path = path[j:]
		} else {
			path = "/"
		}
	}
	path, _, _ = strings.Cut(path, "?")
	return path
}

// header is the value of the first field of a name, "" without one.
func (h *head) header(name string) string {
	for line := range bytes.Lines(h.raw) {
		field, value, ok := bytes.Cut(trim(line), []byte(":"))
		if ok && strings.EqualFold(string(field), name) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}
