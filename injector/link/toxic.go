package link

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Toxic is one of Toxiproxy's toxics, by name, with its attributes in Toxiproxy's units; On.Share is its toxicity, where 0 means 1. Dir is its stream: ToServer
// is upstream, ToClient downstream, and the zero value, which Toxiproxy does not know, acts on each direction by itself. A missing attribute is 0.
//
// The toxics that come with Toxiproxy are carried out by the faults of this package, which differ where Toxiproxy does not do what its own documentation
// or a drill asks for:
//
//   - noop: does nothing, and affects nothing.
//   - latency (latency and jitter, in ms): keeps mean and spread on streams too. The jitter is at most the latency.
//   - bandwidth (rate, in KB of 1000 bytes per second): in pieces of at most 5 ms' worth, where Toxiproxy's are 100 ms'.
//   - slow_close (delay, in ms): resets come late too.
//   - timeout (timeout, in ms): the time is not begun anew by what is sent meanwhile. What is stopped is held and not dropped, so that removing a timeout of 0,
//     which never ends by itself, lets it go on; Toxiproxy then ends the connection.
//   - reset_peer (timeout, in ms): acts on live connections and idle ones too, at once or so long after it or the connection came, and in both directions
//     whatever its stream is, since a reset has none.
//   - slicer (average_size and size_variation in bytes, delay in µs): each size within the variation is as likely as the others.
//   - limit_data (bytes): no difference.
//
// Any other toxic that was registered with toxics.Register is run as it is, between the source and the other faults. It has to return when it is
// interrupted; one that does not within two seconds, or panics, costs its connection a reset, and the Heal tells.
type Toxic struct {
	On
	Dir        Dir
	Name       string
	Attributes map[string]any
}

// ours is a toxic of Toxiproxy's that a fault of this package carries out.
type ours struct {
	name       string
	attributes []attribute
	check      func(value values) error // of attributes that depend on each other; nil for none
	put        func(l *Link, t Toxic, value values) (Heal, error)
}

// attribute is a whole number.
type attribute struct {
	name, unit  string
	least, most int64
}

// values are attributes by name.
type values map[string]int64

func (v values) ms(name string) time.Duration { return time.Duration(v[name]) * time.Millisecond }

// dayMs is the longest delay.
const dayMs = int64(longest / time.Millisecond)

// toxicsOfOurs is sorted by name.
func toxicsOfOurs() []ours {
	return []ours{
		{"bandwidth", []attribute{{"rate", "KB per second", 1, math.MaxInt64 / 1000}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.Limit(Bandwidth{On: t.On, Dir: t.Dir, Rate: 1000 * v["rate"]})
		}},
		{"latency", []attribute{{"latency", "ms", 1, dayMs}, {"jitter", "ms", 0, dayMs}}, func(v values) error {
			return below(v["jitter"], v["latency"]+1, "jitter", "at most the latency: nothing can arrive before it was sent")
		}, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.Delay(Delay{On: t.On, Dir: t.Dir, By: v.ms("latency"), Jitter: v.ms("jitter")})
		}},
		{"limit_data", []attribute{{"bytes", "bytes", 0, math.MaxInt64}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.CloseAfter(Close{On: t.On, Dir: t.Dir, AfterBytes: v["bytes"]})
		}},
		{"noop", nil, nil, func(l *Link, t Toxic, _ values) (Heal, error) {
			return l.add(t.On, &stage{dir: t.Dir, make: func(*conn, Dir) shape { return plain{} }}), nil
		}},
		{"reset_peer", []attribute{{"timeout", "ms", 0, dayMs}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.Reset(Reset{On: t.On, After: v.ms("timeout")})
		}},
		{"slicer", []attribute{{"average_size", "bytes", 1, largest}, {"size_variation", "bytes", 0, largest}, {"delay", "µs", 0, 1000 * dayMs}}, func(v values) error {
			return below(v["size_variation"], v["average_size"], "size_variation", "below average_size: a piece has at least one byte")
		}, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.Slice(Slices{On: t.On, Dir: t.Dir, Size: int(v["average_size"]), Vary: int(v["size_variation"]), Apart: time.Duration(v["delay"]) * time.Microsecond})
		}},
		{"slow_close", []attribute{{"delay", "ms", 1, dayMs}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.CloseSlowly(SlowClose{On: t.On, Dir: t.Dir, By: v.ms("delay")})
		}},
		{"timeout", []attribute{{"timeout", "ms", 0, dayMs}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.add(t.On, &stage{dir: t.Dir, hold: true, whole: v["timeout"] > 0, expire: v.ms("timeout"), make: func(*conn, Dir) shape { return hold{} }}), nil
		}},
	}
}

func below(n, bound int64, attribute, why string) error {
	if n < bound {
		return nil
	}
	return fmt.Errorf("%s is %d: it must be %s", attribute, n, why)
}

// Toxic puts a toxic on the link. What is counted depends on what it does: connections for those that end them, chunks otherwise.
func (l *Link) Toxic(t Toxic) (Heal, error) {
	put, err := t.understood()
	if err != nil {
		return nil, fmt.Errorf("put a toxic on link %q: %w", l.cfg.Name, err)
	}
	if err := t.check(fmt.Sprintf("put toxic %q", t.Name), l.cfg.Name); err != nil {
		return nil, err
	}
	return put(l)
}

// Check tells what is wrong with name and attributes.
func (t Toxic) Check() error {
	_, err := t.understood()
	return err
}

// understood is how the toxic is put on a link.
func (t Toxic) understood() (put func(*Link) (Heal, error), err error) {
	all := toxicsOfOurs()
	i, ok := slices.BinarySearchFunc(all, t.Name, func(o ours, name string) int { return cmp.Compare(o.name, name) })
	if !ok {
		return t.registered()
	}
	o := all[i]
	v, err := o.values(t.Attributes)
	if err == nil && o.check != nil {
		err = o.check(v)
	}
	if err != nil {
		return nil, fmt.Errorf("toxic %q: %w", t.Name, err)
	}
	return func(l *Link) (Heal, error) { return o.put(l, t, v) }, nil
}

// values reads attributes.
func (o ours) values(given map[string]any) (values, error) {
	v := values{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(o.attributes, func(a attribute) bool { return a.name == name }) {
			return nil, fmt.Errorf("it has no attribute %q; it has %s", name, o.names())
		}
	}
	for _, a := range o.attributes {
		n, err := whole(given[a.name])
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", a.name, err)
		case given[a.name] == nil && a.least > 0:
			return nil, fmt.Errorf("%s is missing: it is at least %d (%s)", a.name, a.least, a.unit)
		case n < a.least || n > a.most:
			return nil, fmt.Errorf("%s is %d: it lies between %d and %d (%s)", a.name, n, a.least, a.most, a.unit)
		}
		v[a.name] = n
	}
	return v, nil
}

func (o ours) names() string {
	if len(o.attributes) == 0 {
		return "none"
	}
	var names []string
	for _, a := range o.attributes {
		names = append(names, a.name)
	}
	return strings.Join(names, ", ")
}

// whole is a number of whatever kind it came in; nil is 0.
func whole(value any) (int64, error) {
	v := reflect.ValueOf(value)
	switch {
	case value == nil:
		return 0, nil
	case v.CanInt():
		return v.Int(), nil
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		return int64(v.Uint()), nil //nolint:gosec // in range
	case v.CanFloat() && v.Float() == math.Trunc(v.Float()) && math.Abs(v.Float()) <= 1<<53:
		return int64(v.Float()), nil
	}
	return 0, fmt.Errorf("%v (%T) is no whole number", value, value)
}
