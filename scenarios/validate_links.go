package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// unfit tells what is wrong with a fault on a link of some protocol, and what to do; what is "" when nothing is.
func unfit(l Link, f injector.Fault) (what, hint string) {
	speaks := fmt.Sprintf("the link %s speaks %s", l.Name(), l.protocol())
	row, known := message.ProtocolOf(l.protocol())
	if on, ok := f.(injector.OnMessages); ok {
		switch {
		case !known:
			return speaks + ", which has no messages", "speak of traffic or connections, or declare its protocol: " + strings.Join(speaking("messages"), ", ")
		case row.Unit != "messages":
			return speaks + ", whose messages are calls", "say: " + row.Unit + " from ..."
		}
		err := row.Allows(on.Rule())
		if err == nil {
			err = l.Framing.Allows(row.Name, on.Rule())
		}
		if err != nil {
			return fmt.Sprintf("%s: %v", speaks, err), ""
		}
		return "", ""
	}
	do, onCalls := calls(f)
	if what, hint := offRoute(row, f); what != "" {
		return what, hint
	}
	switch {
	case onCalls && !known:
		return speaks + ", which has no calls", "speak of traffic or connections, or declare its protocol: http"
	case onCalls && (row.UDP || (row.Unit == "messages" && do != message.LoseRequest && do != message.LoseReply)):
		return speaks + ", which has messages and no calls", fmt.Sprintf("say: messages from %q to %q ...; and from %q to %q for what comes back", l.From, l.To, l.To, l.From)
	case onCalls && !slices.Contains(row.Do, do):
		return fmt.Sprintf("%s, which has no fault %q", speaks, do), ""
	case onCalls && l.Framing.Allows(row.Name, message.Rule{Do: do}) != nil:
		return fmt.Sprintf("%s: %v", speaks, l.Framing.Allows(row.Name, message.Rule{Do: do})), ""
	case !onCalls && row.UDP && !onDatagrams(f):
		return speaks + " over UDP, which has neither connections nor a stream", fmt.Sprintf("say: messages from %q to %q are lost, or are delayed, ...", l.From, l.To)
	}
	return "", ""
}

// soundUDP judges that nothing is asked of a link of datagrams that takes a stream.
func (l Link) soundUDP(where func(name, key string) place, blame func(at place, what, hint string)) {
	for key, asked := range map[string]bool{"tls": l.TLS != nil, "proxy_protocol": l.ProxyProtocol != "", "listen": strings.HasPrefix(l.Listen, unixPrefix)} {
		if asked && l.udp() {
			blame(where(l.Name(), key), fmt.Sprintf("%s goes over UDP, where there is no TLS, no PROXY protocol and no Unix socket", l.protocol()), "leave `"+key+"` out")
		}
	}
}

// silent tells whether a service would be awaited by connecting to it although all links to it are of UDP.
func (s *System) silent(service Service) bool {
	if len(service.Command) == 0 || service.Ready.HTTP != "" || service.Ready.Line != "" || service.Ready.TCP {
		return false
	}
	udp := false
	for _, l := range s.Links {
		if l.To == service.Name && !l.udp() {
			return false
		}
		udp = udp || l.To == service.Name
	}
	return udp
}

// speaking are the protocols whose messages sentences call so.
func speaking(unit string) []string {
	var all []string
	for _, p := range message.Protocols() {
		if p.Unit == unit {
			all = append(all, p.Name)
		}
	}
	return all
}

// onDatagrams tells whether a fault on a link exists for datagrams too.
func onDatagrams(f injector.Fault) bool {
	switch f.(type) {
	case injector.CutOff, injector.Partition, injector.Refuse:
		return true
	}
	return false
}

// offRoute complains of requests and replies of HTTP that are chosen as messages are. The sentence alone does not tell what the link speaks.
func offRoute(row message.Protocol, f injector.Fault) (what, hint string) {
	var m message.Match
	switch f := f.(type) {
	case injector.LoseRequests:
		m = f.Match
	case injector.LoseReplies:
		m = f.Match
	}
	if row.Unit != "calls" || strings.HasPrefix(m.Path, "/") || (m.Path == "" && (m.Method == "" || slices.Contains(methods, m.Method))) {
		return "", ""
	}
	_, _, err := parseRoute(strings.TrimSpace(m.Method + " " + m.Path))
	return parts(err)
}

// calls tells what a fault does to single calls; ok is false for a fault that needs no calls.
func calls(f injector.Fault) (do message.Do, ok bool) {
	switch f.(type) {
	case injector.SlowCalls:
		return message.Delay, true
	case injector.LoseRequests:
		return message.LoseRequest, true
	case injector.LoseReplies:
		return message.LoseReply, true
	case injector.Answer:
		return message.Answer, true
	case injector.Twice:
		return message.Twice, true
	case injector.Reorder:
		return message.Reorder, true
	}
	return "", false
}
