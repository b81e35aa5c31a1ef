package load

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
)

// Kinds of errors that other code compares with.
const (
	// Aborted is the kind of a request that the runner itself ended, after an interruption or a stop
	// rule.
	Aborted = "aborted by the runner"
	// TimedOut is the kind of an attempt that the client gave up on.
	TimedOut = "timeout"
	// Cancelled is the kind of an attempt that the client ended since another one was acknowledged.
	Cancelled = "cancelled"
	// refusedDial is the kind of an attempt whose connection was refused, so that nothing was sent.
	refusedDial = "refused"

	malformed  = "malformed answer"
	failedTLS  = "TLS failure"
	otherError = "other error"
)

// errorKinds names the errors of attempts for checks and reports. The first kind that matches applies.
var errorKinds = []struct {
	name string
	is   func(error) bool
}{
	{refusedDial, isOneOf(syscall.ECONNREFUSED)},
	{TimedOut, isTimeout},
	{"reset", isOneOf(syscall.ECONNRESET, syscall.EPIPE)},
	{"truncated answer", func(err error) bool { return isOneOf(io.EOF, io.ErrUnexpectedEOF)(err) && inPhase(err, malformed) }},
	{"closed", isOneOf(io.EOF, io.ErrUnexpectedEOF)}, // before the first byte of an answer
	{"unreachable", isOneOf(syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.ENETDOWN)},
	{failedTLS, func(err error) bool { return inPhase(err, failedTLS) || isAlert(err) }},
	{malformed, func(err error) bool { return inPhase(err, malformed) }},
}

// kindOf returns the kind of an attempt's error.
func kindOf(err error) string {
	for _, k := range errorKinds {
		if k.is(err) {
			return k.name
		}
	}
	return otherError
}

// phaseError is an error in a phase of an exchange. Its kind is that of the phase unless an earlier
// entry of errorKinds matches.
type phaseError struct {
	error
	kind string
}

func (p phaseError) Unwrap() error { return p.error }

func inPhase(err error, kind string) bool {
	var p phaseError
	return errors.As(err, &p) && p.kind == kind
}

func isOneOf(targets ...error) func(error) bool {
	return func(err error) bool {
		for _, t := range targets {
			if errors.Is(err, t) {
				return true
			}
		}
		return false
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// isAlert reports whether either side ended TLS after the handshake with an alert. crypto/tls does not
// export its type for alerts.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}
