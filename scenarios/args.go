package scenarios

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// args holds the arguments of a sentence: the values of its parameters, by their index in the pattern of the
// phrase, and its table or doc string. The methods parse a value. If it is not valid, they report a problem at its
// column and return the zero value.
type args struct {
	r      *resolver
	at     pos // of the sentence; the column is that of the text
	text   string
	exact  bool // the text is the same as in the file, so columns are known
	values []string
	from   []int
	table  []line
	doc    *string
}

// line is a row of a table.
type line struct {
	at    pos
	cells []string
	cols  []int
}

func (a args) has(i int) bool { return i < len(a.from) && a.from[i] >= 0 }

func (a args) value(i int) string {
	if !a.has(i) {
		return ""
	}
	return a.values[i]
}

// pos returns the position of a value.
func (a args) pos(i int) pos {
	at := a.at
	if a.exact && at.col > 0 && a.has(i) {
		at.col += utf8.RuneCountInString(a.text[:a.from[i]])
	}
	return at
}

func (a args) addProblem(i int, err error) { a.addProblemAt(a.pos(i), err) }

func (a args) addProblemAt(at pos, err error) {
	what, hint := parts(err)
	a.r.addProblem(at, what, hint)
}

// quoted returns a value without its quotes.
func (a args) quoted(i int) string { return strings.Trim(a.value(i), `"`) }

func (a args) name(i int) string {
	s := a.quoted(i)
	if a.has(i) && strings.TrimSpace(s) == "" {
		a.r.addProblem(a.pos(i), "a name is empty", "write the service's name between the quotes")
	}
	return s
}

// names returns the names in a list.
func (a args) names(i int) []string {
	var all []string
	for _, q := range quotes.FindAllString(a.value(i), -1) {
		name := strings.Trim(q, `"`)
		if strings.TrimSpace(name) == "" {
			a.r.addProblem(a.pos(i), "a name is empty", "write a service's or a group's name between the quotes")
		}
		all = append(all, name)
	}
	return all
}

