package main

import "golang.org/x/sys/unix"

const getTermios, setTermios = unix.TIOCGETA, unix.TIOCSETA

// noKey is the value of a control character of a terminal that no key has.
const noKey = 0xff

// discardTyped drops what was typed at a terminal and not yet read.
func discardTyped(fd int) { _ = unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, 1) } // 1 is FREAD
