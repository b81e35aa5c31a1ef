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

// program is a toxic that is not ours: one value for all connections, as in Toxiproxy.
type program struct {
	name  string
	toxic toxics.Toxic

	mu      sync.Mutex
	running map[*stub]struct{}
	trouble error // the first that it made
}

func (p *program) blame(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trouble == nil {
		p.trouble = err
	}
}

// leave waits until the toxic has left every connection, which a well-behaved one does at once, and tells the trouble that it made.
func (p *program) leave(ctx context.Context) error {
	p.mu.Lock()
	var running []*stub
	for s := range p.running {
		running = append(running, s)
	}
	p.mu.Unlock()
	for _, s := range running {
		select {
		case <-s.gone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.trouble
	p.trouble = nil
	return err
}

// registered makes a toxic that is not ours. Whatever it does meanwhile is an error.
func (t Toxic) registered() (put func(*Link) (Heal, error), err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("toxic %q panicked when it was made: %v", t.Name, p)
		}
	}()
	toxic := toxics.New(&toxics.ToxicWrapper{Type: t.Name})
	if toxic == nil {
		return nil, fmt.Errorf("there is no toxic %q; there are %s, and others can be registered with toxics.Register", t.Name, strings.Join(toxicNames(), ", "))
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
		p := &program{name: t.Name, toxic: toxic, running: map[*stub]struct{}{}}
		heal := l.add(t.On, &stage{dir: t.Dir, toxic: p, make: func(*conn, Dir) shape { return plain{} }})
		return func(ctx context.Context) error { return errors.Join(heal(ctx), p.leave(ctx)) }, nil
	}, nil
}

// toxicNames lists the toxics that there are. A toxic that is registered in this very moment is a race of its owner's.
func toxicNames() []string {
	var names []string
	for _, o := range toxicsOfOurs() {
		names = append(names, o.name)
	}
	names = slices.AppendSeq(names, maps.Keys(toxics.ToxicRegistry))
	slices.Sort(names)
	return slices.Compact(names)
}
