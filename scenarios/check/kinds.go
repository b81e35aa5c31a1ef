package check

import (
	"reflect"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Kind is a row of the table of checks.
type Kind struct {
	Name    string // "success"
	Example string // a sentence of a feature file; "" for an implied check
	Means   string
	Value   Check // the example as a value
	Implied bool  // asked of every scenario; it passes or is inconclusive
}

// Kinds lists every check, sorted by name, the implied ones last. A new one is a type and a row.
func Kinds() []Kind {
	kinds := []Kind{
		{Name: "affected", Means: "the drill was as strong as it says; inconclusive otherwise", Value: Affected{AtLeast: 100, Unit: "calls", From: "orders", To: "payments"}},
		{Name: "calls per second", Means: "the most calls in any second", Value: CallsPerSecond{To: "payments", PerSecond: 300, Window: journal.After}},
		{Name: "calls times normal", Means: "calls per client request, against the baseline", Value: CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}},
		{Name: "exactly once", Means: "one effect per acknowledged key, none per refused, at most one per ambiguous", Value: ExactlyOnce{}},
		{Name: "fallback", Means: "share of responses that carry the mark", Value: Fallback{Ratio: 0.8, Route: "GET /recs", Header: "X-Degraded: true", Window: journal.During}},
		{Name: "gives up", Means: "the longest wait for a dependency's answer", Value: GivesUp{From: "orders", To: "payments", Within: time.Second}},
		{Name: "key reuse refused", Means: "acknowledged keys are sent again with another body", Value: KeyReuseRefused{Status: 422}},
		{Name: "latency", Means: "a percentile, absolute or against the baseline", Value: Latency{Percentile: 95, Below: 400 * time.Millisecond, Window: journal.During}},
		{Name: "no phantom", Means: "every effect has a request", Value: NoPhantom{}},
		{Name: "none lost", Means: "every acknowledged key has an effect", Value: NoneLost{}},
		{Name: "none twice", Means: "no key has two effects", Value: NoneTwice{}},
		{Name: "not affected", Means: "success and p95 of a route stay at the baseline's", Value: NotAffected{Route: "GET /catalog"}},
		{Name: "nothing slower", Means: "the slowest request, its repetitions included", Value: NothingSlower{Than: 2 * time.Second}},
		{Name: "recovers", Means: "five steady seconds in a row begin in time", Value: Recovers{Route: "POST /orders", Within: 10 * time.Second}},
		{Name: "same response", Means: "acknowledged keys are sent again with the same body", Value: SameResponse{}},
		{Name: "success", Means: "share of requests that got the expected answer", Value: Success{Ratio: 0.99, Window: journal.During}},

		{Name: "baseline steady", Means: "success, rate and latency before the fault are even", Value: BaselineSteady{}, Implied: true},
		{Name: "books balance", Means: "our relays lost no message; what the kernel lost of datagrams is told", Value: BooksBalance{}, Implied: true},
		{Name: "faults acted", Means: "no fault touched nothing", Value: FaultsActed{}, Implied: true},
		{Name: "healed", Means: "all was undone", Value: Healed{}, Implied: true},
		{Name: "load delivered", Means: "what was due was sent", Value: LoadDelivered{}, Implied: true},
		{Name: "not repeated", Means: "the wire saw what the client policy asked for", Value: NotRepeated{}, Implied: true},
	}
	for i, k := range kinds {
		if !k.Implied {
			kinds[i].Example = k.Value.String()
		}
	}
	return kinds
}

// KindOf names the kind of a check by its type; "" when it is not in the table.
func KindOf(c Check) string {
	for _, k := range Kinds() {
		if reflect.TypeOf(k.Value) == reflect.TypeOf(c) {
			return k.Name
		}
	}
	return ""
}

func kind(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}
