package link

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"syscall"
)

// wire is the ciphertext connection of one side.
type wire struct {
	net.Conn
	bareFIN atomic.Bool     // FIN arrived without a close_notify
	ahead   chan readResult // result of watchClose; nil if there is none
	first   readResult
}

// readResult is the result of a read by watchClose.
type readResult struct {
	p   []byte
	err error
}

// watchClose reads ahead once, so that a disconnect is noticed while no other goroutine reads. It
// calls onClose then.
func (w *wire) watchClose(run func(func()), onClose func()) {
	ahead := make(chan readResult, 1)
	w.ahead = ahead
	run(func() {
		p := make([]byte, 512)
		n, err := w.Conn.Read(p)
		if err != nil {
			onClose()
		}
		ahead <- readResult{p[:n], err}
	})
}

// Read returns the result of watchClose first.
func (w *wire) Read(p []byte) (n int, err error) {
	if w.ahead != nil {
		w.first, w.ahead = <-w.ahead, nil
	}
	if len(w.first.p) > 0 || w.first.err != nil {
		n = copy(p, w.first.p)
		if w.first.p = w.first.p[n:]; len(w.first.p) == 0 {
			err, w.first = w.first.err, readResult{}
		}
	} else {
		n, err = w.Conn.Read(p)
	}
	if err == io.EOF { //nolint:errorlint // the socket's own
		w.bareFIN.Store(true)
	}
	return n, err
}

// awaitReset reads on after the end of TLS until the connection ends. It reports whether it ended by a
// reset.
func (w *wire) awaitReset() bool {
	p := make([]byte, 64)
	for {
		if _, err := w.Read(p); err != nil {
			return errors.Is(err, syscall.ECONNRESET)
		}
	}
}
