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

// longestPath is what the kernel takes for the path of a Unix socket: 107 bytes on Linux, 103 on macOS.
const longestPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// makeWay makes it possible to listen at a path: the socket file that a dead process left there is removed. What is alive, or no socket, is an error.
func makeWay(path string) error {
	if len(path) > longestPath {
		return fmt.Errorf("listen at %q: the path has %d bytes and the system takes %d at most: choose a shorter one, such as in /tmp", path, len(path), longestPath)
	}
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("listen at %q: %w", path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("listen at %q: a file that is no socket is there: remove it, or choose another path", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen at %q: somebody listens there already: end that process, or choose another path", path)
	}
	return os.Remove(path)
}

// keepFile lets the socket file outlive the listener, since a closed port is refused only where there is a file, and notes which file it is. Nothing is
// to be done for TCP.
func (l *Link) keepFile(ln net.Listener) {
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
		l.file, _ = os.Lstat(u.Addr().String())
	}
}

// removeFile removes the link's socket file, unless somebody put another one there.
func (l *Link) removeFile() {
	path, ok := strings.CutPrefix(l.addr, unixPrefix)
	if !ok || l.file == nil {
		return
	}
	if info, err := os.Lstat(path); err == nil && os.SameFile(info, l.file) {
		_ = os.Remove(path)
	}
}
