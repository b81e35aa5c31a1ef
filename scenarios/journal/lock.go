package journal

import "time"

// Lock is what a source lists of a lock: who acquired it and who gave it up, and when.
type Lock struct {
	Name   string      `json:"name"`
	Source string      `json:"source"`
	Events []LockEvent `json:"events,omitempty"` // in the order of the source
	Error  string      `json:"error,omitempty"`  // why they are not known, or not completely
}

// LockEvent is the moment at which a holder acquired a lock, renewed its lease, or ceased to hold it.
type LockEvent struct {
	Holder string        `json:"holder"`
	Renews bool          `json:"renews,omitempty"` // its holder held it already
	Ends   bool          `json:"ends,omitempty"`   // it was released, lost or expired
	At     time.Duration `json:"at"`               // on the clock of the run; negative before it began
}
