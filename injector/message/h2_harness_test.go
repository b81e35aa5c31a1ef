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

// h2client returns a net/http client for HTTP/2 with prior knowledge.
func h2client(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: &http.Protocols{}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	tr.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// h2Response is what a raw client received on a stream.
type h2Response struct {
	head, trailers string // "200", followed by the other headers
	body           string
	ended          bool
	reset          http2.ErrCode
	wasReset       bool
}

// h2peer is a raw end of an HTTP/2 connection.
type h2peer struct {
	peer
	*http2.Framer
	encode    *hpack.Encoder
	block     bytes.Buffer
	next      uint32
	responses map[uint32]*h2Response
	goAway    *http2.GoAwayFrame
	credit    bool  // return credit for DATA
	broken    error // from writing: the kernel reports a reset only once
}

func connectH2(t testing.TB, addr string) *h2peer {
	t.Helper()
	p := newH2Peer(connect(t, addr))
	p.send(preface, false)
	require.NoError(t, p.WriteSettings())
	return p
}

func newH2Peer(c peer) *h2peer {
	p := &h2peer{peer: c, Framer: http2.NewFramer(c.TCPConn, c.TCPConn), next: 1, responses: map[uint32]*h2Response{}, credit: true}
	p.encode = hpack.NewEncoder(&p.block)
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return p
}

// fields encodes headers of the form "name: value".
func (p *h2peer) fields(list ...string) []byte {
	p.block.Reset()
	for _, l := range list {
		name, value, _ := strings.Cut(l, ": ")
		require.NoError(p.t, p.encode.WriteField(hpack.HeaderField{Name: name, Value: value}))
	}
	return p.block.Bytes()
}

// request opens a stream and returns its ID. The head and a body are sent in one write.
func (p *h2peer) request(method, path, body string, more ...string) uint32 {
	p.t.Helper()
	id := p.openStream(method, path, body == "", more...)
	if body != "" {
		require.NoError(p.t, p.WriteData(id, true, []byte(body)))
	}
	return id
}

func (p *h2peer) openStream(method, path string, end bool, more ...string) uint32 {
	p.t.Helper()
	id := p.next
	p.next += 2
	p.responses[id] = &h2Response{}
	block := p.fields(append([]string{":method: " + method, ":scheme: http", ":authority: payments", ":path: " + path}, more...)...)
	require.NoError(p.t, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: end, EndHeaders: true}))
	return id
}

// readUntil reads frames until ok returns true or the time is over. It returns how the connection ended, as
// peer.readToEnd does, or "".
func (p *h2peer) readUntil(within time.Duration, ok func() bool) (how string) {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(within)))
	for ok == nil || !ok() {
		f, err := p.ReadFrame()
		switch {
		case err == nil:
			p.handleFrame(f)
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

func (p *h2peer) checkWrite(err error) {
	if err != nil {
		p.broken = err
	}
}

func (p *h2peer) handleFrame(f http2.Frame) {
	s := p.responses[f.Header().StreamID]
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			p.checkWrite(p.WriteSettingsAck())
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			p.checkWrite(p.WritePing(true, f.Data))
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
			p.checkWrite(p.WriteWindowUpdate(0, n))
			if !s.ended {
				p.checkWrite(p.WriteWindowUpdate(f.StreamID, n))
			}
		}
	case *http2.RSTStreamFrame:
		if s != nil {
			s.reset, s.wasReset = f.ErrCode, true
		}
	case *http2.GoAwayFrame:
		p.goAway = f
	}
}

// response waits for the whole answer on a stream.
func (p *h2peer) response(id uint32) *h2Response {
	p.t.Helper()
	s := p.responses[id]
	how := p.readUntil(patience, func() bool { return s.ended || s.wasReset })
	require.Empty(p.t, how, "stream %d: %+v", id, s)
	return s
}

// acceptH2 accepts a connection as a server: it reads the preface and sends SETTINGS.
func (s *scriptedServer) acceptH2(t testing.TB) *h2peer {
	t.Helper()
	p := newH2Peer(s.accept(t))
	p.expect(preface)
	require.NoError(t, p.WriteSettings())
	return p
}

// requests reads the headers of n requests and returns their stream IDs.
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
			p.responses[h.StreamID] = &h2Response{head: h.PseudoValue("method") + " " + h.PseudoValue("path")}
			if h.StreamEnded() {
				whole++
			}
		}
		p.handleFrame(f)
		if d, ok := f.(*http2.DataFrame); ok && d.StreamEnded() {
			whole++
		}
	}
	return ids
}

// respond answers a stream.
func (p *h2peer) respond(id uint32, status, body string, trailers ...string) {
	p.t.Helper()
	require.NoError(p.t, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.fields(":status: " + status), EndHeaders: true}))
	require.NoError(p.t, p.WriteData(id, len(trailers) == 0, []byte(body)))
	if len(trailers) > 0 {
		require.NoError(p.t, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.fields(trailers...), EndHeaders: true, EndStream: true}))
	}
}

func (h *h2Response) String() string { return fmt.Sprintf("%s %s", h.head, h.body) }
