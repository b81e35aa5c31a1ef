package evidence

import "fmt"

// Accounts say what became of a link's messages in one direction. When none is under way, Pending is zero: Received + Copies + Injected is the sum of the
// outcomes. Written is counted where bytes are written, by code that knows nothing of outcomes: every message that was delivered was written, and of the
// others at most those whose connection ended meanwhile.
type Accounts struct {
	Received int64 // messages that came
	Copies   int64 // that a rule repeated
	Injected int64 // answers that a rule gave

	Delivered  int64 // written to their destination
	Dropped    int64 // lost by a rule, or not wanted any more
	Discarded  int64 // answers in whose place the client got another one
	HeldBack   int64 // answers that the client did not get
	Collateral int64 // whose connection ended first

	Pending int64 // without an outcome
	Written int64 // whose beginning was given to the connection to their destination
}

// Wrong describes why accounts at rest do not add up; "" when they do.
func (a Accounts) Wrong() string {
	switch {
	case a.Pending > 0:
		return fmt.Sprintf("%d of %d messages have no outcome", a.Pending, a.Received+a.Copies+a.Injected)
	case a.Pending < 0:
		return fmt.Sprintf("%d of %d messages have two outcomes", -a.Pending, a.Received+a.Copies+a.Injected)
	case a.Written < a.Delivered:
		return fmt.Sprintf("%d messages count as delivered, and only %d were written", a.Delivered, a.Written)
	case a.Written > a.Delivered+a.Collateral:
		return fmt.Sprintf("%d messages were written, and only %d count as delivered, %d as lost with their connection", a.Written, a.Delivered, a.Collateral)
	}
	return ""
}
