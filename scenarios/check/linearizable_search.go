package check

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// answer is the result of a search for an order of operations.
type answer uint8

const (
	notKnown answer = iota // the search took too many steps
	linearizable
	notLinearizable
)

// Limits of a search. They are counted in steps and not in time, so that a journal is judged alike on every machine.
const (
	maxSteps        = 20_000_000
	maxSearchMemory = 128 << 20 // bytes; each step that succeeds keeps a bit for each operation
)

// never is the end of an operation without an acknowledgement.
const never = math.MaxInt64

// check searches an order of all operations.
func (r *register) check() answer {
	if ordered(r.ops) {
		return linearizable
	}
	return search(r.ops)
}

// cluster is a write and the reads of its value, which follow it at once in an order of all operations.
type cluster struct {
	write      operation
	firstEnd   int64 // when the first of the operations ended
	lastBegins int64 // when the last of them began
}

// ordered reports whether an order of the operations is known to exist, in time that grows with the square of their
// number, however many overlap. It needs values that are each written once. The order exists if no read ended before
// the write of its value began, and if no two clusters each have an operation that ended before one of the other began
// (Gibbons and Korach, Testing Shared Memories, 1997). The reads of one value that was not written may have returned
// what was there before. If ordered returns false, there may be an order all the same.
func ordered(ops []operation) bool {
	clusters := map[string]*cluster{}
	for i, o := range ops {
		switch {
		case !o.Write:
		case clusters[o.Value] != nil:
			return false
		default:
			clusters[o.Value] = &cluster{o, latest(ops, i), int64(o.From)}
		}
	}
	before := cluster{firstEnd: math.MinInt64, lastBegins: math.MinInt64}
	unwritten := ""
	for _, o := range ops {
		c := clusters[o.Value]
		switch {
		case o.Write:
			continue
		case c == nil && unwritten != "" && unwritten != o.Value:
			return false
		case c == nil:
			c, unwritten = &before, o.Value
			clusters[o.Value] = c
		case o.To < c.write.From:
			return false
		}
		c.firstEnd, c.lastBegins = min(c.firstEnd, int64(o.To)), max(c.lastBegins, int64(o.From))
	}
	all := slices.Collect(maps.Values(clusters))
	for i, a := range all {
		for _, b := range all[:i] {
			if a.firstEnd < b.lastBegins && b.firstEnd < a.lastBegins {
				return false
			}
		}
	}
	return true
}

// search searches an order of operations in which every read returns the last value.
func search(ops []operation) answer {
	ids := map[string]int{} // by value, from 1; 0 is the value before the first write, which is not known
	var history []porcupine.Operation
	for i, o := range ops {
		if ids[o.Value] == 0 {
			ids[o.Value] = len(ids) + 1
		}
		history = append(history, porcupine.Operation{Input: step{o.Write, ids[o.Value]}, Call: int64(o.From), Return: latest(ops, i)})
	}
	steps, kept := 0, 0
	exceeded := func() bool { return steps > maxSteps || kept > maxSearchMemory/(len(ops)/8+100) }
	model := porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, input, _ any) (bool, any) {
			if steps++; exceeded() {
				return false, state // every further step fails, which ends the search
			}
			s := input.(step)
			if ok := s.write || state == s.value || state == 0; !ok {
				return false, state
			}
			kept++
			return true, s.value
		},
	}
	switch ok := porcupine.CheckOperations(model, history); {
	case ok:
		return linearizable
	case exceeded():
		return notKnown
	}
	return notLinearizable
}

// step is the input of the model: a write of a value, or a read that returned it.
type step struct {
	write bool
	value int
}

