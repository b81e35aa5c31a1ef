package datagram

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// readStatsD reads "requests.total:1|c|@0.1|#tag" lines. The first metric gives the datagram its class; a rule about any of them takes all.
func readStatsD(b []byte, d *message.Datagram) {
	d.Op = "datagram that is no StatsD"
	first := true
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		t, ok := metric(line)
		switch {
		case !ok:
		case first:
			d.Topic, first = t, false
			d.Op = strings.TrimSpace(t.Method + " " + t.Path[:min(len(t.Path), longestName)])
		default:
			d.More = append(d.More, t)
		}
	}
	if n := len(d.More); n > 0 {
		d.Op += " and " + strconv.Itoa(n) + " more"
	}
}

// longestName is how much of a name evidence tells.
const longestName = 200

// metric reads one line: kind and name. DogStatsD's events and checks have neither colon nor kind in the place of metrics.
func metric(line []byte) (message.Topic, bool) {
	if bytes.HasPrefix(line, []byte("_e{")) {
		return message.Topic{Method: "event"}, true
	}
	if rest, ok := bytes.CutPrefix(line, []byte("_sc|")); ok {
		name, _, _ := bytes.Cut(rest, []byte{'|'})
		return message.Topic{Method: "check", Path: string(name)}, true
	}
	name, rest, ok := bytes.Cut(line, []byte{':'})
	_, kind, typed := bytes.Cut(rest, []byte{'|'})
	if !ok || !typed || len(name) == 0 {
		return message.Topic{}, false
	}
	kind, _, _ = bytes.Cut(kind, []byte{'|'})
	method, ok := metrics[string(bytes.TrimSpace(kind))]
	return message.Topic{Method: method, Path: string(name)}, ok
}

// metrics are the kinds of metrics, as they are written.
var metrics = map[string]string{
	"c": "counter", "g": "gauge", "ms": "timer", "h": "histogram", "d": "distribution", "s": "set", "m": "meter",
}
