package relaytest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// HTTP2Corpus returns HTTP/2 conversations that no rule acts on. They start with the SETTINGS of both sides and
// contain unusual frames on purpose.
func HTTP2Corpus() []h2conversation {
	var all []h2conversation
	play := func(name string, turns ...func(c, s *frameBuilder)) {
		c, s := newFrameBuilder(), newFrameBuilder()
		_, _ = c.out.WriteString(Preface)
		_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 8192})
		_ = s.framer.WriteSettings(http2.Setting{ID: 0x99, Val: 7}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
		lines := []Turn{{">", c.sent()}, {"<", s.sent()}}
		_ = c.framer.WriteSettingsAck()
		_ = s.framer.WriteSettingsAck()
		for _, turn := range turns {
			turn(c, s)
			for _, l := range []Turn{{">", c.sent()}, {"<", s.sent()}} {
				if l.Text != "" {
					lines = append(lines, l)
				}
			}
		}
		all = append(all, h2conversation{Name: name, Lines: lines})
	}
	play("settings only")
	play("calls that fill the table of headers", func(c, s *frameBuilder) {
		for i := range 5 {
			id := uint32(2*i + 1) //nolint:gosec // small
			c.Head(id, true, append(h2get, fmt.Sprintf("x-n: %d", i), "x-long: "+strings.Repeat("v", 1000))...)
			s.Head(id, false, ":status: 200", fmt.Sprintf("etag: %d", i), "x-long: "+strings.Repeat("w", 1000))
			_ = s.framer.WriteData(id, true, []byte("ok"))
		}
	})
	play("padding, priority and continuations", func(c, _ *frameBuilder) {
		block := c.EncodeFields(append(h2get, "x-large: "+strings.Repeat("v", 3000))...)
		_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:7], PadLength: 9, Priority: http2.PriorityParam{StreamDep: 3, Weight: 7, Exclusive: true}})
		_ = c.framer.WriteContinuation(1, false, block[7:8])
		_ = c.framer.WriteContinuation(1, false, nil)
		_ = c.framer.WriteContinuation(1, true, block[8:])
		_ = c.framer.WriteDataPadded(1, false, []byte("hello"), make([]byte, 255))
		_ = c.framer.WriteDataPadded(1, true, nil, []byte{})
	}, func(_, s *frameBuilder) {
		s.Head(1, false, ":status: 103", "link: </x>")
		s.Head(1, false, ":status: 200")
		_ = s.framer.WriteDataPadded(1, false, []byte("ok"), make([]byte, 3))
		s.Head(1, true, "grpc-status: 0")
	})
	play("frames of every kind", func(c, s *frameBuilder) {
		_ = c.framer.WritePing(false, [8]byte{1})
		_ = s.framer.WritePing(true, [8]byte{1})
		_ = c.framer.WritePriority(5, http2.PriorityParam{StreamDep: 1, Weight: 3})
		_ = c.framer.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x01u=3"))
		_ = c.framer.WriteRawFrame(0xee, 0x55, 0, []byte("anything"))
		_ = c.framer.WriteRawFrame(0xef, 0, 9, nil)
		_ = s.framer.WriteRawFrame(0x0c, 0, 0, []byte("\x00\x00"))
		_ = c.framer.WriteWindowUpdate(0, 1<<20)
		c.Head(1, false, h2get...)
		_ = c.framer.WriteWindowUpdate(1, 0x8000ffff)
		_ = s.framer.WriteWindowUpdate(1, 10)
		_ = s.framer.WriteWindowUpdate(99, 10)
		_ = s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		_ = c.framer.WriteRSTStream(1, http2.ErrCodeCancel)
		_ = s.framer.WriteRSTStream(1, http2.ErrCodeStreamClosed)
		_ = s.framer.WriteData(1, true, []byte("late"))
	}, func(c, s *frameBuilder) {
		c.encode.SetMaxDynamicTableSize(0)
		c.Head(3, true, h2get...)
		c.encode.SetMaxDynamicTableSize(4096)
		c.Head(5, true, h2get...)
		s.Head(5, true, ":status: 204")
		_ = s.framer.WriteGoAway(5, http2.ErrCodeNo, []byte("bye"))
		_ = c.framer.WriteGoAway(0, http2.ErrCodeNo, nil)
	})
	play("a push", func(c, s *frameBuilder) {
		c.Head(1, true, h2get...)
		_ = s.framer.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: s.EncodeFields(h2get...), EndHeaders: true, PadLength: 4})
		s.Head(2, false, ":status: 200")
		_ = s.framer.WriteData(2, true, []byte("pushed"))
		s.Head(1, true, ":status: 200")
		_ = c.framer.WriteRSTStream(2, http2.ErrCodeRefusedStream)
	})
	play("more than windows allow, and on streams that are not there", func(c, s *frameBuilder) {
		c.Head(1, false, h2get...)
		for range 10 {
			_ = c.framer.WriteData(1, false, make([]byte, 16000))
			_ = s.framer.WriteData(7, false, make([]byte, 16000))
		}
		_ = c.framer.WriteData(0, false, []byte("on none"))
		c.Head(4, true, h2get...)
		c.Head(1, true, "x-trailer: y")
		c.Head(1, true, "x-trailer: z")
	})
	play("a status that is not a number", func(c, s *frameBuilder) {
		c.Head(1, true, h2get...)
		s.Head(1, true, ":status: 1x")
	})
	play("a large frame", func(c, _ *frameBuilder) {
		c.Head(1, false, h2get...)
		_ = c.framer.WriteData(1, true, make([]byte, 1<<20))
	})
	play("more headers than are followed", func(c, s *frameBuilder) {
		block := c.EncodeFields(append(h2get, "x-large: "+strings.Repeat("v", 2*(256<<10)))...)
		_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: nil, EndStream: true})
		for len(block) > 0 {
			n := min(len(block), 16<<10)
			_ = c.framer.WriteContinuation(1, n == len(block), block[:n])
			block = block[n:]
		}
		s.Head(1, true, ":status: 431")
	})
	all[len(all)-1].Odd = true
	for name, raw := range map[string]string{
		"an index that is not there": "\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff", "a lone continuation": "\x00\x00\x01\x09\x04\x00\x00\x00\x01\x82", "headers of no stream": "\x00\x00\x01\x01\x05\x00\x00\x00\x00\x82",
		"too much padding": "\x00\x00\x02\x01\x0d\x00\x00\x00\x01\x09\x82", "another frame within headers": "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82\x00\x00\x00\x06\x00\x00\x00\x00\x00",
		"a window update of three bytes": "\x00\x00\x03\x08\x00\x00\x00\x00\x00abc",
	} {
		play(name, func(c, _ *frameBuilder) { _, _ = c.out.WriteString(raw + "and more") }, func(_, s *frameBuilder) { _, _ = s.out.WriteString(raw + "and more") })
		all[len(all)-1].Odd = true
	}
	return append(all,
		h2conversation{"garbage after the preface", true, Turns(">"+Preface+"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01", "<HTTP/1.1 400 Bad Request\r\n\r\n", ">more", "<more")},
	)
}

