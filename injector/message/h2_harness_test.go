package message

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2client is net/http's, with prior knowledge.
func h2client(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: &http.Protocols{}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	tr.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// heard is what a raw client heard of a stream.
type heard struct {
	head, trailers string // "200", and the other headers behind it
	body           string
	ended          bool
	reset          http2.ErrCode
	wasReset       bool
}

// h2peer is a raw end of a conversation in HTTP/2.
type h2peer struct {
	peer
	*http2.Framer
	encode *hpack.Encoder
	block  bytes.Buffer
	next   uint32
	heard  map[uint32]*heard
	gone   *http2.GoAwayFrame
	credit bool  // DATA is given back
	broken error // of the writing: the kernel tells of a reset once
}

func connectH2(t testing.TB, addr string) *h2peer {
	t.Helper()
	p := newH2Peer(connect(t, addr))
	p.send(preface, false)
	require.NoError(t, p.WriteSettings())
	return p
}

func newH2Peer(c peer) *h2peer {
	p := &h2peer{peer: c, Framer: http2.NewFramer(c.TCPConn, c.TCPConn), next: 1, heard: map[uint32]*heard{}, credit: true}
	p.encode = hpack.NewEncoder(&p.block)
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return p
}

// fields encodes headers, "name: value" each.
func (p *h2peer) fields(list ...string) []byte {
	p.block.Reset()
	for _, l := range list {
		name, value, _ := strings.Cut(l, ": ")
		require.NoError(p.t, p.encode.WriteField(hpack.HeaderField{Name: name, Value: value}))
	}
	return p.block.Bytes()
}

// ask opens a stream and returns its number. With a body it is said in one go with the head.
func (p *h2peer) ask(method, path, body string, more ...string) uint32 {
	p.t.Helper()
	id := p.open(method, path, body == "", more...)
	if body != "" {
		require.NoError(p.t, p.WriteData(id, true, []byte(body)))
	}
	return id
}

func (p *h2peer) open(method, path string, end bool, more ...string) uint32 {
	p.t.Helper()
	id := p.next
	p.next += 2
	p.heard[id] = &heard{}
	block := p.fields(append([]string{":method: " + method, ":scheme: http", ":authority: payments", ":path: " + path}, more...)...)
	require.NoError(p.t, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: end, EndHeaders: true}))
	return id
}

// listen hears what comes until ok, or for so long, and tells how the connection ended: "" when it did not, or as peer.ends does.
func (p *h2peer) listen(within time.Duration, ok func() bool) (how string) {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(within)))
	for ok == nil || !ok() {
		f, err := p.ReadFrame()
		switch {
		case err == nil:
			p.hear(f)
		case errors.Is(err, syscall.ECONNRESET) || errors.Is(p.broken, syscall.ECONNRESET):
			return "reset"
		case errors.Is(err, io.EOF):
			return "closed"
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "silence"
		default:
			return err.Error()
		}
	}
	return ""
}

func (p *h2peer) wrote(err error) {
	if err != nil {
		p.broken = err
	}
}

func (p *h2peer) hear(f http2.Frame) {
	s := p.heard[f.Header().StreamID]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			p.wrote(p.WriteSettingsAck())
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			p.wrote(p.WritePing(true, f.Data))
		}
	case *http2.MetaHeadersFrame:
		if s == nil || f.PseudoValue("status") == "100" {
			break
		}
		var list []string
		for _, h := range f.RegularFields() {
			list = append(list, h.Name+": "+h.Value)
		}
		if s.head == "" {
			s.head = f.PseudoValue("status")
			list = append([]string{s.head}, list...)
		}
		s.trailers = strings.Join(list, "\n")
		s.ended = s.ended || f.StreamEnded()
	case *http2.DataFrame:
		if s == nil {
			break
		}
		s.body += string(f.Data())
		s.ended = s.ended || f.StreamEnded()
		if n := f.Length; n > 0 && p.credit {
			p.wrote(p.WriteWindowUpdate(0, n))
			if !s.ended {
				p.wrote(p.WriteWindowUpdate(f.StreamID, n))
			}
		}
	case *http2.RSTStreamFrame:
		if s != nil {
			s.reset, s.wasReset = f.ErrCode, true
		}
	case *http2.GoAwayFrame:
		p.gone = f
	}
}

// answer waits for a stream's whole answer.
func (p *h2peer) answer(id uint32) *heard {
	p.t.Helper()
	s := p.heard[id]
	how := p.listen(patience, func() bool { return s.ended || s.wasReset })
	require.Empty(p.t, how, "stream %d: %+v", id, s)
	return s
}

// meet plays the server of a connection: it reads the preface and says its SETTINGS.
func (s *script) meetH2(t testing.TB) *h2peer {
	t.Helper()
	p := newH2Peer(s.next(t))
	p.expect(preface)
	require.NoError(t, p.WriteSettings())
	return p
}

// until hears requests, as listen hears answers; a stream is known when its headers came.
func (p *h2peer) requests(n int) []uint32 {
	p.t.Helper()
	var ids []uint32
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	whole := 0
	for whole < n {
		f, err := p.ReadFrame()
		require.NoError(p.t, err)
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			ids = append(ids, h.StreamID)
			p.heard[h.StreamID] = &heard{head: h.PseudoValue("method") + " " + h.PseudoValue("path")}
			if h.StreamEnded() {
				whole++
			}
		}
		p.hear(f)
		if d, ok := f.(*http2.DataFrame); ok && d.StreamEnded() {
			whole++
		}
	}
	return ids
}

// reply answers a stream.
func (p *h2peer) say(id uint32, status, body string, trailers ...string) {
	p.t.Helper()
	require.NoError(p.t, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.fields(":status: " + status), EndHeaders: true}))
	require.NoError(p.t, p.WriteData(id, len(trailers) == 0, []byte(body)))
	if len(trailers) > 0 {
		require.NoError(p.t, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.fields(trailers...), EndHeaders: true, EndStream: true}))
	}
}

func (h *heard) String() string { return fmt.Sprintf("%s %s", h.head, h.body) }
