//go:build unix

package process

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// leftoversDir returns the user's directory of registry files and creates it if necessary. Other users
// must not be able to write to it, because what the files name is removed.
func leftoversDir() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("firedrill-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("create the directory for leftovers of runs: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("check the directory for leftovers of runs: %w", err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); !ok || !info.IsDir() || int(owner.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return "", fmt.Errorf("use %q for leftovers of runs: it is not a directory that only its owner, user ID %d, can write to: remove it", dir, os.Getuid())
	}
	return dir, nil
}

// lockNew creates and locks a file. If Reclaim in another program removes the file before it is
// locked, it is created again.
func lockNew(name string) (*os.File, error) {
	for {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
		if err != nil {
			return nil, err
		}
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %q: %w", name, err)
		}
		if isAt(f, name) {
			return f, nil
		}
		_ = f.Close()
	}
}

// tryLock locks a record if its owner has ended and no other program is healing, and reports whether it did.
func tryLock(record *os.File) bool {
	return syscall.Flock(int(record.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil
}

// isListening reports whether a process listens on a Unix socket.
func isListening(path string) bool {
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = c.Close()
	}
	return !errors.Is(err, syscall.ECONNREFUSED)
}
