package http1

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The end of a message is determined, or the message is rejected because parsers may disagree about its end.
func TestMessageFraming(t *testing.T) {
	const rest = "REST"
	for _, c := range []struct {
		name, text string
		follow     bool
	}{
		{"no body", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", true},
		{"sized", "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", true},
		{"chunked, short trailer without CR", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na:\n\r\n", true},
		{"chunked in capitals", "POST / HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", true},
		{"folded field of no concern", "POST / HTTP/1.1\r\nX: a\r\n b\r\nContent-Length: 1\r\n\r\nx", true},
		{"two CR", "POST / HTTP/1.1\r\nContent-Length: 5\r\r\n\r\nhello", false},
		{"two CR before the body", "POST / HTTP/1.1\r\nX: y\r\n\r\r\nContent-Length: 5\r\n\r\nhello", false},
		{"CR within a line", "GET / HTTP/1.1\r\nX: a\rContent-Length: 5\r\n\r\n", false},
		{"signed length", "POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello", false},
		{"minus nothing", "POST / HTTP/1.1\r\nContent-Length: -0\r\n\r\n", false},
		{"no length at all", "POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", false},
		{"listed lengths", "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello", false},
		{"two equal lengths", "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", false},
		{"huge length", "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", false},
		{"folded length", "POST / HTTP/1.1\r\nContent-Length: 5\r\n 0\r\n\r\nhello", false},
		{"fold before any field", "POST / HTTP/1.1\r\n Content-Length: 5\r\n\r\nhello", false},
		{"length and chunks", "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"another coding", "POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", false},
		{"coding behind chunks", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", false},
		{"two codings", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false},
		{"space before the colon", "POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\nhello", false},
		{"field without a colon", "POST / HTTP/1.1\r\nContent-Length 5\r\n\r\nhello", false},
		{"chunk size with a sign", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n", false},
		{"chunk size with 0x", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", false},
		{"chunk longer than its size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloo\r\n0\r\n\r\n", false},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\n", false},
		{"HTTP/1.10", "GET / HTTP/1.10\r\n\r\n", false},
		{"no version", "GET /\r\n\r\n", false},
	} {
		r := bufio.NewReaderSize(strings.NewReader(c.text+rest), 32)
		h, err := readHead(r, true)
		var body bytes.Buffer
		if err == nil {
			_, err = copyBody(&body, r, h)
		}
		assert.Equal(t, c.follow, err == nil, "%s: %v", c.name, err)
		if c.follow {
			assert.Equal(t, c.text, string(h.raw)+body.String(), c.name)
		} else {
			assert.True(t, errors.Is(err, errNotHTTP), "%s: %v", c.name, err)
		}
	}
}
