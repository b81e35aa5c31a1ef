package message

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// resp finds the end of a value, piece by piece.
type resp struct {
	answers bool // nothing is inline

	line  []byte // of a header under way
	skip  int    // bytes of a bulk string that are still to come
	items int    // values that are still to come
}

// longestLine bounds a header or a simple string.
const longestLine = 64 << 10

func (r *resp) feed(b []byte) (n int, whole bool, err error) {
	if r.items == 0 && r.skip == 0 && len(r.line) == 0 {
		r.items = 1
	}
	for n < len(b) {
		if r.skip > 0 {
			take := min(r.skip, len(b)-n)
			r.skip -= take
			n += take
		} else {
			if err := r.begins(b[n]); err != nil {
				return n, false, err
			}
			end := bytes.IndexByte(b[n:], '\n')
			if end < 0 {
				r.line = append(r.line, b[n:]...)
				if len(r.line) > longestLine {
					return n, false, errDialect
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
		if r.skip == 0 && r.items == 0 {
			return n, true, nil
		}
	}
	return n, false, nil
}

// begins tells whether a value, or an inline command, can begin with a byte. What else is sent may never have a line's end.
func (r *resp) begins(c byte) error {
	switch {
	case len(r.line) > 0:
		return nil
	case c == 0x16:
		return fmt.Errorf("%w: TLS", errDialect)
	case r.answers && strings.IndexByte("+-:$*%~>|=!,#_(", c) < 0:
		return errDialect
	}
	return nil
}

// header takes one line of a value: what it announces is still to come.
func (r *resp) header(line []byte) error {
	r.items--
	text := string(trim(line))
	if text == "" {
		return nil // an empty inline command
	}
	if strings.IndexByte("$*%~>|=!", text[0]) < 0 {
		return nil // a simple value, or an inline command
	}
	n, err := strconv.Atoi(text[1:])
	if err != nil || n > 512<<20 || n < -1 {
		return errDialect // RESP3's streamed values too, which no server sends
	}
	switch n = max(n, 0); text[0] {
	case '*', '~', '>':
		r.items += n
	case '%':
		r.items += 2 * n
	case '|':
		r.items += 2*n + 1 // attributes stand before the value that they are of
	default:
		if text[1] != '-' {
			r.skip = n + 2
		}
	}
	return nil
}

// bulks returns the leading bulk strings of an array, as far as they are there, and where the last of them lies.
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
		n, err := strconv.Atoi(string(trim(raw[at+1 : at+end+1])))
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

// respSays is the kind of an answer, its number if it is one, and an error's code.
func respSays(raw []byte) string {
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
