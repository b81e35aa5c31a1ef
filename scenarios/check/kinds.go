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
	Implied bool  // applies to every scenario and decides whether it is valid; never fails

	Invariant bool // for a check that is not implied: it must hold under all conditions
	Ours      bool // for an implied check: if it is inconclusive, the generator or a relay can have violated an invariant
	Idle      bool // a system that does nothing would satisfy it
}

// Kinds returns all checks, sorted by name, with the implied ones last. To add a check, add a type and a row here.
func Kinds() []Kind {
	kinds := []Kind{
		{Name: "affected", Idle: true, Means: "the drill was as strong as it says; inconclusive otherwise", Value: Affected{AtLeast: 100, Unit: "calls", From: "orders", To: "payments"}},
		{Name: "calls per second", Idle: true, Means: "the most calls that arrive in any second, those released together by healing too", Value: CallsPerSecond{To: "payments", PerSecond: 300, Window: journal.After}},
		{Name: "calls times normal", Idle: true, Means: "calls per client request, against the baseline; inconclusive where nothing gave callers a reason to ask again", Value: CallsTimesNormal{To: "payments", Times: 1.5, Window: journal.During}},
		{Name: "exactly once", Invariant: true, Means: "one effect per acknowledged key, none per refused, at most one per ambiguous", Value: ExactlyOnce{}},
		{Name: "fallback", Means: "share of responses that carry the mark; inconclusive where they did in the baseline", Value: Fallback{Ratio: 0.8, Route: "GET /recs", Header: "X-Degraded: true", Window: journal.During}},
		{Name: "gives up", Idle: true, Means: "the longest wait for a dependency's answer; inconclusive where no call was given up on", Value: GivesUp{From: "orders", To: "payments", Within: time.Second}},
		{Name: "key reuse refused", Invariant: true, Means: "acknowledged keys are sent again with another body", Value: KeyReuseRefused{Status: 422}},
		{Name: "latency", Means: "a percentile, absolute or against the baseline", Value: Latency{Percentile: 95, Below: 400 * time.Millisecond, Window: journal.During}},
		{Name: "no phantom", Invariant: true, Means: "every effect has a request", Value: NoPhantom{}},
		{Name: "none lost", Invariant: true, Means: "every acknowledged key has an effect", Value: NoneLost{}},
		{Name: "none twice", Invariant: true, Means: "no key has two effects", Value: NoneTwice{}},
		{Name: "not affected", Means: "success and latency of a route are no worse than in the baseline, by statistical tests", Value: NotAffected{Route: "GET /catalog"}},
		{Name: "nothing slower", Means: "the slowest request, its repetitions included", Value: NothingSlower{Than: 2 * time.Second}},
		{Name: "recovers", Means: "in time, the system is steady again and stays so while it is watched, five seconds at least; that includes success, and the time to start again counts", Value: Recovers{Route: "POST /orders", Within: 10 * time.Second}},
		{Name: "same response", Invariant: true, Means: "acknowledged keys are sent again with the same body", Value: SameResponse{}},
		{Name: "success", Means: "share of requests that got the expected answer", Value: Success{Ratio: 0.99, Window: journal.During}},

		{Name: "accounts add up", Means: "our relays lost no message; what the kernel lost of datagrams is reported", Value: AccountsAddUp{}, Implied: true, Ours: true},
		{Name: "baseline steady", Means: "20 requests or more before the fault, and success, rate and latency even and within the steady state (success of at least 99%)", Value: BaselineSteady{}, Implied: true},
		{Name: "effects settled", Means: "effects, where they are asked about, were read whole, and had settled", Value: EffectsSettled{}, Implied: true},
		{Name: "faults acted", Means: "every fault met calls or connections that the load caused", Value: FaultsActed{}, Implied: true},
		{Name: "healed", Means: "every fault was healed, and in time", Value: Healed{}, Implied: true},
		{Name: "load delivered", Means: "as many requests were sent as the steps ask for, and on time", Value: LoadDelivered{}, Implied: true},
		{Name: "no trouble", Means: "the runner itself had no trouble", Value: NoTrouble{}, Implied: true},
		{Name: "not repeated", Means: "the wire saw what the client policy asked for", Value: NotRepeated{}, Implied: true, Ours: true},
		{Name: "proves something", Means: "a system that does nothing would not satisfy the checks", Value: ProvesSomething{}, Implied: true},
		{Name: "services stayed", Means: "no service ended by itself", Value: ServicesStayed{}, Implied: true},
	}
	for i, k := range kinds {
		if !k.Implied {
			kinds[i].Example = k.Value.String()
		}
	}
	return kinds
}

// KindOf returns the name of the kind of a check, by its type; "" if it is not in the table.
func KindOf(c Check) string {
	for _, k := range Kinds() {
		if reflect.TypeOf(k.Value) == reflect.TypeOf(c) {
			return k.Name
		}
	}
	return ""
}

// Idle reports whether a system that does nothing, so that clients get no answers, would satisfy a check.
func Idle(c Check) bool {
	k, _ := kind(KindOf(c))
	return k.Idle
}

func kind(name string) (Kind, bool) {
	for _, k := range Kinds() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}
