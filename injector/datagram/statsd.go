package datagram

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/message"
)

func statsdCodec() codec {
	return codec{
		Protocol: message.Protocol{
			Name: "statsd", Means: "StatsD over UDP, by kind and name of metric; a datagram may hold several, and a rule acts on all of it", Unit: "messages", UDP: true,
			Actions: actions(), Matches: matchDotted, Class: message.ClassByParts("."), Allow: allowStatsD, Operation: isMetric,
		},
		read: readStatsD,
	}
}

// metricKinds lists the kinds of StatsD metrics.
func metricKinds() []string {
	return []string{"counter", "gauge", "timer", "histogram", "distribution", "set", "meter", "event", "check"}
}

func isMetric(word string) bool { return slices.Contains(metricKinds(), strings.ToLower(word)) }

func allowStatsD(r message.Rule, _ message.Framing) error {
	if m := r.Match.Method; m != "" && !isMetric(m) {
		return fmt.Errorf("StatsD has no metrics of kind %q: write one of %s", m, strings.Join(metricKinds(), ", "))
	}
	return allow(r)
}

// readStatsD reads lines such as "requests.total:1|c|@0.1|#tag". The first metric determines the class of the
// datagram; a rule for any of the metrics acts on all.
func readStatsD(b []byte, d *message.Message) {
	d.Op = "datagram that is no StatsD"
	first := true
	for line := range bytes.SplitSeq(b, []byte{'\n'}) {
		t, ok := metric(line)
		switch {
		case !ok:
		case first:
			d.Topic, first = t, false
			d.Op = strings.TrimSpace(t.Method + " " + t.Path[:min(len(t.Path), maxNameLen)])
		default:
			d.More = append(d.More, t)
		}
	}
	if n := len(d.More); n > 0 {
		d.Op += " and " + strconv.Itoa(n) + " more"
	}
}

// maxNameLen limits the names in the evidence.
const maxNameLen = 200

// metric parses the kind and name in a line. Events and service checks of DogStatsD have a different format.
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

// metrics maps the abbreviations of the kinds.
var metrics = map[string]string{
	"c": "counter", "g": "gauge", "ms": "timer", "h": "histogram", "d": "distribution", "s": "set", "m": "meter",
}