func (a args) duration(i int) time.Duration {
	if !a.has(i) {
		return 0
	}
	t, err := parseDuration(a.value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return t
}

func (a args) ratio(i int) float64 {
	r, err := parsePercent(a.value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return r
}

func (a args) number(i int) float64 {
	n, err := parseNumber(a.value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return n
}

// count parses a whole number of at least least.
func (a args) count(i int, least int64) int64 {
	n, err := strconv.ParseInt(a.value(i), 10, 64)
	if err != nil || n < least || n > math.MaxInt32 {
		a.r.addProblem(a.pos(i), fmt.Sprintf("%q is not a whole number from %d up", a.value(i), least), fmt.Sprintf("write %d or more, in digits", least))
		return 0
	}
	return n
}

func (a args) size(i int) int64 {
	if !a.has(i) {
		return 0
	}
	n, err := parseSize(a.value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return n
}

func (a args) status(i int) int {
	n := a.count(i, 0)
	if n != 0 && (n < 100 || n > 599) {
		a.r.addProblem(a.pos(i), fmt.Sprintf("%d is not a status of HTTP", n), "write one from 100 to 599")
	}
	return int(n)
}

// statuses parses "201 or 303".
func (a args) statuses(i int) []int {
	var all []int
	for _, s := range numerals.FindAllString(a.value(i), -1) {
		s = strings.Trim(s, ",")
		n, err := strconv.Atoi(s)
		if err != nil || n < 100 || n > 599 {
			a.r.addProblem(a.pos(i), fmt.Sprintf("%q is not a status of HTTP", s), "write one from 100 to 599")
			continue
		}
		all = append(all, n)
	}
	return all
}

var numerals = regexp.MustCompile(amount)

// outcome parses "was refused".
func (a args) outcome(i int) Outcome {
	for _, o := range []Outcome{Acknowledged, Refused} {
		if a.value(i) == "was "+string(o) {
			return o
		}
	}
	return NotKnown
}

// route parses "GET /catalog". It returns "" if the parameter is absent.
func (a args) route(i int) string {
	if !a.has(i) {
		return ""
	}
	if _, _, err := parseRoute(a.quoted(i)); err != nil {
		a.addProblem(i, err)
	}
	return a.quoted(i)
}

func (a args) percentile(i int) float64 {
	p, err := strconv.ParseFloat(strings.TrimPrefix(a.value(i), "p"), 64)
	if err != nil || p <= 0 || p >= 100 {
		a.r.addProblem(a.pos(i), fmt.Sprintf("%q is not a percentile", a.value(i)), "write p50, p95, p99 or p99.9")
	}
	return p
}

func (a args) window(i int) journal.Window {
	switch a.value(i) {
	case "before the fault":
		return journal.Before
	case "during the fault":
		return journal.During
	case "after healing":
		return journal.After
	}
	return ""
}

var picked = regexp.MustCompile(`^(?:from the (\d+)\w\w to the (\d+)\w\w,? |the first (\S+) |every (\d+)\w\w of the |(\S+%) of )?(only )?(?:"([^"]*)" )?(\w+)(?: with (?:key "([^"]*)"|(\S+%) of keys))?(?: (?:with|and) header "([^"]*)")?$`)

// pick parses {calls}, {requests}, {replies} or {messages}.
func (a args) pick(i int) injector.Pick {
	var p injector.Pick
	part := picked.FindStringSubmatch(a.value(i))
	if part == nil {
		return p
	}
	number := func(s string) uint64 { return a.nth(i, s, "calls") }
	p.From, p.To, p.First, p.Every = number(part[1]), number(part[2]), number(part[3]), number(part[4])
	if p.From > p.To {
		a.r.addProblem(a.pos(i), fmt.Sprintf("from the %d. to the %d. there is no call", p.From, p.To), "write the smaller number first")
	}
	if part[5] != "" {
		p.Share = a.share(a.pos(i), part[5])
	}
	if op := part[7]; op != "" {
		p.Match.Method, p.Match.Path = a.about(i, op, part[8])
	}
	p.Match.Key, p.Match.Header = part[9], part[11]
	if part[10] != "" {
		p.Share, p.Sticky = a.share(a.pos(i), part[10]), true
	}
	switch {
	case part[10] != "" && part[5] != "":
		a.r.addProblem(a.pos(i), "a share of a share of keys", "leave one of them out")
	case part[6] != "" && part[7] == "" && p.Match == (message.Match{}) && !p.Sticky:
		a.r.addProblem(a.pos(i), "it does not say which only", `write: only "POST /charge" calls, or: only calls with header "Tenant: acme"`)
	}
	return p
}

// about parses what calls or messages are about, depending on the noun. Requests and replies may be those of HTTP
// or of another protocol; see invalidOperation.
func (a args) about(i int, op, noun string) (method, path string) {
	method, path, err := parseRoute(op)
	switch {
	case err == nil:
		return method, path
	case strings.HasPrefix(op, "/") && !strings.HasPrefix(noun, "message"):
		return "", op
	case !strings.HasPrefix(noun, "call"):
		return topic(op)
	}
	a.addProblem(i, notAnOperation(op))
	return "", ""
}

// nth parses an index of calls or connections, starting at 1. It returns 0 for "".
func (a args) nth(i int, s, noun string) uint64 {
	n, err := strconv.ParseUint(s, 10, 32)
	if s != "" && (err != nil || n == 0) {
		a.r.addProblem(a.pos(i), fmt.Sprintf("%q does not count %s: they are counted from 1", s, noun), "write a whole number from 1 up")
	}
	return n
}

// share parses a share of calls or connections. It returns 0, which means all, for 100%.
func (a args) share(at pos, s string) float64 {
	r, err := parsePercent(s)
	switch {
	case err != nil:
		a.addProblemAt(at, err)
	case r == 0:
		a.r.addProblem(at, "a fault on 0% touches nothing", "write a share above 0%, or leave it out for all")
	case r == 1:
		r = 0
	}
	return r
}

// ask adds a check.
func (a args) ask(c check.Check) { a.r.check(a.at, c) }
