package http2

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// fakeClient is a client that sends and receives nothing.
type fakeClient struct{ message.Client }

// A client that disconnects after the whole answer was sent has not given up, even if the rule has not finished
// with the stream.
func TestH2DisconnectAfterAnswerIsNotGivingUp(t *testing.T) {
	answer := frame{kind: frameHeaders, flags: flagEnd, fields: []hpack.HeaderField{{Name: ":status", Value: "503"}}}
	for _, row := range []struct {
		name       string
		resets     bool // otherwise the connection is closed
		first      bool // before the answer
		wantStatus int
		wantGaveUp bool
	}{
		{"reset behind it", true, false, 503, false},
		{"reset before it", true, true, 0, true},
		{"gone behind it", false, false, 503, false},
		{"gone before it", false, true, 503, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var calls []message.Call
			relay, err := relaytest.NewRelay("http", message.Config{Calls: func(c message.Call) { calls = append(calls, c) }})
			require.NoError(t, err)
			up, _ := net.Pipe()
			conn := &duplex.Conn{}
			require.True(t, conn.Connect(t.Context(), relay, fakeClient{}, func(context.Context) (net.Conn, error) { return up, nil }))
			c := New(conn, false)
			s := &stream{id: 1, isCall: true, answer: answerBegun, status: 503, intercepts: 1}
			s.down.window = 65535
			c.streams[1] = s
			leave := func() {
				if !row.resets {
					c.MarkClientClosed()
					return
				}
				require.NoError(t, c.toServer.handle(&frame{kind: frameReset, stream: 1, payload: make([]byte, 4)}, false))
			}
			if row.first {
				leave()
			}
			c.toClient.accept(s, &answer)
			if !row.first {
				leave()
			}
			s.intercepts--
			c.completeIfDone(s)
			require.Len(t, calls, 1)
			assert.Equal(t, []any{row.wantStatus, row.wantGaveUp}, []any{calls[0].Status, calls[0].GaveUp})
		})
	}
}

// The relay and x/net's Framer agree on the boundaries and contents of frames that both accept.
func FuzzH2Frames(f *testing.F) {
	up, down := relaytest.HTTP2Sides()
	for _, text := range append(up, down...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ours := newReader(bufio.NewReaderSize(bytes.NewReader(data), 64), nil)
		theirs := http2.NewFramer(io.Discard, bytes.NewReader(data))
		theirs.SetMaxReadFrameSize(1<<24 - 1)
		theirs.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		theirs.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(maxTable)
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
			if err != nil && !errors.As(err, &stream) || errors.As(err, &stream) && got.kind != frameHeaders {
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
