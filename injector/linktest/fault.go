package linktest

import (
	"context"
	"fmt"
	"sync"

	"github.com/dustin/go-humanize/english"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Fault is a fault that was injected.
type Fault struct {
	l        *Link
	fault    injector.Fault
	sentence string // of a feature file
	where    string // file:line of the call of Inject
	count    *evidence.Counter
	heal     injector.Heal

	mu              sync.Mutex
	healed, mayMiss bool
}

// Heal ends the fault: what it held back is forwarded. It returns when the fault does not act any more. Further calls do
// nothing. Without it, the fault lives until the test ends.
func (f *Fault) Heal() {
	f.l.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.healed {
		return
	}
	f.healed = true
	ctx, cancel := context.WithTimeout(context.Background(), healBound) // t.Context is done when the test ends
	defer cancel()
	if err := f.heal(ctx); err != nil {
		f.l.t.Errorf("%s: heal %s: %v", f.where, f.sentence, err)
	}
}

// Affected returns how many calls, messages, connections or chunks of traffic the fault has acted on. What a fault
// delays or holds is counted when it is released at the latest, and what it delivers twice right after the copy is
// written, which the receiver may notice first. For injector.Refuse it is a lower bound: connects that the operating
// system refuses reach no link.
func (f *Fault) Affected() int64 { return f.count.Tally().Affected }

// Tally returns everything that was counted, such as delays, and how often each operation was affected.
func (f *Fault) Tally() evidence.Tally { return f.count.Tally() }

// MayMiss allows the fault to act on nothing. It returns the fault.
func (f *Fault) MayMiss() *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mayMiss = true
	return f
}

// missed returns what shows that the fault acted on nothing, or "" if it acted or need not act.
func (f *Fault) missed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.count.Tally()
	if _, uncounted := f.fault.(injector.Refuse); uncounted || f.mayMiss || t.Affected > 0 {
		return ""
	}
	why := fmt.Sprintf("it acted on none of the %d %s that passed", t.Seen, t.Unit)
	for reason, n := range t.Skipped {
		why += fmt.Sprintf("; %d were chosen but left alone: %s", n, reason)
	}
	unreadable := f.l.unreadable()
	switch {
	case unreadable != "":
		why += "; " + unreadable
	case t.Idle > 0:
		why += fmt.Sprintf("; %d connections were not in use when it changed them", t.Idle)
	case t.Seen == 0 && f.l.target.Link != nil && f.l.target.Link.Counters().Opened > 0:
		why += fmt.Sprintf(": %s opened through the link, but not used while the fault was live", english.PluralWord(int(f.l.target.Link.Counters().Opened), "a connection was", "connections were"))
	case t.Seen == 0:
		why += fmt.Sprintf(": does the code under test use %s, the address of the link, while the fault is live?", f.l.addr)
	default:
		why += ": select more of them, or call MayMiss if the test is right without the fault"
	}
	return why
}
