package message

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2sides returns what each side sends in the corpus.
func h2sides() (up, down []string) {
	for _, c := range h2corpus() {
		var u, d strings.Builder
		for _, l := range c.lines {
			if l.from == ">" {
				u.WriteString(l.text)
			} else {
				d.WriteString(l.text)
			}
		}
		if u.Len()+d.Len() < 8<<10 {
			up, down = append(up, strings.TrimPrefix(u.String(), preface)), append(down, d.String())
		}
	}
	return up, down
}

// The relay and x/net's Framer agree on the boundaries and contents of frames that both accept.
func FuzzH2Frames(f *testing.F) {
	up, down := h2sides()
	for _, text := range append(up, down...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ours := newH2Reader(bufio.NewReaderSize(bytes.NewReader(data), 64), nil)
		theirs := http2.NewFramer(io.Discard, bytes.NewReader(data))
		theirs.SetMaxReadFrameSize(1<<24 - 1)
		theirs.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		theirs.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(h2Table)
		theirs.MaxHeaderListSize = 1 << 30
		at, compare := 0, true
		for {
			got, err := ours.read()
			if !bytes.HasPrefix(data[at:], got.raw) {
				t.Fatalf("%x is not what was read", got.raw)
			}
			at += len(got.raw)
			if err != nil {
				return
			}
			if !compare {
				continue
			}
			want, err := theirs.ReadFrame()
			var stream http2.StreamError
			if err != nil && !errors.As(err, &stream) || errors.As(err, &stream) && got.kind != h2Headers {
				compare = false // the Framer also validates the contents of frames
				continue
			}
			if err != nil { // unusual headers in a complete frame
				if stream.StreamID != got.stream {
					t.Fatalf("stream %d, and to the Framer %d", got.stream, stream.StreamID)
				}
				continue
			}
			if h := want.Header(); byte(h.Type) != got.kind || h.StreamID != got.stream {
				t.Fatalf("%d on %d, and to the Framer %v", got.kind, got.stream, h)
			}
			if h, ok := want.(*http2.MetaHeadersFrame); ok && !h.Truncated {
				if len(h.Fields) != len(got.fields) {
					t.Fatalf("%v, and to the Framer %v", got.fields, h.Fields)
				}
				for i := range h.Fields {
					if h.Fields[i] != got.fields[i] {
						t.Fatalf("%v, and to the Framer %v", got.fields, h.Fields)
					}
				}
			}
		}
	})
}

// Without rules, each end of an HTTP/2 connection receives exactly the other's bytes and then its end, whatever
// they send.
func FuzzH2RelayChangesNoByte(f *testing.F) {
	up, down := h2sides()
	for i := range up {
		f.Add([]byte(up[i]), []byte(down[i]), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, up, down []byte, answerFirst bool) {
		if len(up) > 1<<16 || len(down) > 1<<16 {
			return
		}
		up = append([]byte(preface), up...)
		client, server := connPair(t)
		sent := make(chan struct{}, 2)
		send := func(p peer, text []byte) { _, _ = p.Write(text); _ = p.CloseWrite(); sent <- struct{}{} }
		go send(client, up)
		if answerFirst {
			go send(server, down)
		}
		if got := readReply(t, server); !bytes.Equal(got, up) {
			t.Fatalf("the server heard %q", got)
		}
		if !answerFirst {
			go send(server, down)
		}
		if got := readReply(t, client); !bytes.Equal(got, down) {
			t.Fatalf("the client heard %q", got)
		}
		<-sent
		<-sent
	})
}

// Whatever the two ends send while rules act on it, the relay terminates and its accounts add up.
func FuzzH2RelayUnderFaults(f *testing.F) {
	up, down := h2sides()
	for i := range up {
		for do := range uint8(9) {
			f.Add([]byte(up[i]), []byte(down[i]), do)
		}
	}
	rules := []Rule{
		{Action: Delay, By: time.Millisecond}, {Action: LoseRequest, EndWith: EndSilence}, {Action: LoseReply, EndWith: EndSilence}, {Action: LoseReply, EndWith: EndHeld}, {Action: Answer, Status: 503},
		{Action: Twice}, {Action: Twice, Second: true}, {Action: Reorder, Wait: time.Millisecond}, {Action: Truncate},
	}
	f.Fuzz(func(t *testing.T, up, down []byte, do uint8) {
		if len(up) > 1<<16 || len(down) > 1<<16 {
			return
		}
		s := startScript(t)
		front := openLink(t, s.addr, Config{Whole: 4 << 10})
		_, heal := front.addRule(t, rules[int(do)%len(rules)])
		client := connect(t, front.addr)
		server := s.accept(t)
		over := make(chan struct{})
		defer close(over)
		go func() {
			for {
				select {
				case p := <-s.conns: // of a copy
					p.reset()
				case <-over:
					return
				}
			}
		}()
		go func() { _, _ = client.Write(append([]byte(preface), up...)); _ = client.CloseWrite() }()
		go func() { _, _ = server.Write(down); _ = server.CloseWrite() }()
		for _, p := range []peer{server, client} {
			_ = p.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			_, _ = io.Copy(io.Discard, p)
		}
		heal()
		server.reset()
		client.reset()
		front.checkAccounts(t)
	})
}
