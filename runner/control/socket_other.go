//go:build !linux && !darwin

package control

import (
	"errors"
	"net"
)

var errPlatform = errors.New("drills can be controlled from another terminal on Linux and macOS only")

func shortPath(string, string) (path string, done func(), err error) { return "", nil, errPlatform }

func owned(string) error { return errPlatform }

func peer(*net.UnixConn) (uid int, err error) { return 0, errPlatform }

// refused is the error of a connection to a socket at which nothing listens.
var refused error = errPlatform
