package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

const ms = time.Millisecond

// scenario is a history under construction: requests of a load, faults, calls, effects.
type scenario struct{ *journal.History }

// newScenario returns a valid run: 5 s of baseline, a fault of 4 s and 10 s of recovery, at 50 requests per
// second, each answered in 10 ms.
func newScenario() scenario {
	s := scenario{&journal.History{Begin: journal.Begin{ID: "a", Name: "a"}, Ended: 20 * time.Second, Seqs: map[string][]uint64{}}}
	s.Phases = []journal.Span{{Name: "setup", To: time.Second}, {Name: "baseline", From: time.Second, To: 6 * time.Second}, {Name: "fault", From: 6 * time.Second, To: 10 * time.Second}, {Name: "recovery", From: 10 * time.Second, To: 19 * time.Second}, {Name: "collect", From: 19 * time.Second, To: 20 * time.Second}, {Name: "done", From: 20 * time.Second, To: 20 * time.Second}}
	s.Faults = []*journal.Injection{{Fault: journal.Fault{ID: "f1", Stage: "healed", Sentence: "calls are slow", On: "orders -> payments", Unit: "calls", Seen: 200, Affected: 150}, Injected: 6 * time.Second, Healed: 10 * time.Second}}
	s.Seqs["fault"] = []uint64{7}
	for i := 1; i < 20; i++ {
		w := journal.Before
		if i >= 6 {
			w = journal.During
		}
		if i >= 10 {
			w = journal.After
		}
		s.second(i, w, "POST /orders", 50, 10*ms)
		s.addCalls(i, w, "orders -> payments", 50, 5*ms)
	}
	s.Load = &journal.Load{Requested: 950.4, Intended: 950, Sent: 950, Attempts: 950, Wire: 950, Workers: 3, Bound: 100}
	s.Seqs["load"] = []uint64{99}
	for i := range 5 {
		s.addRequest(fmt.Sprint("k", i), "acknowledged", 1)
	}
	s.eachEffect(func(i int, e *journal.Effect) { e.Group, e.Place = "c1", i+1 })
	s.eachRequest(func(i int, r *journal.Request) {
		r.Attempts[0].At += time.Duration(i) * ms
	})
	s.request(4, func(r *journal.Request) { r.Window = journal.During })
	s.EffectsRead = &journal.Effects{Source: "GET /ledger", Count: s.Effects.Len()}
	s.Seqs["effects"] = []uint64{400}
	for _, kind := range []string{"same key, same body", "same key, other body"} {
		p := journal.Probe{Kind: kind, Key: "k1", Window: journal.During, Want: "422", Got: "422", Status: 422}
		s.Probes = append(s.Probes, p)
		s.Seqs["probe"] = append(s.Seqs["probe"], uint64(500+len(s.Probes)))
	}
	for i := range 6 {
		s.addPair(fmt.Sprint("p", i), 201, 409)
	}
	for i := range 12 {
		s.addOperation(true, fmt.Sprint(i), time.Duration(2*i)*ms)
		s.addOperation(false, fmt.Sprint(i), time.Duration(2*i+1)*ms)
	}
	s.addQueue(12)
	s.addSet(6)
	s.Sums = []journal.Sum{{Field: "balance", Source: "GET /accounts", Before: "1000.10", After: "1000.1", ItemsBefore: 10, ItemsAfter: 10, Moved: true}}
	s.Seqs["sum"] = []uint64{800}
	s.Agreements = []journal.Agreement{{Sources: [2]string{"orders table", "billing"}, Within: 30 * time.Second, Healed: 10 * time.Second, First: 100 * ms, Since: 2 * time.Second, Last: 30 * time.Second, Keys: 5, Listed: [2]int{5, 5}}}
	s.Seqs["agreement"] = []uint64{810}
	s.addLock(12)
	s.Accounts = []journal.Accounts{{Link: "orders -> payments", Received: 10, Delivered: 9, Written: 9, Dropped: 1}}
	s.End = &journal.End{}
	s.observe(livez, func(_ time.Duration, o *journal.Observation) { o.Yes, o.Detail = true, "status 200" })
	s.observe(readyz, func(at time.Duration, o *journal.Observation) { o.Yes = at < 7*time.Second || at > 11*time.Second })
	s.observe("alert firing", func(at time.Duration, o *journal.Observation) { o.Yes = at >= 6500*ms && at < 12*time.Second })
	s.observe("outbox", func(at time.Duration, o *journal.Observation) { o.Value = valueOf(float64(at/time.Second) * 10) })
	s.observe(keyMetric, func(at time.Duration, o *journal.Observation) { o.Value = valueOf(50 * at.Seconds()) })
	s.observe(resent, func(at time.Duration, o *journal.Observation) {
		o.Value = valueOf(50 * max(0, at-6*time.Second).Seconds())
	})
	return s
}

