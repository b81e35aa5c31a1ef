package socket

import (
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	pipeSize = 256 << 10 // larger pipes no longer fit the processor's cache
	// maxLent is the number of pipes that are used at once. Each takes two descriptors. Bulk transfers beyond
	// it are copied. Without privileges, the kernel limits all pipes together to 64 MiB.
	maxLent = 64
)

// Pipe is a kernel pipe through which splice(2) moves bytes between sockets without copying them. A
// direction borrows one while it is busy, so that idle connections hold none.
type Pipe struct {
	r, w int
	n    int // bytes in the pipe
	err  error

	in, out func(fd uintptr) bool // pull and push as values, created once
}

// Pipes is a pool of pipes. Its zero value is empty and ready to use; the caller closes it.
type Pipes struct {
	mu     sync.Mutex
	free   []*Pipe
	lent   int
	closed bool
}

// Get returns an empty pipe, or nil if none is available.
func (l *Pipes) Get() *Pipe {
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
	p := &Pipe{r: fd[0], w: fd[1]}
	p.in, p.out = p.pull, p.push
	if size, err := unix.FcntlInt(uintptr(p.w), unix.F_SETPIPE_SZ, pipeSize); err != nil || size < pipeSize {
		p.close()
		return nil
	}
	l.lent++
	return p
}

// Put returns a pipe to the pool. It closes a pipe that still holds bytes, and all but a few free
// pipes when none is in use.
func (l *Pipes) Put(p *Pipe) {
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
func (l *Pipes) trim(n int) {
	for len(l.free) > n {
		last := len(l.free) - 1
		l.free[last].close()
		l.free = l.free[:last]
	}
}

// Close closes the free pipes at once, and those that are lent when they are returned.
func (l *Pipes) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.trim(0)
}

func (p *Pipe) close() {
	_ = unix.Close(p.r)
	_ = unix.Close(p.w)
}

// Len returns the number of bytes in the pipe.
func (p *Pipe) Len() int { return p.n }

// Fill moves available bytes of src into the pipe. If the pipe stays empty and err is nil, none were
// available.
func (p *Pipe) Fill(src *Conn) error {
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

func (p *Pipe) pull(fd uintptr) bool {
	var n int64
	n, p.err = splice(int(fd), p.w, pipeSize)
	p.n = int(n)
	return true
}

// Drain sends everything in the pipe to dst and blocks as long as that takes.
func (p *Pipe) Drain(dst *Conn) error {
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

func (p *Pipe) push(fd uintptr) bool {
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
