package system

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
)

// Unordered returns why the order in which effects of a group were applied cannot be read from a source, and what to
// do. group is the field that effects are grouped by. Both are "" if the source has an order.
func (e EffectSource) Unordered(group string) (what codes.Message, hint string) {
	switch {
	case e.Kind == "sql" && !ordersRows(e.Settings["query"]):
		return codes.Unsupported.Msgf("the query of %q returns its rows in no order", e.Name),
			`let it end with "order by", or add a column "seq", a whole number or a time that grows with the order of application`
	case e.Kind == "stand_in":
		return codes.Unsupported.Msgf("a stand-in keeps no field %q of the requests that %q lists", group, e.Name), "read effects from a place that lists the field"
	case e.Settings["hash"] != "", e.Settings["keys"] != "":
		return codes.Unsupported.Msgf("%q has no order: neither the fields of a hash nor the names of keys have one", e.Name), "read effects from a stream or a list"
	case e.Settings["list"] != "" && e.Settings["key"] == "":
		return codes.Unsupported.Msgf("the values of %q are keys, and have no field %q", e.Name, group), "let the values be JSON, and add the path of the key: key: $.key"
	case e.Kind == "file" && !slices.Contains([]string{"", "json"}, e.Settings["format"]):
		if pattern, err := regexp.Compile(e.Settings["format"]); err == nil && pattern.SubexpIndex(group) < 0 {
			return codes.Unsupported.Msgf("the format of %q has no group %q", e.Name, group), fmt.Sprintf(`mark it: (?P<%s>\S+)`, group)
		}
	}
	return codes.Message{}, ""
}

// Lockless returns why a source cannot list the holders of a lock, and what to do. Both are "" if it may.
func (e EffectSource) Lockless() (what codes.Message, hint string) {
	const read = "read them from a log, a table or a stream"
	switch {
	case e.Kind == "stand_in":
		return codes.Unsupported.Msgf("%q lists requests to a stand-in, and not the holders of a lock", e.Name), read
	case e.Settings["hash"] != "", e.Settings["keys"] != "", e.Settings["list"] != "" && e.Settings["key"] == "":
		return codes.Unsupported.Msgf("%q lists no times at which a lock was acquired and released", e.Name), read
	case e.Kind == "file" && !slices.Contains([]string{"", "json"}, e.Settings["format"]):
		pattern, err := regexp.Compile(e.Settings["format"])
		for _, group := range []string{"key", "id", "value", "seq"} {
			if err == nil && pattern.SubexpIndex(group) < 0 {
				return codes.Unsupported.Msgf("the format of %q has no group %q, which the holders of a lock need", e.Name, group), fmt.Sprintf(`mark it: (?P<%s>\S+)`, group)
			}
		}
	}
	return codes.Message{}, ""
}

// ordersRows reports whether a query sorts its result, or returns a column "seq".
func ordersRows(query string) bool {
	var outer strings.Builder
	depth := 0
	for _, r := range withoutQuoted(query) {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case depth == 0:
			outer.WriteRune(r)
		}
	}
	words := strings.Fields(strings.ToUpper(outer.String()))
	return seqColumn.MatchString(query) || slices.ContainsFunc(words, func(w string) bool { return w == "ORDER" })
}

var seqColumn = regexp.MustCompile(`(?i)\bseq\b`)
