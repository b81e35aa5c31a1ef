package reports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// suspicion is a mechanism that the facts of a scenario suggest. It is a hint for people and never part of a verdict.
type suspicion struct {
	Name string // of its rule: "retry storm"
	Fact string // what suggests it, with numbers
	Try  string // what usually mends it
}

// rule recognizes one mechanism. A rule reads only facts of the journal, and names them.
type rule struct {
	Name     string        // "retry storm"
	Means    string        // for the glossary
	explains []check.About // what the checks are about that it can explain
	try      string
	fact     func(h *journal.History) string // "" if the facts do not suggest it
}

// rules lists the mechanisms, the most specific first: the first that explains a check is suspected.
func rules() []rule {
	return []rule{
		{
			"a service crashed", "a process ended although nothing asked it to", []check.About{validity, check.AboutEffects, check.AboutRequests, check.AboutCalls, check.AboutHealth, check.AboutRecovery},
			"read the end of its log", crashed,
		},
		{
			"acknowledged before it was durable", "a request is answered before its effect is stored where a crash cannot lose it", []check.About{check.AboutEffects},
			"store the effect, synced or replicated, before the answer is sent", notDurable,
		},
		{
			"a repetition was not recognized", "no idempotency key, or one that the receiver ignores: what is sent again is applied again", []check.About{check.AboutEffects},
			"pass one key with every repetition on, down to the service that applies the effect, and let it look the key up in the same transaction", notRecognized,
		},
		{
			"retry storm", "callers ask so often again that a dependency in trouble gets more load than in good times", []check.About{check.AboutCalls, check.AboutRequests, check.AboutRecovery, check.AboutHealth},
			"limit retries to a budget, let pauses grow with jitter, and retry in one layer only", retryStorm,
		},
		{
			"a time-out is missing", "a caller waits for a slow dependency as long as it takes", []check.About{check.AboutRequests, check.AboutCalls, check.AboutHealth},
			"let callers give up well before their own callers do", noTimeout,
		},
		{
			"a queue grows", "more arrives than is worked off, so that everything behind it waits longer and longer", []check.About{check.AboutRequests, check.AboutHealth, check.AboutRecovery},
			"bound the queue, and refuse what exceeds it", queueGrows,
		},
		{
			"a fallback is missing", "an error of a dependency becomes an error of the caller", []check.About{check.AboutRequests},
			"answer without the dependency: from a cache, with a default, or later", noFallback,
		},
	}
}

// about returns what a verdict is about. Latency counts as one of the properties of requests, whose causes are the same.
func about(v journal.Verdict) check.About {
	k, _ := check.KindNamed(v.Kind)
	switch {
	case isImplied(v):
		return validity
	case k.About == check.AboutLatency:
		return check.AboutRequests
	case k.About == "": // a step of the user, or a check that is no longer known
		return check.About(v.Kind)
	}
	return k.About
}

func isLatency(v journal.Verdict) bool {
	k, _ := check.KindNamed(v.Kind)
	return k.About == check.AboutLatency
}

// validity is what implied checks are about.
const validity check.About = "validity"

// suspect returns the first mechanism that the facts suggest and that explains a check; nil if there is none.
func suspect(h *journal.History, v journal.Verdict) *suspicion {
	of := about(v)
	for _, r := range rules() {
		if !slices.Contains(r.explains, of) {
			continue
		}
		if fact := journal.Once(h, "suspicion: "+r.Name, func() string { return r.fact(h) }); fact != "" {
			return &suspicion{r.Name, fact, r.try}
		}
	}
	return nil
}

func crashed(h *journal.History) string {
	for _, p := range h.Processes {
		if p.What == "exited" {
			return fmt.Sprintf("%s ended at %s: %s", p.Service, at(p.At), p.Detail)
		}
	}
	return ""
}

// anomaliesOf returns the anomalies of a kind in all sources of effects.
func anomaliesOf(h *journal.History, kind string) (all []check.Anomaly) {
	for _, one := range h.BySource() {
		for _, a := range check.NewLedger(one).Anomalies {
			if a.Kind == kind {
				all = append(all, a)
			}
		}
	}
	return all
}

func notDurable(h *journal.History) string {
	lost := anomaliesOf(h, check.AnomalyLost)
	for _, in := range h.Faults {
		if len(lost) > 0 && (in.Kind == "crash" || in.Kind == "power loss") {
			return fmt.Sprintf("%s were acknowledged and have no effect, and %s", things(len(lost), "key"), in.Sentence)
		}
	}
	return ""
}

