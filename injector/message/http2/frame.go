package http2

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"

	"golang.org/x/net/http2/hpack"
)

// Preface is what an HTTP/2 client sends first (RFC 9113, section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// ErrNotHTTP2 means that the input cannot be parsed as HTTP/2 and must be passed through.
var ErrNotHTTP2 = errors.New("not understood as HTTP/2")

// Frame types (RFC 9113, section 6).
const (
	frameData byte = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation // CONTINUATION

	framePriorityUpdate byte = 0x10 // RFC 9218
	frameStop           byte = 0xff // not a frame: in the queue of a lane, frames after it wait; see way.stop
)

// Flags, and error codes that the relay sends.
const (
	flagEnd      byte = 0x1 // on DATA and HEADERS; on SETTINGS and PING it means ACK
	flagHeaders  byte = 0x4 // END_HEADERS
	flagPadded   byte = 0x8
	flagPriority byte = 0x20

	refusedStream = 0x7
	cancelled     = 0x8
)

const (
	HeadLen              = 9
	maxFrame             = 16 << 10  // the maximum frame size that every receiver accepts
	maxStreamID          = 1<<31 - 1 // maximum stream ID
	settingInitialWindow = 0x4       // SETTINGS_INITIAL_WINDOW_SIZE
	maxHeldWeight        = 16 << 20  // limit of what rules hold, for each direction of a connection
	maxHeaders           = 256 << 10 // limit of a header block; beyond it, the connection is relayed as plain bytes
	ownCredit            = 1 << 20   // for a server whose client has disconnected
	maxTable             = 1 << 20   // maximum size of the header table
)

// frame is a frame, or a header block with its continuations.
type frame struct {
	kind, flags byte
	stream      uint32
	raw         []byte              // exactly as received; nil for a frame generated here
	payload     []byte              // without padding; for PUSH_PROMISE, the promised stream ID
	fields      []hpack.HeaderField // of a header block
	cost        int                 // flow-control bytes of DATA
	credited    bool                // its sender has already got this credit back
}

// endsStream reports whether it is its sender's last frame on the stream.
func (f *frame) endsStream() bool {
	return f.kind == frameReset || (f.flags&flagEnd != 0 && (f.kind == frameData || f.kind == frameHeaders))
}

// hasHeaders reports whether it has a header block.
func (f *frame) hasHeaders() bool { return f.kind == frameHeaders || f.kind == framePush }

// status returns the status of an answer's headers, or 0 if they have none.
func (f *frame) status() int {
	status, _ := strconv.Atoi(field(f.fields, ":status"))
	return status
}

// weight returns the approximate memory usage.
func (f *frame) weight() int {
	n := 64 + len(f.payload)
	for _, h := range f.fields {
		n += int(h.Size())
	}
	return n
}

// field returns the value of the first header with a lower-case name, or "".
func field(fields []hpack.HeaderField, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// parseHead parses a frame head of nine bytes.
func parseHead(p []byte) (f frame, length int) {
	return frame{kind: p[3], flags: p[4], stream: binary.BigEndian.Uint32(p[5:]) & maxStreamID}, int(p[0])<<16 | int(p[1])<<8 | int(p[2])
}

// BeginsSettings reports whether p may be the beginning of a SETTINGS frame without ACK and of less than 64 KiB.
func BeginsSettings(p []byte) bool {
	for i, b := range p {
		if (i == 0 || i > 3) && b != 0 || i == 3 && b != frameSettings {
			return false
		}
	}
	return true
}

func appendHead(b []byte, length int, kind, flags byte, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags) //nolint:gosec // 24 bits
	return binary.BigEndian.AppendUint32(b, stream)
}

// reader reads frames.
type reader struct {
	r      *bufio.Reader
	decode *hpack.Decoder
	flush  func() error // called before a read that may block; may be nil
	raw    []byte       // of the latest frame
}

