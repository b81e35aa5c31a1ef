package message

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

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

func (s *frameBuilder) fields(list ...string) []byte {
	s.block.Reset()
	for _, l := range list {
		name, value, _ := strings.Cut(l, ": ")
		_ = s.encode.WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: name == "authorization"})
	}
	return slices.Clone(s.block.Bytes())
}

func (s *frameBuilder) head(id uint32, end bool, list ...string) {
	_ = s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: s.fields(list...), EndHeaders: true, EndStream: end})
}

var h2get = []string{":method: GET", ":scheme: http", ":authority: payments", ":path: /orders/17", "user-agent: x", "authorization: secret"}

type h2conversation struct {
	name  string
	odd   bool // it cannot be parsed to its end
	lines []line
}

// h2corpus returns HTTP/2 conversations that no rule acts on. They start with the SETTINGS of both sides and
// contain unusual frames on purpose.
func h2corpus() []h2conversation {
	var all []h2conversation
	play := func(name string, turns ...func(c, s *frameBuilder)) {
		c, s := newFrameBuilder(), newFrameBuilder()
		_, _ = c.out.WriteString(preface)
		_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 8192})
		_ = s.framer.WriteSettings(http2.Setting{ID: 0x99, Val: 7}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 20})
		lines := []line{{">", c.sent()}, {"<", s.sent()}}
		_ = c.framer.WriteSettingsAck()
		_ = s.framer.WriteSettingsAck()
		for _, turn := range turns {
			turn(c, s)
			for _, l := range []line{{">", c.sent()}, {"<", s.sent()}} {
				if l.text != "" {
					lines = append(lines, l)
				}
			}
		}
		all = append(all, h2conversation{name: name, lines: lines})
	}
	play("settings only")
	play("calls that fill the table of headers", func(c, s *frameBuilder) {
		for i := range 5 {
			id := uint32(2*i + 1) //nolint:gosec // small
			c.head(id, true, append(h2get, fmt.Sprintf("x-n: %d", i), "x-long: "+strings.Repeat("v", 1000))...)
			s.head(id, false, ":status: 200", fmt.Sprintf("etag: %d", i), "x-long: "+strings.Repeat("w", 1000))
			_ = s.framer.WriteData(id, true, []byte("ok"))
		}
	})
	play("padding, priority and continuations", func(c, _ *frameBuilder) {
		block := c.fields(append(h2get, "x-large: "+strings.Repeat("v", 3000))...)
		_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:7], PadLength: 9, Priority: http2.PriorityParam{StreamDep: 3, Weight: 7, Exclusive: true}})
		_ = c.framer.WriteContinuation(1, false, block[7:8])
		_ = c.framer.WriteContinuation(1, false, nil)
		_ = c.framer.WriteContinuation(1, true, block[8:])
		_ = c.framer.WriteDataPadded(1, false, []byte("hello"), make([]byte, 255))
		_ = c.framer.WriteDataPadded(1, true, nil, []byte{})
	}, func(_, s *frameBuilder) {
		s.head(1, false, ":status: 103", "link: </x>")
		s.head(1, false, ":status: 200")
		_ = s.framer.WriteDataPadded(1, false, []byte("ok"), make([]byte, 3))
		s.head(1, true, "grpc-status: 0")
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
		c.head(1, false, h2get...)
		_ = c.framer.WriteWindowUpdate(1, 0x8000ffff)
		_ = s.framer.WriteWindowUpdate(1, 10)
		_ = s.framer.WriteWindowUpdate(99, 10)
		_ = s.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		_ = c.framer.WriteRSTStream(1, http2.ErrCodeCancel)
		_ = s.framer.WriteRSTStream(1, http2.ErrCodeStreamClosed)
		_ = s.framer.WriteData(1, true, []byte("late"))
	}, func(c, s *frameBuilder) {
		c.encode.SetMaxDynamicTableSize(0)
		c.head(3, true, h2get...)
		c.encode.SetMaxDynamicTableSize(4096)
		c.head(5, true, h2get...)
		s.head(5, true, ":status: 204")
		_ = s.framer.WriteGoAway(5, http2.ErrCodeNo, []byte("bye"))
		_ = c.framer.WriteGoAway(0, http2.ErrCodeNo, nil)
	})
	play("a push", func(c, s *frameBuilder) {
		c.head(1, true, h2get...)
		_ = s.framer.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: s.fields(h2get...), EndHeaders: true, PadLength: 4})
		s.head(2, false, ":status: 200")
		_ = s.framer.WriteData(2, true, []byte("pushed"))
		s.head(1, true, ":status: 200")
		_ = c.framer.WriteRSTStream(2, http2.ErrCodeRefusedStream)
	})
	play("more than windows allow, and on streams that are not there", func(c, s *frameBuilder) {
		c.head(1, false, h2get...)
		for range 10 {
			_ = c.framer.WriteData(1, false, make([]byte, 16000))
			_ = s.framer.WriteData(7, false, make([]byte, 16000))
		}
		_ = c.framer.WriteData(0, false, []byte("on none"))
		c.head(4, true, h2get...)
		c.head(1, true, "x-trailer: y")
		c.head(1, true, "x-trailer: z")
	})
	play("a large frame", func(c, _ *frameBuilder) {
		c.head(1, false, h2get...)
		_ = c.framer.WriteData(1, true, make([]byte, 1<<20))
	})
	play("more headers than are followed", func(c, s *frameBuilder) {
		block := c.fields(append(h2get, "x-large: "+strings.Repeat("v", 2*maxHead))...)
		_ = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: nil, EndStream: true})
		for len(block) > 0 {
			n := min(len(block), 16<<10)
			_ = c.framer.WriteContinuation(1, n == len(block), block[:n])
			block = block[n:]
		}
		s.head(1, true, ":status: 431")
	})
	all[len(all)-1].odd = true
	for name, raw := range map[string]string{
		"an index that is not there": "\x00\x00\x01\x01\x05\x00\x00\x00\x01\xff", "a lone continuation": "\x00\x00\x01\x09\x04\x00\x00\x00\x01\x82", "headers of no stream": "\x00\x00\x01\x01\x05\x00\x00\x00\x00\x82",
		"too much padding": "\x00\x00\x02\x01\x0d\x00\x00\x00\x01\x09\x82", "another frame within headers": "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82\x00\x00\x00\x06\x00\x00\x00\x00\x00",
		"a window update of three bytes": "\x00\x00\x03\x08\x00\x00\x00\x00\x00abc",
	} {
		play(name, func(c, _ *frameBuilder) { _, _ = c.out.WriteString(raw + "and more") }, func(_, s *frameBuilder) { _, _ = s.out.WriteString(raw + "and more") })
		all[len(all)-1].odd = true
	}
	return append(all,
		h2conversation{"garbage after the preface", true, messages(">"+preface+"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x01", "<HTTP/1.1 400 Bad Request\r\n\r\n", ">more", "<more")},
	)
}

