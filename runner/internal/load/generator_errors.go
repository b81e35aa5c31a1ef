package load

import (
	"errors"
	"net"
	"syscall"
)

// generatorError is an error of the load generator itself: the request may not have reached the
// system.
type generatorError struct {
	cause, advice string
	err           error
}

func (o generatorError) Error() string { return o.kind() + " (" + o.advice + "): " + o.err.Error() }
func (o generatorError) Unwrap() error { return o.err }

// kind returns the name of the error in the journal.
func (o generatorError) kind() string { return "own: " + o.cause }

// generatorErrors returns the errors of a dial that are caused by this machine or this process.
func generatorErrors() []generatorError {
	return []generatorError{
		{"too many open files", "this process may open " + FileLimit() + " files: raise ulimit -n", syscall.EMFILE},
		{"too many open files on this machine", "raise fs.file-max or stop other programs", syscall.ENFILE},
		{"no local address left", "each connection needs its own port: reduce the load or widen net.ipv4.ip_local_port_range", syscall.EADDRNOTAVAIL},
		{"no buffer space", "this machine has no memory for sockets: reduce the load", syscall.ENOBUFS},
		{"out of memory", "this machine has no memory for sockets: reduce the load", syscall.ENOMEM},
		{"permission denied", "this process may not dial there: check its user and the firewall", syscall.EACCES},
		{"not permitted", "this process may not dial there: check its user and the firewall", syscall.EPERM},
	}
}

// lateReuse returns the error for a request that was sent on a kept connection after it was safe to
// use. The server may have closed the connection because it was idle, and whether it read the request
// is not known.
func lateReuse(err error) error {
	return generatorError{"a kept connection was used too late", "this machine did not keep up: reduce the load or run fewer scenarios at once", err}
}

// classifyDialError converts an error of a dial to a generatorError if this machine or process caused
// it.
func classifyDialError(err error) error {
	for _, o := range generatorErrors() {
		if errors.Is(err, o.err) {
			o.err = err
			return o
		}
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && !dns.IsTimeout {
		return generatorError{"the name was not resolved", "check this machine's resolver and the address in the system file", err}
	}
	return err
}

// LocalError returns why an error of a connection is one of this machine or process, with what to do, or "" if it is
// not known to be one.
func LocalError(err error) string {
	var own generatorError
	if errors.As(classifyDialError(err), &own) {
		return own.cause + ": " + own.advice
	}
	return ""
}
