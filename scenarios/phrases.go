package scenarios

import "slices"

// Phrase is a row of the phrase table: one sentence that a feature file can say.
type Phrase struct {
	Name     string // "slow calls"
	Group    string // "system and safety", "load", "faults", "time and people", "degradation", "idempotency"
	Pattern  string // Cucumber Expression, the single source; optional parts that hold parameters become extra patterns
	Means    string
	Examples []string

	build func(*draft, args)
	place func(args) Placed // of a fault
	table bool              // a table follows
	doc   bool              // a doc string follows
}

// Phrases is the table, in the vocabulary's order.
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
