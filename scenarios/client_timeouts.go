package scenarios

import (
	"cmp"
	"math"
	"time"
)

// DefaultGiveUp is how long an attempt waits for its answer if the scenario does not define it.
const DefaultGiveUp = 10 * time.Second

// MostRetryAfter is the longest time that clients wait because of a Retry-After header.
const MostRetryAfter = time.Second

// Attempt returns how long clients wait for the answer to one attempt.
func (l *Load) Attempt() time.Duration { return cmp.Or(l.GiveUp, DefaultGiveUp) }

// Pause returns the longest pause after the i-th failed attempt, counted from 0, without a Retry-After header: 50
// ms, doubled for each attempt, up to 1.6 s. The shortest pause is half of it.
func Pause(i int) time.Duration {
	return 50 * time.Millisecond * time.Duration(math.Exp2(float64(min(i, 5))))
}

// Patience returns the longest time that a request of the load can take, including all steps, attempts and the pauses
// between them. If retryAfter is set, answers may request longer pauses.
func (l *Load) Patience(retryAfter bool) time.Duration {
	total := l.Attempt() * time.Duration(1+l.Retries)
	for i := range l.Retries {
		pause := Pause(i)
		if retryAfter {
			pause = max(pause, MostRetryAfter)
		}
		total += pause
	}
	steps := 1
	for _, r := range l.Mix {
		steps = max(steps, len(r.Steps()))
	}
	return total * time.Duration(steps)
}