const (
	livez     = `the health check "/livez" of "orders"`
	readyz    = `the health check "/readyz" of "orders"`
	keyMetric = `the key metric "orders_placed_total" of "orders"`
	resent    = `the metric "datagrams_resent_total" of "orders"`
)

func valueOf(v float64) *float64 { return &v }

// observe replaces the observations of a probe, which is asked every 500 ms and answers at once.
func (s scenario) observe(probe string, answer func(at time.Duration, o *journal.Observation)) {
	s.Observations = slices.DeleteFunc(s.Observations, func(o journal.Observation) bool { return o.Probe == probe })
	for at := time.Duration(0); at < 20*time.Second; at += 500 * ms {
		o := journal.Observation{Probe: probe, Asked: at, Every: 500 * ms}
		answer(at, &o)
		s.Observations = append(s.Observations, o)
	}
	s.Seqs["observation"] = nil
	for i := range s.Observations {
		s.Seqs["observation"] = append(s.Seqs["observation"], uint64(1000+i))
	}
}

// change changes the observations of a probe that were made between two moments; false removes them.
func (s scenario) change(probe string, from, to time.Duration, keep func(o *journal.Observation) bool) {
	s.Observations = slices.DeleteFunc(s.Observations, func(o journal.Observation) bool {
		return o.Probe == probe && o.Asked >= from && o.Asked < to && !keep(&o)
	})
	for i := range s.Observations {
		if o := &s.Observations[i]; o.Probe == probe && o.Asked >= from && o.Asked < to {
			keep(o)
		}
	}
}

func (s scenario) second(i int, w journal.Window, route string, n int, took time.Duration) *journal.Sample {
	b := []journal.Bucket{{Up: took, N: int64(n)}}
	s.Samples = append(s.Samples, journal.Sample{From: time.Duration(i) * time.Second, To: time.Duration(i+1) * time.Second, Window: w, Route: route, Sent: n, OK: n, Attempts: n, Wire: n, Errors: map[string]int{}, Latency: b, Good: b})
	s.Seqs["sample"] = append(s.Seqs["sample"], uint64(100+len(s.Samples)))
	return &s.Samples[len(s.Samples)-1]
}

func (s scenario) addCalls(i int, w journal.Window, link string, n int, took time.Duration) {
	s.Calls = append(s.Calls, journal.Calls{From: time.Duration(i) * time.Second, To: time.Duration(i+1) * time.Second, Window: w, Link: link, Calls: n, Arrived: n, Duration: []journal.Bucket{{Up: took, N: int64(n)}}})
	s.Seqs["calls"] = append(s.Seqs["calls"], uint64(300+len(s.Calls)))
}

// addGivenUp adds a call to payments that orders gave up on during the fault.
func (s scenario) addGivenUp(after time.Duration) {
	s.addCalls(7, journal.During, "orders -> payments", 1, after)
	s.Calls[len(s.Calls)-1].GaveUp = 1
}

func (s scenario) addRequest(key, outcome string, effects int) {
	s.Requests.Add(journal.Request{Key: key, Route: "POST /orders", Outcome: outcome, Digest: "answer to " + key, Attempts: []journal.Attempt{{At: time.Second, Status: 201}}})
	for i := range effects {
		s.Effects.Add(journal.Effect{Key: key, ID: fmt.Sprintf("o-%s-%d", key, i)})
	}
}

