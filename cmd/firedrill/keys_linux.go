package main

import "golang.org/x/sys/unix"

const getTermios, setTermios = unix.TCGETS, unix.TCSETS

// noKey is the value of a control character of a terminal that no key has.
const noKey = 0

// discardTyped drops what was typed at a terminal and not yet read.
func discardTyped(fd int) { _ = unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) }
