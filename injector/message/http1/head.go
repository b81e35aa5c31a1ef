package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message/duplex"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

// maxHead limits the head of a message. Beyond it, the connection is relayed as plain bytes.
const maxHead = 256 << 10

// errNotHTTP means that the input cannot be parsed as HTTP/1.1 and must be passed through.
var errNotHTTP = errors.New("not understood as HTTP/1.1")

// bodyFraming is how the end of a body is determined (RFC 9112, section 6.3).
type bodyFraming uint8

const (
	noBody bodyFraming = iota
	sized
	chunked
	untilClose
)

// head is the head of a message: its exact bytes and the properties that the relay needs.
type head struct {
	raw     []byte // request or status line, fields, and the empty line
	line    string // the request line, without its line ending
	method  string // of a request
	target  string
	status  int // of a response
	body    bodyFraming
	size    int64 // of a sized body
	key     string
	close   bool // the connection ends after this message
	upgrade bool // a request for another protocol, including CONNECT
	expects bool // Expect: 100-continue
	fields  fields

	guidance *http2.Guidance // reads the body of a response that tells the client where other servers are; otherwise nil
}

type fields struct {
	last                  string // name of the latest field, as returned by knownField
	length, encoding      string
	lengths, codings      int
	connection            string
	http10, upgradeHeader bool
}

// readHead reads one head. The error is io.EOF if the input ends before the first byte, and errNotHTTP if the
// input is not a head; head.raw then holds the input.
func readHead(r *bufio.Reader, request bool) (*head, error) {
	h := &head{}
	return h, h.read(r, request)
}

// read is like readHead, but reuses h and overwrites the bytes of a previous head.
func (h *head) read(r *bufio.Reader, request bool) error {
	*h = head{raw: h.raw[:0]}
	if b, _ := r.Peek(1); request && len(b) == 1 && !startsRequest(b[0]) {
		return errNotHTTP // do not wait for a line ending that may never arrive
	}
	h.raw = slices.Grow(h.raw, min(r.Buffered(), 1<<10)) // most heads are buffered completely
	for first := true; ; {
		line, err := readLine(r, maxHead-len(h.raw))
		h.raw = append(h.raw, line...)
		if err != nil {
			return err
		}
		text := duplex.TrimLine(line)
		switch {
		case bytes.IndexByte(text, '\r') >= 0:
			return errNotHTTP // some parsers take it for a line ending
		case first && len(text) == 0:
			continue // skip empty lines before a request line, but keep them in raw (RFC 9112, section 2.2)
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

// startsRequest reports whether a request may start with b: a method, or an empty line before it.
func startsRequest(b byte) bool { return b == '\r' || b == '\n' || tokens[b] }

// describeUnknown describes input that is not HTTP/1.1. If raw is empty, it looks at the buffer of r.
func describeUnknown(raw []byte, r *bufio.Reader) string {
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

// readLine returns a line with its ending, of at most limit bytes. It is valid until the next read.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	for line := []byte(nil); ; {
		part, err := r.ReadSlice('\n')
		if err == nil && line == nil {
			line = part // no copy: it is in the buffer as a whole
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
		if i < 0 || !isToken(a) || !isVersion(rest[i+1:]) {
			return false
		}
		h.line, h.method, h.target = line, a, rest[:i]
		h.fields.http10 = rest[i+1:] == "HTTP/1.0"
		return true
	}
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || status < 100 || !isVersion(a) {
		return false
	}
	h.status = status
	h.fields.http10 = a == "HTTP/1.0"
	return true
}

func isVersion(s string) bool {
	return len(s) == len("HTTP/1.1") && strings.HasPrefix(s, "HTTP/1.") && s[7] >= '0' && s[7] <= '9'
}

// isToken reports whether s is a valid method or field name (RFC 9110, section 5.6.2).
func isToken[T string | []byte](s T) bool {
	for i := range len(s) {
		if !tokens[s[i]] {
			return false
		}
	}
	return len(s) > 0
}

// tokens holds the characters of a token.
var tokens = func() (in [256]bool) {
	for c := '!'; c < 0x7f; c++ {
		in[c] = !strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	}
	return in
}()

// knownField returns the name of a field that the relay evaluates in lower case, or "-" for any other field.
func knownField(name []byte) string {
	for _, known := range [...]string{"content-length", "transfer-encoding", "connection", "upgrade", "expect", "idempotency-key"} {
		if len(name) == len(known) && bytes.EqualFold(name, []byte(known)) {
			return known
		}
	}
	return "-"
}

// field evaluates a field line. It returns false if the line is ambiguous.
func (h *head) field(line []byte) bool {
	f := &h.fields
	if line[0] == ' ' || line[0] == '\t' { // an obsolete line folding: ambiguous only in fields that affect bodyFraming
		fine := f.last != ""
		switch f.last {
		case "content-length", "transfer-encoding", "connection", "upgrade", "expect":
			fine = false
		}
		return fine
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok || !isToken(name) {
		return false
	}
	if f.last = knownField(name); f.last == "-" {
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

// frame determines how the body ends. It returns errNotHTTP if the bodyFraming is ambiguous.
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

// adaptTo adapts the bodyFraming of a response to the method of its request (RFC 9112, section 6.3, rules 1 and 2).
func (h *head) adaptTo(method string) {
	switch {
	case method == "HEAD", h.status == 204, h.status == 304, h.interim():
		h.body = noBody
	case method == "CONNECT" && h.status/100 == 2:
		h.body = noBody
	}
}

// interim reports whether the response is followed by a final one.
func (h *head) interim() bool { return h.status/100 == 1 && h.status != 101 }

// op returns the method and the path without query, the name of the operation in the evidence.
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

// header returns the value of the first field with a name, or "".
func (h *head) header(name string) string {
	for line := range bytes.Lines(h.raw) {
		field, value, ok := bytes.Cut(duplex.TrimLine(line), []byte(":"))
		if ok && strings.EqualFold(string(field), name) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}
