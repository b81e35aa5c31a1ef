package datagram

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/firedrill-dev/firedrill/injector/message"
)

func dnsCodec() codec {
	return codec{
		Protocol: message.Protocol{
			Name: "dns", Means: "DNS over UDP, by type and name; what clients then ask over TCP passes as bytes", Unit: "messages", UDP: true,
			Actions: append(actions(), message.Answer), Matches: matchDomain, Class: message.ClassByParts("."), Allow: allowDNS,
			Operation: message.Words("A AAAA ANY CAA CNAME HTTPS MX NS PTR SOA SRV SVCB TXT"),
		},
		read: readDNS, answer: answerDNS, headerLen: dnsHeader, overTCP: true,
	}
}

// dnsCodes returns the codes that a DNS link can answer with. TC is not an error: the answer is empty and marked
// as truncated, so that clients retry over TCP.
func dnsCodes() []string { return []string{"SERVFAIL", "NXDOMAIN", "REFUSED", "TC"} }

func allowDNS(r message.Rule, _ message.Framing) error {
	if r.Action == message.Answer && !slices.Contains(dnsCodes(), r.Code) {
		return fmt.Errorf("DNS knows no answer %q here: write one of %s", r.Code, strings.Join(dnsCodes(), ", "))
	}
	return allow(r)
}

// matchDomain matches "api.example.com", "*.example.com" (any subdomain) and "{id}.example.com". It ignores case
// and a trailing dot.
func matchDomain(template, name string) bool {
	template, name = strings.TrimSuffix(strings.ToLower(template), "."), strings.TrimSuffix(strings.ToLower(name), ".")
	if below, ok := strings.CutPrefix(template, "*."); ok {
		return strings.HasSuffix(name, "."+below)
	}
	return matchDotted(template, name)
}

// dnsHeader is the length of the DNS header. Its ID identifies the answer for the client.
const dnsHeader = 12

// readDNS reads the first question, which answers repeat. It converts names to lower case, because some clients
// randomize the case.
func readDNS(b []byte, d *message.Message) {
	d.Op = "datagram that is no DNS"
	if len(b) < dnsHeader || binary.BigEndian.Uint16(b[4:]) == 0 {
		return
	}
	name, at, err := dns.UnpackDomainName(b, dnsHeader)
	if err != nil || at+4 > len(b) {
		return
	}
	kind := binary.BigEndian.Uint16(b[at:])
	d.Method = dns.TypeToString[kind]
	if d.Method == "" {
		d.Method = "TYPE" + strconv.Itoa(int(kind))
	}
	d.Path = strings.ToLower(name)
	if d.Path != "." {
		d.Path = strings.TrimSuffix(d.Path, ".")
	}
	d.Op = d.Method + " " + d.Path
}

var errNoQuestion = errors.New("it is not a question of DNS")

// answerDNS answers a question with an error or, for TC, with an empty answer marked as truncated.
func answerDNS(question []byte, code string) ([]byte, error) {
	var info message.Message
	readDNS(question, &info)
	var q dns.Msg
	if err := q.Unpack(question); err != nil || q.Response || info.Method == "" {
		return nil, errNoQuestion
	}
	rcode := dns.RcodeSuccess
	if code != "TC" {
		rcode = dns.StringToRcode[code]
	}
	a := new(dns.Msg).SetRcode(&q, rcode)
	a.Truncated, a.RecursionAvailable = code == "TC", q.RecursionDesired
	if o := q.IsEdns0(); o != nil {
		a.SetEdns0(o.UDPSize(), o.Do())
	}
	return a.Pack()
}
