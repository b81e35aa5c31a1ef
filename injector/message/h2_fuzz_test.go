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

// sides are what each side says in the corpus.
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

// What the relay follows, x/net's Framer follows in the same way: frames begin at the same bytes and say the same.
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
				compare = false // it asks more of a frame than where it ends
				continue
			}
			if err != nil { // headers that are odd, and whole
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

// Whatever the two ends of HTTP/2 say, each hears the other's bytes and then its end, as long as no rule acts.
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
		client, server := couple(t)
		said := make(chan struct{}, 2)
		say := func(p peer, text []byte) { _, _ = p.Write(text); _ = p.CloseWrite(); said <- struct{}{} }
		go say(client, up)
		if answerFirst {
			go say(server, down)
		}
		if got := hear(t, server); !bytes.Equal(got, up) {
			t.Fatalf("the server heard %q", got)
		}
		if !answerFirst {
			go say(server, down)
		}
		if got := hear(t, client); !bytes.Equal(got, down) {
			t.Fatalf("the client heard %q", got)
		}
		<-said
		<-said
	})
}

// Whatever the two ends say, with rules that act on it: the relay comes to an end with them, and its books balance.
func FuzzH2RelayUnderFaults(f *testing.F) {
	up, down := h2sides()
	for i := range up {
		for do := range uint8(9) {
			f.Add([]byte(up[i]), []byte(down[i]), do)
		}
	}
	rules := []Rule{
		{Do: Delay, By: time.Millisecond}, {Do: LoseRequest, Then: ThenSilence}, {Do: LoseReply, Then: ThenSilence}, {Do: LoseReply, Then: ThenHeld}, {Do: Answer, Status: 503},
		{Do: Twice}, {Do: Twice, Second: true}, {Do: Reorder, Wait: time.Millisecond}, {Do: Truncate},
	}
	f.Fuzz(func(t *testing.T, up, down []byte, do uint8) {
		if len(up) > 1<<16 || len(down) > 1<<16 {
			return
		}
		s := play(t)
		front := open(t, s.addr, Config{Whole: 4 << 10})
		_, heal := front.live(t, rules[int(do)%len(rules)])
		client := connect(t, front.addr)
		server := s.next(t)
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
		front.balanced(t)
	})
}
