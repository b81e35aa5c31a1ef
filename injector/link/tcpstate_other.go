//go:build !linux

package link

import "syscall"

// isTCPClosed is not supported here. If a writer was the first to see a reset, a reader sees EOF.
func isTCPClosed(syscall.RawConn) bool { return false }

// awaitReset does not wait here. A reset after a half-close is noticed at the next write.
func awaitReset(syscall.RawConn) (reset bool, err error) { return false, nil }
