//go:build !linux

package process

// mark is the number of a start. It cannot be read from a process on this system.
type mark uint64

func newMark(_, start uint64) mark { return mark(start) }

func (m mark) number() int { return int(m) }

func (mark) variable(service string) string { return "FIREDRILL_SERVICE=" + service }
