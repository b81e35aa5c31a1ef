package check

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// LinearizableQueue passes if the puts and takes of a queue could have happened one after the other, each at one moment
// between its request and its answer, so that every take removed the oldest item, or found the queue empty. A put or
// take without an acknowledgement may have happened at any later time, or never. The queue is empty before the load: if an
// item is taken before it is put, it was not, and values do not identify items.
//
// A history in which no item is put twice is linearizable if and only if no item is taken twice or before it was put,
// no two items are taken in the opposite order of their puts, no item is passed over, and none was there all the time
// while a take found the queue empty (Henzinger, Sezgin, Vafeiadis: Aspect-Oriented Linearizability Proofs, 2013).
type LinearizableQueue struct{ Queue string }

// Judge implements Check.
func (c LinearizableQueue) Judge(h *journal.History) Verdict {
	return judgeHistory(h, newQueue(operationsOn(h, c.Queue)), "every take removes the oldest item")
}

// contradictions implements object.
func (q *queue) contradictions() (all []violation, reason string) {
	if all = q.violations(); len(all) == 0 {
		return nil, ""
	}
	return all, fmt.Sprintf("%s contradiction%s to the order of a queue, in %s takes: %s", Count(len(all)), plural(len(all)), Count(q.takes), all[0].text)
}

// unproven implements object.
func (q *queue) unproven() codes.Message {
	switch {
	case q.foreign > 0:
		return codes.NotComparable.Msgf("%s items were taken that no request of the load had put: the queue held them before the load, or made them up: let it be empty at first", Count(q.foreign))
	case len(q.taken) < leastCompared:
		return codes.TooFewRequests.Msgf("only %d items were taken that were put once in this run, and at least %d are needed", len(q.taken), leastCompared)
	}
	return q.noneDuringFault()
}

// forever is the end of an operation without an acknowledgement, and the take of an item that was not taken.
const forever = time.Duration(math.MaxInt64)

// span is the time between a request and its answer.
type span struct{ from, to time.Duration }

func (s span) String() string {
	if s.to == forever {
		return fmt.Sprintf("from +%.3fs on", s.from.Seconds())
	}
	return fmt.Sprintf("between +%.3fs and +%.3fs", s.from.Seconds(), s.to.Seconds())
}

// queueItem is an item that was put once. Its take is at forever if no acknowledged take returned it.
type queueItem struct {
	value     string
	put, take span
	seqs      []uint64
}

// queue is the history of one queue.
type queue struct {
	taken, left                    []queueItem // items that were taken, and acknowledged ones that were not
	empty                          []queueItem // takes that found nothing; only take and seqs are set
	open                           []time.Duration
	puts, openPuts, takes, unknown int
	repeated                       int      // items that were put several times, which are not judged
	foreign                        int      // takes of items that nothing put
	early                          []string // items that were taken before anything put them
	tooOften                       []violation
	operations
}

func newQueue(all operations) *queue {
	q := &queue{operations: all}
	puts, takes := map[string][]operation{}, map[string][]operation{}
	var order []string
	for _, o := range all.all {
		switch {
		case o.Write:
			q.puts++
			if o.To == 0 {
				q.openPuts++
			}
			if puts[o.Value] == nil {
				order = append(order, o.Value)
			}
			puts[o.Value] = append(puts[o.Value], o)
		case o.To == 0:
			q.open = append(q.open, o.From)
		case o.None:
			q.takes++
			q.empty = append(q.empty, queueItem{take: span{o.From, o.To}, seqs: o.seq})
		case o.Value == "":
			q.unknown++
		default:
			q.takes++
			takes[o.Value] = append(takes[o.Value], o)
		}
	}
	for value, all := range takes {
		if puts[value] == nil {
			q.foreign += len(all)
		}
	}
	for _, value := range order {
		q.addItem(value, puts[value], takes[value])
	}
	slices.Sort(q.open)
	return q
}

