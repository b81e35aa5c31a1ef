package language

import (
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

// policyPhrases are about what clients do when an attempt fails or waits.
func policyPhrases() []Phrase {
	return []Phrase{
		{Name: "pauses between attempts", Pattern: `clients wait {duration} between attempts(, with jitter)`, Means: "before each retry; with jitter from half of that to all of it, at random; by default, pauses grow from 50ms to 1.6s, with jitter",
			Examples: []string{`clients wait 100ms between attempts`, `clients wait 100ms between attempts, with jitter`},
			build: func(r *reading, a args) {
				r.SetBackOff(a.pos(0), scenarios.BackOff{First: a.Duration(0), Jitter: a.Says(", with jitter")})
			}},
		{Name: "growing pauses", Pattern: `clients wait {duration} before the first retry, twice as long before each next one, at most {duration}(, with jitter)`, Means: "exponential back-off; jitter as before",
			Examples: []string{`clients wait 100ms before the first retry, twice as long before each next one, at most 2s`, `clients wait 100ms before the first retry, twice as long before each next one, at most 2s, with jitter`},
			build: func(r *reading, a args) {
				r.SetBackOff(a.pos(0), scenarios.BackOff{First: a.Duration(0), Most: a.Duration(1), Jitter: a.Says(", with jitter")})
			}},
		{Name: "give up on a request", Pattern: `clients give up on a request after {duration}`, Means: "over all its attempts, pauses and, of a chain, steps; what is under way then has timed out",
			Examples: []string{`clients give up on a request after 5s`},
			build:    func(r *reading, a args) { r.SetWithin(a.at, a.Duration(0)) }},
		{Name: "retry only after", Pattern: `clients retry only after {text}`, Means: "statuses, and kinds of errors: timeout, refused, reset, closed, unreachable, truncated answer, malformed answer, TLS failure, other error",
			Examples: []string{`clients retry only after "503, 429, timeout, reset"`},
			build:    func(r *reading, a args) { r.SetRetryOnly(a.pos(0), a.Text(0)) }},
		{Name: "ignore Retry-After", Pattern: `clients ignore Retry-After`, Means: "it is honoured up to 1s by default",
			Examples: []string{`clients ignore Retry-After`},
			build:    func(r *reading, a args) { r.IgnoreRetryAfter(a.at) }},
		{Name: "second attempts", Pattern: `clients send a second attempt if there is no answer within {duration}`, Means: "hedging: both run at the same time with the same key; the first answer that acknowledges counts, and the other attempt is cancelled",
			Examples: []string{`clients send a second attempt if there is no answer within 50ms`},
			build:    func(r *reading, a args) { r.SetHedge(a.pos(0), a.Duration(0)) }},
		{Name: "retry budget", Pattern: `clients retry at most {percent} of requests`, Means: "each request adds so much of a token, each further attempt takes one, and tokens expire after 10s",
			Examples: []string{`clients retry at most 10% of requests`},
			build: func(r *reading, a args) {
				share, ok := a.ratio(0)
				if ok && share == 0 {
					a.Problem(0, codes.NoEffect.Message("a limit of 0% allows no retry"), "leave out both this and the sentence about retries")
				}
				r.SetRetryBudget(a.pos(0), share)
			}},
	}
}
