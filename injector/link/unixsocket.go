package link

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// maxSocketPath is the longest path that the kernel accepts for a Unix socket: 107 bytes on Linux, 103
// on macOS.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// removeStaleSocket removes a socket file that an ended process has left at path. It returns an error
// if the socket is in use, or the file is not a socket.
func removeStaleSocket(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("listen at %q: the path has %d bytes, but the system allows only %d: choose a shorter one, such as in /tmp", path, len(path), maxSocketPath)
	}
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen at %q: %w", path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("listen at %q: the file there is not a socket: remove it, or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen at %q: another process listens there: end it, or choose another path", path)
	}
	return os.Remove(path)
}

// keepSocketFile makes the socket file outlive the listener, because connects are refused only while
// the file exists, and records which file it is. It does nothing for TCP.
func (l *Link) keepSocketFile(ln net.Listener) {
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		l.socketFile, _ = os.Lstat(u.Addr().String())
	}
}

// removeSocketFile removes the link's socket file, unless another file has replaced it.
func (l *Link) removeSocketFile() {
	path, ok := strings.CutPrefix(l.addr, unixPrefix)
	if !ok || l.socketFile == nil {
		return
	}
	if info, err := os.Lstat(path); err == nil && os.SameFile(info, l.socketFile) {
		_ = os.Remove(path)
	}
}
