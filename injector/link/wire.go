package link

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// wire is the ciphertext of one side.
type wire struct {
	net.Conn
	fin   atomic.Bool // FIN came before TLS had ended
	ahead chan early  // of watch; nil when there is nothing
	early early
}

// early is what watch read.
type early struct {
	p   []byte
	err error
}

// watch reads ahead, once, so that a peer's leaving is noticed while nobody reads: left is called then.
func (w *wire) watch(run func(func()), left func()) {
	ahead := make(chan early, 1)
	w.ahead = ahead
	run(func() {
		p := make([]byte, 512)
		n, err := w.Conn.Read(p)
		if err != nil {
			left()
		}
		ahead <- early{p[:n], err}
	})
}

// Read reads, what watch read first.
func (w *wire) Read(p []byte) (n int, err error) {
	if w.ahead != nil {
		w.early, w.ahead = <-w.ahead, nil
	}
	if len(w.early.p) > 0 || w.early.err != nil {
		n = copy(p, w.early.p)
		if w.early.p = w.early.p[n:]; len(w.early.p) == 0 {
			err, w.early = w.early.err, early{}
		}
	} else {
		n, err = w.Conn.Read(p)
	}
	if err == io.EOF { //nolint:errorlint // the socket's own
		w.fin.Store(true)
	}
	return n, err
}

// awaitReset reads on behind the end of TLS, until the connection ends; true when that is a reset.
func (w *wire) awaitReset() bool {
	p := make([]byte, 64)
	for {
		if _, err := w.Read(p); err != nil {
			return errors.Is(err, syscall.ECONNRESET)
		}
	}
}
