package runner

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"sync"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// toldAddresses remembers which addresses servers have told their clients, by link and service, and which links could
// not read some.
type toldAddresses struct {
	mu   sync.Mutex
	seen map[[2]string]bool
}

// first reports whether it is called for the first time with a link and a service.
func (t *toldAddresses) first(link, service string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := [2]string{link, service}
	if t.seen[key] {
		return false
	}
	if t.seen == nil {
		t.seen = map[[2]string]bool{}
	}
	t.seen[key] = true
	return true
}

// told handles what the server of a link told its client about where other servers are. If it contains the address of a
// service itself, past the links, the scenario is inconclusive if a fault acts on a link to that service. If it could not
// be read, for the reason unread, it may contain any.
func (s *session) told(l scenarios.Link, addresses map[string]string, text []byte, unread string) {
	if l.From == scenarios.Clients { // the load connects to nothing else
		return
	}
	if unread != "" {
		s.toldUnread(l, addresses, unread)
		return
	}
	if host, _, err := net.SplitHostPort(addresses[l.To]); err == nil && noHost.Match(text) {
		text = fmt.Appendf(slices.Clone(text), " %s", host)
	}
	for service, address := range addresses {
		if s.e.FaultOnLinkTo(service) && contains(text, address) && s.toldAddresses.first(l.Name(), service) {
			s.record(journal.Event{Trouble: &journal.Trouble{Text: fmt.Sprintf("%q told %q the address %s of %q, which leads around the links: "+
				"faults on links to %q do not act on connections to it: let %q tell the address of the link instead", l.To, l.From, address, service, service, l.To)}})
		}
	}
}

// toldUnread handles an answer about where other servers are that the link could not read.
func (s *session) toldUnread(l scenarios.Link, addresses map[string]string, why string) {
	if slices.ContainsFunc(slices.Collect(maps.Keys(addresses)), s.e.FaultOnLinkTo) && s.toldAddresses.first(l.Name(), "") {
		s.record(journal.Event{Trouble: &journal.Trouble{Text: fmt.Sprintf("%q told %q addresses of servers in an answer that the link cannot read (%s): "+
			"they may lead around the links", l.To, l.From, why)}})
	}
}

// noHost matches an answer of Redis with a port and no host, which means the host that the client is connected to.
var noHost = regexp.MustCompile(`\$0\r\n\r\n|\$-1\r\n|_\r\n| :[0-9]`)

// contains reports whether a text contains the host and the port of an address, each as a word.
func contains(text []byte, address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || !bytes.Contains(text, []byte(port)) { // saves the regular expressions for most addresses
		return false
	}
	hosts := []string{host}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	}
	word := func(w string) bool {
		return regexp.MustCompile(`(?i)(^|[^0-9a-z.])` + regexp.QuoteMeta(w) + `($|[^0-9a-z.])`).Match(text)
	}
	return word(port) && slices.ContainsFunc(hosts, word)
}
