package journal

import "time"

// Agreement is what two sources of effects listed of the requests that had ended when faults were healed. Both were read
// again and again, the first before the second, until a time after healing.
type Agreement struct {
	Sources [2]string     `json:"sources"`
	Within  time.Duration `json:"within"`
	Healed  time.Duration `json:"healed"` // the end of the last fault, as At

	// The times of readings are those at which the first source was asked, from Healed.
	First time.Duration `json:"first"`
	Last  time.Duration `json:"last"`
	Since time.Duration `json:"since,omitempty"` // the first of the last readings that agreed without a break; 0 if the last one did not

	Keys    int          `json:"keys"`             // of the requests
	Listed  [2]int       `json:"listed"`           // effects of these keys, in the last reading
	Valued  int          `json:"valued,omitempty"` // keys of which both list values
	Differ  int          `json:"differ,omitempty"` // keys whose effects differ in the last two readings
	Differs []Difference `json:"differs,omitempty"`
	Error   string       `json:"error,omitempty"` // why what a source lists is not known, or not completely
}

// Difference is a key of which two sources list different effects. Agreement has the first ten.
type Difference struct {
	Key    string      `json:"key"`
	Count  [2]int      `json:"count"`
	Values [2][]string `json:"values,omitzero"` // sorted; empty if one of the sources lists none
}
