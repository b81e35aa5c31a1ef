package http2

import (
	"bytes"
	"io"
	"sync/atomic"

	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/duplex"
)

// way is one direction of an HTTP/2 connection: the pending output and the receiver's flow-control windows.
// All fields except reader and idle are guarded by the connection's lock.
//
// The windows are those of the receiver. As long as all frames are forwarded, the sender sees the same windows.
// Frames that a rule holds back are credited to the sender at once, so that other streams are not blocked. This
// credit is recorded as advanced, and later credit of the receiver is withheld from the sender until it is
// balanced. Only then can the sender send more than the receiver accepts; the excess waits here.
type way struct {
	c        *Conn
	toServer bool
	out      io.Writer
	reverse  *way
	reader   *reader
	idle     atomic.Bool // all input from the sender has been processed

	buf, spare   []byte // pending output, output being written
	deferred     []byte // output to write after the current frame, or after the sender's first frame
	outputClosed bool   // no more output
	midFrame     bool   // deferred is in use
	senderEnded  bool   // the sender has ended
	writer       writerState
	err          error          // of writing
	encode       *hpack.Encoder // set once the header tables are out of sync
	block        bytes.Buffer   // output of encode

	window, advanced int64 // of the connection
	initial          int64 // window of a new stream
	blocked          []*stream
	heldWeight       int // memory usage of the frames that lanes hold
}

// writerState is what is done about the pending output.
type writerState uint8

const (
	noWriter        writerState = iota
	writerScheduled             // a goroutine is about to write
	writing
)

func (w *way) lane(s *stream) *lane {
	if w.toServer {
		return &s.up
	}
	return &s.down
}

// dir returns the direction.
func (w *way) dir() message.Dir {
	if w.toServer {
		return message.ToServer
	}
	return message.ToClient
}

// id returns the stream's ID at the receiver.
func (w *way) id(s *stream) uint32 {
	if w.toServer {
		return s.serverID
	}
	return s.id
}

// add adds output that the relay generates, behind the frame that is being forwarded.
func (w *way) add(p []byte) {
	switch {
	case w.outputClosed:
	case w.midFrame:
		w.deferred = append(w.deferred, p...)
	default:
		w.buf = append(w.buf, p...)
	}
}

// flush writes the pending output, after a concurrent flush has finished. The lock is not held.
func (w *way) flush() error {
	w.c.Lock()
	defer w.c.Unlock()
	for w.writer == writing {
		w.c.Wait()
	}
	w.writer = writing
	for len(w.buf) > 0 && w.err == nil {
		w.buf, w.spare = w.spare[:0], w.buf
		w.c.Unlock()
		_, err := w.out.Write(w.spare)
		w.c.Lock()
		if err != nil && w.toServer {
			w.c.hideServerClose()
		}
		switch {
		case err == nil, w.outputClosed && w.toServer: // the server's connection has closed and is not needed
		case !w.toServer && w.c.busy(): // calls that must be completed although the client disconnected
			w.c.cancelStreams(true)
		default:
			w.err = duplex.WriteFailed(err)
		}
		if cap(w.spare) > 4*maxFrame { // do not retain a large buffer
			w.spare = nil
		}
	}
	w.writer = noWriter
	w.c.Broadcast()
	return w.err
}

// scheduleFlush starts a goroutine that writes the pending output, and does not wait for it, so that the other
// direction is not blocked.
func (w *way) scheduleFlush() {
	if len(w.buf) == 0 || w.writer != noWriter {
		return
	}
	w.writer = writerScheduled
	w.c.Go(func() { _ = w.flush() })
}

// hasUnwritten reports whether output is pending. The lock is held.
func (w *way) hasUnwritten() bool {
	return w.err == nil && (len(w.buf) > 0 || w.writer != noWriter)
}

// fits reports whether the windows permit n bytes now. If nothing was advanced, the sender observes the windows
// itself; generated means that the bytes come from the relay.
func (w *way) fits(l *lane, n int, generated bool) bool {
	return n == 0 || (!generated && w.advanced == 0 && l.advanced == 0) || int64(n) <= min(w.window, l.window)
}

// canPass reports whether a frame of the lane can be forwarded as received.
func (w *way) canPass(l *lane, n int, generated bool) bool {
	return l.handling == passing && len(l.queue) == 0 && w.fits(l, n, generated)
}
