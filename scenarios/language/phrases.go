package language

import (
	"cmp"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

// Phrase is a row of the phrase table: one sentence of feature files.
type Phrase struct {
	Name     string // "slow calls"
	Group    string // "system and safety", "load", "faults", "time and people", "degradation", "idempotency"
	Pattern  string // Cucumber Expression; optional parts that contain parameters become additional patterns
	Means    string
	Examples []string

	build     func(*reading, args)
	makeFault func(args) scenarios.Placed // for a fault
	table     bool                        // a table follows
	doc       bool                        // a doc string follows
	variants  []variant                   // set by newVocabulary
	skeletons []string                    // of the examples; set by newVocabulary
	loadSlot  int                         // of {load}; -1 if there is none; set by newVocabulary
}

// phrases returns the phrase table in the order of `firedrill steps`. To add a sentence about the system, load, time
// or people, add a row to one of its functions; those about faults and checks are in the tables of their kinds.
func phrases(faults []injector.Kind, checks []check.Kind) []Phrase {
	var all []Phrase
	for _, group := range []struct {
		name string
		rows []Phrase
	}{
		{"system and safety", systemPhrases()},
		{"load", slices.Concat(loadPhrases(), policyPhrases(), shapePhrases(), namedLoads(slices.Concat(loadPhrases(), shapePhrases())), requestPhrases(), kindPhrases(), namedLoads(kindPhrases()))},
		{"faults", slices.Concat(faultPhrases(faults), healingPhrases())},
		{"time and people", timePhrases()},
		{"degradation", checkPhrases(checks, false)},
		{"idempotency", slices.Concat(effectPhrases(), checkPhrases(checks, true))},
	} {
		for _, p := range group.rows {
			p.Group = group.name
			all = append(all, p)
		}
	}
	return all
}

// faultPhrases returns the sentences of faults.
func faultPhrases(kinds []injector.Kind) []Phrase {
	var all []Phrase
	for _, k := range kinds {
		for _, s := range k.Sentences {
			all = append(all, faultPhrase(k, s))
		}
	}
	return all
}

// faultMarks are the marks of injector.Sentence.Pattern.
var faultMarks = strings.NewReplacer("{from}", "{name}", "{to}", "{name}", "{for}", "( for {duration})", "[", "", "]", "")

func faultPhrase(k injector.Kind, s injector.Sentence) Phrase {
	slots := parameterIn.FindAllString(s.Pattern, -1)
	from, to, hold := slices.Index(slots, "{from}"), slices.Index(slots, "{to}"), slices.Index(slots, "{for}")
	make := func(a args) scenarios.Placed {
		return scenarios.Placed{From: a.Name(from), To: a.Name(to), Fault: s.Fault(faultArgs{a})}
	}
	return Phrase{Name: cmp.Or(s.Name, k.Name), Pattern: faultMarks.Replace(s.Pattern), Means: s.Means, Examples: s.Examples, doc: s.Doc, makeFault: make, build: func(r *reading, a args) {
		placed := make(a)
		r.Inject(a.at, a.Duration(hold), placed)
	}}
}

// checkPhrases returns the sentences of checks that are invariants, or of those that are not.
func checkPhrases(kinds []check.Kind, invariant bool) []Phrase {
	var all []Phrase
	for _, k := range kinds {
		for _, s := range k.Sentences {
			if k.Invariant == invariant {
				all = append(all, Phrase{Name: cmp.Or(s.Name, k.Name), Pattern: byLoad(s.Pattern, k.ByLoad), Means: s.Means, Examples: s.Examples, table: s.Table,
					build: func(r *reading, a args) { r.AddCheck(a.at, s.Check(a)) }})
			}
		}
	}
	return all
}

// healingPhrases are about several faults, and about the end of faults.
func healingPhrases() []Phrase {
	return []Phrase{
		{Name: "start again", Pattern: `{name} starts again`, Means: "ends a crash or a stop", Examples: []string{`"payments" starts again`},
			build: func(r *reading, a args) { r.HealService(a.at, a.Name(0), "starts again") }},
		{Name: "resume", Pattern: `{name} resumes`, Means: "ends a hang", Examples: []string{`"payments" resumes`},
			build: func(r *reading, a args) { r.HealService(a.at, a.Name(0), "resumes") }},
		{Name: "together", Pattern: `these faults run together( for {duration}):`, Means: "a table: fault (its name in the manual's table of faults, such as slow calls) | from (the caller, also for replies) | to (the dependency) | share | value (a duration, a status, an ending, ...)", table: true,
			Examples: []string{`these faults run together for 30s:`, `these faults run together:`}, build: together},
		{Name: "heal", Pattern: `the fault is healed`, Means: "ends the last fault that is live", Examples: []string{`the fault is healed`},
			build: func(r *reading, a args) { r.Act(a.at, scenarios.Heal{}) }},
		{Name: "heal all", Pattern: `all faults are healed`, Means: "ends every live fault, the last first", Examples: []string{`all faults are healed`},
			build: func(r *reading, a args) { r.Act(a.at, scenarios.Heal{All: true}) }},
	}
}
