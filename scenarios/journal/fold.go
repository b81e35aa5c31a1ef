package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"time"
)

// maxMessages limits the message outcomes in a History; the counters of the injection include all.
const maxMessages = 10_000

// Fold reads a journal to its end, or to the first line that cannot be read. The latter is reported in Book.Broken
// and is not an error. An error means that the input is not a journal, or one with a higher schema.
func Fold(r io.Reader) (*Book, error) {
	f := NewFolder()
	lines := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for n := 1; ; n++ {
		var err error
		line, err = readLine(lines, line[:0])
		if len(bytes.TrimSpace(line)) > 0 {
			e, bad := decode(line)
			if bad != nil {
				f.book.Broken = fmt.Sprintf("line %d: %v", n, bad)
				break
			}
			if n == 1 && e.Run == nil {
				return nil, errors.New("not a journal: the first event is not a run")
			}
			if e.Run != nil && e.Run.Schema > Schema {
				return nil, fmt.Errorf("the journal has schema %d, and this program reads at most schema %d: use a newer version", e.Run.Schema, Schema)
			}
			f.Add(e)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				f.book.Broken = fmt.Sprintf("line %d: %v", n, err)
			}
			break
		}
	}
	switch {
	case f.book.Run.Schema != 0:
		return f.Book(), nil
	case f.book.Broken != "":
		return nil, fmt.Errorf("not a journal: %s", f.book.Broken)
	}
	return nil, errors.New("not a journal: it is empty")
}

// readLine appends the next line, with its line feed if it has one.
func readLine(from *bufio.Reader, to []byte) ([]byte, error) {
	for {
		piece, err := from.ReadSlice('\n')
		to = append(to, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return to, err
		}
	}
}

// decode decodes a line. Rows, which are most of a journal, are read apart: encoding/json would scan them three times.
func decode(line []byte) (e Event, err error) {
	const rows = `,"rows":[`
	if at := bytes.Index(line, []byte(rows)); at >= 0 { // a string cannot contain it: it has quotation marks
		at += len(rows) - 1
		if e, ok := decodeRows(line[:at], line[at:]); ok {
			return e, nil
		}
	}
	err = json.Unmarshal(line, &e)
	return e, err
}

// decodeRows decodes a line of an event with rows whose field "rows" is the last, as Writer writes it.
func decodeRows(head, rows []byte) (e Event, ok bool) {
	const end = "}}"
	if json.Unmarshal(slices.Concat(head, []byte("[]"+end)), &e) != nil {
		return e, false
	}
	var rest []byte
	var err error
	switch {
	case e.RequestRows != nil:
		rest, err = e.RequestRows.parseMore(rows)
	case e.EffectRows != nil:
		rest, err = e.EffectRows.parseMore(rows)
	default:
		return e, false
	}
	return e, err == nil && string(bytes.TrimSpace(rest)) == end
}

// Folder folds events one at a time, with the same result as Fold, for a run that is still in progress. It is not
// safe for concurrent use.
type Folder struct {
	book   Book
	byID   map[string]*History
	faults map[*History]map[string]*Injection
}

// NewFolder returns an empty Folder.
func NewFolder() *Folder {
	return &Folder{byID: map[string]*History{}, faults: map[*History]map[string]*Injection{}}
}

// Book returns the events folded so far, sorted. It includes events that are added later.
func (f *Folder) Book() *Book {
	for _, h := range f.book.Scenarios {
		h.sort()
	}
	return &f.book
}

// Add folds one event. Events of scenarios that never began are ignored.
func (f *Folder) Add(e Event) {
	if e.Run != nil {
		f.book.Run = *e.Run
	}
	if earlier := f.byID[e.Scenario]; e.Begin != nil && (earlier == nil || e.Begin.Attempt > earlier.Attempt) {
		h := &History{Begin: *e.Begin, Began: e.At, Seqs: map[string][]uint64{}}
		f.byID[e.Scenario] = h
		f.faults[h] = map[string]*Injection{}
		if earlier == nil {
			f.book.Scenarios = append(f.book.Scenarios, h)
		} else {
			f.book.Scenarios[slices.Index(f.book.Scenarios, earlier)] = h
		}
	}
	if e.Scenario == "" {
		if e.End != nil {
			f.book.End = e.End
		}
		if e.Note != nil {
			f.book.Notes = append(f.book.Notes, TimedNote{e.At, e.Step, *e.Note})
		}
		return
	}
	if h := f.byID[e.Scenario]; h != nil {
		h.Ended = max(h.Ended, e.At)
		f.add(h, e)
	}
}

// fold adds one, which is nil unless the event has such a payload, to all.
func fold[T any](h *History, e Event, payload string, one *T, all *[]T) {
	if one != nil {
		*all = append(*all, *one)
		h.seq(payload, e.Seq)
	}
}

