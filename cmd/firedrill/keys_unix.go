//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// keyByKey turns off line editing, echo and Ctrl-Z, which would stop the links and lose the run's lease. Other signals and
// output remain unchanged: in raw mode, Ctrl-C would have no effect.
func keyByKey(fd int) (restore func(), err error) {
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	now := *before
	now.Lflag &^= unix.ICANON | unix.ECHO
	now.Cc[unix.VMIN], now.Cc[unix.VTIME], now.Cc[unix.VSUSP] = 1, 0, noKey
	if err := unix.IoctlSetTermios(fd, setTermios, &now); err != nil {
		return nil, err
	}
	return func() { _ = unix.IoctlSetTermios(fd, setTermios, before) }, nil
}