// eachRequest changes the requests.
func (s scenario) eachRequest(change func(i int, r *journal.Request)) {
	all := s.Requests.Slice()
	for i := range all {
		change(i, &all[i])
	}
	s.Requests = journal.NewRequestRows(all...)
}

// request changes the i-th request.
func (s scenario) request(i int, change func(*journal.Request)) {
	s.eachRequest(func(n int, r *journal.Request) {
		if n == i {
			change(r)
		}
	})
}

// eachEffect changes the effects.
func (s scenario) eachEffect(change func(i int, e *journal.Effect)) {
	all := s.Effects.Slice()
	for i := range all {
		change(i, &all[i])
	}
	s.Effects = journal.NewEffectRows(all...)
}

// place changes the places of effects in the list.
func (s scenario) place(places map[int]int) {
	s.eachEffect(func(i int, e *journal.Effect) {
		if p, ok := places[i]; ok {
			e.Place = p
		}
	})
}

// every changes the samples of a window.
func (s scenario) every(w journal.Window, change func(*journal.Sample)) {
	for i := range s.Samples {
		if s.Samples[i].Window == w {
			change(&s.Samples[i])
		}
	}
}

func slow(took time.Duration) func(*journal.Sample) {
	return func(x *journal.Sample) {
		x.Latency = []journal.Bucket{{Up: took, N: int64(x.Sent)}}
		x.Good = x.Latency
	}
}

func failing(n int) func(*journal.Sample) {
	return func(x *journal.Sample) {
		x.OK -= n
		x.Ambiguous += n
		x.Errors["timeout"] += n
	}
}

func (s scenario) twice(key string) {
	s.Effects.Add(journal.Effect{Key: key, ID: "o-again"})
	s.EffectsRead.Count++
}

func (s scenario) drop(key string) {
	all := s.Effects.Slice()
	if i := slices.IndexFunc(all, func(e journal.Effect) bool { return e.Key == key }); i >= 0 {
		s.Effects = journal.NewEffectRows(slices.Delete(all, i, i+1)...)
		s.EffectsRead.Count--
	}
}

func kernelLoss(s scenario) {
	s.Losses = []journal.Loss{{Link: "orders -> billing", Known: true}, {Link: "orders -> metrics", Known: true, AtLink: 3, AtServer: 2, Unsent: 1, Elsewhere: 9}}
}

// more adds acknowledged requests to a window, each with an effect.
func (s scenario) more(n int, w journal.Window) {
	from := s.Requests.Len()
	for i := range n {
		s.addRequest(fmt.Sprint("m", i), "acknowledged", 1)
	}
	s.eachRequest(func(i int, r *journal.Request) {
		if i >= from {
			r.Window = w
		}
	})
	s.EffectsRead.Count = s.Effects.Len()
}

// unlistEffects removes the last n effects from the list.
func (s scenario) unlistEffects(n int) {
	s.Effects = journal.NewEffectRows(s.Effects.Slice()[:s.Effects.Len()-n]...)
	s.EffectsRead.Count = s.Effects.Len()
}

// read adds GET requests. reads reports whether the load has other requests, so that these are not expected to
// have effects.
func (s scenario) read(n int, reads bool) {
	from := s.Requests.Len()
	for i := range n {
		s.addRequest(fmt.Sprint("r", i), "acknowledged", 0)
	}
	s.eachRequest(func(i int, r *journal.Request) {
		if i >= from {
			r.Route, r.Reads, r.Window = "GET /orders", reads, journal.During
		}
	})
}

// only removes all requests and effects.
func (s scenario) only() {
	s.Requests, s.Effects, s.EffectsRead.Count = journal.RequestRows{}, journal.EffectRows{}, 0
}

// hedged makes the first request one with two attempts at the same time, with the digests of their answers.
func (s scenario) hedged(first, second string) {
	s.request(0, func(r *journal.Request) {
		at := r.Attempts[0].At
		r.Attempts = []journal.Attempt{{At: at, Digest: first, Status: 201}, {At: at + 20*ms, Digest: second, Status: 201, Hedge: true}}
	})
}

