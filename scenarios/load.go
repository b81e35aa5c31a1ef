package scenarios

import (
	"cmp"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Load defines the requests of clients. Texts of requests (headers, paths and bodies) may contain the placeholders of
// package scenarios, see PartKind.
type Load struct {
	Name              string          `json:",omitempty"` // only if a scenario has several loads, or its sentences name the load
	Shape             Shape           `json:",omitempty"` // what makes a request due; the zero value is Open
	Rate              float64         // of an open load: requests per second, in total
	Users             int             `json:",omitempty"` // of a closed load: how many clients ask, each of them one request after the other
	Think             time.Duration   `json:",omitempty"` // of a closed load: from an answer until the same user asks again
	Mix               []Route         // at least one; shares sum to 1
	Key               Key             // where each request carries its fresh idempotency key; the zero value means that it carries none
	Headers           []Header        `json:",omitempty"` // of each request
	Rows              []Row           `json:",omitempty"` // for {{row.column}}: request n has the row n modulo their number
	Retries           int             // further attempts, with the same key, after no answer, 429, or an error of at least 400 that is NotKnown
	GiveUp            time.Duration   // time-out of each attempt; 0 means 10 s
	Policy            RetryPolicy     `json:",omitzero"` // how clients retry
	Marker            *Mark           // marks a response as a fallback
	FallbackIsSuccess bool            // a check mentions fallbacks, or the system declares them as success
	Means             map[int]Outcome `json:",omitempty"` // by status: overrides the table of Outcomes
	Answers           []AnswerMeaning `json:",omitempty"` // of a load that is not HTTP: overrides what an answer means by its kind
	Unanswered        bool            `json:",omitempty"` // of datagrams: no answer is expected, so that their outcome is never known

	NewConnections bool          `json:",omitempty"` // each attempt opens a connection of its own
	CloseIdle      time.Duration `json:",omitempty"` // how long clients keep an idle connection, at most; 0 means 500 ms
	Cookies        bool          `json:",omitempty"` // the attempts and steps of a request send the cookies that its answers set
	Copies         []string      `json:",omitempty"` // a service and its untouched copy, between which the requests for the service are split; see Resolver.SplitLoad
	OthersChange   bool          `json:",omitempty"` // another load has requests that are not read-only; set when the experiment is validated
	Redirects      bool          `json:",omitempty"` // redirects to the same address are followed, at most MostRedirects times
}

// MostRedirects is how many redirects in a row clients follow.
const MostRedirects = 5

// Shape is what makes a request of the load due.
type Shape string

// The shapes of a load.
const (
	// Open makes requests due by the clock, whatever became of earlier ones, as for a system with many users. Latency is
	// measured from the due time.
	Open Shape = ""
	// Closed makes a request due when its user has the answer to the previous one and has thought. A slow system is
	// asked less, so that its latencies look better than those that users of an open load see.
	Closed Shape = "closed"
	// Counted makes requests due only in steps that send a number of them; see SendRequests. If all loads
	// are counted, there is no baseline.
	Counted Shape = "counted"
)

// Route is one kind of request, or a chain of requests that counts as one request of the load.
type Route struct {
	Method, Path string // Path may contain placeholders
	Kind         string `json:",omitempty"` // of a load that is not HTTP: the name of a row of LoadKinds; Method is "", Path what its requests are about, and Body their text
	Title        string `json:",omitempty"` // its name in checks and reports, if it is not HTTP; "" means one that is made of Path or Body
	Share        float64
	Body         string  // may contain placeholders; "" for no body
	Type         string  // Content-Type; "" means application/json if there is a body
	Service      string  // the service that answers; resolved by the parser
	Expect       []int   `json:",omitempty"` // expected statuses, ascending; empty means any 2xx
	Keep         []Kept  `json:",omitempty"` // values of the answer that later steps of a chain contain
	Then         []Route `json:",omitempty"` // the further steps of a chain; their Share and Then are not used
}

// Kept is a value of an answer that later steps of a chain contain, as {{name}}.
type Kept struct {
	Name string
	Path string // where it is in the JSON body of the answer, such as "$.order.id"
}

// Find returns the value in the body of an answer. It returns false if there is none.
func (k Kept) Find(body []byte) (Value, bool) {
	path, err := source.ParseJSONPath(k.Path)
	if err != nil {
		return Value{}, false
	}
	raw, err := path.Find(body)
	return jsonValue(raw), err == nil && raw != nil
}

// Steps returns the requests that a request of the route consists of.
func (r Route) Steps() []Route { return append([]Route{r}, r.Then...) }

// Asks reports whether a service answers one of its steps.
func (r Route) Asks(service string) bool {
	return slices.ContainsFunc(r.Steps(), func(s Route) bool { return s.Service == service })
}

// ContentType returns the type of the body.
func (r Route) ContentType() string { return cmp.Or(r.Type, "application/json") }

// Safe reports whether all requests of the route are read-only; see ReadOnly.
func (r Route) Safe() bool {
	return !slices.ContainsFunc(r.Steps(), func(s Route) bool { return !s.ReadOnly() })
}

// KeyStep returns the index of the step whose key is that of the request: the first that is not read-only, or else
// the first one. Each other step carries a key of its own.
func (r Route) KeyStep() int {
	return max(0, slices.IndexFunc(r.Steps(), func(s Route) bool { return !s.ReadOnly() }))
}

// Name returns the route as checks and reports name it, such as "POST /orders", with templates unexpanded.
func (r Route) Name() string {
	if r.Kind != "" {
		return r.nameOf()
	}
	return r.Method + " " + r.Path
}

// Changes reports whether requests of the route are expected to have effects. A GET, HEAD or OPTIONS request is
// not, if other requests of the load have another method: it is not awaited, not lost without an effect, and not
// sent again after the load. If the load consists of such requests only, they are expected to have effects, as for
// a counter; checks report it if none is listed. For both, the requests of all loads count.
func (l *Load) Changes(r Route) bool {
	return !r.Safe() || !l.OthersChange && !slices.ContainsFunc(l.Mix, func(r Route) bool { return !r.Safe() })
}

// Control returns the untouched copy of a service between which and the service requests are split, or "".
func (l *Load) Control() string {
	if l == nil || len(l.Copies) != 2 {
		return ""
	}
	return l.Copies[1]
}

// Counted reports whether all loads are counted, so that there is no baseline.
func (e *Experiment) Counted() bool {
	return e.Load != nil && !slices.ContainsFunc(e.Loads(), func(l *Load) bool { return l.Shape != Counted })
}

// Keyed reports whether requests of some load carry keys.
func (e *Experiment) Keyed() bool { return slices.ContainsFunc(e.Loads(), (*Load).Keyed) }
