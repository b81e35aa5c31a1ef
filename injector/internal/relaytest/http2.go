package relaytest

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

// Preface is what a client sends first (RFC 9113, section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// HTTP2Client returns a net/http client for HTTP/2 with prior knowledge.
func HTTP2Client(t testing.TB) *http.Client {
	t.Helper()
	tr := &http.Transport{Protocols: &http.Protocols{}}
	tr.Protocols.SetUnencryptedHTTP2(true)
	tr.HTTP2 = &http.HTTP2Config{MaxReceiveBufferPerConnection: 64 << 10, MaxReceiveBufferPerStream: 64 << 10}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: Patience}
}

// HTTP2Response is what a raw client received on a stream.
type HTTP2Response struct {
	Head, Trailers string // "200", followed by the other headers
	Body           string
	Ended          bool
	Reset          http2.ErrCode
	WasReset       bool
}

// HTTP2Peer is a raw end of an HTTP/2 connection.
type HTTP2Peer struct {
	Peer
	*http2.Framer
	encode    *hpack.Encoder
	block     bytes.Buffer
	next      uint32
	Responses map[uint32]*HTTP2Response
	GoAway    *http2.GoAwayFrame
	Credit    bool  // return credit for DATA
	broken    error // from writing: the kernel reports a reset only once
}

func ConnectHTTP2(t testing.TB, addr string) *HTTP2Peer {
	t.Helper()
	p := NewHTTP2Peer(Connect(t, addr))
	p.Send(Preface, false)
	require.NoError(t, p.WriteSettings())
	return p
}

func NewHTTP2Peer(c Peer) *HTTP2Peer {
	p := &HTTP2Peer{Peer: c, Framer: http2.NewFramer(c.TCPConn, c.TCPConn), next: 1, Responses: map[uint32]*HTTP2Response{}, Credit: true}
	p.encode = hpack.NewEncoder(&p.block)
	p.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return p
}

// EncodeFields encodes headers of the form "name: value".
func (p *HTTP2Peer) EncodeFields(list ...string) []byte {
	p.block.Reset()
	for _, l := range list {
		name, value, _ := strings.Cut(l, ": ")
		require.NoError(p.T, p.encode.WriteField(hpack.HeaderField{Name: name, Value: value}))
	}
	return p.block.Bytes()
}

// Request opens a stream and returns its ID. The head and a body are sent in one write.
func (p *HTTP2Peer) Request(method, path, body string, more ...string) uint32 {
	p.T.Helper()
	id, err := p.TryRequest(method, path, body, more...)
	require.NoError(p.T, err)
	return id
}

// TryRequest is like Request, on a connection that may have ended.
func (p *HTTP2Peer) TryRequest(method, path, body string, more ...string) (uint32, error) {
	id, err := p.tryOpen(method, path, body == "", more...)
	if err == nil && body != "" {
		err = p.WriteData(id, true, []byte(body))
	}
	return id, err
}

func (p *HTTP2Peer) OpenStream(method, path string, end bool, more ...string) uint32 {
	p.T.Helper()
	id, err := p.tryOpen(method, path, end, more...)
	require.NoError(p.T, err)
	return id
}

func (p *HTTP2Peer) tryOpen(method, path string, end bool, more ...string) (uint32, error) {
	id := p.next
	p.next += 2
	p.Responses[id] = &HTTP2Response{}
	block := p.EncodeFields(append([]string{":method: " + method, ":scheme: http", ":authority: payments", ":path: " + path}, more...)...)
	return id, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: end, EndHeaders: true})
}

// ReadUntil reads frames until ok returns true or the time is over. It returns how the connection ended, as
// Peer.ReadToEnd does, or "".
func (p *HTTP2Peer) ReadUntil(within time.Duration, ok func() bool) (how string) {
	p.T.Helper()
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(within)))
	for ok == nil || !ok() {
		f, err := p.ReadFrame()
		switch {
		case err == nil:
			p.HandleFrame(f)
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

func (p *HTTP2Peer) checkWrite(err error) {
	if err != nil && p.broken == nil {
		p.broken = err
	}
}

func (p *HTTP2Peer) HandleFrame(f http2.Frame) {
	s := p.Responses[f.Header().StreamID]
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
		if s.Head == "" {
			s.Head = f.PseudoValue("status")
			list = append([]string{s.Head}, list...)
		}
		s.Trailers = strings.Join(list, "\n")
		s.Ended = s.Ended || f.StreamEnded()
	case *http2.DataFrame:
		if s == nil {
			break
		}
		s.Body += string(f.Data())
		s.Ended = s.Ended || f.StreamEnded()
		if n := f.Length; n > 0 && p.Credit {
			p.checkWrite(p.WriteWindowUpdate(0, n))
			if !s.Ended {
				p.checkWrite(p.WriteWindowUpdate(f.StreamID, n))
			}
		}
	case *http2.RSTStreamFrame:
		if s != nil {
			s.Reset, s.WasReset = f.ErrCode, true
		}
	case *http2.GoAwayFrame:
		p.GoAway = f
	}
}

// Response waits for the whole answer on a stream.
func (p *HTTP2Peer) Response(id uint32) *HTTP2Response {
	p.T.Helper()
	s := p.Responses[id]
	how := p.ReadUntil(Patience, func() bool { return s.Ended || s.WasReset })
	require.Empty(p.T, how, "stream %d: %+v", id, s)
	return s
}

// AcceptHTTP2 accepts a connection as a server: it reads the preface and sends SETTINGS.
func (s *ScriptedServer) AcceptHTTP2(t testing.TB) *HTTP2Peer {
	t.Helper()
	p := NewHTTP2Peer(s.Accept(t))
	p.Expect(Preface)
	require.NoError(t, p.WriteSettings())
	return p
}

// Requests reads the headers of n requests and returns their stream IDs.
func (p *HTTP2Peer) Requests(n int) []uint32 {
	p.T.Helper()
	var ids []uint32
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(Patience)))
	whole := 0
	for whole < n {
		f, err := p.ReadFrame()
		require.NoError(p.T, err)
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			ids = append(ids, h.StreamID)
			p.Responses[h.StreamID] = &HTTP2Response{Head: h.PseudoValue("method") + " " + h.PseudoValue("path")}
			if h.StreamEnded() {
				whole++
			}
		}
		p.HandleFrame(f)
		if d, ok := f.(*http2.DataFrame); ok && d.StreamEnded() {
			whole++
		}
	}
	return ids
}

// Respond answers a stream.
func (p *HTTP2Peer) Respond(id uint32, status, body string, trailers ...string) {
	p.T.Helper()
	require.NoError(p.T, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.EncodeFields(":status: " + status), EndHeaders: true}))
	require.NoError(p.T, p.WriteData(id, len(trailers) == 0, []byte(body)))
	if len(trailers) > 0 {
		require.NoError(p.T, p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.EncodeFields(trailers...), EndHeaders: true, EndStream: true}))
	}
}

func (h *HTTP2Response) String() string { return fmt.Sprintf("%s %s", h.Head, h.Body) }
