package scenarios

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// RetryPolicy is what clients do besides making Load.Retries further attempts, each with the time-out Load.GiveUp. The
// zero value pauses as DefaultBackOff says, honours Retry-After, and limits nothing else.
type RetryPolicy struct {
	BackOff          BackOff       `json:",omitzero"`  // the pauses before retries; the zero value means DefaultBackOff
	Within           time.Duration `json:",omitempty"` // time-out of a request, over all its steps, attempts and pauses; 0 means none
	Only             []string      `json:",omitempty"` // statuses ("503") and RetryErrors after which clients retry; empty: those of Load.Retries
	IgnoreRetryAfter bool          `json:",omitempty"` // pauses are not longer after an answer with a Retry-After header
	Hedge            time.Duration `json:",omitempty"` // after so long without an answer, a second attempt is made at the same time; 0 means never
	Budget           float64       `json:",omitempty"` // most retries and second attempts, as a share of requests; 0 means no limit
}

// BackOff is how long clients wait before a retry.
type BackOff struct {
	First  time.Duration // before the first retry
	Most   time.Duration `json:",omitempty"` // each further pause is twice as long as the one before, up to Most; 0: all are as long as the first
	Jitter bool          `json:",omitempty"` // a pause lasts from half of that to all of it, at random
}

// DefaultBackOff returns the pauses of clients if no sentence states them.
func DefaultBackOff() BackOff {
	return BackOff{First: 50 * time.Millisecond, Most: 1600 * time.Millisecond, Jitter: true}
}

// Pauses returns the pauses of clients.
func (p RetryPolicy) Pauses() BackOff {
	if p.BackOff == (BackOff{}) {
		return DefaultBackOff()
	}
	return p.BackOff
}

// Pause returns the longest pause after the i-th failed attempt, counted from 0, without a Retry-After header.
func (b BackOff) Pause(i int) time.Duration {
	pause := b.First
	for ; i > 0 && pause < b.Most; i-- {
		pause = min(2*pause, b.Most)
	}
	return pause
}

func (b BackOff) String() string {
	text := injector.Duration(b.First) + " between attempts"
	if b.Most > 0 {
		text = fmt.Sprintf("%s before the first retry, twice as long before each next one, at most %s", injector.Duration(b.First), injector.Duration(b.Most))
	}
	if b.Jitter {
		text += ", with jitter"
	}
	return text
}

// RetryErrors returns the kinds of errors that RetryPolicy.Only can name: what becomes of an attempt without an answer.
func RetryErrors() []string {
	return []string{"timeout", "refused", "reset", "closed", "unreachable", "truncated answer", "malformed answer", "TLS failure", "other error"}
}

// policy describes what clients do for people.
func (l *Load) policy() string {
	p := l.Policy
	text := []string{fmt.Sprintf("give up on an attempt after %s", injector.Duration(l.Attempt()))}
	if p.Within > 0 {
		text = append(text, fmt.Sprintf("give up on a request after %s", injector.Duration(p.Within)))
	}
	if p.Hedge > 0 {
		text = append(text, fmt.Sprintf("send a second attempt if there is no answer within %s", injector.Duration(p.Hedge)))
	}
	if l.Retries == 0 {
		text = append(text, "do not retry")
	} else {
		after := "no answer, 429, and errors that leave the outcome open"
		if len(p.Only) > 0 {
			after = strings.Join(p.Only, ", ") + " only"
		}
		text = append(text, fmt.Sprintf("retry up to %s after %s", counted(l.Retries, "time"), after), "wait "+p.Pauses().String())
		if p.IgnoreRetryAfter {
			text = append(text, "ignore Retry-After")
		} else {
			text = append(text, fmt.Sprintf("honour Retry-After up to %s", injector.Duration(MostRetryAfter)))
		}
	}
	if p.Budget > 0 {
		text = append(text, fmt.Sprintf("retry at most %s of requests", percent(p.Budget)))
	}
	return strings.Join(text, "; ")
}

// policyAt are the positions of the sentences about the policy of clients.
type policyAt struct{ backOff, within, only, retryAfter, hedge, budget source.Pos }

// SetBackOff sets how long clients wait before a retry.
func (r *Resolver) SetBackOff(at source.Pos, b BackOff) {
	r.describeOnce(&r.policyAt.backOff, at, "how long clients wait between attempts")
	r.rate.Policy.BackOff = b
}

// SetWithin sets how long a request may take, over all its attempts.
func (r *Resolver) SetWithin(at source.Pos, d time.Duration) {
	r.describeOnce(&r.policyAt.within, at, "when clients give up on a request")
	r.rate.Policy.Within = d
}

// SetRetryOnly sets the statuses and kinds of errors after which clients retry, separated by commas.
func (r *Resolver) SetRetryOnly(at source.Pos, words string) {
	r.describeOnce(&r.policyAt.only, at, "what clients retry after")
	for word := range strings.SplitSeq(words, ",") {
		r.rate.Policy.Only = append(r.rate.Policy.Only, strings.TrimSpace(word))
	}
}

