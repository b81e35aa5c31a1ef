package system

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// StopRule ends its scenario at once, with outcome stopped. Exactly one of Ratio, Percentile, Probe, File and HTTP is
// set. Later scenarios still run.
type StopRule struct {
	Ratio      float64       `json:",omitempty"` // stops if a smaller share of requests than this, from 0 to 1, succeeds for the time For
	Percentile float64       `json:",omitempty"` // 95 for the p95 latency: stops if it is above Limit for the time For
	Limit      time.Duration `json:",omitempty"` // of Percentile
	Probe      string        `json:",omitempty"` // stops if this probe answers only no, or not at all, for the time For
	File       string        `json:",omitempty"` // stops if this file exists; relative to System.Dir
	HTTP       string        `json:",omitempty"` // stops if this request, as ParseAsk reads it, is answered with Status
	Status     int           `json:",omitempty"` // of HTTP
	For        time.Duration `json:",omitempty"`
}

// stopKind is a kind of stop rule. Its key in a system file is its name.
type stopKind struct {
	name    string
	is      func(StopRule) bool
	belongs []string // the keys that it needs besides its own
	says    func(StopRule) string
	// mistake returns what is wrong with a rule whose keys are complete, or "".
	mistake func(*System, StopRule) (what codes.Message, hint string)
}

// stopKinds are all kinds of stop rules. To add one, add a row here, a field of StopRule, a sentence in package language, a
// row to stopWatchers in package runner, and two cases to its TestStopRules.
var stopKinds = []stopKind{
	{
		"success_below", func(r StopRule) bool { return r.Ratio != 0 },
		[]string{"for"},
		func(r StopRule) string { return fmt.Sprintf("fewer than %s of requests succeed", percentOf(r.Ratio)) },
		func(_ *System, r StopRule) (what codes.Message, hint string) {
			if r.Ratio < 0 || r.Ratio > 1 {
				return codes.BadValue.Msgf("%s is not a share of requests", percentOf(r.Ratio)), "write one above 0% and up to 100%"
			}
			return codes.Message{}, ""
		},
	},
	{
		"latency", func(r StopRule) bool { return r.Percentile != 0 },
		[]string{"above", "for"},
		func(r StopRule) string {
			return fmt.Sprintf("the p%v latency is above %s", r.Percentile, briefly(r.Limit))
		},
		func(_ *System, r StopRule) (what codes.Message, hint string) {
			if r.Percentile < 0 || r.Percentile >= 100 {
				return codes.BadValue.Msgf("p%v is not a percentile", r.Percentile), "write p50, p95, p99 or p99.9"
			}
			return codes.Message{}, ""
		},
	},
	{
		"probe", func(r StopRule) bool { return r.Probe != "" },
		[]string{"for"},
		func(r StopRule) string { return fmt.Sprintf("the probe %q fails", r.Probe) },
		func(s *System, r StopRule) (what codes.Message, hint string) {
			var names []string
			for _, p := range s.Probes {
				names = append(names, p.Name)
			}
			if slices.Contains(names, r.Probe) {
				return codes.Message{}, ""
			}
			if len(names) == 0 {
				return codes.UnknownName.Msgf("there is no probe %q", r.Probe), fmt.Sprintf(`declare it in the system file, beside "services": probes: {%s: {http: "orders GET /health"}}`, r.Probe)
			}
			return codes.UnknownName.Msgf("there is no probe %q", r.Probe), source.DidYouMean(r.Probe, names, "probes")
		},
	},
	{
		"file", func(r StopRule) bool { return r.File != "" },
		nil,
		func(r StopRule) string { return fmt.Sprintf("the file %q appears", r.File) },
		func(*System, StopRule) (what codes.Message, hint string) { return codes.Message{}, "" },
	},
	{
		"http", func(r StopRule) bool { return r.HTTP != "" },
		[]string{"status"},
		func(r StopRule) string { return fmt.Sprintf("%q answers with status %d", r.HTTP, r.Status) },
		func(s *System, r StopRule) (what codes.Message, hint string) {
			service, _, _, err := ParseAsk(r.HTTP)
			switch {
			case err != nil:
				return source.Parts(err)
			case !slices.Contains(s.Names(), service):
				return codes.UnknownName.Msgf("there is no service %q", service), source.DidYouMean(service, s.Names(), "services")
			case r.Status < 100 || r.Status > 599:
				return codes.BadValue.Msgf("%d is not a status of HTTP", r.Status), "write one from 100 to 599"
			}
			return codes.Message{}, ""
		},
	},
}