// addItem adds the puts and takes of a value.
func (q *queue) addItem(value string, puts, takes []operation) {
	first := slices.MinFunc(puts, func(a, b operation) int { return cmp.Compare(a.From, b.From) })
	if slices.ContainsFunc(takes, func(o operation) bool { return o.To < first.From }) {
		q.early = append(q.early, value)
	}
	if len(takes) > len(puts) {
		w := violation{text: fmt.Sprintf("%s was taken %d times and put %d times", strconv.Quote(value), len(takes), len(puts))}
		for _, o := range slices.Concat(takes, puts) {
			w.seqs = append(w.seqs, o.seq...)
		}
		for _, o := range takes[:min(3, len(takes))] {
			w.text += fmt.Sprintf("; taken %s", o.span())
		}
		q.tooOften = append(q.tooOften, w)
		return
	}
	if len(puts) > 1 {
		q.repeated++
		return
	}
	item := queueItem{value: value, put: puts[0].span(), take: span{forever, forever}, seqs: puts[0].seq}
	switch {
	case len(takes) == 1:
		item.take = takes[0].span()
		item.seqs = slices.Concat(item.seqs, takes[0].seq)
		q.taken = append(q.taken, item)
	case item.put.to != forever: // one without an acknowledgement may never have been put
		q.left = append(q.left, item)
	}
}

// span returns the time in which the operation happened.
func (o operation) span() span {
	if o.To == 0 {
		return span{o.From, forever}
	}
	return span{o.From, o.To}
}

func (q *queue) observed() string {
	s := fmt.Sprintf("%s puts, %s of them not acknowledged; %s takes, %s of which found nothing; %s more not acknowledged; %s items left",
		Count(q.puts), Count(q.openPuts), Count(q.takes), Count(len(q.empty)), Count(len(q.open)), Count(len(q.left)))
	if q.repeated > 0 {
		s += fmt.Sprintf("; %s items were put several times and are not judged", Count(q.repeated))
	}
	return s
}

// incomparable returns why takes cannot be compared with puts, or "" if they can.
func (q *queue) incomparable() string {
	switch {
	case len(q.all) == 0:
		return "no operation on the queue was recorded"
	case q.puts == q.openPuts:
		return fmt.Sprintf("none of %s puts was acknowledged", Count(q.puts))
	case q.takes == 0:
		return "no take was answered with an item, or with status 204 or 404"
	case q.unknown > 0:
		return fmt.Sprintf("%s takes were answered with a body that is empty or above 1 KiB, so that it is not known what they took: an empty queue is status 204 or 404", Count(q.unknown))
	case len(q.early) > 0:
		return fmt.Sprintf("%s items, such as %q, were taken before the load put them: the queue held such items before the load, so that they cannot be told from its own: let it be empty at first", Count(len(q.early)), q.early[0])
	}
	return ""
}

// violations returns the operations that no order explains.
func (q *queue) violations() []violation {
	all := slices.Clone(q.tooOften)
	for _, i := range q.taken {
		if i.take.to < i.put.from { // Judge takes it for a queue that was not empty; see incomparable
			all = append(all, violation{fmt.Sprintf("%s was taken %s, and put only %s", strconv.Quote(i.value), i.take, i.put), i.seqs})
		}
	}
	return slices.Concat(all, q.disordered(), q.passedOver(), q.notEmpty())
}

// disordered returns the items that were taken before others that had been put earlier.
func (q *queue) disordered() (all []violation) {
	byPut := slices.Clone(q.taken)
	slices.SortFunc(byPut, func(a, b queueItem) int { return cmp.Compare(a.put.to, b.put.to) })
	last := make([]queueItem, len(byPut)) // of the items up to each: the one whose take began last
	for i, item := range byPut {
		if last[i] = item; i > 0 && last[i-1].take.from >= item.take.from {
			last[i] = last[i-1]
		}
	}
	for _, b := range q.taken {
		n := sort.Search(len(byPut), func(i int) bool { return byPut[i].put.to >= b.put.from })
		if n == 0 {
			continue
		}
		if a := last[n-1]; a.take.from > b.take.to {
			all = append(all, violation{
				fmt.Sprintf("%s, put %s, was taken %s, before %s, which had been put %s and was taken %s", strconv.Quote(b.value), b.put, b.take, strconv.Quote(a.value), a.put, a.take),
				slices.Concat(b.seqs, a.seqs),
			})
		}
	}
	return all
}

