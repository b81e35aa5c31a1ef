package journal

import "time"

// Story holds the calls that a request of the load caused on the links, directly and through services that pass
// its trace context or its key on. It is written for requests that have an anomaly.
type Story struct {
	Key     string      `json:"key"`
	Calls   []StoryCall `json:"calls"`             // in the order of their start
	Dropped int         `json:"dropped,omitempty"` // calls of all requests that were not kept, because there were too many
}

// StoryCall is one call on a link.
type StoryCall struct {
	Link   string        `json:"link"`
	Op     string        `json:"op"`
	At     time.Duration `json:"at"`
	Took   time.Duration `json:"took"`             // until the answer, the end of the connection, or until the caller gave up
	Status int           `json:"status,omitempty"` // 0 if the caller did not get a complete answer
	GaveUp bool          `json:"gave_up,omitempty"`
	Fault  string        `json:"fault,omitempty"` // Fault.ID of the fault that acted on it
}

// LiveBetween returns the faults that were live at some time between two moments, in order of injection.
func (h *History) LiveBetween(from, to time.Duration) []*Injection {
	var live []*Injection
	for _, in := range h.CombinedFaults() {
		if in.LiveBetween(from, to) {
			live = append(live, in)
		}
	}
	return live
}

// LiveBetween reports whether the fault was live at some time between two moments.
func (in *Injection) LiveBetween(from, to time.Duration) bool {
	ended := in.Healed
	if in.Ended > 0 {
		ended = in.Ended
	}
	return max(in.Injected, in.Live) <= to && (ended == 0 || ended >= from)
}
