package remote

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
)

// Translate returns the toxic of Toxiproxy that carries out a fault. Its Dir Both stands for a toxic in each direction. If
// Toxiproxy has none, what says why, and hint what to do.
func Translate(f injector.Fault) (toxic link.Toxic, what, hint string) {
	toxic, part := translate(f)
	ownLink := "or leave `toxiproxy` out of the link: links of Firedrill's own have every fault"
	switch {
	case toxic.Name == "":
		return toxic, fmt.Sprintf("which has no toxic for the fault %q", f.Kind().Name), instead(f) + "; " + ownLink
	case part != (injector.Conns{}):
		return toxic, "whose choice of connections is random and not known afterwards", "say it of all connections; " + ownLink
	}
	for _, name := range slices.Sorted(maps.Keys(toxic.Attributes)) {
		if toxic.Attributes[name] == inexact {
			return toxic, fmt.Sprintf("which counts the %s of the toxic %q in whole %s", name, toxic.Name, units[name]), "write a multiple of that; " + ownLink
		}
	}
	if toxic.Name == "reset_peer" && number(toxic, "timeout") != 0 {
		return toxic, "whose toxic \"reset_peer\" cannot be removed while it waits", "let connections be reset at once; " + ownLink
	}
	if err := toxic.Check(); err != nil {
		return toxic, "which could not carry it out: " + err.Error(), "correct the values; " + ownLink
	}
	return toxic, "", ""
}

// translate returns the toxic of a fault, with the name "" if there is none, and the selection of connections.
func translate(f injector.Fault) (t link.Toxic, part injector.Conns) {
	toxic := func(name string, dir link.Dir, attributes map[string]any) link.Toxic {
		return link.Toxic{Name: name, Dir: dir, Attributes: attributes}
	}
	switch f := f.(type) {
	case injector.SlowTraffic:
		if f.Spread == link.Uniform {
			return toxic("latency", f.Dir, map[string]any{"latency": whole(f.By, time.Millisecond), "jitter": whole(f.Jitter, time.Millisecond)}), f.Conns
		}
	case injector.Bandwidth:
		return toxic("bandwidth", f.Dir, map[string]any{"rate": whole(f.Rate, 1000)}), f.Conns
	case injector.Sliced:
		return toxic("slicer", f.Dir, map[string]any{"average_size": int64(f.Size), "delay": whole(f.Apart, time.Microsecond)}), f.Conns
	case injector.CutOff:
		return toxic("timeout", f.Dir, map[string]any{"timeout": int64(0)}), part
	case injector.Partition:
		return toxic("timeout", f.Dir, map[string]any{"timeout": int64(0)}), part
	case injector.Silence:
		return toxic("timeout", link.Both, map[string]any{"timeout": int64(0)}), f.Conns
	case injector.Reset:
		if f.AfterBytes == 0 {
			return toxic("reset_peer", link.ToServer, map[string]any{"timeout": whole(f.After, time.Millisecond)}), f.Conns
		}
	case injector.CloseEarly:
		return toxic("limit_data", link.Both, map[string]any{"bytes": f.AfterBytes}), f.Conns
	case injector.CloseLate:
		return toxic("slow_close", link.Both, map[string]any{"delay": whole(f.By, time.Millisecond)}), f.Conns
	case injector.Toxic:
		parsed, err := f.Parse()
		if err == nil {
			return toxic(parsed.Name, f.Dir, parsed.Attributes), f.Conns
		}
	}
	return t, part
}

// inexact stands for a value that Toxiproxy cannot represent.
const inexact = int64(math.MinInt64)

// units are those of the attributes that can be inexact.
var units = map[string]string{"latency": "milliseconds", "jitter": "milliseconds", "timeout": "milliseconds", "delay": "milliseconds (of a slicer, microseconds)", "rate": "KB"}

// whole returns n in units, or inexact.
func whole[N ~int64](n, unit N) int64 {
	if n%unit != 0 {
		return inexact
	}
	return int64(n / unit)
}

// instead returns the hint to say something that Toxiproxy can do.
func instead(f injector.Fault) string {
	switch k := f.Kind(); {
	case k.Delay > 0 || strings.HasPrefix(k.Name, "slow"):
		return `say: traffic from ... to ... is delayed by 100ms`
	case k.On == "calls" || k.On == "messages":
		return `speak of traffic or connections: they are delayed, limited, sliced, cut off, reset, closed early or late`
	}
	return `say that connections are cut off, reset, closed early or late, or that traffic is delayed, limited or sliced`
}

// observed returns what a link in front of the proxy sees of the traffic that a toxic affects.
func observed(t link.Toxic) link.Observe {
	switch t.Name {
	case "bandwidth": // what takes at least a millisecond
		return link.Observe{Dir: t.Dir, Least: int(number(t, "rate"))}
	case "slicer":
		return link.Observe{Dir: t.Dir, Least: int(number(t, "average_size")) + 1}
	case "slow_close":
		return link.Observe{Dir: t.Dir, PerConnection: true, Ends: true}
	case "timeout", "reset_peer": // what they stop on the way back does not reach the link, unlike what asks for it
		return link.Observe{Dir: link.ToServer, PerConnection: true}
	case "limit_data":
		if number(t, "bytes") == 0 {
			return link.Observe{Dir: link.ToServer, PerConnection: true}
		}
		return link.Observe{Dir: t.Dir, PerConnection: true, After: number(t, "bytes")}
	case "noop":
		return link.Observe{Dir: t.Dir, Least: link.Nothing}
	}
	return link.Observe{Dir: t.Dir}
}

// number returns an attribute of a toxic, which is 0 if it is not set.
func number(t link.Toxic, attribute string) int64 {
	n, _ := t.Attributes[attribute].(int64)
	return n
}

// Undo describes how the toxics of a fault are removed.
func Undo(f injector.Fault) string {
	toxic, _, _ := Translate(f)
	text := fmt.Sprintf("the toxic %q is removed from the proxy, which is read back", toxic.Name)
	if toxic.Name == "timeout" {
		text += "; Toxiproxy then closes the connections that it silenced, and what was sent on them is lost"
	}
	return text
}
