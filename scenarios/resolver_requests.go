package scenarios

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// SetKey sets where requests carry their idempotency keys. nameAt is the position of the key's name.
func (r *Resolver) SetKey(at, nameAt source.Pos, k Key) {
	r.Describe(at)
	if r.naming != "" {
		o := r.ownOf(r.naming)
		r.setOnce(&o.keyAt, at, "where the key is carried")
		if o.key = k; k.check() != nil {
			r.addError(nameAt, k.check())
		}
		return
	}
	r.setOnce(&r.keyAt, at, "where the key is carried")
	r.rate.Key = k
	r.checkKey(at, nameAt)
}

// checkKey validates a key on its own.
func (r *Resolver) checkKey(at, nameAt source.Pos) {
	if r.keyAt == (source.Pos{}) {
		r.keyAt = at
	}
	if err := r.rate.Key.check(); err != nil {
		r.addError(nameAt, err)
	}
}

// AddHeader adds a header that each request carries. It may contain placeholders.
func (r *Resolver) AddHeader(at source.Pos, h Header) {
	r.Describe(at)
	headers, positions := &r.rate.Headers, &r.headersAt
	if r.naming != "" {
		headers, positions = &r.ownOf(r.naming).headers, &r.ownOf(r.naming).headersAt
	}
	if slices.ContainsFunc(*headers, func(o Header) bool { return o.Name == h.Name }) {
		r.AddProblem(at, codes.Duplicate.Msgf("the header %q was said before", h.Name), "say it once")
	}
	*headers, *positions = append(*headers, h), append(*positions, at)
}

// SetRows sets the rows that {{row.column}} stands for.
func (r *Resolver) SetRows(at source.Pos, rows []Row) {
	r.describeOnce(&r.rowsAt, at, "where rows are taken from")
	r.rate.Rows = rows
}

// FollowRedirects makes clients follow redirects.
func (r *Resolver) FollowRedirects(at source.Pos) {
	r.describeOnce(&r.redirectsAt, at, "that redirects are followed")
	r.rate.Redirects = true
}

// KeepCookies makes the attempts and steps of a request share cookies.
func (r *Resolver) KeepCookies(at source.Pos) {
	r.describeOnce(&r.cookiesAt, at, "that clients keep cookies")
	r.rate.Cookies = true
}

// SetConnections sets how long clients keep idle connections. If idle is 0, each attempt opens a new one.
func (r *Resolver) SetConnections(at source.Pos, idle time.Duration) {
	r.describeOnce(&r.connectionsAt, at, "what clients do with connections")
	r.rate.NewConnections, r.rate.CloseIdle = idle == 0, idle
}

// addError reports a mistake with its hint.
func (r *Resolver) addError(at source.Pos, err error) {
	what, hint := source.Parts(err)
	r.AddProblem(at, what, hint)
}

// finishRequests validates the texts of requests, and inserts the key into bodies.
func (r *Resolver) finishRequests() {
	r.finishHeaders()
	for i, l := range r.Loads() {
		for j := range l.Mix {
			r.finishChain(l, r.positionOf(i), &l.Mix[j])
		}
	}
	if r.rowsAt != (source.Pos{}) && !slices.ContainsFunc(r.Loads(), func(l *Load) bool { return l.holds(RowPart) }) {
		r.addMissing(r.rowsAt, codes.Missing.Msgf("no request contains a value of these rows"), "write {{row.column}} in a body or a path, or leave this out")
	}
}

// reservedHeaders are set by the client itself.
var reservedHeaders = []string{"Connection", "Content-Length", "Traceparent", "Transfer-Encoding", "Trailer", "Upgrade"}

// finishHeaders validates the headers of the loads. Content-Type becomes the type of the routes with a body.
func (r *Resolver) finishHeaders() {
	for _, l := range r.Loads() {
		for i, h := range l.Headers {
			if l != r.Load && i < r.sharedHeaders(l) {
				continue // as of the first load
			}
			of := r.Loads()
			if i >= r.sharedHeaders(l) {
				of = []*Load{l}
			}
			if err := checkHeader(h, of); err != nil {
				r.addError(r.headerAt(l, i), err)
			}
		}
	}
}

