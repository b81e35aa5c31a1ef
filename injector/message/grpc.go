package message

import (
	"fmt"
	"strconv"
	"strings"
)

// grpcCodes are the names of gRPC's status codes, by number.
var grpcCodes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// grpcCode is the number of a code that is given by name or number; "" for one that does not exist.
func grpcCode(code string) string {
	for n, name := range grpcCodes {
		if number := strconv.Itoa(n); strings.EqualFold(code, name) || code == number {
			return number
		}
	}
	return ""
}

// grpcName is the name of a code that is given by its number.
func grpcName(code string) string {
	if n, err := strconv.Atoi(code); err == nil && n >= 0 && n < len(grpcCodes) {
		return grpcCodes[n]
	}
	return "(unknown)"
}

func allowGRPC(r Rule) error {
	switch {
	case r.Do == Answer && r.Code == "" && r.Status >= 400 && r.Status <= 599: // HTTP's, as a proxy on the way gives it: clients make a code of it
	case r.Do == Answer && (grpcCode(r.Code) == "" || grpcCode(r.Code) == "0"):
		return fmt.Errorf("code %q is no error of gRPC: they are %s", r.Code, strings.Join(grpcCodes[1:], ", "))
	case r.Dir != ToServer:
		return fmt.Errorf("%s %s: in gRPC only calls are messages of their own", r.Do, r.Dir)
	}
	return nil
}

// matchMethod matches "/shop.Payments/Charge", also without its first slash; a * takes whatever follows.
func matchMethod(template, path string) bool {
	return matchPath("/"+strings.TrimPrefix(template, "/"), path)
}

// methodClass is a method itself: it names no single thing.
func methodClass(path string) string { return path }
