package journal

import "time"

// Operation is one attempt of a request that writes or reads a register, such as a value in a database, that puts into
// a queue (Write) or takes from it, or that adds an element to a set, removes one (Write) or looks for one. An attempt
// that was certainly not applied is not recorded, nor is a read of a register or a set without an answer.
type Operation struct {
	Register string        `json:"register"`
	Element  string        `json:"element,omitempty"` // of a set; Value is then InSet or NotInSet
	Write    bool          `json:"write,omitempty"`   // otherwise it read Value
	Value    string        `json:"value"`             // "" for a read or take whose value is not known
	None     bool          `json:"none,omitempty"`    // a take that found nothing
	From     time.Duration `json:"from"`
	To       time.Duration `json:"to,omitempty"` // 0: a write or take without an acknowledgement, which may have been applied at any later time or never
	Window   Window        `json:"window,omitempty"`
}

// The values of an element of a set: an addition writes the first, and a removal the second.
const (
	InSet    = "in"
	NotInSet = "not in"
)

// Mask replaces a secret in the journal. Values that contain it cannot be compared.
const Mask = mask
