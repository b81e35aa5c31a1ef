package language

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// args holds the arguments of a sentence: the values of its parameters, by their index in the pattern of the
// phrase, and its table or doc string. The methods parse a value. If it is not valid, they report a problem at its
// column and return the zero value.
type args struct {
	r      *reading
	at     source.Pos // of the sentence; the column is that of the text
	text   string
	exact  bool // the text is the same as in the file, so columns are known
	values []string
	from   []int
	table  []feature.Line
	doc    *string
}

// Has reports whether an optional parameter is present.
func (a args) Has(i int) bool { return i >= 0 && i < len(a.from) && a.from[i] >= 0 }

// Says reports whether the sentence contains words.
func (a args) Says(words string) bool { return strings.Contains(a.text, words) }

// Problem reports a problem at the position of a value.
func (a args) Problem(i int, what codes.Message, hint string) { a.r.AddProblem(a.pos(i), what, hint) }

// faultArgs are the arguments of a fault, whose package does not know codes.
type faultArgs struct{ args }

// Problem reports a value that is not valid.
func (a faultArgs) Problem(i int, what, hint string) {
	a.args.Problem(i, codes.BadValue.Message(what), hint)
}

// Doc returns the doc string that follows the sentence, or "".
func (a args) Doc() string {
	if a.doc == nil {
		return ""
	}
	return *a.doc
}

// Value returns a value as it is written; "" if it is absent.
func (a args) Value(i int) string {
	if !a.Has(i) {
		return ""
	}
	return a.values[i]
}

// pos returns the position of a value.
func (a args) pos(i int) source.Pos {
	at := a.at
	if a.exact && at.Col > 0 && a.Has(i) {
		at.Col += utf8.RuneCountInString(a.text[:a.from[i]])
	}
	return at
}

func (a args) addProblem(i int, err error) { a.addProblemAt(a.pos(i), err) }

func (a args) addProblemAt(at source.Pos, err error) {
	what, hint := source.Parts(err)
	a.r.AddProblem(at, what, hint)
}

// Text returns a value without its quotes.
func (a args) Text(i int) string { return strings.Trim(a.Value(i), `"`) }

// Name returns the name of a service.
func (a args) Name(i int) string {
	s := a.Text(i)
	if a.Has(i) && strings.TrimSpace(s) == "" {
		a.Problem(i, codes.BadName.Msgf("a name is empty"), "write the service's name between the quotes")
	}
	return s
}

// Names returns the names in a list.
func (a args) Names(i int) []string {
	var all []string
	for _, q := range quotes.FindAllString(a.Value(i), -1) {
		name := strings.Trim(q, `"`)
		if strings.TrimSpace(name) == "" {
			a.Problem(i, codes.BadName.Msgf("a name is empty"), "write a service's or a group's name between the quotes")
		}
		all = append(all, name)
	}
	return all
}

