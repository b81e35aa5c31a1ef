//go:build !linux

package link

import "syscall"

// isDown cannot be asked here: a reset that a writer met first is an orderly end to the reader.
func isDown(syscall.RawConn) bool { return false }

// awaitReset does not wait here: a reset that follows a half-close is noticed at the next write.
func awaitReset(syscall.RawConn) (reset bool, err error) { return false, nil }
