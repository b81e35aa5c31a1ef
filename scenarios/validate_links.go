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
	on, onCalls := f.(injector.OnCalls)
	messages, onMessages := f.(injector.OnMessages)
	switch {
	case onMessages && !known:
		return speaks + ", which has no messages", "speak of traffic or connections, or declare its protocol: " + strings.Join(speaking("messages"), ", ")
	case onMessages && row.Unit != "messages":
		return speaks + ", whose messages are calls", "say: " + row.Unit + " from ..."
	case onMessages:
		return l.forbids(row, messages.Rule(), messages.Though())
	case onCalls && !known:
		return speaks + ", which has no calls", "speak of traffic or connections, or declare its protocol: http"
	case onCalls && !speaksOf(row, on.Rule().Do):
		return speaks + ", which has messages and no calls", fmt.Sprintf("say: messages from %q to %q ...; and from %q to %q for what comes back", l.From, l.To, l.To, l.From)
	case onCalls:
		if what, hint := offRoute(row, on.Rule()); what != "" {
			return what, hint
		}
		return l.forbids(row, on.Rule(), "")
	case row.UDP && !onDatagrams(f):
		return speaks + " over UDP, which has neither connections nor a stream", fmt.Sprintf("say: messages from %q to %q are lost, or are delayed, ...", l.From, l.To)
	}
	return "", ""
}

// speaksOf tells whether calls, or their requests and replies, are spoken of where a protocol does a thing.
func speaksOf(row message.Protocol, do message.Do) bool {
	return row.Unit == "calls" || (!row.UDP && (do == message.LoseRequest || do == message.LoseReply))
}

// forbids tells why a link's protocol does not allow a rule, or that it does what a sentence says that it never does (though), and what to do.
func (l Link) forbids(row message.Protocol, r message.Rule, though string) (what, hint string) {
	refused := func(even bool) error {
		r.Even = even
		if err := row.Allows(r); err != nil {
			return err
		}
		return l.Framing.Allows(row.Name, r)
	}
	speaks := fmt.Sprintf("the link %s speaks %s", l.Name(), row.Name)
	err, end := refused(though != ""), "`, even though "+row.Name+" never does this`"
	switch {
	case err != nil && though == "" && refused(true) == nil:
		return fmt.Sprintf("%s: %v", speaks, err), "to have it all the same, end the sentence with " + end
	case err != nil:
		return fmt.Sprintf("%s: %v", speaks, err), ""
	case though != "" && refused(false) == nil:
		return fmt.Sprintf("%s, which does this", speaks), "leave out `, even though " + though + " never does this`"
	case though != "" && though != row.Name:
		return fmt.Sprintf("%s and not %s", speaks, though), "end the sentence with " + end
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
func offRoute(row message.Protocol, r message.Rule) (what, hint string) {
	m := r.Match
	switch {
	case row.Unit != "calls" || (r.Do != message.LoseRequest && r.Do != message.LoseReply):
		return "", ""
	case strings.HasPrefix(m.Path, "/") || (m.Path == "" && (m.Method == "" || slices.Contains(methods, m.Method))):
		return "", ""
	}
	_, _, err := parseRoute(strings.TrimSpace(m.Method + " " + m.Path))
	return parts(err)
}
