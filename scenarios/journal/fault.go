package journal

import (
	"strconv"
	"strings"
	"time"
)

// Fault is a change in the life of an injection. Counters are totals since the injection.
type Fault struct {
	ID        string        `json:"id"`           // "fault-3", or "fault-3.1" for the first link of a partition; see FaultID
	Stage     string        `json:"stage"`        // "injected" (injection began), "live" (it acts), "counted" (progress), "healed", "settled" (final counters), or "skipped" (never injected)
	Kind      string        `json:"kind"`         // name of the kind of fault
	Sentence  string        `json:"sentence"`     // as a feature file states it
	By        string        `json:"by,omitempty"` // who injected it by hand; "" if the scenario did
	On        string        `json:"on"`           // "orders -> payments" or "payments"
	Unit      string        `json:"unit,omitempty"`
	Seen      int64         `json:"seen,omitempty"`
	Affected  int64         `json:"affected,omitempty"`
	First     time.Duration `json:"first,omitempty"` // first and last effect, as At
	Last      time.Duration `json:"last,omitempty"`
	Live      time.Duration `json:"live,omitempty"`      // when it began to act, as At
	Ended     time.Duration `json:"ended,omitempty"`     // when healing began, as At: the end of the requested outage
	Requested time.Duration `json:"requested,omitempty"` // the requested duration; 0: until it is healed
	Unseen    bool          `json:"unseen,omitempty"`    // requests of callers do not reach the link while it is live
	Unnoticed bool          `json:"unnoticed,omitempty"` // callers do not notice it: it makes no call fail and delays none for long
	Waits     bool          `json:"waits,omitempty"`     // its only effect is that something waits, at most until healing
	Alters    bool          `json:"alters,omitempty"`    // it changes the contents of what arrives, or makes it up
	Damages   bool          `json:"damages,omitempty"`   // it changes what the dependency gets

	Background int64 `json:"background,omitempty"` // of Affected: possibly traffic that the load did not cause
	Shared     bool  `json:"shared,omitempty"`     // the load may have caused none of Affected
	Reads      bool  `json:"reads,omitempty"`      // all of Affected are calls or messages that only read
	Idle       int64 `json:"idle,omitempty"`       // idle connections that it changed
	Collateral int64 `json:"collateral,omitempty"` // units lost along with an affected one, such as calls on the same HTTP/2 connection
	Broken     int64 `json:"broken,omitempty"`     // units that failed because the dependency closed its connection while they were held back

	Connections   int64         `json:"connections,omitempty"` // affected connections; like the bytes, of faults on streams only
	BytesSeen     int64         `json:"bytes_seen,omitempty"`
	BytesAffected int64         `json:"bytes_affected,omitempty"`
	Delayed       int64         `json:"delayed,omitempty"` // delayed units; the delays are the measured ones, not the requested ones
	DelayP50      time.Duration `json:"delay_p50,omitempty"`
	DelayP99      time.Duration `json:"delay_p99,omitempty"`
	DelayMax      time.Duration `json:"delay_max,omitempty"`

	Hint  string `json:"hint,omitempty"`  // a possible reason if nothing was affected
	Error string `json:"error,omitempty"` // of healing
}

// Stated returns the sentence and, of a fault that was injected by hand, by whom.
func (f Fault) Stated() string {
	if f.By == "" {
		return f.Sentence
	}
	return f.Sentence + " (by hand, by " + f.By + ")"
}

// FaultID returns the id of the fault that an injection belongs to: reports and checks treat the links of a
// partition as one fault.
func FaultID(id string) string {
	if whole, part, ok := strings.Cut(id, "."); ok {
		if _, err := strconv.Atoi(part); err == nil {
			return whole
		}
	}
	return id
}

// Message is the outcome of one message to which a rule applied.
type Message struct {
	Fault    string `json:"fault"`
	Link     string `json:"link"`
	Stage    string `json:"stage"`
	ToServer bool   `json:"to_server,omitempty"`
	Conn     uint64 `json:"conn,omitempty"`
	N        uint64 `json:"n,omitempty"`
	Op       string `json:"op,omitempty"`
	Key      string `json:"key,omitempty"`
	Bytes    int    `json:"bytes,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Request  string `json:"request,omitempty"` // the number of the request of the load that caused it, after the name of the load if it has one; "" if that is not known
}

// Injection is the life of one fault. Healed is 0 if it was never healed.
type Injection struct {
	Fault                  // the last counters
	Step     string        `json:"step,omitempty"` // file:line
	Injected time.Duration `json:"injected"`
	Healed   time.Duration `json:"healed,omitempty"`
}

// FaultSpan returns the requested outage: the time from the first injection to the beginning of the last healing,
// or to the end if a fault was never healed. It does not include the time that healing takes, such as the start of
// a service. ok is false if there were no injections.
func (h *History) FaultSpan() (from, to time.Duration, ok bool) {
	for i, in := range h.Faults {
		healed := in.Healed
		switch {
		case in.Healed == 0:
			healed = h.Ended
		case in.Ended != 0:
			healed = in.Ended
		}
		if i == 0 || in.Injected < from {
			from = in.Injected
		}
		to = max(to, healed)
	}
	return from, to, len(h.Faults) > 0
}

// AffectedByLoad returns how many of the affected units the load caused, as far as that is known.
func (in *Injection) AffectedByLoad() int64 { return max(0, in.Affected-in.Background) }

// CombinedFaults returns the faults in order of injection, with the links of a partition combined. Injected, Healed and
// the counters cover all parts, and the other fields are those of the first part.
func (h *History) CombinedFaults() []*Injection {
	var all []*Injection
	by := map[string]*Injection{}
	for _, in := range h.Faults {
		id := FaultID(in.ID)
		if id == in.ID {
			all = append(all, in)
			continue
		}
		w := by[id]
		if w == nil {
			first := *in
			by[id] = &first
			all = append(all, &first)
			continue
		}
		w.Injected = min(w.Injected, in.Injected)
		if w.Healed > 0 && in.Healed > 0 {
			w.Healed = max(w.Healed, in.Healed)
		} else {
			w.Healed = 0
		}
		w.Shared = (w.Shared || w.AffectedByLoad() == 0) && (in.Shared || in.AffectedByLoad() == 0)
		w.Seen += in.Seen
		w.Affected += in.Affected
		w.Background += in.Background
		w.Idle += in.Idle
		w.Collateral += in.Collateral
		w.Broken += in.Broken
	}
	return all
}
