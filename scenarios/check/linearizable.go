package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Linearizable passes if the writes and reads of a register could have happened one after the other, each at one
// moment between its request and its answer, so that every read returned what had been written last. A write without
// an acknowledgement may have happened at any later time, or never. The value of the register before its first write
// is not known, and any one value is accepted for it.
type Linearizable struct{ Register string }

// Judge implements Check.
func (c Linearizable) Judge(h *journal.History) Verdict {
	const expected = "every read returns what was written last"
	r := newRegister(h, c.Register)
	v := Verdict{Observed: r.observed(), Expected: expected, Evidence: first(r.seqs)}
	if why := r.incomparable(); why != "" {
		return inconclusive(expected, "", "%s", why)
	}
	answer, stale := r.check(), r.staleReads()
	switch altered := altering(h); {
	case altered != "" && (answer == notLinearizable || len(stale) > 0):
		v.Reason = fmt.Sprintf("reads do not return what was written last, which may be because %s changed what was written or read", altered)
	case len(stale) > 0:
		v.Evidence = nil
		for _, s := range stale[:min(10, len(stale))] {
			v.Details = append(v.Details, s.String())
			v.Evidence = append(v.Evidence, s.evidence()...)
		}
		v.Evidence = first(unique(v.Evidence))
		return verdict(false, v, "%d of %d reads returned a stale value: %s", len(stale), r.reads, stale[0])
	case answer == notLinearizable:
		op := r.firstWrong()
		v.Evidence, v.Details = op.evidence(), []string{"the first operation that has no place in any order: " + op.String()}
		return verdict(false, v, "no order of the operations explains what was read; up to its end there was one: %s", op)
	case answer == notKnown:
		v.Reason = fmt.Sprintf("no order of the %s operations was found within the limit of steps: let fewer requests overlap, or send fewer", Count(len(r.ops)))
	case r.compared < leastCompared:
		v.Reason = fmt.Sprintf("only %d reads returned a value that was written in this run, and at least %d are needed", r.compared, leastCompared)
	case r.duringFault == 0 && allOnLinks(h):
		v.Reason = "no operation was under way during the fault: its effect is not known"
	default:
		v.Outcome = Passed
	}
	return v
}

func (c Linearizable) String() string {
	return fmt.Sprintf("the history of %q is linearizable", c.Register)
}

// altering returns the sentence of a fault that changed the contents of calls or answers, or "" if there is none.
func altering(h *journal.History) string {
	for _, f := range h.Faults {
		changes := slices.ContainsFunc([]string{"corrupted", "truncated", "answered", "toxic"}, func(kind string) bool { return strings.HasPrefix(f.Kind, kind) })
		if changes && f.Affected > 0 {
			return strconv.Quote(f.Sentence)
		}
	}
	return ""
}

// leastCompared is how many reads must have returned a value of this run for the check to pass.
const leastCompared = 10

// maxOperations limits the operations of one register that are judged. The memory of the search grows with their
// square.
const maxOperations = 20_000

// register is the history of one register.
type register struct {
	ops                      []operation // that are judged
	all, writes, open, reads int         // operations; writes, of which open have no acknowledgement; reads with a known value
	unknown                  int         // reads whose value is not known
	compared                 int         // reads that returned a value that was written
	duringFault              int
	redacted                 bool // values may be secrets and are not known
	seqs                     []uint64
}

// operation is an operation of a register with the event that records it.
type operation struct {
	journal.Operation
	seq []uint64
}

func (o operation) evidence() []uint64 { return o.seq }

func (o operation) String() string {
	does := "a read returned"
	if o.Write {
		does = "a write of"
	}
	if o.To == 0 {
		return fmt.Sprintf("%s %s from +%.3fs on, without an acknowledgement", does, strconv.Quote(o.Value), o.From.Seconds())
	}
	return fmt.Sprintf("%s %s between +%.3fs and +%.3fs", does, strconv.Quote(o.Value), o.From.Seconds(), o.To.Seconds())
}

// newRegister collects the operations of a register. It leaves out unacknowledged writes whose value was never read:
// they may never have happened, and a search that has to place each of them takes exponential time.
func newRegister(h *journal.History, name string) *register {
	r := &register{}
	written, read := map[string]bool{}, map[string]bool{}
	for _, o := range h.Operations {
		if o.Register != name {
			continue
		}
		if o.Write {
			written[o.Value] = true
		} else {
			read[o.Value] = true
		}
	}
	for i, o := range h.Operations {
		if o.Register != name {
			continue
		}
		r.all++
		r.seqs = append(r.seqs, seq(h, "operation", i)...)
		r.redacted = r.redacted || strings.Contains(o.Value, journal.Mask)
		if o.Window == journal.During || o.Window == journal.AtHealing || o.Window == journal.AtInjection {
			r.duringFault++
		}
		switch {
		case !o.Write && o.Value == "":
			r.unknown++
			continue
		case !o.Write:
			r.reads++
			if written[o.Value] {
				r.compared++
			}
		case o.To == 0:
			r.writes++
			r.open++
			if !read[o.Value] {
				continue
			}
		default:
			r.writes++
		}
		r.ops = append(r.ops, operation{o, seq(h, "operation", i)})
	}
	return r
}

func (r *register) observed() string {
	s := fmt.Sprintf("%s writes, %s of them not acknowledged, and %s reads", Count(r.writes), Count(r.open), Count(r.reads))
	if r.unknown > 0 {
		s += fmt.Sprintf("; the values of %s more are not known", Count(r.unknown))
	}
	return s
}

// incomparable returns why reads cannot be compared with writes, or "" if they can.
func (r *register) incomparable() string {
	switch {
	case r.all == 0:
		return "no operation on the register was recorded"
	case r.redacted:
		return "values of the register look like secrets, which are not recorded, so they cannot be compared: write plain numbers"
	case r.writes == r.open:
		return fmt.Sprintf("none of %s writes was acknowledged", Count(r.writes))
	case r.reads == 0:
		return fmt.Sprintf("the value of no read is known (%s were answered with an empty body or one above 1 KiB)", Count(r.unknown))
	case r.unknown > r.reads/10:
		return fmt.Sprintf("the values of %s of %s reads are not known: they were answered with an empty body or one above 1 KiB", Count(r.unknown), Count(r.unknown+r.reads))
	case r.compared == 0:
		return fmt.Sprintf(`none of %s reads returned a value that was written, such as %q: the value is the field "value" or else "n" of a body that is a JSON object, or the whole body`, Count(r.reads), r.example())
	case len(r.ops) > maxOperations:
		return fmt.Sprintf("%s operations are more than the %s that can be judged: send fewer, or for a shorter time", Count(len(r.ops)), Count(maxOperations))
	}
	return ""
}

// example returns a value that was read.
func (r *register) example() string {
	for _, o := range r.ops {
		if !o.Write {
			return o.Value
		}
	}
	return ""
}

// Kind implements Check.
func (c Linearizable) Kind() Kind {
	return Kind{Name: "linearizable", Means: "every read of a register returns what was written last", Invariant: true,
		Needs: Needs{Load: true, Register: c.Register},
		Sentences: []Sentence{{
			Pattern: `the history of {text} is linearizable`,
			Means: "a register that a sentence declares: its writes and reads can be put in one order, each at a moment between request and answer, in which every read returns the last value; " +
				"a write without an acknowledgement may have happened at any later time or never",
			Examples: []string{`the history of "greeting" is linearizable`},
			Check:    func(a Args) Check { return Linearizable{Register: strings.Trim(a.Value(0), `"`)} },
		}}}
}
