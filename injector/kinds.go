package injector

import (
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Kind describes a kind of fault. Everything that the rest of Firedrill knows about a kind is here: the sentences of
// feature files, rows of tables of faults, plans, validation, `firedrill steps` and the README are derived from it.
type Kind struct {
	Name string // "slow calls"
	On   string // what it acts on, and is counted in: "calls", "messages", "connections", "traffic" or "service"
	Undo string // how it is healed, in a line

	// Datagrams is how it is healed on a link of datagrams. If it is "", a fault on connections or traffic cannot act on one.
	Datagrams string
	EndedBy   string // for a fault on a service, the sentence that ends it: "starts again" or "resumes"
	Unproved  string // for a fault on a service, what a dry run cannot prove of it, since that would break something
	Waits     bool   // its effect is that something waits: live for a moment, it does nothing
	Hides     bool   // it stops all traffic, so that another fault at the same time and place has no effect
	Disk      bool   // the service needs a data folder
	Unseen    bool   // what callers send does not reach the link meanwhile, so that their calls are not seen
	Unnoticed bool   // callers do not notice it: it makes no call fail and delays none for long
	Alters    bool   // it changes the contents of what arrives, or makes it up
	Stronger  string // what would let it act if it saw traffic and acted on none; "" means a larger share

	// The other fields depend on the value of the fault.

	Damages bool          // it changes what the dependency gets; it Alters, too
	AtOnce  bool          // it has acted as soon as it is live
	Hold    time.Duration // how long it is live if its sentence does not say so; 0 means until it is healed
	Takes   time.Duration // how long it must be live to do what its sentence says
	Done    string        // what takes so long: "one wave has passed"
	Remedy  string        // what to write if it is healed earlier
	Delay   time.Duration // the longest delay that it causes; 0 if it has no limit, or if it does something else

	Sentences []Sentence // the first is also the form of a row of "these faults run together"

	Value   Fault  // an example, from "orders" to "payments"; set by Kinds
	Example string // its sentence
}

// Sentence is one way in which a feature file states a fault.
type Sentence struct {
	Name string // "" means that of the kind
	// Pattern is a Cucumber Expression. {from} and {to} are the names of the link or, with {to} alone, of the service,
	// {for} is where " for 30s" may be added, and brackets enclose what the column "value" of a table of faults replaces:
	//
	//	{requests} from {from} to {to} are lost(, then [{ending}]){for}
	Pattern  string
	Means    string
	Examples []string
	Doc      bool // a doc string follows; not for the first sentence of a kind
	Fault    func(Args) Fault
}

// Args are the values of the parameters of a sentence, by their index in its pattern. A method reports a problem and
// returns a zero value if the parameter is not valid, and returns a zero value if an optional parameter is absent.
type Args interface {
	Says(words string) bool // whether the sentence contains words
	Has(i int) bool
	Value(i int) string // as it is written
	Text(i int) string  // without quotes
	Name(i int) string
	Names(i int) []string
	Duration(i int) time.Duration
	Delay(i int) (d time.Duration, ok bool) // a duration that may be 0
	Size(i int) int64                       // in bytes
	Limit(i int) (bytes int64, d time.Duration)
	Count(i int, least int64) int64
	Status(i int) int // of HTTP
	Pick(i int) Pick  // {calls}, {requests}, {replies} or {messages}
	Conns(i int) Conns
	Doc() string // the doc string that follows
	Problem(i int, what, hint string)
}

// Kinds returns all kinds of faults, in the order of `firedrill steps`. To add one, add a file with its type and an
// example here.
func Kinds() []Kind {
	examples := []Fault{
		SlowCalls{By: 800 * time.Millisecond, Jitter: 200 * time.Millisecond, Pick: Pick{Share: 0.1}},
		LoseRequests{Then: message.EndReset},
		LoseReplies{Then: message.EndSilence, Pick: Pick{Share: 0.1}},
		SlowReplies{By: 500 * time.Millisecond, Jitter: 100 * time.Millisecond},
		CorruptReplies{Pick{Share: 0.1}},
		TruncateReplies{Pick{First: 5}},
		Answer{Status: 503, RetryAfter: 2 * time.Second, Pick: Pick{Share: 0.3}},
		Quota{Calls: 100, Status: 429, RetryAfter: 2 * time.Second},
		LoseCallHeaders{Names: []string{"Authorization"}},
		SetCallHeaders{Headers: []string{"X-Tenant: acme"}},
		LoseReplyHeaders{Names: []string{"Content-Type"}, Pick: Pick{Share: 0.1}},
		SetReplyHeaders{Headers: []string{"Cache-Control: max-age=3600"}},
		ReplaceReplies{Body: "maintenance"},
		CutReplies{Events: 3, Then: message.EndClosed},
		StallReplies{Events: 3},
		CorruptCalls{},
		TruncateCalls{Pick{Every: 3}},
		Twice{Second: true, Pick: Pick{Share: 0.2}},
		Reorder{Wait: 500 * time.Millisecond, Pick: Pick{Share: 0.5}},

		SlowMessages{By: 200 * time.Millisecond, Jitter: 50 * time.Millisecond},
		LoseMessages{Messages: Messages{Pick: Pick{Share: 0.05}}},
		MessagesTwice{Messages: Messages{Pick: Pick{Share: 0.2}}},
		ReorderMessages{Wait: 500 * time.Millisecond, Messages: Messages{Pick: Pick{Share: 0.5}}},
		CorruptMessages{},
		TruncateMessages{Messages: Messages{Pick: Pick{Every: 3}}},
		AnswerMessages{Code: "SERVFAIL", Messages: Messages{Pick: Pick{Share: 0.3}}},

		CutOff{},
		Silence{Conns{Share: 0.2}},
		HalfOpen{},
		Refuse{},
		NoAccept{},
		SlowAccept{By: 2 * time.Second},
		StallTLS{},
		Reset{AfterBytes: 4000, Conns: Conns{Share: 0.2}},
		CloseEarly{AfterBytes: 4000},
		CloseLate{By: 2 * time.Second},

		Toxic{Name: "slicer", Attributes: "average_size=64 delay=10000"},
		SlowTraffic{By: 50 * time.Millisecond, Jitter: 20 * time.Millisecond},
		Ramp{End: 800 * time.Millisecond, Over: 20 * time.Second},
		Wave{By: 500 * time.Millisecond, Up: 2 * time.Second, Down: 3 * time.Second},
		Bandwidth{Rate: 64_000},
		SharedBandwidth{Rate: 64_000},
		Sliced{Size: 64, Apart: 10 * time.Millisecond},

		Partition{These: []string{"orders", "front"}, Those: []string{"payments"}},

		Crash{Times: 3, Every: 10 * time.Second},
		Stop{},
		Hang{},
		PowerLoss{},
	}
	var kinds []Kind
	for _, f := range examples {
		kinds = append(kinds, Describe(f))
	}
	return kinds
}

// Describe returns the kind of a fault with the fault as its example.
func Describe(example Fault) Kind {
	k := example.Kind()
	k.Value, k.Example = example, example.Say("orders", "payments")
	return k
}
