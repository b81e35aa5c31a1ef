package link

import (
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// bulk moves bytes from src to dst without copying them (splice(2)), as long as they come without a pause and no fault is live. It returns no error when
// the plain way is to go on. What is in the pipe when a fault comes still goes: it has left us, as what stands in the socket's own buffer has.
func (c *conn) bulk(dst, src *socket, q *queue, count *atomic.Int64) (srcErr, dstErr error) {
	p := c.link.pipes.borrow()
	if p == nil {
		return nil, nil
	}
	defer c.link.pipes.giveBack(p)
	for !q.disturbed.Load() {
		if srcErr = p.fill(src); p.n == 0 {
			return srcErr, nil
		}
		n := int64(p.n)
		if dstErr = p.drain(dst); dstErr != nil {
			return nil, dstErr
		}
		count.Add(n)
	}
	return nil, nil
}

const (
	pipeSize = 256 << 10 // larger ones fall out of the processor's cache
	mostLent = 64        // by a link, each of two descriptors; bulk beyond them is copied. The kernel's bound without privileges is 64 MiB in all
)

// pipe is what splice moves bytes through. Pipes are lent to a direction while it is busy, so that idle connections hold none.
type pipe struct {
	r, w int
	n    int // bytes in it
	err  error

	in, out func(fd uintptr) bool // pull and push, made once
}

// pipes are a link's.
type pipes struct {
	mu     sync.Mutex
	free   []*pipe
	lent   int
	closed bool
}

// borrow returns an empty pipe; nil when there is none to be had.
func (l *pipes) borrow() *pipe {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lent == mostLent {
		return nil
	}
	if last := len(l.free) - 1; last >= 0 {
		p := l.free[last]
		l.free = l.free[:last]
		l.lent++
		return p
	}
	var fd [2]int
	if unix.Pipe2(fd[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	p := &pipe{r: fd[0], w: fd[1]}
	p.in, p.out = p.pull, p.push
	if size, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize); err != nil || size < pipeSize {
		p.close()
		return nil
	}
	l.lent++
	return p
}

// giveBack returns a pipe; one with bytes left in it is closed, and so are all but a few when none is in use.
func (l *pipes) giveBack(p *pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lent--
	if p.n > 0 {
		p.close()
	} else {
		l.free = append(l.free, p)
	}
	switch {
	case l.closed:
		l.keep(0)
	case l.lent == 0:
		l.keep(spare)
	}
}

// spare is how many pipes are kept while none is in use.
const spare = 2

// keep closes all free pipes but n.
func (l *pipes) keep(n int) {
	for len(l.free) > n {
		last := len(l.free) - 1
		l.free[last].close()
		l.free = l.free[:last]
	}
}

func (l *pipes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.keep(0)
}

func (p *pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// fill takes what is there. With an empty pipe and no error there was nothing.
func (p *pipe) fill(src *socket) error {
	err := src.raw.Read(p.in)
	switch {
	case err != nil || p.err == unix.EAGAIN: //nolint:errorlint // a deadline, or closed: the plain way meets it too
		return nil
	case p.err != nil:
		return os.NewSyscallError("splice", p.err)
	case p.n == 0:
		return src.honest(io.EOF)
	}
	return nil
}

func (p *pipe) pull(fd uintptr) bool {
	var n int64
	n, p.err = splice(int(fd), p.w, pipeSize)
	p.n = int(n)
	return true
}

// drain sends what is in the pipe, however long that takes.
func (p *pipe) drain(dst *socket) error {
	for p.n > 0 {
		if err := dst.raw.Write(p.out); err != nil {
			return err
		}
		if p.err != nil {
			return os.NewSyscallError("splice", p.err)
		}
	}
	return nil
}

func (p *pipe) push(fd uintptr) bool {
	var n int64
	n, p.err = splice(p.r, int(fd), p.n)
	p.n -= int(n)
	return p.err != unix.EAGAIN //nolint:errorlint // a bare errno
}

func splice(from, to, most int) (int64, error) {
	for {
		n, err := unix.Splice(from, nil, to, nil, most, unix.SPLICE_F_NONBLOCK|unix.SPLICE_F_MOVE)
		if err != unix.EINTR {
			return max(n, 0), err
		}
	}
}