func TestH2WithoutRulesBytesAreUnchanged(t *testing.T) {
	for _, c := range h2corpus() {
		for _, protocol := range []string{"http", "grpc"} {
			for _, single := range []bool{false, true} {
				if single && len(c.lines) > 2 && len(c.lines[2].text) > 100<<10 {
					continue
				}
				for _, first := range []string{"client", "server"} {
					t.Run(fmt.Sprintf("%s/%s/single=%v/%s ends", c.name, protocol, single, first), func(t *testing.T) {
						s := startScript(t)
						f := openLinkFor(t, protocol, s.addr, Config{})
						f.addRule(t, Rule{Action: LoseRequest, Match: Match{Path: "/none"}})
						client := connect(t, f.addr)
						server := s.accept(t)
						exchange(client, server, c.lines, single)
						if first == "client" {
							closeBoth(client, server)
						} else {
							closeBoth(server, client)
						}
						reported := slices.ContainsFunc(f.finishedCalls(), func(c Call) bool { return c.Skipped != "" })
						assert.Equal(t, c.odd, reported, "what cannot be followed is told")
					})
				}
			}
		}
	}
}

// A server may send SETTINGS before the client sends anything, and the client may then send anything.
func TestH2ServerMaySendFirst(t *testing.T) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for _, single := range []bool{false, true} {
		for _, first := range []string{preface + settings, request("GET", "/a"), "\x16\x03\x01"} {
			client, server := connPair(t)
			exchange(client, server, []line{{"<", settings}, {">", first}, {"<", settings}, {">", settings}}, single)
			closeBoth(client, server)
		}
	}
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	f.addRule(t, Rule{Action: Answer, Status: 503})
	p := newH2Peer(connect(t, f.addr))
	server := s.accept(t)
	server.send(settings, false)
	p.expect(settings)
	p.send(preface, false)
	require.NoError(t, p.WriteSettings())
	assert.Contains(t, p.response(p.request("GET", "/a", "")).String(), "503", "and faults act all the same")
}

