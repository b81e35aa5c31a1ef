package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
)

// seeds adds what one side sends in the corpus.
func seeds(f *testing.F, from string) {
	for _, c := range corpus {
		var all strings.Builder
		for _, l := range c.lines {
			if l.From == from {
				all.WriteString(l.Text)
			}
		}
		f.Add([]byte(all.String()))
	}
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\r\n\r\nhello", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 5\r\n\r\nhello",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1 200\r\nContent-Length: -0\r\n\r\n",
	} {
		f.Add([]byte(text))
	}
}

// If both the relay and net/http accept a request, they agree on where it ends.
func FuzzRequest(f *testing.F) {
	seeds(f, ">")
	f.Fuzz(func(t *testing.T, data []byte) {
		ours := bufio.NewReaderSize(bytes.NewReader(data), 64)
		h, err := readHead(ours, true)
		if err != nil {
			if !bytes.HasPrefix(data, h.raw) {
				t.Fatalf("head %q is not what was read", h.raw)
			}
			return
		}
		var body bytes.Buffer
		_, err = copyBody(&body, ours, h)
		passed := append(h.raw, body.Bytes()...)
		if !bytes.HasPrefix(data, passed) {
			t.Fatalf("passed on %q", passed)
		}
		theirs := bufio.NewReader(bytes.NewReader(data))
		req, rerr := http.ReadRequest(theirs)
		if err != nil || rerr != nil || req.Method == "PRI" {
			return
		}
		if _, rerr = io.Copy(io.Discard, req.Body); rerr != nil {
			return
		}
		rest, _ := io.ReadAll(theirs)
		if req.TransferEncoding != nil && h.body != chunked {
			t.Fatalf("chunked to net/http, %d to us", h.body)
		}
		if want := data[:len(data)-len(rest)]; !bytes.Equal(passed, want) {
			t.Fatalf("ends after %q, for net/http after %q", passed, want)
		}
	})
}

// The same for answers.
func FuzzResponse(f *testing.F) {
	seeds(f, "<")
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, method := range []string{"GET", "HEAD"} {
			ours := bufio.NewReaderSize(bytes.NewReader(data), 64)
			h, err := readHead(ours, false)
			if err != nil || bytes.HasPrefix(h.raw, []byte("\n")) || bytes.HasPrefix(h.raw, []byte("\r")) {
				return
			}
			h.adaptTo(method)
			var body bytes.Buffer
			_, err = copyBody(&body, ours, h)
			passed := append(h.raw, body.Bytes()...)
			if !bytes.HasPrefix(data, passed) {
				t.Fatalf("passed on %q", passed)
			}
			theirs := bufio.NewReader(bytes.NewReader(data))
			res, rerr := http.ReadResponse(theirs, &http.Request{Method: method})
			if err != nil || rerr != nil || h.status == 101 {
				continue
			}
			if _, rerr = io.Copy(io.Discard, res.Body); rerr != nil {
				continue
			}
			rest, _ := io.ReadAll(theirs)
			if want := data[:len(data)-len(rest)]; !bytes.Equal(passed, want) {
				t.Fatalf("%s ends after %q, for net/http after %q", method, passed, want)
			}
		}
	})
}

// Whatever the two ends send, each receives exactly the other's bytes and then its end.
func FuzzRelayChangesNoByte(f *testing.F) {
	for _, c := range corpus {
		var up, down strings.Builder
		for _, l := range c.lines {
			if l.From == ">" {
				up.WriteString(l.Text)
			} else {
				down.WriteString(l.Text)
			}
		}
		f.Add([]byte(up.String()), []byte(down.String()), false)
		f.Add([]byte(up.String()+up.String()), []byte(down.String()+down.String()), true)
	}
	f.Fuzz(func(t *testing.T, up, down []byte, answerFirst bool) {
		if len(up) > 1<<16 || len(down) > 1<<16 {
			return
		}
		client, server := relaytest.ConnPair(t)
		done := make(chan struct{})
		say := func(p relaytest.Peer, text []byte) { _, _ = p.Write(text); _ = p.CloseWrite() }
		go func() { defer close(done); say(client, up) }()
		var received []byte
		if !answerFirst {
			received = relaytest.ReadAll(t, server)
		}
		sent := make(chan struct{})
		go func() { defer close(sent); say(server, down) }()
		if got := relaytest.ReadAll(t, client); !bytes.Equal(got, down) {
			t.Fatalf("the client heard %q", got)
		}
		if answerFirst {
			received = relaytest.ReadAll(t, server)
		}
		if !bytes.Equal(received, up) {
			t.Fatalf("the server heard %q", received)
		}
		<-done
		<-sent
	})
}
