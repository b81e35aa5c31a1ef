package scenarios

import "slices"

// Phrase is a row of the phrase table: one sentence of feature files.
type Phrase struct {
	Name     string // "slow calls"
	Group    string // "system and safety", "load", "faults", "time and people", "degradation", "idempotency"
	Pattern  string // Cucumber Expression; optional parts that contain parameters become additional patterns
	Means    string
	Examples []string

	build     func(*resolver, args)
	makeFault func(args) Placed // for a fault
	table     bool              // a table follows
	doc       bool              // a doc string follows
}

// Phrases returns the phrase table in the order of the vocabulary.
func Phrases() []Phrase {
	var all []Phrase
	for _, group := range []struct {
		name string
		rows []Phrase
	}{
		{"system and safety", systemPhrases()},
		{"load", loadPhrases()},
		{"faults", slices.Concat(callFaultPhrases(), messageFaultPhrases(), linkFaultPhrases(), partitionPhrases(), serviceFaultPhrases())},
		{"time and people", timePhrases()},
		{"degradation", degradationPhrases()},
		{"idempotency", idempotencyPhrases()},
	} {
		for _, p := range group.rows {
			p.Group = group.name
			all = append(all, p)
		}
	}
	return all
}