// A client that disconnects without sending anything is not reported.
func TestH2ClientThatSendsNothingIsNotReported(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		s := startScript(t)
		f := openLinkFor(t, protocol, s.addr, Config{})
		client := connect(t, f.addr)
		server := s.accept(t)
		exchange(client, server, messages("<\x00\x00\x00\x04\x00\x00\x00\x00\x00"), false)
		closeBoth(client, server)
		assert.Empty(t, f.finishedCalls())
	}
}

// Half-closes and resets within frames are forwarded as such.
func TestH2ConnectionEndsAreForwarded(t *testing.T) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	hello := preface + settings
	for name, tail := range map[string]string{
		"at once": "", "in a frame's head": "\x00\x00\x05\x00\x01", "in DATA": "\x00\x00\x05\x00\x01\x00\x00\x00\x01hel", "in headers": "\x00\x00\x05\x01\x05\x00\x00\x00\x01\x82\x84",
		"between headers": "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82", "in a continuation": "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82\x00\x00\x04\x09\x04\x00\x00\x00\x01\x84",
	} {
		for _, reset := range []bool{false, true} {
			for _, who := range []string{"client", "server"} {
				t.Run(fmt.Sprintf("%s/%s/reset=%v", name, who, reset), func(t *testing.T) {
					client, server := connPair(t)
					exchange(client, server, []line{{">", hello}, {"<", settings}}, false)
					a, b := client, server
					if who == "server" {
						a, b = server, client
					}
					a.send(tail, false)
					if reset {
						a.reset()
						_, how := b.readToEnd(patience)
						assert.Equal(t, "reset", how)
						return
					}
					require.NoError(t, a.CloseWrite())
					got, how := b.readToEnd(patience)
					assert.Equal(t, []string{tail, "closed"}, []string{got, how})
					b.send("the other half still speaks", false)
					require.NoError(t, b.CloseWrite())
					got, how = a.readToEnd(patience)
					assert.Equal(t, []string{"the other half still speaks", "closed"}, []string{got, how})
				})
			}
		}
	}
}

// If the client on a gRPC link uses another protocol, its traffic passes and is reported.
func TestGRPCOtherProtocolsPass(t *testing.T) {
	s := startScript(t)
	f := openLinkFor(t, "grpc", s.addr, Config{})
	client := connect(t, f.addr)
	server := s.accept(t)
	exchange(client, server, messages(">"+request("GET", "/a"), "<"+ok, ">"+request("GET", "/b"), "<"+ok), false)
	closeBoth(client, server)
	waitUntil(t, "it is told", func() bool { return len(f.finishedCalls()) == 1 })
	assert.Equal(t, "not understood as HTTP/2", f.finishedCalls()[0].Skipped)
}

// net/http's client and server, with large bodies in both directions at once on one connection.
func TestH2LargeBodiesBothWays(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	client := h2client(t)
	body := make([]byte, 4<<20)
	for i := range body {
		body[i] = byte(rand.Uint32()) //nolint:gosec // test data
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			res, err := client.Post("http://"+f.addr+"/large", "", bytes.NewReader(body))
			if assert.NoError(t, err) {
				n, err := io.Copy(io.Discard, res.Body)
				assert.NoError(t, err)
				assert.EqualValues(t, 1<<20, n)
				assert.Equal(t, http.StatusOK, res.StatusCode)
				_ = res.Body.Close()
			}
		})
	}
	all.Wait()
	assert.Equal(t, slices.Repeat([]string{"POST /large 4194304"}, 4), s.executed())
}