// latest returns the latest moment at which an operation can have happened. A write without an acknowledgement whose
// value only it wrote happened before the first read of the value ended, provided that the read cannot have returned
// what was there before the first write. The result does not change with this bound, but the search takes less time.
func latest(ops []operation, i int) int64 {
	o := ops[i]
	if o.To != 0 {
		return int64(o.To)
	}
	firstWrite, end := time.Duration(never), time.Duration(never)
	for j, other := range ops {
		if j != i && other.Write && other.Value == o.Value {
			return never
		}
		if other.Write && other.To != 0 {
			firstWrite = min(firstWrite, other.To)
		}
	}
	for _, other := range ops {
		if !other.Write && other.Value == o.Value && other.From > firstWrite {
			end = min(end, other.To)
		}
	}
	return int64(max(end, o.From))
}

// firstWrong returns the operation that ended first of those up to whose end no order of the operations exists. All
// operations that end later are taken as not acknowledged.
func (r *register) firstWrong() operation {
	ends := slices.DeleteFunc(slices.Clone(r.ops), func(o operation) bool { return o.To == 0 })
	slices.SortFunc(ends, func(a, b operation) int { return cmp.Compare(a.To, b.To) })
	i := sort.Search(len(ends)-1, func(i int) bool { return search(until(r.ops, ends[i].To)) == notLinearizable })
	return ends[i]
}

// until returns what was known of operations at a time.
func until(ops []operation, at time.Duration) []operation {
	var known []operation
	for _, o := range ops {
		switch {
		case o.From > at:
			continue
		case o.To > at && !o.Write:
			continue
		case o.To > at:
			o.To = 0
		}
		known = append(known, o)
	}
	return known
}

// staleRead is a read that returned an older value although a later write had ended before it began.
type staleRead struct {
	read, missed operation
	writer       *operation // of the value that was read; nil if none had begun before the end of the read
}

func (s staleRead) String() string {
	done, nothing := "written", "which nothing had written"
	if s.read.Element != "" {
		done = map[string]string{journal.InSet: "added", journal.NotInSet: "removed"}[s.read.Value]
		nothing = fmt.Sprintf("which nothing had %s", done)
	}
	if s.writer != nil {
		nothing = done + " " + s.writer.when()
	}
	missed := fmt.Sprintf("%q had been written", s.missed.Value)
	if s.read.Element != "" {
		missed = s.missed.does() + " was acknowledged"
	}
	return fmt.Sprintf("%s, %s, although %s %s", s.read, nothing, missed, s.missed.when())
}

func (s staleRead) evidence() []uint64 {
	all := slices.Concat(s.read.seq, s.missed.seq)
	if s.writer != nil {
		all = append(all, s.writer.seq...)
	}
	return all
}

// staleReads returns the reads that two writes and one read prove to be stale: each write of the value ended before
// another write began, which ended before the read began. It finds most violations, and names them.
func (r *register) staleReads() []staleRead {
	writers := map[string][]operation{}
	var acknowledged []operation
	for _, o := range r.ops {
		if o.Write {
			writers[o.Value] = append(writers[o.Value], o)
			if o.To != 0 {
				acknowledged = append(acknowledged, o)
			}
		}
	}
	slices.SortFunc(acknowledged, func(a, b operation) int { return cmp.Compare(a.To, b.To) })
	newest := slices.Clone(acknowledged) // for each write, the one that began last of those that ended until then
	for i := 1; i < len(newest); i++ {
		if newest[i-1].From > newest[i].From {
			newest[i] = newest[i-1]
		}
	}
	var stale []staleRead
	for _, o := range r.ops {
		if o.Write {
			continue
		}
		ended := sort.Search(len(acknowledged), func(i int) bool { return acknowledged[i].To >= o.From })
		if ended == 0 {
			continue
		}
		s := staleRead{read: o, missed: newest[ended-1]}
		if s.proven(writers[o.Value]) {
			stale = append(stale, s)
		}
	}
	return stale
}

// proven reports whether the missed write came after all writes of the value that was read, and notes the last of
// these.
func (s *staleRead) proven(writers []operation) bool {
	for _, w := range writers {
		switch {
		case w.From > s.read.To:
			continue
		case w.To == 0, w.To >= s.missed.From:
			return false
		case s.writer == nil, w.To > s.writer.To:
			s.writer = &w
		}
	}
	return true
}