// Duration returns a duration above 0.
func (a args) Duration(i int) time.Duration {
	if !a.Has(i) {
		return 0
	}
	t, err := source.ParseDuration(a.Value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return t
}

// ratio returns a percentage as a ratio; ok is false if it is not valid.
func (a args) ratio(i int) (r float64, ok bool) {
	r, err := source.ParsePercent(a.Value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return r, err == nil
}

// Number returns a number from 0 up.
func (a args) Number(i int) float64 {
	n, err := source.ParseNumber(a.Value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return n
}

// Count parses a whole number of at least least.
func (a args) Count(i int, least int64) int64 {
	n, err := strconv.ParseInt(a.Value(i), 10, 64)
	if err != nil || n < least || n > math.MaxInt32 {
		a.Problem(i, codes.BadValue.Msgf("%q is not a whole number from %d up", a.Value(i), least), fmt.Sprintf("write %d or more, in digits", least))
		return 0
	}
	return n
}

// Size returns a number of bytes.
func (a args) Size(i int) int64 {
	if !a.Has(i) {
		return 0
	}
	n, err := source.ParseSize(a.Value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return n
}

// Status returns a status of HTTP.
func (a args) Status(i int) int {
	n := a.Count(i, 0)
	if n != 0 && (n < 100 || n > 599) {
		a.Problem(i, codes.BadValue.Msgf("%d is not a status of HTTP", n), "write one from 100 to 599")
	}
	return int(n)
}

// Statuses parses "201 or 303", with quotes or without. It returns them in ascending order, each once.
func (a args) Statuses(i int) []int {
	all := a.statuses(i)
	if len(all) == 0 && numerals.FindString(a.Value(i)) == "" {
		a.Problem(i, codes.BadValue.Msgf("%q names no status of HTTP", a.Text(i)), `write statuses from 100 to 599: "429 or 503"`)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// statuses parses "201 or 303".
func (a args) statuses(i int) []int {
	var all []int
	for _, s := range numerals.FindAllString(a.Value(i), -1) {
		s = strings.Trim(s, ",")
		n, err := strconv.Atoi(s)
		if err != nil || n < 100 || n > 599 {
			a.Problem(i, codes.BadValue.Msgf("%q is not a status of HTTP", s), "write one from 100 to 599")
			continue
		}
		all = append(all, n)
	}
	return all
}

var numerals = regexp.MustCompile(amount)

// outcome parses "was refused".
func (a args) outcome(i int) scenarios.Outcome {
	for _, o := range []scenarios.Outcome{scenarios.Acknowledged, scenarios.Refused} {
		if a.Value(i) == "was "+string(o) {
			return o
		}
	}
	return scenarios.NotKnown
}

// Route parses "GET /catalog". It returns "" if the parameter is absent.
func (a args) Route(i int) string {
	if !a.Has(i) {
		return ""
	}
	if _, _, err := source.ParseRoute(a.Text(i)); err != nil && !a.r.NamesOther(a.Text(i)) {
		a.addProblem(i, err)
	}
	return a.Text(i)
}

// EffectSource returns a route, or the name of a source of effects.
func (a args) EffectSource(i int) string {
	if err := scenarios.CheckEffectSource(a.Text(i)); err != nil {
		a.addProblem(i, err)
	}
	return a.Text(i)
}

// Percentile parses "p99.9".
func (a args) Percentile(i int) float64 {
	p, err := strconv.ParseFloat(strings.TrimPrefix(a.Value(i), "p"), 64)
	if err != nil || p <= 0 || p >= 100 {
		a.Problem(i, codes.BadValue.Msgf("%q is not a percentile", a.Value(i)), "write p50, p95, p99 or p99.9")
	}
	return p
}

// Window returns the window of {when}; "" is the whole run.
func (a args) Window(i int) journal.Window {
	switch a.Value(i) {
	case "before the fault":
		return journal.Before
	case "during the fault":
		return journal.During
	case "after healing":
		return journal.After
	}
	return ""
}

// Delay parses a duration that may be 0.
func (a args) Delay(i int) (d time.Duration, ok bool) {
	d, err := source.ParseDelay(a.Value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return d, err == nil
}

// Limit parses a size or a duration.
func (a args) Limit(i int) (bytes int64, d time.Duration) {
	if !a.Has(i) {
		return 0, 0
	}
	bytes, d, err := source.ParseLimit(a.Value(i))
	if err != nil {
		a.addProblem(i, err)
	}
	return bytes, d
}

// PositiveRatio parses a share above 0.
func (a args) PositiveRatio(i int) float64 {
	share, ok := a.ratio(i)
	if share == 0 && ok {
		a.Problem(i, codes.CannotFail.Message("at least 0% is always true, so this could not fail"), "write the least that you would accept, such as 99%")
	}
	return share
}

// Times parses a factor above 0.
func (a args) Times(i int) float64 {
	n := a.Number(i)
	if n == 0 {
		a.Problem(i, codes.BadValue.Msgf("0 times is nothing"), "write a factor such as 1.5")
	}
	return n
}

// Header parses "X-Degraded: true" into its canonical form. It returns "" if the parameter is absent.
func (a args) Header(i int) string {
	if !a.Has(i) {
		return ""
	}
	h, err := source.ParseHeader(a.Text(i))
	if err != nil {
		a.addProblem(i, err)
		return ""
	}
	return strings.TrimSpace(h.Name + ": " + h.Value)
}

// Field parses a field of a JSON body and its value, such as "order.estimated: true".
func (a args) Field(i int) string {
	m, err := source.ParseMark(a.Text(i), true)
	if err != nil {
		a.addProblem(i, err)
		return ""
	}
	return m.String()
}
