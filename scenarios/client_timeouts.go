package scenarios

import (
	"cmp"
	"time"
)

// DefaultGiveUp is how long an attempt waits for its answer if the scenario does not define it.
const DefaultGiveUp = 10 * time.Second

// MostRetryAfter is the longest time that clients wait because of a Retry-After header.
const MostRetryAfter = time.Second

// Attempt returns how long clients wait for the answer to one attempt, at most.
func (l *Load) Attempt() time.Duration {
	d := cmp.Or(l.GiveUp, DefaultGiveUp)
	if within := l.Policy.Within; within > 0 {
		d = min(d, within)
	}
	return d
}

// Patience returns the longest time that a request of the load can take, including all steps, attempts and the pauses
// between them. If retryAfter is set, answers may request longer pauses.
func (l *Load) Patience(retryAfter bool) time.Duration {
	total := (l.Policy.Hedge + l.Attempt()) * time.Duration(1+l.Retries)
	for i := range l.Retries {
		pause := l.Policy.Pauses().Pause(i)
		if retryAfter && !l.Policy.IgnoreRetryAfter {
			pause = max(pause, MostRetryAfter)
		}
		total += pause
	}
	steps := 1
	for _, r := range l.Mix {
		steps = max(steps, len(r.Steps()))
	}
	total *= time.Duration(steps)
	if within := l.Policy.Within; within > 0 {
		total = min(total, within)
	}
	return total
}
