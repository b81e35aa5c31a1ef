package scenarios

import (
	"maps"
	"slices"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// ownSettings are what sentences state for the load with a name only.
type ownSettings struct {
	key       Key
	keyAt     source.Pos
	headers   []Header
	headersAt []source.Pos
}

// ownOf returns the settings of the load with a name.
func (r *Resolver) ownOf(name string) *ownSettings {
	if r.own[name] == nil {
		if r.own == nil {
			r.own = map[string]*ownSettings{}
		}
		r.own[name] = &ownSettings{}
	}
	return r.own[name]
}

// applyOwn gives loads the settings that are stated for them alone: a key in place of that of all loads, and further
// headers.
func (r *Resolver) applyOwn() {
	for _, name := range slices.Sorted(maps.Keys(r.own)) {
		o := r.own[name]
		at := o.keyAt
		if at == (source.Pos{}) {
			at = o.headersAt[0]
		}
		if !r.requireNamed(at, name) {
			continue
		}
		l := r.loadsOf(name)[0]
		if o.key != (Key{}) {
			l.Key = o.key
		}
		for i, h := range o.headers {
			if slices.ContainsFunc(l.Headers, func(all Header) bool { return all.Name == h.Name }) {
				r.AddProblem(o.headersAt[i], codes.Duplicate.Msgf("the header %q was said before for all loads", h.Name), "say it once")
			}
		}
		l.Headers = slices.Concat(l.Headers, o.headers)
	}
}

// keyPosition returns where the key of a load is stated.
func (r *Resolver) keyPosition(l *Load) source.Pos {
	if o := r.own[l.Name]; o != nil && o.key != (Key{}) {
		return o.keyAt
	}
	return r.keyAt
}

// sharedHeaders returns how many of the headers of a load are those of all loads: the first ones.
func (r *Resolver) sharedHeaders(l *Load) int {
	if o := r.own[l.Name]; o != nil {
		return len(l.Headers) - len(o.headers)
	}
	return len(l.Headers)
}

// headerAt returns the position of a header of a load.
func (r *Resolver) headerAt(l *Load, i int) source.Pos {
	shared := r.sharedHeaders(l)
	switch {
	case i >= shared:
		return r.own[l.Name].headersAt[i-shared]
	case i < len(r.headersAt):
		return r.headersAt[i]
	}
	return r.loadAt
}
