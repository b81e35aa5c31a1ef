package datagram

import (
	"bytes"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"github.com/firedrill-dev/firedrill/injector/message"
)

// FuzzCodecs reads arbitrary input: no codec may panic, retain or change the datagram, or describe it in more
// than a line.
func FuzzCodecs(f *testing.F) {
	for _, m := range []*dns.Msg{new(dns.Msg).SetQuestion("api.example.test.", dns.TypeA), new(dns.Msg).SetReply(new(dns.Msg).SetQuestion(".", dns.TypeANY))} {
		m.SetEdns0(1232, true)
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte("a:1|c\nb:2|ms|@0.1|#x\n_e{1,1}:a|b\n_sc|x|0"))
	f.Add([]byte{})
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1}) // a name that points to itself
	f.Fuzz(func(t *testing.T, b []byte) {
		whole := bytes.Clone(b)
		for _, c := range codecs() {
			var d message.Message
			c.read(b, &d)
			if d.Op == "" || len(d.Op) > 1100 {
				t.Errorf("%s: evidence tells %q", c.Name, d.Op)
			}
			if c.answer == nil {
				continue
			}
			for _, code := range dnsCodes() {
				reply, err := c.answer(b, code)
				if err != nil {
					continue
				}
				var a dns.Msg
				if err := a.Unpack(reply); err != nil {
					t.Fatalf("answered with what is no DNS: %v", err)
				}
				if !a.Response || !bytes.Equal(reply[:2], b[:2]) || a.Truncated != (code == "TC") || len(a.Answer) > 0 {
					t.Errorf("%s is not an answer to the question: %s", code, strings.TrimSpace(a.String()))
				}
			}
		}
		if !bytes.Equal(whole, b) {
			t.Error("a codec changed the datagram")
		}
	})
}