// frameBuilder writes one side of an HTTP/2 conversation.
type frameBuilder struct {
	out, block bytes.Buffer
	framer     *http2.Framer
	encode     *hpack.Encoder
}

func newFrameBuilder() *frameBuilder {
	s := &frameBuilder{}
	s.framer = http2.NewFramer(&s.out, nil)
	s.framer.AllowIllegalWrites = true
	s.encode = hpack.NewEncoder(&s.block)
	return s
}

// sent returns what was written since the last call.
func (s *frameBuilder) sent() string {
	text := s.out.String()
	s.out.Reset()
	return text
}

func (s *frameBuilder) EncodeFields(list ...string) []byte {
	s.block.Reset()
	for _, l := range list {
		name, value, _ := strings.Cut(l, ": ")
		_ = s.encode.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: name == "authorization"})
	}
	return slices.Clone(s.block.Bytes())
}

func (s *frameBuilder) Head(id uint32, end bool, list ...string) {
	_ = s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.EncodeFields(list...), EndHeaders: true, EndStream: end})
}

type h2conversation struct {
	Name  string
	Odd   bool // it cannot be parsed to its end
	Lines []Turn
}

// HTTP2Sides returns what each side sends in the corpus.
func HTTP2Sides() (up, down []string) {
	for _, c := range HTTP2Corpus() {
		var u, d strings.Builder
		for _, l := range c.Lines {
			if l.From == ">" {
				u.WriteString(l.Text)
			} else {
				d.WriteString(l.Text)
			}
		}
		if u.Len()+d.Len() < 8<<10 {
			up, down = append(up, strings.TrimPrefix(u.String(), Preface)), append(down, d.String())
		}
	}
	return up, down
}

var h2get = []string{":method: GET", ":scheme: http", ":authority: payments", ":path: /orders/17", "user-agent: x", "authorization: secret"}
