package check

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Linearizable passes if the writes and reads of a register could have happened one after the other, each at one
// moment between its request and its answer, so that every read returned what had been written last. A write without
// an acknowledgement may have happened at any later time, or never. The value of the register before its first write
// is not known, and any one value is accepted for it.
type Linearizable struct{ Register string }

// Judge implements Check.
func (c Linearizable) Judge(h *journal.History) Verdict {
	return judgeHistory(h, newRegister(operationsOn(h, c.Register)), "every read returns what was written last")
}

// object is the history of an object with a sequential specification: a register, a queue, or a set.
type object interface {
	observed() string
	incomparable() string // why answers cannot be compared with what was requested, or "" if they can
	// contradictions returns the operations that no order explains, and what they show.
	contradictions() (all []violation, reason string)
	unproven() codes.Message // why it proves nothing that there are none, or "" if it does
	evidence() []uint64
}

// violation is an operation that no order explains.
type violation struct {
	text string
	seqs []uint64
}

// judgeHistory judges the history of an object.
func judgeHistory(h *journal.History, o object, expected string) Verdict {
	if why := o.incomparable(); why != "" {
		return inconclusive(expected, "", codes.NotComparable, "%s", why)
	}
	all, reason := o.contradictions()
	v := Verdict{Observed: o.observed(), Expected: expected, Evidence: o.evidence()}
	switch altered := altering(h); {
	case altered != "" && len(all) > 0:
		v.Doubt = codes.Undecided.Msgf("no order of the operations explains the answers, which may be because %s changed what they contain", altered)
	case len(all) > 0:
		v.Evidence = nil
		for _, w := range all[:min(10, len(all))] {
			v.Details, v.Evidence = append(v.Details, w.text), append(v.Evidence, w.seqs...)
		}
		v.Evidence = first(unique(v.Evidence))
		return verdict(false, v, "%s", reason)
	default:
		v.Doubt = o.unproven()
	}
	if v.Doubt.None() {
		v.Outcome = Passed
	}
	return v
}

// operationsOn returns the operations on a register, a queue or a set.
func operationsOn(h *journal.History, name string) operations {
	o := operations{onLinks: allOnLinks(h)}
	for i, one := range h.Operations {
		if one.Register != name {
			continue
		}
		o.all = append(o.all, operation{one, seq(h, "operation", i)})
		if one.Window == journal.During || one.Window == journal.AtHealing || one.Window == journal.AtInjection {
			o.duringFault++
		}
	}
	return o
}

// operations are the operations on an object.
type operations struct {
	all         []operation
	duringFault int
	onLinks     bool // all faults acted on links, and met no operation if none was under way
}

// evidence returns the first events that record them.
func (o operations) evidence() []uint64 {
	var all []uint64
	for _, one := range o.all {
		if all = append(all, one.seq...); len(all) >= 20 {
			break
		}
	}
	return first(all)
}

// noneDuringFault returns why operations show nothing about the fault, or "" if they may.
func (o operations) noneDuringFault() codes.Message {
	if o.duringFault == 0 && o.onLinks {
		return codes.NotExercised.Message("no operation was under way during the fault: its effect is not known")
	}
	return codes.Message{}
}

func (c Linearizable) String() string {
	return fmt.Sprintf("the history of %q is linearizable", c.Register)
}

// altering returns the sentence of a fault that changed the contents of calls or answers, or made them up. It returns ""
// if there is none.
func altering(h *journal.History) string {
	for _, f := range h.Faults {
		if f.Alters && f.Affected > 0 {
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
	operations
	ops                 []operation // that are judged
	writes, open, reads int         // writes, of which open have no acknowledgement; reads with a known value
	unknown             int         // reads whose value is not known
	compared            int         // reads that returned a value that was written
	redacted            bool        // values may be secrets and are not known
	answer              answer      // set by contradictions
}

// operation is an operation of a register with the event that records it.
type operation struct {
	journal.Operation
	seq []uint64
}

func (o operation) String() string { return o.does() + " " + o.when() }

// does describes what the operation did.
func (o operation) does() string {
	switch {
	case o.Element != "" && o.Write && o.Value == journal.InSet:
		return "an addition of " + strconv.Quote(o.Element)
	case o.Element != "" && o.Write:
		return "a removal of " + strconv.Quote(o.Element)
	case o.Element != "" && o.Value == journal.InSet:
		return fmt.Sprintf("a look found %q", o.Element)
	case o.Element != "":
		return fmt.Sprintf("a look did not find %q", o.Element)
	case o.Write:
		return "a write of " + strconv.Quote(o.Value)
	}
	return "a read returned " + strconv.Quote(o.Value)
}

// when describes when the operation may have happened.
func (o operation) when() string {
	if o.To == 0 {
		return fmt.Sprintf("from +%.3fs on, without an acknowledgement", o.From.Seconds())
	}
	return fmt.Sprintf("between +%.3fs and +%.3fs", o.From.Seconds(), o.To.Seconds())
}

// newRegister collects the operations of a register. It leaves out unacknowledged writes whose value was never read:
// they may never have happened, and a search that has to place each of them takes exponential time.
func newRegister(all operations) *register {
	r := &register{operations: all}
	written, read := map[string]bool{}, map[string]bool{}
	for _, o := range all.all {
		if o.Write {
			written[o.Value] = true
		} else {
			read[o.Value] = true
		}
	}
	for _, o := range all.all {
		r.redacted = r.redacted || strings.Contains(o.Value+o.Element, journal.Mask)
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
		r.ops = append(r.ops, o)
	}
	return r
}

// contradictions implements object.
func (r *register) contradictions() (all []violation, reason string) {
	r.answer = r.check()
	if stale := r.staleReads(); len(stale) > 0 {
		for _, s := range stale {
			all = append(all, violation{s.String(), s.evidence()})
		}
		return all, fmt.Sprintf("%d of %d reads returned a stale value: %s", len(stale), r.reads, stale[0])
	}
	if r.answer == notLinearizable {
		op := r.firstWrong()
		return []violation{{"the first operation that has no place in any order: " + op.String(), op.seq}}, fmt.Sprintf("no order of the operations explains what was read; up to its end there was one: %s", op)
	}
	return nil, ""
}

// unproven implements object.
func (r *register) unproven() codes.Message {
	switch {
	case r.answer == notKnown:
		return codes.Undecided.Msgf("no order of the %s operations was found within the limit of steps: let fewer requests overlap, or send fewer", Count(len(r.ops)))
	case r.compared < leastCompared:
		return codes.TooFewRequests.Msgf("only %d reads returned a value that was written in this run, and at least %d are needed", r.compared, leastCompared)
	}
	return r.noneDuringFault()
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
	case len(r.all) == 0:
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
	return Kind{Name: "linearizable", About: AboutEffects, Means: "every read of a register returns what was written last", Invariant: true,
		Needs: Needs{Load: true, Register: c.Register},
		Sentences: []Sentence{{
			Pattern: `the history of {text} is linearizable`,
			Means: "a register that a sentence declares: its writes and reads can be put in one order, each at a moment between request and answer, in which every read returns the last value; " +
				"a write without an acknowledgement may have happened at any later time or never",
			Examples: []string{`the history of "greeting" is linearizable`},
			Check:    func(a Args) Check { return Linearizable{Register: strings.Trim(a.Value(0), `"`)} },
		}}}
}
