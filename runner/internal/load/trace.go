package load

import (
	"fmt"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// TracePrefix returns the first half of the trace IDs of a scenario's requests, 16 hexadecimal digits.
// Links use it to distinguish calls caused by the load from calls that services make on their own.
func TracePrefix(seed uint64) string {
	return fmt.Sprintf("%016x", max(1, evidence.Hash(seed, 0, "trace")))
}

// traceparent returns the W3C trace context of request n: sampled, and the same for all attempts.
func traceparent(prefix string, n uint64) string {
	return fmt.Sprintf("00-%s%016x-%016x-01", prefix, n, n+1) // a parent ID of zeros only is invalid
}
