package message

import (
	"strconv"
	"sync"
	"time"
)

// quota counts the messages of a rule in the current second. The zero value, with began, has counted none.
type quota struct {
	began time.Time // when the rule became live

	mu     sync.Mutex
	second time.Duration // number of the current second
	count  uint64
}

// exceeded counts a message and reports whether it is beyond the limit of its second. A limit of 0 means that every
// message is.
func (q *quota) exceeded(limit uint64) bool {
	if limit == 0 {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if second := time.Since(q.began) / time.Second; second != q.second {
		q.second, q.count = second, 0
	}
	q.count++
	return q.count > limit
}

// AnswerHeaders returns the headers, besides those of its body, of an answer of HTTP that the rule makes. For a quota
// they are those that servers advertise one with, in the form of draft-ietf-httpapi-ratelimit-headers-11: the policy is
// Quota requests in a window of 1 s, and of these 0 remain for 1 s, rounded up. Retry-After is in whole seconds (RFC
// 9110, section 10.2.3).
func (r Rule) AnswerHeaders() (headers []Header) {
	if r.RetryAfter > 0 {
		headers = append(headers, Header{"Retry-After", strconv.Itoa(int((r.RetryAfter + time.Second - 1) / time.Second))})
	}
	if r.Quota > 0 {
		headers = append(headers, Header{"RateLimit-Policy", `"default";q=` + strconv.FormatUint(r.Quota, 10) + ";w=1"}, Header{"RateLimit", `"default";r=0;t=1`})
	}
	for _, h := range r.Headers {
		headers = append(headers, parseHeader(h))
	}
	return headers
}
