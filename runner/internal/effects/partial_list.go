package effects

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// work is when some acknowledged requests were processed: each from its first attempt to its last answer, and its effect
// was applied in that time. The times are not meaningful if n is 0.
type work struct {
	n                                  int
	firstAnswer, lastAnswer, lastBegun time.Duration
}

// add adds a request.
func (w *work) add(r journal.PackedRequest) {
	began, answered := r.Span()
	if w.n++; w.n == 1 {
		*w = work{1, answered, answered, began}
	}
	w.firstAnswer, w.lastAnswer, w.lastBegun = min(w.firstAnswer, answered), max(w.lastAnswer, answered), max(w.lastBegun, began)
}

// partialReason returns why the list may be incomplete although nothing in it says so, or "". A page
// shows the oldest or the newest effects. What it omits is therefore a contiguous range at one end of
// the order in which requests were acknowledged, and may begin anywhere. Effects that a system loses
// at random or for some time form no such range. Effects that it loses since a fault, or up to a
// crash, form a range that begins or ends with the fault.
func (w *Wait) partialReason() string {
	applied, missing := w.applied, w.missing
	switch n := w.latest.listed; {
	case w.vanished > 0:
		return fmt.Sprintf("%s effects were listed before and are missing now: the list may be a page", check.Count(w.vanished))
	case w.ledger.Whole:
		return ""
	case pageSize(n):
		return fmt.Sprintf("exactly %s effects are listed: that may be a page", check.Count(n))
	case n > 0 && n == w.ledger.earlier:
		return fmt.Sprintf("%s effects are listed, exactly as many as before the load: the list may be a page", check.Count(n))
	case applied.n == 0 || missing.n*10 <= w.acknowledged: // a few at one end are lost rather than cut off
		return ""
	case n < smallestPage:
		return ""
	case missing.lastBegun <= applied.firstAnswer && !w.lostInCrash(missing.lastBegun, applied.firstAnswer):
		return fmt.Sprintf("the %s requests acknowledged first have no effect, all later ones have one, and no fault on a service explains it: the list may be a page of the newest effects",
			check.Count(missing.n))
	case applied.lastBegun <= missing.firstAnswer && !w.startsAtFault() && !w.stillGrowing():
		return fmt.Sprintf("the %s requests acknowledged last have no effect, all earlier ones have one, and this does not start at a fault: the list may be a page of the oldest effects",
			check.Count(missing.n))
	}
	return ""
}

// lostInCrash reports whether there was a fault on a service between the last request without an
// effect and the first with one. What a service keeps only in memory is lost up to a crash. A fault on
// a link loses nothing in this way.
func (w *Wait) lostInCrash(from, to time.Duration) bool {
	for _, f := range w.Faults {
		if !strings.Contains(f.On, " -> ") && f.Injected <= to && w.endOf(f.Ended) >= from {
			return true
		}
	}
	return false
}

// faultMargin is how long before a fault an acknowledged request may still have waited for its effect,
// and how long after the fault the loss may begin.
const faultMargin = time.Second

// startsAtFault reports whether the missing effects begin with a fault, so that their consumer may not
// have recovered. It also returns true if a service was down until the end and everything queued in it
// is lost.
func (w *Wait) startsAtFault() bool {
	from, missing := w.applied.lastBegun, w.missing
	for _, f := range w.Faults {
		end := w.endOf(f.Ended)
		if from <= end+faultMargin && missing.firstAnswer >= f.Injected-faultMargin {
			return true
		}
		if !strings.Contains(f.On, " -> ") && missing.firstAnswer <= f.Injected && missing.lastBegun <= end {
			return true
		}
	}
	return false
}

// stillGrowing reports whether effects still appeared after the load. They would not appear on a full
// page.
func (w *Wait) stillGrowing() bool { return w.changedAt > 0 }

// endOf returns when a fault ended. A fault that has not ended lasts until the end of the load.
func (w *Wait) endOf(at time.Duration) time.Duration {
	if at == 0 {
		return w.loadEnded
	}
	return at
}

// smallestPage is the smallest page size to expect. A list with fewer effects is complete.
const smallestPage = 5

// pageSizes are common page sizes besides round numbers and powers of two.
var pageSizes = []int{12, 15, 24, 25, 36, 48, 75, 96, 99, 120, 125, 999, 9999}

// pageSize reports whether n is a common page size.
func pageSize(n int) bool {
	switch {
	case n < 10:
		return false
	case n <= 100 && n%10 == 0, n <= 1000 && n%50 == 0, n%500 == 0, n >= 16 && n&(n-1) == 0:
		return true
	}
	return slices.Contains(pageSizes, n)
}
