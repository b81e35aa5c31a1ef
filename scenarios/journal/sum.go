package journal

// Sum is the sum of a field over a list, before the load and after it. Sums are exact decimal numbers.
type Sum struct {
	Field  string `json:"field"`
	Source string `json:"source"` // "GET /accounts"
	Before string `json:"before"`
	After  string `json:"after"`
	// ItemsBefore and ItemsAfter are the lengths of the list.
	ItemsBefore int  `json:"items_before"`
	ItemsAfter  int  `json:"items_after"`
	Moved       bool `json:"moved,omitempty"`    // some values differ between the two
	Changing    bool `json:"changing,omitempty"` // the last two readings differ
	// Error is why the sums are not known; "" if they are.
	Error string `json:"error,omitempty"`
}
