package injector

import (
	"context"
	"fmt"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// Toxic is a Toxiproxy toxic, identified by name. See link.Toxic for its effect.
type Toxic struct {
	Name       string
	Attributes string // in Toxiproxy's names and units, such as "latency=800 jitter=200"
	Way
}

// Kind implements Fault.
func (Toxic) Kind() Kind {
	return Kind{Name: "toxic", On: "traffic", Alters: true, Undo: "as the toxic's: what waits goes at once", Sentences: []Sentence{{
		Pattern: `the toxic [{text}( with {text})] is on {traffic} from {from} to {to}{for}`,
		Means:   "one of Toxiproxy's, by name, with its attributes and in its units: bandwidth, latency, limit_data, noop, reset_peer, slicer, slow_close, timeout",
		Examples: []string{
			`the toxic "latency" with "latency=800 jitter=200" is on traffic from "orders" to "payments" for 30s`,
			`the toxic "timeout" is on one-way traffic on 20% of connections from "payments" to "orders" for 30s`,
		},
		Fault: func(a Args) Fault {
			f := Toxic{Name: a.Text(0), Attributes: a.Text(1), Way: way(a, 2)}
			if err := f.Check(); err != nil {
				a.Problem(0, err.Error(), "see Toxiproxy's list of toxics and their attributes; without any, leave the part that begins with `with` out")
			}
			return f
		},
	}}}
}

// Inject implements Fault.
func (f Toxic) Inject(_ context.Context, t Target) (Heal, error) {
	toxic, err := f.Parse()
	if err != nil {
		return nil, err
	}
	toxic.On, toxic.Dir = f.on(t), f.Dir
	return addToLink(t, (*link.Link).Toxic, toxic)
}

// Check returns an error if the name or the attributes are invalid.
func (f Toxic) Check() error {
	toxic, err := f.Parse()
	if err != nil {
		return err
	}
	return toxic.Check()
}

// Parse returns the toxic with its attributes as numbers. It acts on all connections, in both directions.
func (f Toxic) Parse() (link.Toxic, error) {
	t := link.Toxic{Name: f.Name, Attributes: map[string]any{}}
	for pair := range strings.FieldsSeq(f.Attributes) {
		name, value, ok := strings.Cut(pair, "=")
		var n int64
		if _, err := fmt.Sscanf(value+"\n", "%d\n", &n); !ok || err != nil {
			return t, fmt.Errorf("toxic %q: %q is not an attribute: write name=number, such as latency=800", f.Name, pair)
		}
		t.Attributes[name] = n
	}
	return t, nil
}

// Say implements Fault.
func (f Toxic) Say(from, to string) string {
	s := fmt.Sprintf("the toxic %q", f.Name)
	if f.Attributes != "" {
		s += fmt.Sprintf(" with %q", f.Attributes)
	}
	return s + " is on " + f.subject("traffic", from, to)
}

// Reversed implements OneWay.
func (f Toxic) Reversed() (reversed Fault, ok bool) {
	f.Way, ok = f.reversed()
	return f, ok
}
