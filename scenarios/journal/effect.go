package journal

import "time"

// Effect is one effect of the scenario, as read from the source of effects: new since the load began, and with a
// key of the scenario or a phantom. An effect that has an id is recorded once, no matter how often it is listed.
type Effect struct {
	Key string `json:"key"`
	ID  string `json:"id,omitempty"` // the effect's own identifier, such as an order number

	// These are recorded if a check asks for the order of effects.
	Group string `json:"group,omitempty"` // the field that effects are grouped by
	Order string `json:"order,omitempty"` // its field "seq": a whole number or a time; "" if it has none
	Place int    `json:"place,omitempty"` // its place in the list, from 1
}

// Effects ends the list of effects. If it is missing or has an error, effects could not be read.
type Effects struct {
	Source string `json:"source"`           // "GET /ledger"
	Count  int    `json:"count"`            // effects of this scenario, one event for each
	Before int    `json:"before,omitempty"` // effects listed that were there before the load
	Others int    `json:"others,omitempty"` // effects listed with keys of others
	Folded int    `json:"folded,omitempty"` // effects of this scenario that were listed again with the same id and count once
	// Unknown is how many of Others are new and belong to no run: they are effects of other users of the system,
	// or phantoms. It is 0 where nothing else can use the system.
	Unknown int           `json:"unknown,omitempty"`
	Until   time.Duration `json:"until,omitempty"`  // from the last request to the start of the last reading
	Within  time.Duration `json:"within,omitempty"` // how long effects had to settle, if the scenario defines it
	Doubt   string        `json:"doubt,omitempty"`  // why effects may exist, or still appear, that are not listed
	Error   string        `json:"error,omitempty"`
}
