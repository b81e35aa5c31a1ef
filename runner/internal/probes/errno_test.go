package probes

import "syscall"

const (
	errnoFiles   = syscall.EMFILE
	errnoAddress = syscall.EADDRNOTAVAIL
)
