package check

import (
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// OfLoad asks a check about the requests of one load only, by the name of the load. The kind of the check has to have
// ByLoad. Without it, a check is about the requests of all loads together.
type OfLoad struct {
	Load  string
	Check Check
}

// Judge implements Check: for the requests of the load.
func (c OfLoad) Judge(h *journal.History) Verdict {
	if c.Check == nil {
		return Verdict{Doubt: codes.InternalError.Message("it is not stated what to check of the load")}
	}
	return asMeasured(c.Check, h.OfLoad(c.Load))
}

// String implements Check.
func (c OfLoad) String() string {
	if c.Check == nil {
		return fmt.Sprintf("nothing is checked of the %q load", c.Load)
	}
	by := c.Check.Kind().ByLoad
	return strings.Replace(c.Check.String(), by, fmt.Sprintf(" of the %q load%s", c.Load, by), 1)
}

// Kind implements Check: the kind of the check, which needs the load.
func (c OfLoad) Kind() Kind {
	if c.Check == nil {
		return Kind{}
	}
	k := c.Check.Kind()
	k.Needs.OfLoad = c.Load
	if complete := k.Complete; complete != nil {
		k.Complete = func(s Settings) Check { return OfLoad{c.Load, complete(s)} }
	}
	return k
}
