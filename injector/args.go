package injector

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// way parses {traffic} or {latency}. One-way traffic goes to the server until the link is known; see OneWay.
func way(a Args, i int) Way {
	w := Way{Conns: a.Conns(i)}
	if strings.HasPrefix(a.Value(i), "one-way ") {
		w.Dir = link.ToServer
	}
	return w
}

// messages parses {messages} and, after {for}, "even though {protocol} never does this".
func messages(a Args) Messages { return Messages{Pick: a.Pick(0), Violates: a.Value(5)} }

// jitter parses the jitter of a delay, which may not exceed the delay.
func jitter(a Args, by, jitter int) time.Duration {
	j := a.Duration(jitter)
	if j > a.Duration(by) {
		a.Problem(jitter, fmt.Sprintf("give or take %s is more than the delay of %s", a.Value(jitter), a.Value(by)), "nothing can arrive before it was sent: write a smaller spread")
	}
	return j
}

// deviation parses a jitter that is a standard deviation. It may not exceed half of the delay, since some delays
// deviate further.
func deviation(a Args, by, jitter int) time.Duration {
	j, half := a.Duration(jitter), a.Duration(by)/2
	if half > 0 && j > half {
		a.Problem(jitter, fmt.Sprintf("give or take %s, %s, is more than half of the delay of %s", a.Value(jitter), a.Value(jitter+1), a.Value(by)),
			fmt.Sprintf("delays stray further than that, and nothing can arrive before it was sent: write at most %s", Duration(half)))
	}
	return j
}

// seconds parses a duration in whole seconds, as headers require.
func seconds(a Args, i int) time.Duration {
	t := a.Duration(i)
	if t%time.Second != 0 {
		a.Problem(i, fmt.Sprintf("Retry-After counts whole seconds, not %s", a.Value(i)), "write 1s, 2s, ...")
	}
	return t
}

// ending parses how a connection ends.
func ending(a Args, i int) message.Ending {
	e := message.Ending(a.Value(i))
	if a.Has(i) && !slices.Contains([]message.Ending{message.EndReset, message.EndClosed, message.EndSilence, message.EndHeld}, e) {
		a.Problem(i, fmt.Sprintf("%q is not a way for a connection to end", e), "write one of reset, closed, silence, held")
	}
	return e
}

// second reports whether the second answer is returned, which no parameter states. late is the index of the delay of the
// copy.
func second(a Args, late int) bool {
	second := a.Says("the second answer is returned")
	if second && a.Has(late) {
		a.Problem(late, "a copy that leaves late cannot answer", "leave out either `and the second answer is returned` or `, the copy ... late`")
	}
	return second
}

var quotedIn = regexp.MustCompile(`"([^"]*)"`)

// headers parses {headers}, each with a value.
func headers(a Args, i int) (all []string) {
	for _, h := range headerNames(a, i, true) {
		name, value, _ := strings.Cut(h, ":")
		all = append(all, strings.TrimSpace(name)+": "+strings.TrimSpace(value))
	}
	return all
}

// headerNames parses {headers}, which have values or are only named.
func headerNames(a Args, i int, values bool) (all []string) {
	if !a.Has(i) {
		return nil
	}
	for _, part := range quotedIn.FindAllStringSubmatch(a.Value(i), -1) {
		name, value, has := strings.Cut(part[1], ":")
		switch {
		case message.IsFraming(strings.TrimSpace(name)):
			a.Problem(i, fmt.Sprintf("%q: where a message ends and where it goes depend on it", part[1]), "name another header; to send what is not a message say: calls from ... are truncated")
		case strings.TrimSpace(name) == "" || values && strings.TrimSpace(value) == "":
			a.Problem(i, fmt.Sprintf("%q is not a header with a value", part[1]), "write its name and value: \"X-Reason: maintenance\"")
		case has && !values:
			a.Problem(i, fmt.Sprintf("%q: a header is lost whatever its value is", part[1]), fmt.Sprintf("write only its name: %q", strings.TrimSpace(name)))
		}
		all = append(all, strings.TrimSpace(part[1]))
	}
	return all
}

// namedHeaders returns headers as {headers}.
func namedHeaders(all []string) string {
	noun := "header"
	if len(all) > 1 {
		noun = "headers"
	}
	return noun + ` "` + strings.Join(all, `", "`) + `"`
}

// body returns the doc string, which must not be empty, for an answer with a status.
func body(a Args, status int) string {
	switch code := a.Value(status); {
	case code == "204" || code == "304":
		a.Problem(status, fmt.Sprintf("an answer with status %s has no body", code), "write another status, or leave out `with this body`")
	case a.Doc() == "":
		a.Problem(0, "the doc string is empty", "write the body into it, or leave out `with this body` for a short text")
	}
	return a.Doc()
}