// passedOver returns the items that were put and not taken although later ones were. A take without an acknowledgement
// that began in time may have taken one of them.
func (q *queue) passedOver() (all []violation) {
	byPut := slices.Clone(q.taken)
	slices.SortFunc(byPut, func(a, b queueItem) int { return cmp.Compare(a.put.from, b.put.from) })
	first := make([]queueItem, len(byPut)) // of the items from each on: the one whose take ended first
	for i := len(byPut) - 1; i >= 0; i-- {
		if first[i] = byPut[i]; i+1 < len(byPut) && first[i+1].take.to <= byPut[i].take.to {
			first[i] = first[i+1]
		}
	}
	type passed struct{ item, by queueItem }
	var due []passed
	for _, a := range q.left {
		if n := sort.Search(len(byPut), func(i int) bool { return byPut[i].put.from > a.put.to }); n < len(byPut) {
			due = append(due, passed{a, first[n]})
		}
	}
	slices.SortFunc(due, func(a, b passed) int { return cmp.Compare(a.by.take.to, b.by.take.to) })
	spent := 0 // takes without an acknowledgement that explain an item
	for _, d := range due {
		if spent < len(q.open) && q.open[spent] <= d.by.take.to {
			spent++
			continue
		}
		all = append(all, violation{
			fmt.Sprintf("%s was put %s and never taken, although %s was put later, %s, and taken %s", strconv.Quote(d.item.value), d.item.put, strconv.Quote(d.by.value), d.by.put, d.by.take),
			slices.Concat(d.item.seqs, d.by.seqs),
		})
	}
	return all
}

// notEmpty returns the takes that found nothing although at each moment of them some item was in the queue.
func (q *queue) notEmpty() (all []violation) {
	certain, possible := occupied(q.taken), occupied(slices.Concat(q.taken, q.left))
	for _, e := range q.empty {
		covered := covers(certain, e.take)
		if !covered && (len(q.open) == 0 || q.open[0] > e.take.to) {
			covered = covers(possible, e.take)
		}
		if !covered {
			continue
		}
		w := violation{fmt.Sprintf("a take found nothing %s, although the queue held items all the time", e.take), e.seqs}
		var by *queueItem
		for _, i := range slices.Concat(q.taken, q.left) {
			if i.put.to < e.take.from && i.take.from > e.take.from && (by == nil || i.take.from > by.take.from) {
				by = &i
			}
		}
		if by != nil {
			w.text += fmt.Sprintf(", such as %s, put %s", strconv.Quote(by.value), by.put)
			w.seqs = slices.Concat(w.seqs, by.seqs)
		}
		all = append(all, w)
	}
	return all
}

// occupied returns the times in which at least one of the items was certainly in the queue, without their ends.
func occupied(items []queueItem) []span {
	var all []span
	for _, i := range items {
		if i.put.to < i.take.from {
			all = append(all, span{i.put.to, i.take.from})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var merged []span
	for _, s := range all {
		if n := len(merged); n > 0 && s.from < merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, s.to)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// covers reports whether one of the merged times includes all of another one.
func covers(merged []span, s span) bool {
	n := sort.Search(len(merged), func(i int) bool { return merged[i].from >= s.from })
	return n > 0 && merged[n-1].to > s.to
}

func (c LinearizableQueue) String() string {
	return fmt.Sprintf("the history of the queue %q is linearizable", c.Queue)
}

// Kind implements Check.
func (c LinearizableQueue) Kind() Kind {
	return Kind{Name: "linearizable queue", About: AboutEffects, Means: "every take of a queue removes the oldest item", Invariant: true,
		Needs: Needs{Load: true, Queue: c.Queue},
		Sentences: []Sentence{{
			Pattern: `the history of the queue {text} is linearizable`,
			Means: "a queue that a sentence declares, first in, first out, and empty at first: no item is lost, taken twice or taken out of order, and none was there while a take found nothing; " +
				"a put or take without an acknowledgement may have happened at any later time or never",
			Examples: []string{`the history of the queue "jobs" is linearizable`},
			Check:    func(a Args) Check { return LinearizableQueue{Queue: a.Name(0)} },
		}}}
}
