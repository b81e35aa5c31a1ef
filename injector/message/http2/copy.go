package http2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
)

// duplicate is the second delivery of a request. It is an HTTP/2 client with a single request.
type duplicate struct {
	conn                    net.Conn
	reader                  *reader
	window, stream, initial int64 // flow-control windows of the server
	queued                  []frame
	answer                  stream // the part of the answer that was read
}

// send sends the preface and the request, within the server's windows.
func (d *duplicate) send(request []frame) error {
	b := appendHead([]byte(Preface), 6, frameSettings, 0, 0)
	b = append(b, 0, 2, 0, 0, 0, 0) // SETTINGS_ENABLE_PUSH
	for _, f := range request {
		switch f.kind {
		case frameHeaders:
			b = appendBlock(b, 1, &f, encodeWithoutTable(f.fields))
		case frameData:
			for {
				n := min(int64(len(f.payload)), maxFrame, max(0, d.window), max(0, d.stream))
				if n == 0 && len(f.payload) > 0 {
					if err := d.write(&b); err != nil {
						return err
					}
					if over, err := d.credit(); over || err != nil {
						return err
					}
					continue
				}
				part := f.payload[:n]
				f.payload = f.payload[n:]
				d.window, d.stream = d.window-n, d.stream-n
				flags := byte(0)
				if len(f.payload) == 0 {
					flags = f.flags & flagEnd
				}
				b = append(appendHead(b, len(part), frameData, flags, 1), part...)
				if len(f.payload) == 0 {
					break
				}
			}
		}
	}
	return d.write(&b)
}

func (d *duplicate) write(b *[]byte) error {
	_, err := d.conn.Write(*b)
	*b = (*b)[:0]
	return err
}

// credit waits for flow-control credit. answered means that the server has already answered and needs no more data.
func (d *duplicate) credit() (answered bool, err error) {
	f, err := d.read()
	if err == nil && f.kind != frameWindow {
		f.payload = append([]byte(nil), f.payload...)
		d.queued = append(d.queued, f)
	}
	return f.endsStream(), err
}

// begin waits for the head of the answer. next returns it again.
func (d *duplicate) begin() error {
	head, err := d.next()
	d.queued = append([]frame{head}, d.queued...)
	return err
}

// next returns the next frame of the answer: final headers, DATA or trailers.
func (d *duplicate) next() (frame, error) {
	for {
		var f frame
		var err error
		if len(d.queued) > 0 {
			f, d.queued = d.queued[0], d.queued[1:]
		} else if f, err = d.read(); err != nil {
			return f, err
		}
		switch f.kind {
		case frameData:
			d.answer.down.size += f.cost
			return f, nil
		case frameHeaders:
			if d.noteHeaders(&f) {
				return f, nil
			}
		}
	}
}

// noteHeaders evaluates headers. It returns false for those of an interim answer.
func (d *duplicate) noteHeaders(f *frame) bool {
	switch status := f.status(); {
	case status/100 == 1:
		return false
	case status != 0:
		d.answer.status = status
	}
	if f.endsStream() {
		d.answer.code = field(f.fields, "grpc-status")
	}
	return true
}

// read returns the next frame that belongs to the request or grants credit. It answers all other frames that
// need an answer.
func (d *duplicate) read() (frame, error) {
	for {
		f, err := d.reader.read()
		if err != nil {
			return f, err
		}
		f.raw = nil
		ownStream := f.stream == 1
		switch {
		case f.kind == frameSettings && f.flags&flagEnd == 0:
			for p := f.payload; len(p) >= 6; p = p[6:] {
				if binary.BigEndian.Uint16(p) == settingInitialWindow {
					initial := int64(binary.BigEndian.Uint32(p[2:]))
					d.stream, d.initial = d.stream+initial-d.initial, initial
				}
			}
			err = d.writeBytes(appendHead(nil, 0, frameSettings, flagEnd, 0))
			f.kind = frameWindow // it may have granted credit
			return f, err
		case f.kind == framePing && f.flags&flagEnd == 0:
			err = d.writeBytes(append(appendHead(nil, len(f.payload), framePing, flagEnd, 0), f.payload...))
		case f.kind == frameWindow:
			n := int64(binary.BigEndian.Uint32(f.payload) & maxStreamID)
			if ownStream {
				d.stream += n
			} else {
				d.window += n
			}
			return f, nil
		case f.kind == frameGoAway && binary.BigEndian.Uint32(f.payload)&maxStreamID < 1:
			return f, errors.New("the server goes away")
		case f.kind == frameReset && ownStream:
			return f, fmt.Errorf("the server cancels it: error code %d", binary.BigEndian.Uint32(f.payload))
		case f.kind == frameHeaders && ownStream:
			return f, nil
		case f.kind == frameData && ownStream:
			return f, d.data(&f)
		}
		if err != nil {
			return f, err
		}
	}
}

// data removes the padding and returns the credit.
func (d *duplicate) data(f *frame) error {
	n := len(f.payload)
	if f.flags&flagPadded != 0 {
		if n == 0 || int(f.payload[0]) > n-1 {
			return ErrNotHTTP2
		}
		f.payload = f.payload[1 : n-int(f.payload[0])]
	}
	f.flags &= flagEnd
	f.cost, f.credited = len(f.payload), true
	if n == 0 {
		return nil
	}
	credit := func(b []byte, stream uint32) []byte {
		return binary.BigEndian.AppendUint32(appendHead(b, 4, frameWindow, 0, stream), uint32(n)) //nolint:gosec // 24 bits
	}
	b := credit(nil, 0)
	if !f.endsStream() {
		b = credit(b, 1)
	}
	return d.writeBytes(b)
}

func (d *duplicate) writeBytes(b []byte) error {
	_, err := d.conn.Write(b)
	return err
}
