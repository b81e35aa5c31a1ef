package injector

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Quota answers calls with an error once there have been Calls of them in a second. The dependency does not receive
// those. Seconds are counted from the injection; see message.Rule.Quota. Answers of HTTP have the headers RateLimit and
// RateLimit-Policy.
type Quota struct {
	Calls  uint64
	Status int    // HTTP status; gRPC clients get it as from a proxy
	Code   string // gRPC status code instead of Status, such as "RESOURCE_EXHAUSTED"
	// RetryAfter is as in Answer.
	RetryAfter time.Duration
}

// Kind implements Fault.
func (Quota) Kind() Kind {
	return Kind{Name: "quota", On: "calls", Alters: true, Undo: "the next call reaches the dependency", Stronger: "a smaller quota or more load", Sentences: []Sentence{{
		Pattern:  `{to} accepts at most [{number}] calls per second from {from}{for}`,
		Means:    "in each second, counted from the injection, so many calls pass, and others are answered with status 429 and RateLimit headers",
		Examples: []string{`"payments" accepts at most 100 calls per second from "orders" for 30s`},
		Fault:    func(a Args) Fault { return Quota{Calls: uint64(a.Count(1, 1)), Status: 429} }, //nolint:gosec // at least 1
	}, {
		Name:    "quota answered with a status",
		Pattern: `{to} answers more than {number} calls per second from {from} with status {number}( and retry after {duration}){for}`,
		Means:   "as before, with a status of one's own and Retry-After",
		Examples: []string{
			`"payments" answers more than 100 calls per second from "orders" with status 429 for 30s`,
			`"payments" answers more than 100 calls per second from "orders" with status 503 and retry after 2s for 30s`,
		},
		Fault: func(a Args) Fault {
			return Quota{Calls: uint64(a.Count(1, 1)), Status: a.Status(3), RetryAfter: seconds(a, 4)} //nolint:gosec // at least 1
		},
	}, {
		Name:     "quota answered with a code",
		Pattern:  `{to} answers more than {number} calls per second from {from} with {text}( and retry after {duration}){for}`,
		Means:    "as before, with a status of gRPC's",
		Examples: []string{`"payments" answers more than 100 calls per second from "orders" with "RESOURCE_EXHAUSTED" and retry after 2s for 30s`},
		Fault: func(a Args) Fault {
			return Quota{Calls: uint64(a.Count(1, 1)), Code: a.Text(3), RetryAfter: a.Duration(4)} //nolint:gosec // at least 1
		},
	}}}
}

// Rule implements OnCalls.
func (f Quota) Rule() message.Rule {
	return message.Rule{Action: message.Answer, Quota: f.Calls, Status: f.Status, Code: f.Code, RetryAfter: f.RetryAfter}
}

// Inject implements Fault.
func (f Quota) Inject(_ context.Context, t Target) (Heal, error) {
	if f.Calls == 0 {
		return nil, fmt.Errorf("inject a quota of 0 calls per second: it must be positive; to answer all calls, inject Answer")
	}
	return t.addRule(f.Rule())
}

// Say implements Fault.
func (f Quota) Say(from, to string) string {
	s := fmt.Sprintf("%q answers more than %d calls per second from %q with status %d", to, f.Calls, from, f.Status)
	if f.Code != "" {
		s = strings.TrimSuffix(s, fmt.Sprintf("status %d", f.Status)) + fmt.Sprintf("%q", f.Code)
	}
	if f.RetryAfter > 0 {
		s += " and retry after " + Duration(f.RetryAfter)
	}
	return s
}