func notRecognized(h *journal.History) string {
	twice := anomaliesOf(h, check.AnomalyDuplicated)
	if len(twice) == 0 {
		if again := anomaliesOf(h, check.AnomalyReapplied); len(again) > 0 {
			return fmt.Sprintf("%s were applied again when they were sent once more", things(len(again), "key"))
		}
		return ""
	}
	text := fmt.Sprintf("%s have more than one effect", things(len(twice), "key"))
	for _, in := range h.CombinedFaults() {
		if in.Affected > 0 && strings.Contains(in.Kind, "repl") {
			return fmt.Sprintf("%s; %s of the answers on %s were lost or late after the work was done, so that the caller had to ask again", text, check.Count(in.Affected), in.On)
		}
	}
	return text
}

// minCalls is how many calls a ratio of calls needs to suggest anything.
const minCalls = 20

// amplification returns the calls of a link for each client request in a window; known is false if there are too few.
func amplification(h *journal.History, link string, w journal.Window) (times float64, known bool) {
	calls := h.CallsTotal(w, func(l string) bool { return l == link }).Calls
	sent := journal.Once(h, "sent "+string(w), func() int { return h.Total(w, "").Sent })
	if calls < minCalls || sent < minCalls {
		return 0, false
	}
	return float64(calls) / float64(sent), true
}

// linksOf returns the links that had calls, the busiest first.
func linksOf(h *journal.History) []string {
	return journal.Once(h, "links", func() []string {
		counts := map[string]int{}
		for _, c := range h.Calls {
			counts[c.Link] += c.Calls
		}
		return sorted(counts)
	})
}

func retryStorm(h *journal.History) string {
	for _, link := range linksOf(h) {
		before, ok := amplification(h, link, journal.Before)
		during, too := amplification(h, link, journal.During)
		if ok && too && during >= 1.5*before {
			return fmt.Sprintf("%s carried %.2f calls for each client request during the fault, and %.2f before it", link, during, before)
		}
	}
	return ""
}

// noTimeout looks for a link whose calls took long, while no caller gave up.
func noTimeout(h *journal.History) string {
	for _, link := range linksOf(h) {
		of := func(l string) bool { return l == link }
		during := h.CallsTotal(journal.During, of)
		before := journal.Quantile(h.CallsTotal(journal.Before, of).Duration, 95)
		longest := journal.Quantile(during.Duration, 100)
		if during.GaveUp == 0 && during.Affected > 0 && longest >= time.Second && longest >= 5*before {
			return fmt.Sprintf("callers on %s waited up to %s, and none gave up; before the fault p95 was %s", link, ms(longest), ms(before))
		}
	}
	return ""
}

// queueGrows looks for a probe whose number kept growing during the fault.
func queueGrows(h *journal.History) string {
	from, to, ok := h.FaultSpan()
	if !ok {
		return ""
	}
	values := map[string][]float64{}
	var names []string
	for _, o := range h.Observations {
		if o.Value != nil && o.Asked >= from && o.Asked <= to {
			if values[o.Probe] == nil {
				names = append(names, o.Probe)
			}
			values[o.Probe] = append(values[o.Probe], *o.Value)
		}
	}
	for _, name := range names {
		if v := values[name]; len(v) >= 3 && slices.IsSorted(v) && v[len(v)-1] >= 2*max(v[0], 1) {
			return fmt.Sprintf("%s grew from %g to %g during the fault and never shrank", name, v[0], v[len(v)-1])
		}
	}
	return ""
}

// noFallback looks for requests that failed with an error of the server, while no answer was a fallback.
func noFallback(h *journal.History) string {
	t := h.Total(journal.During, "")
	broke := 0
	for kind, n := range t.Errors {
		if strings.HasPrefix(kind, "status 5") {
			broke += n
		}
	}
	if t.Fallback > 0 || broke < 5 || broke*2 < t.Sent-t.OK {
		return ""
	}
	for _, in := range h.CombinedFaults() {
		if from, _, link := strings.Cut(in.On, " -> "); link && in.Affected > 0 && from != "clients" {
			return fmt.Sprintf("%s ended with an error of the server while calls on %s failed, and none was answered with a fallback", things(broke, "request"), in.On)
		}
	}
	return ""
}

// things formats a count with its noun.
func things(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return check.Count(n) + " " + one + "s"
}
