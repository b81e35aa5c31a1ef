package journal

import "time"

// Operation is one attempt of a request that writes or reads a register, such as a value in a database. An attempt
// that was certainly not applied is not recorded, nor is a read without an answer.
type Operation struct {
	Register string        `json:"register"`
	Write    bool          `json:"write,omitempty"` // otherwise it read Value
	Value    string        `json:"value"`           // "" for a read whose value is not known
	From     time.Duration `json:"from"`
	To       time.Duration `json:"to,omitempty"` // 0: a write without an acknowledgement, which may have been applied at any later time or never
	Window   Window        `json:"window,omitempty"`
}

// Mask replaces a secret in the journal. Values that contain it cannot be compared.
const Mask = mask
