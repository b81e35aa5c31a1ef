package remote

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/process"
)

// watchEvery is how often the proxy is read while a fault is live.
const watchEvery = 200 * time.Millisecond

// injection is a live fault.
type injection struct {
	p       *Proxy
	target  injector.Target
	toxics  []recorded
	unwatch context.CancelFunc
	watched chan struct{} // closed when the proxy is not watched any more
}

// recorded is a toxic that is deleted if this program is killed.
type recorded struct {
	toxiproxy.Toxic
	forget func()
}

// Inject puts the toxics of a fault on the proxy. The link of the target, which leads to the proxy, counts what meets them.
// If they turn out not to have been in place all the time, the target's counter says that the fault had no effect. The
// returned function removes them, and verifies that.
func (p *Proxy) Inject(ctx context.Context, f injector.Fault, t injector.Target) (injector.Heal, error) {
	toxic, what, hint := Translate(f)
	switch {
	case what != "":
		return nil, fmt.Errorf("%s, %s: %s", p, what, hint)
	case t.Link == nil:
		return nil, errors.New("inject a fault on a link: the target has no link")
	}
	in := &injection{p: p, target: t, watched: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.check(ctx)
	for _, stream := range streams(toxic.Dir) {
		if err == nil {
			err = in.put(ctx, toxiproxy.Toxic{Name: toxicName(t.ID, stream), Type: toxic.Name, Stream: stream, Toxicity: 1, Attributes: toxic.Attributes})
		}
	}
	if err == nil {
		err = p.check(ctx)
	}
	var unobserve link.Heal
	if err == nil {
		seen := observed(toxic)
		seen.On = link.On{ID: t.ID, Seed: t.Seed, Count: t.Count}
		unobserve, err = t.Link.Observe(seen)
	}
	if err != nil {
		return nil, errors.Join(err, in.remove(context.WithoutCancel(ctx)))
	}
	watch, stop := context.WithCancel(context.WithoutCancel(ctx))
	in.unwatch = stop
	go in.watch(watch)
	return func(ctx context.Context) error { return in.heal(ctx, unobserve) }, nil
}

// streams returns the streams of Toxiproxy that a direction stands for.
func streams(d link.Dir) []string {
	switch d {
	case link.ToServer:
		return []string{"upstream"}
	case link.ToClient:
		return []string{"downstream"}
	default:
		return []string{"upstream", "downstream"}
	}
}

// toxicName returns a name that says where a toxic comes from, and that no other has.
func toxicName(id, stream string) string {
	random := make([]byte, 4)
	_, _ = rand.Read(random)
	return "firedrill-" + id + "-" + stream + "-" + hex.EncodeToString(random)
}

// put records a toxic and puts it on the proxy. It waits for the answer even if ctx ends, so that the toxic does not come
// after it was removed. p.mu must be held.
func (in *injection) put(ctx context.Context, t toxiproxy.Toxic) error {
	forget, err := process.Record(in.p.url(t.Name))
	if err != nil {
		return err
	}
	in.toxics = append(in.toxics, recorded{t, forget})
	in.p.ours = append(in.p.ours, t)
	_, err = ask(context.WithoutCancel(ctx), func() (*toxiproxy.Toxic, error) {
		proxy := in.p.api.NewProxy()
		proxy.Name = in.p.cfg.Proxy
		return proxy.AddToxic(t.Name, t.Type, t.Stream, t.Toxicity, t.Attributes)
	})
	if err != nil {
		return fmt.Errorf("put the toxic %q on %s: %w", t.Type, in.p, err)
	}
	return nil
}

// watch reads the proxy until ctx ends, or until the toxics are found not to be in place.
func (in *injection) watch(ctx context.Context) {
	defer close(in.watched)
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		if err := in.p.Check(ctx); err != nil {
			if ctx.Err() == nil {
				in.void(err)
			}
			return
		}
	}
}

// void records that the fault was not in place all the time.
func (in *injection) void(why error) {
	in.target.Count.Void(fmt.Sprintf("it is not known that it acted all the time: %v", why))
}

// heal removes the toxics, and verifies that.
func (in *injection) heal(ctx context.Context, unobserve link.Heal) error {
	in.unwatch()
	<-in.watched
	in.p.mu.Lock()
	defer in.p.mu.Unlock()
	if err := in.p.check(ctx); err != nil {
		in.void(err)
	}
	_ = unobserve(ctx) // it never fails
	if err := in.remove(ctx); err != nil {
		return fmt.Errorf("whether %s still has toxics of this run is not known: %w; they stay recorded, and are deleted after this run, or by firedrill heal", in.p, err)
	}
	return in.p.check(ctx)
}

// remove removes the toxics that were put on the proxy. One that could not be removed stays recorded. p.mu must be held.
func (in *injection) remove(ctx context.Context) error {
	var errs []error
	for _, t := range slices.Backward(in.toxics) {
		if _, err := process.Delete(ctx, in.p.url(t.Name)); err != nil {
			errs = append(errs, err)
			continue
		}
		t.forget()
		in.p.ours = slices.DeleteFunc(in.p.ours, func(our toxiproxy.Toxic) bool { return our.Name == t.Name })
	}
	return errors.Join(errs...)
}