func newReader(r *bufio.Reader, flush func() error) *reader {
	d := hpack.NewDecoder(4096, nil)
	d.SetAllowedMaxDynamicTableSize(maxTable)
	d.SetMaxStringLength(maxHeaders)
	return &reader{r: r, decode: d, flush: flush}
}

// await waits until n bytes are buffered. n must not exceed the size of the buffer.
func (d *reader) await(n int) error {
	if d.r.Buffered() < n && d.flush != nil {
		if err := d.flush(); err != nil {
			return err
		}
	}
	p, err := d.r.Peek(n)
	if errors.Is(err, io.EOF) && len(p) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}

// head returns the head of the next frame without consuming it.
func (d *reader) head() (f frame, length int, err error) {
	if err = d.await(HeadLen); err != nil {
		return f, 0, err
	}
	p, _ := d.r.Peek(HeadLen)
	f, length = parseHead(p)
	return f, length, nil
}

// read reads a frame; it reads a header block with all its continuations. The result is valid until the next
// call. After an error, its raw field holds the bytes that were read.
func (d *reader) read() (frame, error) {
	d.raw = d.raw[:0]
	var first frame
	var block []byte
	for {
		next, length, err := d.head()
		switch {
		case err != nil:
			return frame{raw: d.raw}, err
		case len(d.raw)+length > maxHeaders, (next.kind == frameContinuation) != (len(d.raw) > 0), len(d.raw) > 0 && next.stream != first.stream:
			return frame{raw: d.raw}, ErrNotHTTP2
		}
		payload, err := d.append(HeadLen + length)
		if err != nil {
			return frame{raw: d.raw}, err
		}
		payload = payload[HeadLen:]
		if next.kind != frameContinuation {
			first = next
			first.payload, block, err = first.open(payload)
		} else {
			block = append(block, payload...)
		}
		if err == nil && first.hasHeaders() {
			if next.flags&flagHeaders == 0 {
				continue
			}
			first.fields, err = d.decode.DecodeFull(block)
			if err != nil || first.weight() > 2*maxHeaders {
				err = ErrNotHTTP2
			}
		}
		first.raw = d.raw
		return first, err
	}
}

// append reads n bytes into raw and returns them.
func (d *reader) append(n int) ([]byte, error) {
	if d.r.Buffered() < n && d.flush != nil {
		if err := d.flush(); err != nil {
			return nil, err
		}
	}
	at := len(d.raw)
	d.raw = slices.Grow(d.raw, n)[:at+n]
	got, err := io.ReadFull(d.r, d.raw[at:])
	d.raw = d.raw[:at+got]
	return d.raw[at:], err
}

// open returns the payload of a frame and the first fragment of its header block, without padding and priority.
func (f *frame) open(p []byte) (payload, block []byte, err error) {
	if !f.hasHeaders() {
		if f.kind == frameWindow && len(p) != 4 || f.kind == frameReset && len(p) != 4 || f.kind == frameGoAway && len(p) < 8 {
			return nil, nil, ErrNotHTTP2
		}
		return p, nil, nil
	}
	if f.flags&flagPadded != 0 {
		if len(p) == 0 || int(p[0]) > len(p)-1 {
			return nil, nil, ErrNotHTTP2
		}
		p = p[1 : len(p)-int(p[0])]
	}
	skip := 0
	if f.kind == framePush {
		skip = 4
	} else if f.flags&flagPriority != 0 {
		skip = 5
	}
	if len(p) < skip || f.stream == 0 {
		return nil, nil, ErrNotHTTP2
	}
	return p[:skip], slices.Clone(p[skip:]), nil
}

// renumber changes the stream ID of a frame and its continuations.
func renumber(raw []byte, stream uint32) []byte {
	for at := 0; at < len(raw); {
		f, length := parseHead(raw[at:])
		if f.stream != stream {
			binary.BigEndian.PutUint32(raw[at+5:], stream)
		}
		at += HeadLen + length
	}
	return raw
}