func (s scenario) sameAnswers() {
	s.eachRequest(func(_ int, r *journal.Request) { r.Digest = "ok" })
}

// redirect turns each success into an unexpected answer.
func redirect(x *journal.Sample) {
	x.Ambiguous, x.OK, x.Errors = x.OK, 0, map[string]int{"status 303": x.OK}
}

func sendLate(x *journal.Sample) {
	x.Slip = []journal.Bucket{{Up: 50 * ms, N: int64(x.Sent)}}
}

// removeCalls removes the calls of a window.
func (s scenario) removeCalls(w journal.Window) {
	s.Calls = slices.DeleteFunc(s.Calls, func(c journal.Calls) bool { return c.Window == w })
}

// open adds calls to payments that do not end.
func (s scenario) open(n int64, waited time.Duration) {
	s.Accounts = append(s.Accounts, journal.Accounts{Link: "orders -> payments", ToServer: true, Open: n, OpenFor: waited})
}

func (s scenario) makeAmbiguous() {
	s.eachRequest(func(_ int, r *journal.Request) { r.Outcome = "ambiguous" })
}

// removeSeconds removes the requests of some seconds.
func (s scenario) removeSeconds(from, to int) {
	s.Samples = slices.DeleteFunc(s.Samples, func(x journal.Sample) bool {
		at := int(x.From / time.Second)
		return at >= from && at < to
	})
}

func someFallBack(x *journal.Sample) { x.OK, x.Fallback = x.Sent-5, 5 }

func (s scenario) unanswered(n int) {
	for range n {
		s.Probes = append(s.Probes, journal.Probe{Kind: "same key, same body", Error: "timeout"})
	}
}

func (s scenario) stuck(n int) {
	for range n {
		s.Probes = append(s.Probes, journal.Probe{Kind: "same key, same body", Key: "k9", Status: 500, Error: "status 500"})
	}
}

func (s scenario) answered(n int) {
	for range n {
		s.Probes = append(s.Probes, s.Probes[0])
	}
}

// addPair adds two requests with one key at the same moment, with these statuses and one effect.
func (s scenario) addPair(key string, statuses ...int) {
	p := journal.Pair{Key: key, Route: "POST /orders", Effects: []string{"o-" + key}}
	for i, status := range statuses {
		p.Answers[i] = journal.PairAnswer{Attempt: journal.Attempt{At: 19 * time.Second, Took: 10 * ms, Status: status}, Outcome: "ambiguous", Digest: "answer to " + key}
		if status < 300 {
			p.Answers[i].Outcome = "acknowledged"
		}
	}
	s.Pairs = append(s.Pairs, p)
	s.Seqs["pair"] = append(s.Seqs["pair"], uint64(600+len(s.Pairs)))
}

// addOperation adds an operation on the register during the fault, which takes less than a millisecond.
func (s scenario) addOperation(write bool, value string, at time.Duration) {
	at += 7 * time.Second
	s.Operations = append(s.Operations, journal.Operation{Register: "greeting", Write: write, Value: value, From: at, To: at + 100*time.Microsecond, Window: journal.During})
	s.Seqs["operation"] = append(s.Seqs["operation"], uint64(700+len(s.Operations)))
}

// stopCalls removes the calls to payments in some seconds.
func (s scenario) stopCalls(from, to int) {
	s.Calls = slices.DeleteFunc(s.Calls, func(c journal.Calls) bool {
		at := int(c.From / time.Second)
		return c.Link == "orders -> payments" && at >= from && at < to
	})
}

// rejecting answers n requests of each second with a status.
func rejecting(status, n int, took time.Duration) func(*journal.Sample) {
	return func(x *journal.Sample) {
		x.OK -= n
		x.Refused += n
		x.Errors[fmt.Sprint("status ", status)] += n
		x.Rejections = append(x.Rejections, journal.Rejection{Status: status, Took: []journal.Bucket{{Up: took, N: int64(n)}}})
	}
}
