//go:build !linux

package socket

import "syscall"

// isTCPClosed is not supported here. If a writer was the first to see a reset, a reader sees EOF.
func isTCPClosed(syscall.RawConn) bool { return false }

// Unacknowledged is not known here, and 0.
func (*Conn) Unacknowledged() int { return 0 }

// AwaitReset does not wait here. A reset after a half-close is noticed at the next write.
func (*Conn) AwaitReset() (reset bool, err error) { return false, nil }

// FailedConnects is available on Linux only.
func FailedConnects() (n int64, ok bool) { return 0, false }

// Pipes holds no pipes here: splice exists on Linux only.
type Pipes struct{}

// Get returns nil.
func (*Pipes) Get() *Pipe { return nil }

// Put has no effect.
func (*Pipes) Put(*Pipe) {}

// Close has no effect.
func (*Pipes) Close() {}

// Pipe has no values here.
type Pipe struct{}

// Len returns 0.
func (*Pipe) Len() int { return 0 }

// Fill has no effect.
func (*Pipe) Fill(*Conn) error { return nil }

// Drain has no effect.
func (*Pipe) Drain(*Conn) error { return nil }
