package link

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Toxic is a Toxiproxy toxic, identified by name, with attributes in Toxiproxy's units. On.Share is
// its toxicity, where 0 means 1. Dir is its stream: ToServer is upstream, ToClient is downstream. The
// zero value, which Toxiproxy does not have, acts on each direction separately. A missing attribute is
// 0.
//
// Faults of this package implement Toxiproxy's own toxics. They differ where Toxiproxy does not do
// what its documentation says or what a drill needs:
//
//   - noop: no effect, and nothing is counted as affected.
//   - latency (latency and jitter, in ms): keeps mean and spread on streams too. With a jitter above the
//     latency, delays that would be negative are 0.
//   - bandwidth (rate, in KB of 1000 bytes per second): sends pieces of at most 5 ms worth, where Toxiproxy's
//     are 100 ms worth.
//   - slow_close (delay, in ms): delays resets too.
//   - timeout (timeout, in ms): traffic does not restart the time. Data is held and not dropped, so that
//     removing a timeout of 0, which never expires, releases it. Toxiproxy closes the connection then.
//   - reset_peer (timeout, in ms): also resets live and idle connections, at once or after the timeout, which
//     starts when the toxic is added or the connection is accepted. It acts in both directions, since a reset
//     has no stream.
//   - slicer (average_size and size_variation in bytes, delay in µs): all sizes within the variation are
//     equally likely.
//   - limit_data (bytes): no difference.
//
// Any other toxic registered with toxics.Register is run unchanged, between the source and the other
// faults. It must return when it is interrupted. If it panics or does not return within two seconds,
// its connection is reset and Heal returns an error.
type Toxic struct {
	On
	Dir        Dir
	Name       string
	Attributes map[string]any
}

// builtinToxic is a Toxiproxy toxic that a fault of this package implements.
type builtinToxic struct {
	name       string
	attributes []attribute
	check      func(value values) error // checks attributes that depend on each other; may be nil
	apply      func(l *Link, t Toxic, value values) (Heal, error)
}

// attribute is an integer attribute of a toxic.
type attribute struct {
	name, unit string
	min, max   int64
}

// values holds attributes by name.
type values map[string]int64

func (v values) ms(name string) time.Duration { return time.Duration(v[name]) * time.Millisecond }

// maxDelayMs is maxDelay in milliseconds.
const maxDelayMs = int64(maxDelay / time.Millisecond)

// builtinToxics returns the built-in toxics, sorted by name.
func builtinToxics() []builtinToxic {
	return []builtinToxic{
		{"bandwidth", []attribute{{"rate", "KB per second", 1, math.MaxInt64 / 1000}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.Limit(Bandwidth{On: t.On, Dir: t.Dir, Rate: 1000 * v["rate"]})
		}},
		{"latency", []attribute{{"latency", "ms", 0, maxDelayMs}, {"jitter", "ms", 0, maxDelayMs}}, func(v values) error {
			if v["latency"]+v["jitter"] == 0 {
				return errors.New("latency is 0: it must be at least 1 (ms), unless there is a jitter")
			}
			return nil
		}, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.Delay(Delay{On: t.On, Dir: t.Dir, By: v.ms("latency"), Jitter: v.ms("jitter"), anyJitter: true})
		}},
		{"limit_data", []attribute{{"bytes", "bytes", 0, math.MaxInt64}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.CloseAfter(EarlyClose{On: t.On, Dir: t.Dir, AfterBytes: v["bytes"]})
		}},
		{"noop", nil, nil, func(l *Link, t Toxic, _ values) (Heal, error) {
			return l.add(t.On, &stage{dir: t.Dir, newShape: func(*conn, Dir) shape { return passThrough{} }}), nil
		}},
		{"reset_peer", []attribute{{"timeout", "ms", 0, maxDelayMs}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.Reset(Reset{On: t.On, After: v.ms("timeout")})
		}},
		{"slicer", []attribute{{"average_size", "bytes", 1, maxSliceSize}, {"size_variation", "bytes", 0, maxSliceSize}, {"delay", "µs", 0, 1000 * maxDelayMs}}, func(v values) error {
			if v["size_variation"] > v["average_size"] {
				return fmt.Errorf("size_variation is %d: it must be at most average_size: a piece has at least one byte", v["size_variation"])
			}
			return nil
		}, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.Slice(Slices{On: t.On, Dir: t.Dir, Size: int(v["average_size"]), Vary: int(min(v["size_variation"], v["average_size"]-1)), Apart: time.Duration(v["delay"]) * time.Microsecond})
		}},
		{"slow_close", []attribute{{"delay", "ms", 1, maxDelayMs}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.CloseSlowly(SlowClose{On: t.On, Dir: t.Dir, By: v.ms("delay")})
		}},
		{"timeout", []attribute{{"timeout", "ms", 0, maxDelayMs}}, nil, func(l *Link, t Toxic, v values) (Heal, error) {
			return l.add(t.On, &stage{dir: t.Dir, hold: true, perConnection: v["timeout"] > 0, expireAfter: v.ms("timeout"), newShape: func(*conn, Dir) shape { return hold{} }}), nil
		}},
	}
}

// Toxic adds a toxic to the link. A toxic that ends connections counts connections, any other counts
// chunks.
func (l *Link) Toxic(t Toxic) (Heal, error) {
	apply, err := t.resolve()
	if err != nil {
		return nil, fmt.Errorf("put a toxic on link %q: %w", l.cfg.Name, err)
	}
	if err := t.check(fmt.Sprintf("put toxic %q", t.Name), l.cfg.Name); err != nil {
		return nil, err
	}
	return apply(l)
}

// Check returns an error if the name or the attributes are invalid.
func (t Toxic) Check() error {
	_, err := t.resolve()
	return err
}

// resolve returns the function that adds the toxic to a link.
func (t Toxic) resolve() (apply func(*Link) (Heal, error), err error) {
	all := builtinToxics()
	i, ok := slices.BinarySearchFunc(all, t.Name, func(o builtinToxic, name string) int { return cmp.Compare(o.name, name) })
	if !ok {
		return t.custom()
	}
	o := all[i]
	v, err := o.values(t.Attributes)
	if err == nil && o.check != nil {
		err = o.check(v)
	}
	if err != nil {
		return nil, fmt.Errorf("toxic %q: %w", t.Name, err)
	}
	return func(l *Link) (Heal, error) { return o.apply(l, t, v) }, nil
}

// values converts and checks attributes.
func (o builtinToxic) values(given map[string]any) (values, error) {
	v := values{}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !slices.ContainsFunc(o.attributes, func(a attribute) bool { return a.name == name }) {
			return nil, fmt.Errorf("it has no attribute %q; it has %s", name, o.names())
		}
	}
	for _, a := range o.attributes {
		n, err := wholeNumber(given[a.name])
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", a.name, err)
		case given[a.name] == nil && a.min > 0:
			return nil, fmt.Errorf("%s is missing: it must be at least %d (%s)", a.name, a.min, a.unit)
		case n < a.min || n > a.max:
			return nil, fmt.Errorf("%s is %d: it must be between %d and %d (%s)", a.name, n, a.min, a.max, a.unit)
		}
		v[a.name] = n
	}
	return v, nil
}

func (o builtinToxic) names() string {
	if len(o.attributes) == 0 {
		return "none"
	}
	var names []string
	for _, a := range o.attributes {
		names = append(names, a.name)
	}
	return strings.Join(names, ", ")
}

// wholeNumber returns the integer value of a number of any type; nil is 0.
func wholeNumber(value any) (int64, error) {
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
	return 0, fmt.Errorf("%v (%T) is not an integer", value, value)
}
