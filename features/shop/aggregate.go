package shop

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const deadlinePropagation = "deadline propagation"

var aggregateProtections = []Protection{
	{deadlinePropagation, "customer, loyalty", "a service says how long it will wait, and what it asks of others has to fit into that; without, each makes three attempts of 400 ms"},
}

// aggregate is a service in the middle: it asks several smaller services about the same thing, all at the same time, and
// answers with what they know. What one of them does not answer is missing, and the answer says so.
type aggregate struct {
	*part
	protected protected
	sources   []*dependency
	partial   prometheus.Counter
}

// collection is the answer of an aggregate. A part is the text of a service, or the collection of another aggregate.
type collection struct {
	Partial bool           `json:"partial"`
	Parts   map[string]any `json:"parts"`
}

const (
	// timeoutHeader says how long the caller waits for the answer, such as "600ms". It is a duration and not a time, since the
	// clocks of two machines differ, as in gRPC's header grpc-timeout.
	timeoutHeader = "Request-Timeout"
	defaultBudget = time.Second
	// reserve is the part of its time that an aggregate keeps for itself, so that its answer arrives before its caller has left.
	reserve        = 50 * time.Millisecond
	sourceTimeout  = 400 * time.Millisecond
	sourceAttempts = 3
)

// newAggregate returns the constructor of an aggregate of the services names.
func newAggregate(names ...string) func(config) (*part, error) {
	return func(c config) (*part, error) {
		a := &aggregate{part: newPart(), protected: c.protected}
		a.partial = a.counter("partial_answers_total", "answers of which a part was missing")
		for _, name := range names {
			if c.links[name] == "" {
				return nil, errors.New("--" + name + " is missing")
			}
			a.sources = append(a.sources, a.addDependency(name, c.links[name], make(pool, 256), sourceTimeout, c.protected))
		}
		a.routes.HandleFunc("GET /", a.get)
		return a.part, nil
	}
}

func (a *aggregate) get(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := a.budget(r)
	defer cancel()
	answers := make([]any, len(a.sources))
	var all sync.WaitGroup
	for i, source := range a.sources {
		all.Go(func() { answers[i] = a.ask(ctx, source, r.URL.Path) })
	}
	all.Wait()
	result := collection{Parts: map[string]any{}}
	for i, source := range a.sources {
		switch answer := answers[i].(type) {
		case nil:
			result.Partial = true
			continue
		case collection:
			result.Partial = result.Partial || answer.Partial
		}
		result.Parts[source.name] = answers[i]
	}
	if result.Partial {
		a.partial.Inc()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result)
}

// budget returns the context of a request. It ends a little before its caller stops waiting.
func (a *aggregate) budget(r *http.Request) (context.Context, context.CancelFunc) {
	if !a.protected[deadlinePropagation] {
		return r.Context(), func() {}
	}
	left, err := time.ParseDuration(r.Header.Get(timeoutHeader))
	if err != nil {
		left = defaultBudget
	}
	return context.WithTimeout(r.Context(), left-reserve)
}

// ask asks a source until it answers, and passes on how much time is left. It returns nil if there is no answer.
func (a *aggregate) ask(ctx context.Context, source *dependency, path string) any {
	for range sourceAttempts {
		header := http.Header{}
		if deadline, ok := ctx.Deadline(); ok {
			header.Set(timeoutHeader, time.Until(deadline).String())
		}
		got, err := source.call(ctx, http.MethodGet, path, header, "")
		if err == nil && got.status == http.StatusOK {
			return parsePart(got.body)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
	return nil
}

func parsePart(body string) any {
	var c collection
	if json.Unmarshal([]byte(body), &c) == nil && c.Parts != nil {
		return c
	}
	return body
}
