package datagram

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// dnsHeader is the length of the DNS header. Its ID identifies the answer for the client.
const dnsHeader = 12

// readDNS reads the first question, which answers repeat. It converts names to lower case, because some clients
// randomize the case.
func readDNS(b []byte, d *message.Datagram) {
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

var errNoQuestion = errors.New("it is no question of DNS")

// answerDNS answers a question with an error or, for TC, with an empty answer marked as truncated.
func answerDNS(question []byte, code string) ([]byte, error) {
	var info message.Datagram
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
