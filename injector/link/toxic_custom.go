package link

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/Shopify/toxiproxy/v2/toxics"
)

// customToxic is a toxic that is not one of Toxiproxy's own. As in Toxiproxy, one value serves all
// connections.
type customToxic struct {
	name  string
	toxic toxics.Toxic

	mu      sync.Mutex
	running map[*stub]struct{}
	problem error // the first problem since the last report
}

func (p *customToxic) addProblem(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.problem == nil {
		p.problem = err
	}
}

// awaitStubs waits until the toxic has left every connection, which a well-behaved one does at once,
// and returns its first problem.
func (p *customToxic) awaitStubs(ctx context.Context) error {
	p.mu.Lock()
	var running []*stub
	for s := range p.running {
		running = append(running, s)
	}
	p.mu.Unlock()
	for _, s := range running {
		select {
		case <-s.finished:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.problem
	p.problem = nil
	return err
}

// custom creates a custom toxic. It returns an error if the toxic panics while it is created.
func (t Toxic) custom() (apply func(*Link) (Heal, error), err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("toxic %q panicked when it was created: %v", t.Name, p)
		}
	}()
	toxic := toxics.New(&toxics.ToxicWrapper{Type: t.Name})
	if toxic == nil {
		return nil, fmt.Errorf("unknown toxic %q: known are %s, and others can be registered with toxics.Register", t.Name, strings.Join(toxicNames(), ", "))
	}
	raw, err := json.Marshal(t.Attributes)
	if err == nil {
		read := json.NewDecoder(bytes.NewReader(raw))
		read.DisallowUnknownFields()
		err = read.Decode(toxic)
	}
	if err != nil {
		return nil, fmt.Errorf("toxic %q: read its attributes: %w", t.Name, err)
	}
	return func(l *Link) (Heal, error) {
		p := &customToxic{name: t.Name, toxic: toxic, running: map[*stub]struct{}{}}
		heal := l.add(t.On, &stage{dir: t.Dir, toxic: p, newShape: func(*conn, Dir) shape { return passThrough{} }})
		return func(ctx context.Context) error { return errors.Join(heal(ctx), p.awaitStubs(ctx)) }, nil
	}, nil
}

// NewToxicAttributes returns a pointer to the attributes of one of Toxiproxy's toxics, or of one that was registered, for
// encoding/json. Their values are zero. It returns nil if there is no such toxic.
func NewToxicAttributes(toxic string) any {
	return toxics.New(&toxics.ToxicWrapper{Type: toxic})
}

// toxicNames lists the available toxics. Registering a toxic concurrently is a data race of the
// caller.
func toxicNames() []string {
	var names []string
	for _, o := range builtinToxics() {
		names = append(names, o.name)
	}
	names = slices.AppendSeq(names, maps.Keys(toxics.ToxicRegistry))
	slices.Sort(names)
	return slices.Compact(names)
}
