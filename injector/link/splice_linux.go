package link

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// bulk moves bytes from src to dst without copying them, by splice(2), while they arrive without a
// pause and no fault is live. It returns no error if the caller is to continue by copying. Bytes that
// are in the pipe when a fault is added are still sent: like those in the socket buffer, they have
// already left the link.
func (c *conn) bulk(dst, src *socket, q *queue, d Dir) (srcErr, dstErr error) {
	p := c.link.pipes.get()
	if p == nil {
		return nil, nil
	}
	defer c.link.pipes.put(p)
	for !q.active.Load() {
		if srcErr = p.fill(src); p.n == 0 {
			c.countUpstreamEnd(src, srcErr)
			return srcErr, nil
		}
		n := int64(p.n)
		c.countMoved(d, n)
		if dstErr = p.drain(dst); dstErr != nil {
			c.countUnwritten(d, int64(p.n))
			return nil, dstErr
		}
	}
	return nil, nil
}

const (
	pipeSize = 256 << 10 // larger pipes no longer fit the processor's cache
	// maxLent is the number of pipes that a link uses at once. Each takes two descriptors. Bulk transfers beyond
	// it are copied. Without privileges, the kernel limits all pipes together to 64 MiB.
	maxLent = 64
)

// pipe is a kernel pipe for splice. A direction borrows one while it is busy, so that idle connections
// hold none.
type pipe struct {
	r, w int
	n    int // bytes in the pipe
	err  error

	in, out func(fd uintptr) bool // pull and push as values, created once
}

// pipes is the pipe pool of a link.
type pipes struct {
	mu     sync.Mutex
	free   []*pipe
	lent   int
	closed bool
}

// get returns an empty pipe, or nil if none is available.
func (l *pipes) get() *pipe {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lent == maxLent {
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

// put returns a pipe to the pool. It closes a pipe that still holds bytes, and all but a few free
// pipes when none is in use.
func (l *pipes) put(p *pipe) {
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
		l.trim(0)
	case l.lent == 0:
		l.trim(maxIdlePipes)
	}
}

// maxIdlePipes is how many pipes are kept while none is in use.
const maxIdlePipes = 2

// trim closes all free pipes except n.
func (l *pipes) trim(n int) {
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
	l.trim(0)
}

func (p *pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// fill moves available bytes into the pipe. If the pipe stays empty and err is nil, none were
// available.
func (p *pipe) fill(src *socket) error {
	err := src.raw.Read(p.in)
	switch {
	case err != nil || p.err == unix.EAGAIN: //nolint:errorlint // a deadline, or closed: the plain way meets it too
		return nil
	case p.err != nil:
		return os.NewSyscallError("splice", p.err)
	case p.n == 0:
		return src.resetOrEOF(io.EOF)
	}
	return nil
}

func (p *pipe) pull(fd uintptr) bool {
	var n int64
	n, p.err = splice(int(fd), p.w, pipeSize)
	p.n = int(n)
	return true
}

// drain sends everything in the pipe and blocks as long as that takes.
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