// StopKinds returns the names of the kinds of stop rules.
func StopKinds() []string {
	var all []string
	for _, k := range stopKinds {
		all = append(all, k.name)
	}
	return all
}

// Kind returns the name of the rule's kind, or "" if it has none.
func (r StopRule) Kind() string {
	for _, k := range stopKinds {
		if k.is(r) {
			return k.name
		}
	}
	return ""
}

// String returns the condition: `fewer than 50% of requests succeed for 10s`.
func (r StopRule) String() string {
	for _, k := range stopKinds {
		if k.is(r) && r.For > 0 {
			return k.says(r) + " for " + briefly(r.For)
		} else if k.is(r) {
			return k.says(r)
		}
	}
	return "nothing"
}

// Requests reports whether the rule watches the requests of the load.
func (r StopRule) Requests() bool { return r.Ratio != 0 || r.Percentile != 0 }

// Enough returns how many requests the rule has to see before it can act.
func (r StopRule) Enough() int {
	if r.Percentile == 0 {
		return 5
	}
	return int(math.Ceil(100/(100-r.Percentile) - 1e-9))
}

// Mistake returns what is wrong with a rule in a system whose services and probes are known, or "".
func (s *System) Mistake(r StopRule) (what codes.Message, hint string) {
	var kinds []stopKind
	for _, k := range stopKinds {
		if k.is(r) {
			kinds = append(kinds, k)
		}
	}
	if len(kinds) != 1 {
		return codes.Contradiction.Msgf("a stop rule has one condition, and this has %d", len(kinds)), "write exactly one of " + strings.Join(StopKinds(), ", ")
	}
	k := kinds[0]
	for _, of := range []struct {
		key     string
		set     bool
		missing string
	}{
		{"for", r.For != 0, "add for how long that has to last: for: 10s"},
		{"above", r.Limit != 0, "add the limit: above: 2s"},
		{"status", r.Status != 0, "add the status that stops: status: 409"},
	} {
		belongs := slices.Contains(k.belongs, of.key)
		switch {
		case belongs && !of.set:
			return codes.Missing.Msgf("the stop rule `%s` needs `%s`", k.name, of.key), of.missing
		case !belongs && of.set:
			return codes.Unsupported.Msgf("`%s` does not belong to the stop rule `%s`", of.key, k.name), "leave it out"
		}
	}
	return k.mistake(s, r)
}

var stopRuleKeys = append(StopKinds(), "above", "status", "for")

// stopRules prefixes the positions of stop rules; see groups.
const stopRules = "stop/"

// stopRule reads a stop rule.
func (r *reader) stopRule(i int, v ast.Node) {
	var rule StopRule
	before := len(r.Out.All)
	r.Mapping(v, "a stop rule", stopRuleKeys, func(key string, v ast.Node, _ source.Pos) {
		var err error
		switch key {
		case "success_below":
			if rule.Ratio, err = source.ParsePercent(r.Text(v)); err == nil && rule.Ratio == 0 {
				err = source.Mistakef(codes.CannotFail, "write the share below which the run shall stop, such as 50%", "fewer than 0%% never succeed, so this rule could stop nothing")
			}
		case "latency":
			text := r.Text(v)
			if rule.Percentile, err = strconv.ParseFloat(strings.TrimPrefix(text, "p"), 64); err != nil || !strings.HasPrefix(text, "p") || rule.Percentile <= 0 {
				err = source.Mistakef(codes.BadValue, "write p50, p95, p99 or p99.9", "%q is not a percentile", text)
			}
		case "probe":
			rule.Probe = r.Text(v)
		case "file":
			rule.File = r.Text(v)
		case "http":
			rule.HTTP = r.Text(v)
		case "status":
			rule.Status = r.status(v)
		case "above":
			rule.Limit = r.duration(v)
		case "for":
			rule.For = r.duration(v)
		}
		if err != nil {
			r.AddProblem(v, err)
		}
	})
	if len(r.Out.All) == before { // report a mistake only once
		r.positions[fmt.Sprintf("%s/%d", stopRules, len(r.sys.Stop))] = r.At(v)
		r.sys.Stop = append(r.sys.Stop, rule)
	}
}

// validateStopRules validates the stop rules; see Validate.
func (s *System) validateStopRules(where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	for i, rule := range s.Stop {
		if what, hint := s.Mistake(rule); !what.None() {
			addProblem(where(stopRules, strconv.Itoa(i)), what, hint)
		}
	}
}

// briefly formats a duration as sentences do: "2m" instead of "2m0s".
func briefly(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func percentOf(ratio float64) string {
	return strconv.FormatFloat(math.Round(1e7*ratio)/1e5, 'f', -1, 64) + "%"
}
