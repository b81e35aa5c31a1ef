package http2

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// grpcCodes holds the names of gRPC's status codes, by number.
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// grpcCode returns the number of a code given by name or number, or "".
func grpcCode(code string) string {
	for n, name := range grpcCodes {
		if number := strconv.Itoa(n); strings.EqualFold(code, name) || code == number {
			return number
		}
	}
	return ""
}

// grpcName returns the name of a code given by number.
func grpcName(code string) string {
	if n, err := strconv.Atoi(code); err == nil && n >= 0 && n < len(grpcCodes) {
		return grpcCodes[n]
	}
	return "(unknown)"
}

func AllowGRPC(r message.Rule, _ message.Framing) error {
	switch {
	// An HTTP status, as a proxy sends it: clients map it to a code.
	case r.Action == message.Answer && r.Code == "" && r.Status >= 400 && r.Status <= 599:
	case r.Action == message.Answer && (grpcCode(r.Code) == "" || grpcCode(r.Code) == "0"):
		return fmt.Errorf("code %q is not an error of gRPC: they are %s", r.Code, strings.Join(grpcCodes[1:], ", "))
	case r.Dir != message.ToServer:
		return fmt.Errorf("%s %s: in gRPC only calls are messages of their own", r.Action, r.Dir)
	}
	return nil
}

// MatchMethod matches "/shop.Payments/Charge", with or without the leading slash; a trailing * matches any rest.
func MatchMethod(template, path string) bool {
	return message.MatchPath("/"+strings.TrimPrefix(template, "/"), path)
}

// MethodClass returns the method itself, which contains no identifiers.
func MethodClass(path string) string { return path }