func (f *Folder) add(h *History, e Event) {
	fold(h, e, "sample", e.Sample, &h.Samples)
	fold(h, e, "calls", e.Calls, &h.Calls)
	fold(h, e, "probe", e.Probe, &h.Probes)
	fold(h, e, "pair", e.Pair, &h.Pairs)
	fold(h, e, "operation", e.Operation, &h.Operations)
	fold(h, e, "sum", e.Sum, &h.Sums)
	fold(h, e, "lock", e.Lock, &h.Locks)
	fold(h, e, "agreement", e.Agreement, &h.Agreements)
	fold(h, e, "observation", e.Observation, &h.Observations)
	fold(h, e, "task", e.Task, &h.Tasks)
	fold(h, e, "accounts", e.Accounts, &h.Accounts)
	fold(h, e, "loss", e.Loss, &h.Losses)
	fold(h, e, "pause", e.Pause, &h.Pauses)
	fold(h, e, "traffic", e.Traffic, &h.Traffic)
	switch {
	case e.Phase != nil:
		if n := len(h.Phases); n > 0 {
			h.Phases[n-1].To = e.At
		}
		h.Phases = append(h.Phases, Span{Name: e.Phase.Name, From: e.At})
	case e.Fault != nil:
		f.fault(h, e)
	case e.Message != nil:
		if len(h.Messages) < maxMessages {
			h.Messages = append(h.Messages, *e.Message)
		} else {
			h.OmittedMessages++
		}
	case e.Load != nil:
		h.addLoad(*e.Load)
		h.seq("load", e.Seq)
	case e.Request != nil:
		h.Requests.addSingle(*e.Request, e.Seq)
	case e.RequestRows != nil:
		h.Requests.addEvent(e.RequestRows, e.Seq)
	case e.Effect != nil:
		h.openEffects().addSingle(*e.Effect, e.Seq)
	case e.EffectRows != nil:
		h.openEffects().addEvent(e.EffectRows, e.Seq)
	case e.Effects != nil:
		h.endEffects(e.Effects, e.Seq)
	case e.Story != nil:
		h.Stories = append(h.Stories, *e.Story)
	case e.Process != nil:
		h.Processes = append(h.Processes, TimedProcess{e.At, *e.Process})
		h.seq("process", e.Seq)
	case e.Note != nil:
		h.Notes = append(h.Notes, TimedNote{e.At, e.Step, *e.Note})
	case e.Trouble != nil:
		h.Troubles = append(h.Troubles, e.Trouble.Text)
		h.seq("trouble", e.Seq)
	case e.Gate != nil:
		h.Gate = e.Gate
	case e.TimedOut != nil:
		h.TimedOut = e.TimedOut
	case e.Verdict != nil:
		v := *e.Verdict
		v.Step = e.Step
		h.Verdicts = append(h.Verdicts, v)
	case e.End != nil:
		h.End = e.End
	}
}

func (h *History) seq(payload string, n uint64) { h.Seqs[payload] = append(h.Seqs[payload], n) }

// fault keeps the last counters of each injection. Seqs holds the latest event of each, in order of injection.
func (f *Folder) fault(h *History, e Event) {
	in := f.faults[h][e.Fault.ID]
	if in == nil {
		in = &Injection{Injected: e.At, Step: e.Step}
		f.faults[h][e.Fault.ID] = in
		h.Faults = append(h.Faults, in)
		h.seq("fault", e.Seq)
	} else {
		h.Seqs["fault"][slices.Index(h.Faults, in)] = e.Seq
	}
	in.Fault = *e.Fault
	if e.Fault.Stage == "healed" || e.Fault.Stage == "skipped" { // a fault that was never injected needs no healing
		in.Healed = e.At
	}
}

// sort sorts samples and calls by time, since they are written when they are complete, and ends the last phase. It
// also corrects windows: only the next injection shows that an earlier healing was not the last.
func (h *History) sort() {
	if _, healed, ok := h.FaultSpan(); ok {
		for i, s := range h.Samples {
			h.Samples[i].Window = reclassify(s.Window, s.From, healed)
		}
		for i, c := range h.Calls {
			h.Calls[i].Window = reclassify(c.Window, c.From, healed)
		}
	}
	sortWith(h.Samples, h.Seqs["sample"], func(s Sample) (time.Duration, string) { return s.From, s.Route + "\x00" + s.Load + "\x00" + s.Copy })
	sortWith(h.Calls, h.Seqs["calls"], func(c Calls) (time.Duration, string) { return c.From, c.Link })
	if n := len(h.Phases); n > 0 {
		h.Phases[n-1].To = h.Ended
	}
}

// sortWith sorts items by time and name, and applies the same permutation to seqs.
func sortWith[T any](items []T, seqs []uint64, key func(T) (time.Duration, string)) {
	sort.Stable(parallelSlices[T]{items, seqs, key})
}

type parallelSlices[T any] struct {
	items []T
	seqs  []uint64
	key   func(T) (time.Duration, string)
}

func (t parallelSlices[T]) Len() int { return len(t.items) }
func (t parallelSlices[T]) Less(i, j int) bool {
	a, nameA := t.key(t.items[i])
	b, nameB := t.key(t.items[j])
	return a < b || (a == b && nameA < nameB)
}
func (t parallelSlices[T]) Swap(i, j int) {
	t.items[i], t.items[j] = t.items[j], t.items[i]
	if len(t.seqs) == len(t.items) {
		t.seqs[i], t.seqs[j] = t.seqs[j], t.seqs[i]
	}
}