// checkHeader validates a header of loads.
func checkHeader(h Header, of []*Load) error {
	name := http.CanonicalHeaderKey(h.Name)
	template, err := ParseTemplate(h.Value, Plain, nil)
	if err == nil {
		err = checkRows(template, of[0].Rows)
	}
	switch {
	case slices.Contains(reservedHeaders, name):
		return source.Mistakef(codes.Contradiction, "leave it out", "the header %q is set by the client itself", name)
	case slices.ContainsFunc(of, func(l *Load) bool { return l.Key.In == InHeader && name == http.CanonicalHeaderKey(l.Key.Name) }):
		return source.Mistakef(codes.Contradiction, "leave it out", "the header %q carries the key", name)
	case name == "Content-Type":
		for _, l := range of {
			l.setType(h.Value)
		}
	}
	return err
}

// setType sets the type of the bodies that have none.
func (l *Load) setType(contentType string) {
	for rt := range l.requests() {
		if rt.Kind == "" && rt.Body != "" && rt.Type == "" {
			rt.Type = contentType
		}
	}
}

// finishChain validates a route of a load with the further steps of its chain, and inserts the key. at is the position
// of the load.
func (r *Resolver) finishChain(l *Load, at source.Pos, first *Route) {
	keyStep := first.KeyStep()
	var kept []string
	for i := range len(first.Then) + 1 {
		rt := first
		if i > 0 {
			rt = &first.Then[i-1]
		}
		key := "{{key}}"
		if i != keyStep {
			key = StepKey(key, i)
		}
		needsKey := i == keyStep && l.Changes(*first)
		if (rt.Kind == "" || l.Key.In == InBody) && (needsKey || l.Key.In == InQuery || l.Key.In == InBody && rt.Body != "") {
			if err := l.Key.place(rt, key); err != nil {
				r.addError(r.keyPosition(l), err)
			}
		}
		path, body, err := rt.Templates(kept)
		if err == nil {
			err = checkRows(path, l.Rows)
		}
		if err == nil {
			err = checkRows(body, l.Rows)
		}
		if err != nil {
			r.addError(at, err)
		}
		for _, k := range rt.Keep {
			if err := k.check(kept); err != nil {
				r.addError(at, err)
			}
			kept = append(kept, k.Name)
		}
	}
}

// StepKey returns the key of a further step of a chain, with its index, for the key of the request.
func StepKey(key string, step int) string { return fmt.Sprintf("%d.%s", step+1, key) }

var keptName = regexp.MustCompile(`^[A-Za-z_]\w*$`)

// check returns an error if a value cannot be kept under its name. earlier are the names of previous steps.
func (k Kept) check(earlier []string) error {
	if _, err := source.ParseJSONPath(k.Path); err != nil {
		return err
	}
	switch {
	case !keptName.MatchString(k.Name) || slices.Contains([]string{"n", "key", "seed", "random", "row"}, k.Name):
		return source.Mistakef(codes.BadName, "write order = $.id", "%q cannot be the name of a kept value", k.Name)
	case slices.Contains(earlier, k.Name):
		return source.Mistakef(codes.Duplicate, "use another name", "the value %q is kept twice", k.Name)
	}
	return nil
}

// holds reports whether a text of the load has a placeholder of this kind.
func (l *Load) holds(kind PartKind) bool {
	return slices.ContainsFunc(l.templates(), func(t Template) bool {
		return slices.ContainsFunc(t, func(p Part) bool { return p.Kind == kind })
	})
}

// templates returns the texts of the load that are valid.
func (l *Load) templates() []Template {
	var all []Template
	for _, h := range l.Headers {
		t, _ := ParseTemplate(h.Value, Plain, nil)
		all = append(all, t)
	}
	for _, first := range l.Mix {
		var kept []string
		for _, rt := range first.Steps() {
			path, body, _ := rt.Templates(kept)
			all = append(all, path, body)
			for _, k := range rt.Keep {
				kept = append(kept, k.Name)
			}
		}
	}
	return all
}
