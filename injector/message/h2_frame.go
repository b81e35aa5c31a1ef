package message

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// preface is what a client of HTTP/2 says first (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// errNotH2 tells that the bytes cannot be followed as HTTP/2: they go on as they are.
var errNotH2 = errors.New("not understood as HTTP/2")

// Kinds of frames (RFC 9113, section 6).
const (
	h2Data byte = iota
	h2Headers
	h2Priority
	h2Reset
	h2Settings
	h2Push
	h2Ping
	h2GoAway
	h2Window
	h2More // CONTINUATION

	h2PriorityUpdate byte = 0x10 // RFC 9218
)

// Flags, and error codes that the relay gives.
const (
	flagEnd      byte = 0x1 // of DATA and HEADERS; of SETTINGS and PING the acknowledgement
	flagHeaders  byte = 0x4 // the block of headers is whole
	flagPadded   byte = 0x8
	flagPriority byte = 0x20

	refusedStream = 0x7
	cancelled     = 0x8
)

const (
	h2HeadLen       = 9
	h2Piece         = 16 << 10  // what every receiver takes in one frame
	h2MaxID         = 1<<31 - 1 // of a stream
	h2InitialWindow = 0x4       // of SETTINGS
	keptBytes       = 16 << 20  // that rules have in hand, for each direction of a connection
	ownCredit       = 1 << 20   // to a server whose client has left
	h2Table         = 1 << 20   // a larger table of headers is not followed
)

// h2Frame is a frame, or a block of headers with its continuations.
type h2Frame struct {
	kind, flags byte
	stream      uint32
	raw         []byte              // exactly as it came; nil for one that is made here
	payload     []byte              // without padding; of PUSH_PROMISE, the promised stream
	fields      []hpack.HeaderField // of a block of headers
	cost        int                 // what DATA takes of the windows
	credited    bool                // its sender has had that back already
}

// ends tells whether it is its sender's last on the stream.
func (f *h2Frame) ends() bool {
	return f.kind == h2Reset || (f.flags&flagEnd != 0 && (f.kind == h2Data || f.kind == h2Headers))
}

// heads tells whether it has a block of headers.
func (f *h2Frame) heads() bool { return f.kind == h2Headers || f.kind == h2Push }

// weight is what it takes in memory, roughly.
func (f *h2Frame) weight() int {
	n := 64 + len(f.payload)
	for _, h := range f.fields {
		n += int(h.Size())
	}
	return n
}

// field is the value of the first header of a name in small letters, "" without one.
func field(fields []hpack.HeaderField, name string) string {
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// parseH2Head takes nine bytes apart.
func parseH2Head(p []byte) (f h2Frame, length int) {
	return h2Frame{kind: p[3], flags: p[4], stream: binary.BigEndian.Uint32(p[5:]) & h2MaxID}, int(p[0])<<16 | int(p[1])<<8 | int(p[2])
}

// beginsSettings tells whether these may be the first bytes of SETTINGS, not acknowledged and of less than 64 KiB.
func beginsSettings(p []byte) bool {
	for i, b := range p {
		if (i == 0 || i > 3) && b != 0 || i == 3 && b != h2Settings {
			return false
		}
	}
	return true
}

func appendH2Head(b []byte, length int, kind, flags byte, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags) //nolint:gosec // 24 bits
	return binary.BigEndian.AppendUint32(b, stream)
}

// h2Reader reads frames.
type h2Reader struct {
	r      *bufio.Reader
	decode *hpack.Decoder
	flush  func() error // before a read that may block; nil for none
	raw    []byte       // of the latest frame
}

func newH2Reader(r *bufio.Reader, flush func() error) *h2Reader {
	d := hpack.NewDecoder(4096, nil)
	d.SetAllowedMaxDynamicTableSize(h2Table)
	d.SetMaxStringLength(maxHead)
	return &h2Reader{r: r, decode: d, flush: flush}
}

// await waits for n bytes, at most a buffer's length.
func (d *h2Reader) await(n int) error {
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

// head looks at the next frame's head and leaves it where it is.
func (d *h2Reader) head() (f h2Frame, length int, err error) {
	if err = d.await(h2HeadLen); err != nil {
		return f, 0, err
	}
	p, _ := d.r.Peek(h2HeadLen)
	f, length = parseH2Head(p)
	return f, length, nil
}

// read reads a frame, and a block of headers to its end. Its bytes are valid until the next; with an error, raw is what was read and could not be
// followed.
func (d *h2Reader) read() (h2Frame, error) {
	d.raw = d.raw[:0]
	var first h2Frame
	var block []byte
	for {
		next, length, err := d.head()
		switch {
		case err != nil:
			return h2Frame{raw: d.raw}, err
		case len(d.raw)+length > maxHead, (next.kind == h2More) != (len(d.raw) > 0), len(d.raw) > 0 && next.stream != first.stream:
			return h2Frame{raw: d.raw}, errNotH2
		}
		payload, err := d.append(h2HeadLen + length)
		if err != nil {
			return h2Frame{raw: d.raw}, err
		}
		payload = payload[h2HeadLen:]
		if next.kind != h2More {
			first = next
			first.payload, block, err = first.open(payload)
		} else {
			block = append(block, payload...)
		}
		if err == nil && first.heads() {
			if next.flags&flagHeaders == 0 {
				continue
			}
			first.fields, err = d.decode.DecodeFull(block)
			if err != nil || first.weight() > 2*maxHead {
				err = errNotH2
			}
		}
		first.raw = d.raw
		return first, err
	}
}

// append reads so many bytes to raw and returns them.
func (d *h2Reader) append(n int) ([]byte, error) {
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

// open finds a frame's payload, and of one with headers the first part of the block; padding and priority are neither.
func (f *h2Frame) open(p []byte) (payload, block []byte, err error) {
	if !f.heads() {
		if f.kind == h2Window && len(p) != 4 || f.kind == h2Reset && len(p) != 4 || f.kind == h2GoAway && len(p) < 8 {
			return nil, nil, errNotH2
		}
		return p, nil, nil
	}
	if f.flags&flagPadded != 0 {
		if len(p) == 0 || int(p[0]) > len(p)-1 {
			return nil, nil, errNotH2
		}
		p = p[1 : len(p)-int(p[0])]
	}
	skip := 0
	if f.kind == h2Push {
		skip = 4
	} else if f.flags&flagPriority != 0 {
		skip = 5
	}
	if len(p) < skip || f.stream == 0 {
		return nil, nil, errNotH2
	}
	return p[:skip], slices.Clone(p[skip:]), nil
}

// renumber gives a frame, and its continuations, another stream.
func renumber(raw []byte, stream uint32) []byte {
	for at := 0; at < len(raw); {
		f, length := parseH2Head(raw[at:])
		if f.stream != stream {
			binary.BigEndian.PutUint32(raw[at+5:], stream)
		}
		at += h2HeadLen + length
	}
	return raw
}
