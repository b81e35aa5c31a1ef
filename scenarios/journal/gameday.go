package journal

// Day is a game day, as its file describes it.
type Day struct {
	Title string `json:"title"`
	Date  string `json:"date"` // "2026-12-02"
	Cards []Card `json:"cards"`
}

// Card is an experiment of a game day.
type Card struct {
	Scenario   string `json:"scenario"` // Begin.ID
	Title      string `json:"title"`
	Hypothesis string `json:"hypothesis"`
	Owner      string `json:"owner"`
	Severity   string `json:"severity,omitempty"` // of the finding if the card fails: one of Severities; "" means that of other failures
	Retest     string `json:"retest,omitempty"`   // when it is tested again in that case: "2027-01-15"; "" if that is not known
}

// Finding is something that has to change, as a person noted it.
type Finding struct {
	What     string `json:"what"`
	Severity string `json:"severity"`         // one of Severities
	Owner    string `json:"owner,omitempty"`  // "" means the owner of the card
	Retest   string `json:"retest,omitempty"` // "2027-01-15"; "" if that is not known
}

// Severities returns the severities of findings, from the lowest.
func Severities() []string { return []string{"low", "medium", "high", "critical"} }
