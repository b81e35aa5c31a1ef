package framed

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// resp finds the end of a value piece by piece.
type resp struct {
	answers bool // inline commands are not possible

	line           []byte // the incomplete header line
	remaining      int    // remaining bytes of a bulk string
	remainingItems int    // remaining values
}

// maxLineLen limits a header or a simple string.
const maxLineLen = 64 << 10

func (r *resp) feed(b []byte) (n int, whole bool, err error) {
	if r.remainingItems == 0 && r.remaining == 0 && len(r.line) == 0 {
		r.remainingItems = 1
	}
	for n < len(b) {
		if r.remaining > 0 {
			take := min(r.remaining, len(b)-n)
			r.remaining -= take
			n += take
		} else {
			if err := r.checkStart(b[n]); err != nil {
				return n, false, err
			}
			end := bytes.IndexByte(b[n:], '\n')
			if end < 0 {
				r.line = append(r.line, b[n:]...)
				if len(r.line) > maxLineLen {
					return n, false, ErrNotUnderstood
				}
				return len(b), false, nil
			}
			line := b[n : n+end+1]
			if len(r.line) > 0 {
				line = append(r.line, line...)
			}
			n += end + 1
			err := r.header(line)
			r.line = r.line[:0]
			if err != nil {
				return n, false, err
			}
		}
		if r.remaining == 0 && r.remainingItems == 0 {
			return n, true, nil
		}
	}
	return n, false, nil
}

// checkStart returns an error if neither a value nor an inline command can start with c. Other input may never
// contain a line ending.
func (r *resp) checkStart(c byte) error {
	switch {
	case len(r.line) > 0:
		return nil
	case c == 0x16:
		return fmt.Errorf("%w: TLS", ErrNotUnderstood)
	case r.answers && strings.IndexByte("+-:$*%~>|=!,#_(", c) < 0:
		return ErrNotUnderstood
	}
	return nil
}

// header parses one line of a value and records what follows it.
func (r *resp) header(line []byte) error {
	r.remainingItems--
	text := string(duplex.TrimLine(line))
	if text == "" {
		return nil // an empty inline command
	}
	if strings.IndexByte("$*%~>|=!", text[0]) < 0 {
		return nil // a simple value, or an inline command
	}
	n, err := strconv.Atoi(text[1:])
	if err != nil || n > 512<<20 || n < -1 {
		return ErrNotUnderstood // including the streamed values of RESP3, which no server sends
	}
	switch n = max(n, 0); text[0] {
	case '*', '~', '>':
		r.remainingItems += n
	case '%':
		r.remainingItems += 2 * n
	case '|':
		r.remainingItems += 2*n + 1 // attributes precede the value they describe
	default:
		if text[1] != '-' {
			r.remaining = n + 2
		}
	}
	return nil
}

// bulks returns the leading bulk strings of an array, as far as they are complete, and the range of the last
// one.
func bulks(raw []byte) (args [][]byte, last [2]int) {
	if raw[0] != '*' && raw[0] != '>' {
		return nil, last
	}
	at := bytes.IndexByte(raw, '\n') + 1
	for at > 0 && at < len(raw) && raw[at] == '$' {
		end := bytes.IndexByte(raw[at:], '\n')
		if end < 0 {
			break
		}
		n, err := strconv.Atoi(string(duplex.TrimLine(raw[at+1 : at+end+1])))
		from := at + end + 1
		if err != nil || n < 0 || from+n > len(raw) {
			break
		}
		args = append(args, raw[from:from+n])
		last = [2]int{from, from + n}
		at = from + n + 2
	}
	return args, last
}

// describeValue describes an answer by its type, its integer value or its error code.
func describeValue(raw []byte) string {
	line, _, _ := bytes.Cut(raw, []byte("\r\n"))
	text := string(line[1:])
	switch raw[0] {
	case ':':
		return "integer " + text
	case '+':
		return "status"
	case '-':
		code, _, _ := strings.Cut(text, " ")
		return "error " + code
	case '$':
		if text == "-1" {
			return "nil"
		}
		return "bulk string"
	case '_':
		return "nil"
	}
	return "a value of type " + string(raw[:1])
}

// respPayload returns the range of an answer's content: for an array, the last of its leading bulk strings. Only
// bulk strings can be truncated.
func respPayload(raw []byte) (at [2]int, solid bool) {
	end := bytes.IndexByte(raw, '\r')
	switch {
	case end < 0:
		return at, true
	case raw[0] == '$' && end+2 < len(raw):
		return [2]int{end + 2, len(raw) - 2}, false
	case raw[0] == '*':
		_, at = bulks(raw)
		return at, false
	case raw[0] == ':' && end > 1: // flipping a bit yields another digit
		return [2]int{end - 1, end}, true
	case raw[0] == '+':
		return [2]int{1, end}, true
	}
	return at, true
}
