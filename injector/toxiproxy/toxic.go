package toxiproxy

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
)

// removalBound is how long the removal of a toxic may take. It does not wait for peers.
const removalBound = 10 * time.Second

// toxic is a fault of a proxy.
type toxic struct {
	Name       string  `json:"name"`
	Type       string  `json:"type"`
	Stream     string  `json:"stream"`
	Toxicity   float64 `json:"toxicity"`
	Attributes any     `json:"attributes"` // a pointer, as newAttributes returns it

	proxy    *proxy
	fault    injector.Fault // of the type "fault"
	heal     injector.Heal  // nil while it does not act
	deadline *deadline      // removes it; nil until it first has an effect, and if it was made by Server.Inject

	count   *evidence.Counter // of one that Server.Inject made; nil for others
	removed chan struct{}     // closed when it is removed; nil for one that a client added
}

// faultType is the type of toxics that are faults of feature files.
const faultType = "fault"

// faultAttributes are the attributes of a toxic of the type "fault".
type faultAttributes struct {
	Sentence string `json:"sentence"`
}

// newAttributes returns a pointer to the attributes of a toxic of this type, without values, or nil if there is no such type.
func (t *toxic) newAttributes() any {
	if t.Type == faultType && t.proxy.server.cfg.Fault != nil {
		return &faultAttributes{}
	}
	return link.NewToxicAttributes(t.Type)
}

// fields returns the attributes by name.
func (t *toxic) fields() (all map[string]any) {
	text, err := json.Marshal(t.Attributes)
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return map[string]any{} // a toxic that was registered and cannot be encoded has none that could be stated
	}
	return all
}

// set changes the toxicity and attributes that the body of a request has, and makes the toxic act like that. If they are
// wrong, it acts as before. As in Toxiproxy, attributes that its type does not have are ignored.
func (t *toxic) set(body []byte) error {
	next := *t
	next.Attributes = t.newAttributes()
	before, err := json.Marshal(t.Attributes)
	if err == nil {
		err = json.Unmarshal(before, next.Attributes)
	}
	if err != nil {
		return err
	}
	input := struct {
		Toxicity   float64 `json:"toxicity"`
		Attributes any     `json:"attributes"`
	}{t.Toxicity, next.Attributes}
	if err := decode(bytes.NewReader(body), &input); err != nil {
		return err
	}
	next.Toxicity = input.Toxicity
	if err := next.check(); err != nil {
		return err
	}
	if !next.harmless() {
		if err := t.proxy.server.admit(t.proxy, next.asFault(), t.id()); err != nil {
			return err
		}
	}
	if err := t.remove(); err != nil {
		return err
	}
	*t = next
	t.heal = nil
	return t.inject()
}

// asFault returns the toxic as a fault of feature files, without attributes.
func (t *toxic) asFault() injector.Fault {
	if t.fault != nil {
		return t.fault
	}
	toxic := t.toxic()
	return injector.Toxic{Name: t.Type, Way: injector.Way{Dir: toxic.Dir, Conns: injector.Conns{Share: toxic.Share}}}
}

// check validates the values of a toxic.
func (t *toxic) check() error {
	if t.Type == faultType {
		return t.checkFault()
	}
	if t.harmless() {
		return nil
	}
	if err := t.toxic().Check(); err != nil {
		return badRequest("bad request body: %v", err)
	}
	return nil
}

// checkFault validates a toxic of the type "fault".
func (t *toxic) checkFault() error {
	given, ok := t.Attributes.(*faultAttributes)
	switch {
	case !ok || given.Sentence == "":
		return badRequest(`a toxic of type "fault" has one attribute, "sentence", which is a text`)
	case t.Toxicity != 1:
		return badRequest(`a toxic of type "fault" has a toxicity of 1: its sentence says how many calls it acts on`)
	}
	f, err := t.proxy.server.cfg.Fault(t.proxy.Name, cmp.Or(t.proxy.Protocol, "tcp"), given.Sentence)
	if err != nil {
		return badRequest("sentence: %v", err)
	}
	t.fault = f
	return nil
}

// harmless reports whether a toxic has no effect: Toxiproxy accepts a latency of 0, and a slow close without a delay.
func (t *toxic) harmless() bool {
	zero := func(names ...string) bool {
		fields := t.fields()
		return !slices.ContainsFunc(names, func(name string) bool { return fields[name] != 0. })
	}
	return t.Toxicity <= 0 || t.Type == "noop" || t.Type == "latency" && zero("latency", "jitter") || t.Type == "slow_close" && zero("delay")
}

// toxic returns the toxic for a link.
func (t *toxic) toxic() link.Toxic {
	dir := link.ToClient
	if t.Stream == "upstream" {
		dir = link.ToServer
	}
	return link.Toxic{On: link.On{ID: t.Name, Seed: t.proxy.server.cfg.Seed, Share: min(t.Toxicity, 1)}, Dir: dir, Name: t.Type, Attributes: t.fields()}
}

// inject makes the toxic act, if its proxy is enabled.
func (t *toxic) inject() error {
	if !t.proxy.Enabled || t.Type != faultType && t.harmless() {
		return nil
	}
	if t.Type != faultType {
		heal, err := t.proxy.link.Toxic(t.toxic())
		t.heal = injector.Heal(heal)
		return err
	}
	heal, err := t.fault.Inject(context.Background(), injector.Target{ID: t.Name, Seed: t.proxy.server.cfg.Seed, Link: t.proxy.link, Relay: t.proxy.relay, Count: t.count})
	if err != nil {
		return apiError{http.StatusBadRequest, err.Error()}
	}
	t.heal = heal
	return nil
}

// remove ends the effect of the toxic.
func (t *toxic) remove() error {
	if t.heal == nil {
		return nil
	}
	heal := t.heal
	t.heal = nil
	ctx, cancel := context.WithTimeout(context.Background(), removalBound)
	defer cancel()
	return heal(ctx)
}
