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

// args are what a sentence says: the values of its parameters by their place in the phrase's pattern, and its table or doc string.
// The methods parse a value and complain, at its own column, of one that makes no sense; they then return the zero value.
type args struct {
	d      *draft
	at     place // of the sentence; its column is where the text begins
	text   string
	exact  bool // the text stands in the file as it is, so columns can be told
	values []string
	from   []int
	table  []line
	doc    *string
}

// line is a row of a table.
type line struct {
	at    place
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

// place is where a value stands.
func (a args) place(i int) place {
	at := a.at
	if a.exact && at.col > 0 && a.has(i) {
		at.col += utf8.RuneCountInString(a.text[:a.from[i]])
	}
	return at
}

func (a args) blame(i int, err error) { a.blameAt(a.place(i), err) }

func (a args) blameAt(at place, err error) {
	what, hint := parts(err)
	a.d.blame(at, what, hint)
}

// quoted is a value without its quotes.
func (a args) quoted(i int) string { return strings.Trim(a.value(i), `"`) }

func (a args) name(i int) string {
	s := a.quoted(i)
	if a.has(i) && strings.TrimSpace(s) == "" {
		a.d.blame(a.place(i), "a name is empty", "write the service's name between the quotes")
	}
	return s
}

// names are those of a list.
func (a args) names(i int) []string {
	var all []string
	for _, q := range quotes.FindAllString(a.value(i), -1) {
		name := strings.Trim(q, `"`)
		if strings.TrimSpace(name) == "" {
			a.d.blame(a.place(i), "a name is empty", "write a service's or a group's name between the quotes")
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
		a.blame(i, err)
	}
	return t
}

func (a args) ratio(i int) float64 {
	r, err := parsePercent(a.value(i))
	if err != nil {
		a.blame(i, err)
	}
	return r
}

func (a args) number(i int) float64 {
	n, err := parseNumber(a.value(i))
	if err != nil {
		a.blame(i, err)
	}
	return n
}

// count is a whole number of at least least.
func (a args) count(i int, least int64) int64 {
	n, err := strconv.ParseInt(a.value(i), 10, 64)
	if err != nil || n < least || n > math.MaxInt32 {
		a.d.blame(a.place(i), fmt.Sprintf("%q is not a whole number from %d up", a.value(i), least), fmt.Sprintf("write %d or more, in digits", least))
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
		a.blame(i, err)
	}
	return n
}

func (a args) status(i int) int {
	n := a.count(i, 0)
	if n != 0 && (n < 100 || n > 599) {
		a.d.blame(a.place(i), fmt.Sprintf("%d is not a status of HTTP", n), "write one from 100 to 599")
	}
	return int(n)
}

// route is "GET /catalog", or "" when absent.
func (a args) route(i int) string {
	if !a.has(i) {
		return ""
	}
	if _, _, err := parseRoute(a.quoted(i)); err != nil {
		a.blame(i, err)
	}
	return a.quoted(i)
}

func (a args) percentile(i int) float64 {
	p, err := strconv.ParseFloat(strings.TrimPrefix(a.value(i), "p"), 64)
	if err != nil || p <= 0 || p >= 100 {
		a.d.blame(a.place(i), fmt.Sprintf("%q is not a percentile", a.value(i)), "write p50, p95, p99 or p99.9")
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

// pick is a {calls}, {requests}, {replies} or {messages}.
func (a args) pick(i int) injector.Pick {
	var p injector.Pick
	part := picked.FindStringSubmatch(a.value(i))
	if part == nil {
		return p
	}
	number := func(s string) uint64 { return a.nth(i, s, "calls") }
	p.From, p.To, p.First, p.Every = number(part[1]), number(part[2]), number(part[3]), number(part[4])
	if p.From > p.To {
		a.d.blame(a.place(i), fmt.Sprintf("from the %d. to the %d. there is no call", p.From, p.To), "write the smaller number first")
	}
	if part[5] != "" {
		p.Share = a.share(a.place(i), part[5])
	}
	if op := part[7]; op != "" {
		p.Match.Method, p.Match.Path = a.about(i, op, part[8])
	}
	p.Match.Key, p.Match.Header = part[9], part[11]
	if part[10] != "" {
		p.Share, p.Sticky = a.share(a.place(i), part[10]), true
	}
	switch {
	case part[10] != "" && part[5] != "":
		a.d.blame(a.place(i), "a share of a share of keys", "leave one of them out")
	case part[6] != "" && p.Match == (message.Match{}) && !p.Sticky:
		a.d.blame(a.place(i), "it does not say which only", `write: only "POST /charge" calls, or: only calls with header "Tenant: acme"`)
	}
	return p
}

// about is an operation and its object, of which the noun tells how they are written. Requests and replies are of HTTP or of another protocol; see offRoute.
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
	a.blame(i, err)
	return "", ""
}

// nth is a place among calls or connections, of which there is no 0th; "" is none.
func (a args) nth(i int, s, noun string) uint64 {
	n, err := strconv.ParseUint(s, 10, 32)
	if s != "" && (err != nil || n == 0) {
		a.d.blame(a.place(i), fmt.Sprintf("%q does not count %s: they are counted from 1", s, noun), "write a whole number from 1 up")
	}
	return n
}

// share is a part of calls or connections; 1 is said as 0, which means all.
func (a args) share(at place, s string) float64 {
	r, err := parsePercent(s)
	switch {
	case err != nil:
		a.blameAt(at, err)
	case r == 0:
		a.d.blame(at, "a fault on 0% touches nothing", "write a share above 0%, or leave it out for all")
	case r == 1:
		r = 0
	}
	return r
}

// ask adds a check.
func (a args) ask(c check.Check) { a.d.check(a.at, c) }
