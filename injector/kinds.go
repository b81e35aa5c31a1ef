package injector

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// Kind is a row of the table of fault kinds.
type Kind struct {
	Name    string // "slow calls"
	On      string // what it acts on, and is counted in: "calls", "messages", "connections", "traffic" or "service"
	Example string // a sentence of a feature file
	Means   string // what it does, in a line
	Undo    string // how it is healed, in a line
	Waits   bool   // its effect is that something waits: live for a moment, it does nothing
	Hides   bool   // it lets nothing through, so that another fault at the same time and place meets nothing
	Unseen  bool   // what callers send does not reach the link meanwhile, so that their calls are not seen
	Value   Fault  // the example as a value, from "orders" to "payments"
}

// Kinds lists every fault kind, sorted by name. A new one is a file and a row.
func Kinds() []Kind {
	kinds := []Kind{
		{Name: "answered calls", Hides: true, On: "calls", Means: "calls get a status without the dependency", Undo: "the next call reaches the dependency", Value: Answer{Status: 503, RetryAfter: 2 * time.Second, Pick: Pick{Share: 0.3}}},
		{Name: "bandwidth", Waits: true, On: "traffic", Means: "each connection carries so many bytes per second", Undo: "what waits goes at once", Value: Bandwidth{Rate: 64_000}},
		{Name: "corrupted calls", On: "calls", Means: "a bit of a call's body is changed, its length stays right", Undo: "the next call is left alone", Value: CorruptCalls{}},
		{Name: "corrupted replies", On: "calls", Means: "a bit of an answer's body is changed, its length stays right; the work was done", Undo: "the next answer is left alone", Value: CorruptReplies{Pick{Share: 0.1}}},
		{Name: "crash", Hides: true, On: "service", Means: "all processes of the service are killed with SIGKILL", Undo: "the process is started again and awaited", Value: Crash{Times: 3, Every: 10 * time.Second}},
		{Name: "cut off", Hides: true, Unseen: true, Waits: true, On: "connections", Means: "silence: nothing is read or written, sockets stay open", Undo: "what was held arrives", Value: CutOff{}},
		{Name: "early close", On: "connections", Means: "connections end in order, both ways, after so many bytes", Undo: "connections are left alone", Value: CloseEarly{AfterBytes: 4000}},
		{Name: "half-open", Hides: true, On: "connections", Means: "the other end of live connections is gone without a word; new ones go through", Undo: "those connections are reset, since bytes of theirs are lost", Value: HalfOpen{}},
		{Name: "hang", Hides: true, Waits: true, On: "service", Means: "all processes of the service are stopped with SIGSTOP: its sockets stay open and nothing answers", Undo: "SIGCONT", Value: Hang{}},
		{Name: "late close", On: "connections", Means: "the end of connections arrives late, bytes are on time", Undo: "an end that waits goes at once", Value: CloseLate{By: 2 * time.Second}},
		{Name: "lost replies", On: "calls", Means: "the work is done and the answer never comes", Undo: "the next answer arrives; those held are delivered", Value: LoseReplies{Then: message.EndSilence, Pick: Pick{Share: 0.1}}},
		{Name: "lost requests", Hides: true, On: "calls", Means: "the dependency never sees the call", Undo: "the next call arrives; those held are delivered", Value: LoseRequests{Then: message.EndReset}},
		{Name: "no accept", Hides: true, Unseen: true, Waits: true, On: "connections", Means: "new connections are established and get no answer", Undo: "those that wait are served", Value: NoAccept{}},
		{Name: "out of order", Waits: true, On: "calls", Means: "a call waits until another has passed it", Undo: "the one that waits goes at once", Value: Reorder{Wait: 500 * time.Millisecond, Pick: Pick{Share: 0.5}}},
		{Name: "partition", Hides: true, Unseen: true, Waits: true, On: "connections", Means: "services, or groups of them, are cut off from each other: each link between them is", Undo: "all of its links at once; what was held arrives", Value: Partition{These: []string{"orders", "front"}, Those: []string{"payments"}}},
		{Name: "ramp", Waits: true, On: "traffic", Means: "the delay of bytes grows or shrinks evenly and then stays", Undo: "waiting bytes go at once", Value: Ramp{End: 800 * time.Millisecond, Over: 20 * time.Second}},
		{Name: "refuse", Hides: true, Unseen: true, On: "connections", Means: "the port is closed and live connections are reset", Undo: "the same port is opened again", Value: Refuse{}},
		{Name: "reset", On: "connections", Means: "connections end with RST, both ways", Undo: "connections are left alone", Value: Reset{AfterBytes: 4000, Conns: Conns{Share: 0.2}}},
		{Name: "shared bandwidth", Waits: true, On: "traffic", Means: "all connections together carry so many bytes per second", Undo: "what waits goes at once", Value: SharedBandwidth{Rate: 64_000}},
		{Name: "silence", Waits: true, On: "connections", Means: "some connections are cut off, the others go on", Undo: "what was held arrives", Value: Silence{Conns{Share: 0.2}}},
		{Name: "sliced traffic", On: "traffic", Means: "bytes arrive in small pieces", Undo: "what waits goes at once, in one piece", Value: Sliced{Size: 64, Apart: 10 * time.Millisecond}},
		{Name: "slow accept", Waits: true, On: "connections", Means: "new connections wait before they are answered", Undo: "those that wait are served", Value: SlowAccept{By: 2 * time.Second}},
		{Name: "slow calls", Waits: true, On: "calls", Means: "calls wait before they reach the dependency", Undo: "waiting calls go at once", Value: SlowCalls{By: 800 * time.Millisecond, Jitter: 200 * time.Millisecond, Pick: Pick{Share: 0.1}}},
		{Name: "slow replies", Waits: true, On: "calls", Means: "the work is done and the answer comes later, and so does what follows it on its connection", Undo: "waiting answers go at once", Value: SlowReplies{By: 500 * time.Millisecond, Jitter: 100 * time.Millisecond}},
		{Name: "slow traffic", Waits: true, On: "traffic", Means: "bytes arrive later, in order", Undo: "waiting bytes go at once", Value: SlowTraffic{By: 50 * time.Millisecond, Jitter: 20 * time.Millisecond}},
		{Name: "stalled TLS", Unseen: true, Waits: true, On: "connections", Means: "handshakes of new connections get no answer", Undo: "the answers arrive", Value: StallTLS{}},
		{Name: "stop", Hides: true, On: "service", Means: "the service is asked to end, with SIGTERM or the signal of its `stop`; inconclusive when it had to be killed", Undo: "the process is started again and awaited", Value: Stop{}},
		{Name: "toxic", On: "traffic", Means: "a toxic of Toxiproxy's, by name, with its attributes", Undo: "as the toxic's: what waits goes at once", Value: Toxic{Name: "slicer", Attributes: "average_size=64 delay=10000"}},
		{Name: "truncated calls", On: "calls", Means: "a call's body ends early, its length says so", Undo: "the next call is left alone", Value: TruncateCalls{Pick{Every: 3}}},
		{Name: "truncated replies", On: "calls", Means: "an answer's body ends early, its length says so; the work was done", Undo: "the next answer is left alone", Value: TruncateReplies{Pick{First: 5}}},
		{Name: "twice", On: "calls", Means: "calls are delivered a second time", Undo: "a copy that waits leaves at once", Value: Twice{Second: true, Pick: Pick{Share: 0.2}}},
		{Name: "wave", Waits: true, On: "traffic", Means: "bytes are late for a while and on time for a while, in turn", Undo: "waiting bytes go at once", Value: Wave{By: 500 * time.Millisecond, Up: 2 * time.Second, Down: 3 * time.Second}},
	}
	kinds = append(kinds, messageKinds()...)
	slices.SortFunc(kinds, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	for i, k := range kinds {
		kinds[i].Example = k.Value.Say("orders", "payments")
	}
	return kinds
}

// KindOf finds the kind of a fault by its type; ok is false for a fault that is not in the table.
func KindOf(f Fault) (kind Kind, ok bool) {
	for _, k := range Kinds() {
		if reflect.TypeOf(k.Value) == reflect.TypeOf(f) {
			return k, true
		}
	}
	return Kind{}, false
}
