//go:build linux || darwin

package control

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// maxSocketPath is the longest path of a Unix socket: 107 bytes on Linux, 103 on macOS.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// shortPath returns a path of a socket in a folder that the kernel accepts, however long the folder's is. done ends its
// validity.
func shortPath(dir, name string) (path string, done func(), err error) {
	path = filepath.Join(dir, name)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, fmt.Errorf("find the control socket: %w", err)
	}
	path = fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name)
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		f.Close()
		return "", nil, fmt.Errorf("the path of the control socket %q has more than %d bytes: keep runs in a folder with a shorter path", filepath.Join(dir, name), maxSocketPath)
	}
	return path, func() { f.Close() }, nil
}

// owned returns an error unless path is a socket of this user that other users cannot use.
func owned(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("nothing runs in %q that could be asked: %w", filepath.Dir(path), err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%q is not a socket", path)
	case !ok || int(stat.Uid) != os.Geteuid() && os.Geteuid() != 0:
		return fmt.Errorf("%q belongs to another user: only the user who started it can control it", path)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%q may be used by other users (mode %v): it is not the socket that firedrill makes", path, info.Mode().Perm())
	}
	return nil
}

// refused is the error of a connection to a socket at which nothing listens.
var refused error = syscall.ECONNREFUSED
