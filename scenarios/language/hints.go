package language

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// ideas maps words that people use to the sentence that expresses them. The first match in an unknown sentence is
// suggested.
var ideas = []struct {
	words    *regexp.Regexp
	sentence string // its names "orders" and "payments" are replaced by those in the unknown sentence
}{
	{regexp.MustCompile(`(?i)packet loss|lose[s]? packets|drop(s|ped)? packets|packets are (lost|dropped)`), `5% of messages from "orders" to "payments" are lost for 30s`},
	{regexp.MustCompile(`(?i)\berror rate|\berrors? (stay|remain)|\bfail(ure|ing)? rate|\bsuccess rate|fewer than .* (fail|errors)`), `at least 99% of requests succeed during the fault`},
	{regexp.MustCompile(`(?i)\brestart(s|ed|ing)?\b|\breboot`), `"payments" crashes for 5s`},
	{regexp.MustCompile(`(?i)\bkill(s|ed)?\b|\bdie(s|d)?\b|\bterminated?\b|\b(is )?crashed\b`), `"payments" crashes for 5s`},
	{regexp.MustCompile(`(?i)\b(freez|frozen|paus|stuck|suspend)`), `"payments" hangs for 15s`},
	{regexp.MustCompile(`(?i)\b(is|goes|are|becomes) (down|offline|unavailable|unreachable)\b|\boutage\b`), `"payments" crashes for 5s`},
	{regexp.MustCompile(`(?i)\b(shut(s)? down|is shut|is stopped|stops)\b`), `"payments" is stopped gracefully for 10s`},
	{regexp.MustCompile(`(?i)\b(partition|isolated|disconnected|split)`), `"orders" and "payments" are cut off from each other for 15s`},
	{regexp.MustCompile(`(?i)\b(bandwidth|throttle[sd]?)\b`), `traffic from "orders" to "payments" is limited to 64 KB per second for 30s`},
	{regexp.MustCompile(`(?i)\b(response time|respond(s)? within|answers? within)\b|\b(latency|p\d[\d.]*|percentile)\b.* (below|under|at most|less than|within|exceeds?|above)\b`), `the p95 latency stays below 400ms during the fault`},
	{regexp.MustCompile(`(?i)\b(time[sd]? ?out)\b`), `calls from "orders" to "payments" are delayed by 2s for 30s`},
	{regexp.MustCompile(`(?i)\b(slow(s|er|ly)?|sluggish|latency|lag(s|gy)?)\b`), `calls from "orders" to "payments" are delayed by 800ms for 30s`},
	{regexp.MustCompile(`(?i)\b(returns?|responds?|answers?|fails?) (with )?(errors?|5\d\d|a 5\d\d|status)\b`), `30% of calls from "orders" to "payments" answer with status 503 for 30s`},
	{regexp.MustCompile(`(?i)\b(no data|nothing|no (order|message|request)s?) (is|are|gets?) lost\b`), `no acknowledged request is lost`},
	{regexp.MustCompile(`(?i)\b(duplicate|twice|exactly once)`), `every acknowledged request is applied exactly once`},
}

// hint returns what to write instead of an unknown sentence.
func (r *reading) hint(text string) string {
	if q := r.quoted(text); q != "" {
		return "names and routes stand in quotes: " + q
	}
	if n := r.vocabulary.nearest(text, 0.2); n != "" { // mistyped
		return "did you mean: " + n
	}
	for _, idea := range ideas {
		if idea.words.MatchString(text) {
			return "did you mean: " + r.renamed(idea.sentence, text)
		}
	}
	if n := r.vocabulary.nearest(text, 0.4); n != "" {
		return "did you mean: " + n
	}
	return "firedrill steps prints the sentences"
}

// renamed replaces the names in an example by those in a text, in order. A single name is that of the service, and
// its caller is looked up.
func (r *reading) renamed(sentence, text string) string {
	var names []string
	for _, q := range quotes.FindAllString(text, -1) {
		if name := strings.Trim(q, `"`); system.IsName(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return sentence
	}
	from, to := "orders", names[0]
	if len(names) > 1 {
		from, to = names[0], names[1]
	}
	i := slices.IndexFunc(r.System.Links, func(l system.Link) bool { return l.To == to && (len(names) == 1 || l.From == from) })
	if i >= 0 {
		from = r.System.Links[i].From
		if row, ok := r.System.Links[i].Relayed(); ok && row.Unit == "calls" {
			sentence = strings.Replace(sentence, "messages from", "requests from", 1)
		}
	}
	return strings.NewReplacer(`"orders"`, strconv.Quote(from), `"payments"`, strconv.Quote(to)).Replace(sentence)
}

var (
	unquotedRoute = regexp.MustCompile(`(^|\s)((?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /\S*)`)
	unquotedName  = regexp.MustCompile(`\b((?:from|to|between|and|on|of) )([\w.-]+)`)
	word          = regexp.MustCompile(`[\w.-]+`)
)

// quoted returns a sentence with quotes added around its names and routes. It returns "" if the sentence is still
// unknown.
func (r *reading) quoted(text string) string {
	if strings.Count(text, `"`)%2 != 0 || len(text) > 500 {
		return ""
	}
	routes := outsideQuotes(text, func(s string) string { return unquotedRoute.ReplaceAllString(s, `$1"$2"`) })
	known := append(r.System.Names(), system.Clients)
	named := outsideQuotes(routes, func(s string) string {
		return word.ReplaceAllStringFunc(s, func(w string) string {
			if slices.Contains(known, w) {
				return `"` + w + `"`
			}
			return w
		})
	})
	ends := outsideQuotes(routes, func(s string) string { return unquotedName.ReplaceAllString(s, `$1"$2"`) })
	for _, try := range []string{routes, named, ends} {
		if try != text && r.vocabulary.knows(try) {
			return try
		}
	}
	return ""
}

// outsideQuotes applies change to the unquoted parts of a text.
func outsideQuotes(text string, change func(string) string) string {
	parts := strings.Split(text, `"`)
	for i := 0; i < len(parts); i += 2 {
		parts[i] = change(parts[i])
	}
	return strings.Join(parts, `"`)
}

var (
	quotes  = regexp.MustCompile(quoted)
	numbers = regexp.MustCompile(`\d[\d.,]*`)
)

// skeleton returns a sentence with its values removed.
func skeleton(s string) string {
	return strings.ToLower(numbers.ReplaceAllString(quotes.ReplaceAllString(s, `""`), "0"))
}

// nearest returns the example most similar to text, or "" if the share of differing characters is at least
// least for all.
func (v *Vocabulary) nearest(text string, least float64) string {
	best := ""
	want := skeleton(text)
	if len(want) > 500 {
		return "" // no sentence is that long
	}
	for _, r := range v.phrases {
		for i, have := range r.skeletons {
			wide, other := utf8.RuneCountInString(want), utf8.RuneCountInString(have)
			longer := float64(max(wide, other, 1))
			if math.Abs(float64(wide-other))/longer >= least {
				continue // at least as many edits are needed
			}
			d := float64(source.Distance(want, have)) / longer
			if d < least {
				best, least = r.Examples[i], d
			}
		}
	}
	return best
}
