//go:build !linux

package link

// refusedByKernel is available on Linux only.
func refusedByKernel() (n int64, ok bool) { return 0, false }