// IgnoreRetryAfter makes clients ignore Retry-After headers.
func (r *Resolver) IgnoreRetryAfter(at source.Pos) {
	r.describeOnce(&r.policyAt.retryAfter, at, "that clients ignore Retry-After")
	r.rate.Policy.IgnoreRetryAfter = true
}

// SetHedge sets after how long without an answer clients make a second attempt at the same time.
func (r *Resolver) SetHedge(at source.Pos, d time.Duration) {
	r.describeOnce(&r.policyAt.hedge, at, "when clients send a second attempt")
	r.rate.Policy.Hedge = d
}

// SetRetryBudget sets which share of the requests clients retry at most.
func (r *Resolver) SetRetryBudget(at source.Pos, share float64) {
	r.describeOnce(&r.policyAt.budget, at, "how many requests clients retry at most")
	r.rate.Policy.Budget = share
}

// said returns the position of each sentence about the policy, with its subject.
func (p policyAt) said() []subject {
	return []subject{{p.backOff, "pauses between attempts"}, {p.within, "giving up on a request"}, {p.only, "retries"}, {p.retryAfter, "ignoring Retry-After"}, {p.hedge, "second attempts"}, {p.budget, "a limit on retries"}}
}

// subject is what a sentence is about, with its position.
type subject struct {
	at   source.Pos
	what string
}

// finishPolicy validates the policy of clients. In Go, all of it is at the position of the load.
func (r *Resolver) finishPolicy() {
	p, l := r.Load.Policy, r.Load
	problem := func(at source.Pos, what codes.Message, hint string) {
		if at == (source.Pos{}) {
			at = r.loadAt
		}
		r.AddProblem(at, what, hint)
	}
	if l.Retries == 0 && !r.misread {
		for _, setting := range []struct {
			stated bool
			at     source.Pos
		}{
			{p.BackOff != (BackOff{}), r.policyAt.backOff}, {len(p.Only) > 0, r.policyAt.only}, {p.IgnoreRetryAfter, r.policyAt.retryAfter}, {p.Budget > 0 && p.Hedge == 0, r.policyAt.budget},
		} {
			if setting.stated {
				problem(setting.at, codes.NoEffect.Msgf("clients do not retry, so that this has no effect"), "add: clients retry failed requests up to 3 times")
			}
		}
	}
	switch b := p.BackOff; {
	case b.First < 0 || b.Most < 0 || b.First == 0 && b != (BackOff{}):
		problem(r.policyAt.backOff, codes.BadValue.Msgf("a pause has to last longer than 0"), "write 100*time.Millisecond, say")
	case b.Most > 0 && b.First > b.Most:
		problem(r.policyAt.backOff, codes.Contradiction.Msgf("the first pause of %s is longer than the longest, %s", injector.Duration(b.First), injector.Duration(b.Most)), "write the shorter time first")
	}
	if p.Within < 0 || p.Hedge < 0 {
		problem(source.Pos{}, codes.BadValue.Msgf("a time-out has to be above 0"), "set Within and Hedge to 0 or more")
	}
	if p.Hedge >= l.Attempt() {
		problem(r.policyAt.hedge, codes.NoEffect.Msgf("no second attempt would ever be sent: clients give up after %s", injector.Duration(l.Attempt())), "write a shorter time, or let clients give up later")
	}
	if p.Budget < 0 || p.Budget > 1 {
		problem(r.policyAt.budget, codes.BadValue.Msgf("%g is not a share of the requests", p.Budget), "set Budget to 0.1, say")
	}
	for _, word := range p.Only {
		r.checkRetryWord(word, problem)
	}
}

// checkRetryWord validates a status or a kind of error after which clients retry.
func (r *Resolver) checkRetryWord(word string, problem func(at source.Pos, what codes.Message, hint string)) {
	status, err := strconv.Atoi(word)
	k, other := (&Load{Mix: r.allRoutes()}).OtherKind()
	onHTTP := overHTTP(r.Loads())
	answer, isAnswer := strings.CutPrefix(word, "error ")
	switch {
	case !onHTTP && err == nil:
		problem(r.policyAt.only, codes.Unsupported.Msgf("only HTTP has such statuses, and the load consists of %s", k.Many()), "write the word of an answer, such as error LOADING, or any of: "+strings.Join(RetryErrors(), ", "))
	case other && isAnswer && answer != "" && !strings.Contains(answer, " "):
	case err == nil && (status < 100 || status > 599):
		problem(r.policyAt.only, codes.BadValue.Msgf("%d is not a status of HTTP", status), "write one from 100 to 599")
	case err == nil:
		for _, l := range r.Loads() {
			for rt := range l.requests() {
				if l.Outcome(*rt, status) != Acknowledged {
					return
				}
			}
		}
		problem(r.policyAt.only, codes.NoEffect.Msgf("status %d acknowledges a request, and nothing is left to retry", status), "leave it out")
	case !slices.Contains(RetryErrors(), word):
		problem(r.policyAt.only, codes.BadValue.Msgf("there is nothing called %q to retry after", word), "write statuses such as 503, separated by commas, or any of: "+strings.Join(RetryErrors(), ", "))
	}
}
