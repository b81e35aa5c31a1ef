package datagram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// dnsServer is a real DNS server over UDP and TCP. It serves example.test and counts the questions.
type dnsServer struct {
	addr     string
	udp, tcp atomic.Int64
}

func startDNS(t testing.TB) *dnsServer {
	z := &dnsServer{}
	var pc net.PacketConn
	var ln net.Listener
	for ln == nil { // find a port that is free for both
		var err error
		pc, err = net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		if ln, err = net.Listen("tcp", pc.LocalAddr().String()); err != nil {
			_ = pc.Close()
		}
	}
	z.addr = pc.LocalAddr().String()
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: z}, {Listener: ln, Handler: z}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		all.Go(func() { _ = s.ActivateAndServe() })
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return z
}

// ServeDNS answers A with 192.0.2.n, where n is the number of questions over UDP, and AAAA with no records.
func (z *dnsServer) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	a := new(dns.Msg).SetReply(q)
	n := z.udp.Load()
	if w.RemoteAddr().Network() == "tcp" {
		z.tcp.Add(1)
	} else {
		n = z.udp.Add(1)
	}
	asked := q.Question[0]
	switch {
	case !dns.IsSubDomain("example.test.", asked.Name):
		a.Rcode = dns.RcodeNameError
	case asked.Qtype == dns.TypeA:
		a.Answer = append(a.Answer, &dns.A{Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(192, 0, 2, byte(n))})
	}
	_ = w.WriteMsg(a)
}

// resolver returns Go's resolver, using the link.
func resolver(addr string) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}}
}

// resolve looks up an IPv4 address.
func resolve(t testing.TB, r *net.Resolver, host string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*relaytest.Patience)
	defer cancel()
	ips, err := r.LookupIP(ctx, "ip4", host)
	if err != nil {
		return "", err
	}
	require.Len(t, ips, 1)
	return ips[0].String(), nil
}

func openDNS(t testing.TB) (*dnsServer, *testLink, *net.Resolver) {
	z := startDNS(t)
	f := openLink(t, z.addr, Config{Protocol: "dns"})
	return z, f, resolver(f.Addr())
}

func TestGoResolvesThroughAHealthyLink(t *testing.T) {
	z, f, r := openDNS(t)
	ip, err := resolve(t, r, "api.example.test.")
	require.NoError(t, err)
	assert.Equal(t, "192.0.2.1", ip)
	_, err = resolve(t, r, "api.example.com.")
	var none *net.DNSError
	require.ErrorAs(t, err, &none)
	assert.True(t, none.IsNotFound)
	assert.EqualValues(t, 2, z.udp.Load())
	assert.Empty(t, f.Events())
}

// One lost answer costs Go's resolver its full timeout of 5 s; then it retries and gets the address.
func TestLostAnswerCostsGoFiveSeconds(t *testing.T) {
	z, f, r := openDNS(t)
	count, _ := f.AddRule(t, message.Rule{Action: message.LoseRequest, Dir: message.ToClient, First: 1, Match: message.Match{Method: "A"}})
	began := time.Now()
	ip, err := resolve(t, r, "api.example.test.")
	took := time.Since(began)
	require.NoError(t, err)
	assert.Equal(t, "192.0.2.2", ip, "the second answer")
	assert.GreaterOrEqual(t, took, 4500*time.Millisecond)
	assert.EqualValues(t, 1, count.Tally().Affected)
	assert.EqualValues(t, 2, z.udp.Load())
	require.Len(t, f.Recorded(evidence.Applied), 1)
	event := f.Recorded(evidence.Applied)[0]
	assert.Equal(t, "A api.example.test", event.Op)
	assert.False(t, event.ToServer)
}

// DNS errors reach the application like those of a server, without a question to the server.
func TestDNSErrors(t *testing.T) {
	for code, want := range map[string]string{"SERVFAIL": "server misbehaving", "REFUSED": "server misbehaving", "NXDOMAIN": "no such host"} {
		t.Run(code, func(t *testing.T) {
			z, f, r := openDNS(t)
			count, heal := f.AddRule(t, message.Rule{Action: message.Answer, Code: code, Match: message.Match{Path: "*.example.test"}})
			_, err := resolve(t, r, "api.example.test.")
			var failed *net.DNSError
			require.ErrorAs(t, err, &failed)
			assert.Contains(t, failed.Error(), want)
			assert.Equal(t, code == "NXDOMAIN", failed.IsNotFound)
			assert.Zero(t, z.udp.Load())
			relaytest.WaitUntil(t, "it is reported", func() bool { return count.Tally().Affected > 0 })
			assert.Equal(t, "answered with "+code, f.Recorded(evidence.Applied)[0].Detail)
			to, from := f.CheckAccounts(t)
			assert.Equal(t, to.Dropped, from.Injected)
			heal()
			ip, err := resolve(t, r, "api.example.test.")
			require.NoError(t, err)
			assert.Equal(t, "192.0.2.1", ip)
		})
	}
}

// A truncated answer makes the client retry over TCP on the same port, where it gets the full answer.
func TestTruncatedAnswersAreRetriedOverTCP(t *testing.T) {
	z, f, r := openDNS(t)
	f.AddRule(t, message.Rule{Action: message.Answer, Code: "TC"})
	ip, err := resolve(t, r, "api.example.test.")
	require.NoError(t, err)
	assert.Equal(t, "192.0.2.0", ip, "no question came over UDP")
	assert.Zero(t, z.udp.Load())
	assert.EqualValues(t, 1, z.tcp.Load())
}

// An answer that is late or duplicated is ignored because of its ID: the next question gets its own answer.
func TestStaleAnswersAreIgnored(t *testing.T) {
	z, f, r := openDNS(t)
	twice, _ := f.AddRule(t, message.Rule{ID: "f1", Action: message.Twice, Dir: message.ToClient})
	asked, _ := f.AddRule(t, message.Rule{ID: "f2", Action: message.Twice})
	for i := range 5 {
		ip, err := resolve(t, r, "api.example.test.")
		require.NoError(t, err)
		assert.Contains(t, []string{fmt.Sprint("192.0.2.", 2*i+1), fmt.Sprint("192.0.2.", 2*i+2)}, ip)
		relaytest.WaitUntil(t, "the copy is answered too", func() bool { return z.udp.Load() == int64(2*i+2) })
	}
	relaytest.WaitUntil(t, "both questions and both answers are told as doubled", func() bool { return asked.Tally().Affected == 5 && twice.Tally().Affected == 10 })
}

// A corrupted question gets another answer or none, but never one that the client accepts, because the server
// repeats the question.
func TestCorruptedQuestions(t *testing.T) {
	z, f, _ := openDNS(t)
	f.AddRule(t, message.Rule{Action: message.Corrupt, Seed: 3})
	for range 20 {
		q := new(dns.Msg).SetQuestion("api.example.test.", dns.TypeA)
		raw, err := q.Pack()
		require.NoError(t, err)
		c := connect(t, f.Addr())
		c.send(string(raw))
		_ = c.SetReadDeadline(time.Now().Add(relaytest.Quiet / 4))
		n, err := c.Read(c.buf)
		if err != nil {
			continue // the server received no valid question
		}
		assert.Equal(t, raw[:2], c.buf[:2], "the header is kept")
		var a dns.Msg
		if a.Unpack(c.buf[:n]) == nil && len(a.Question) > 0 {
			assert.NotEqual(t, q.Question[0], a.Question[0])
		}
	}
	_ = z
}

// A cut also affects TCP.
func TestCutOffDNS(t *testing.T) {
	z, f, _ := openDNS(t)
	heal, err := f.CutOff(link.Cut{On: link.On{ID: "f"}})
	require.NoError(t, err)
	c := &dns.Client{Net: "tcp", Timeout: relaytest.Quiet}
	q := new(dns.Msg).SetQuestion("api.example.test.", dns.TypeA)
	_, _, err = c.Exchange(q, f.Addr())
	require.Error(t, err)
	require.NoError(t, heal(t.Context()))
	c.Timeout = relaytest.Patience
	_, _, err = c.Exchange(q, f.Addr())
	require.NoError(t, err)
	assert.Zero(t, z.udp.Load())
}

func TestReadDNS(t *testing.T) {
	pack := func(m *dns.Msg) []byte {
		raw, err := m.Pack()
		require.NoError(t, err)
		return raw
	}
	question := new(dns.Msg).SetQuestion("Api.Example.TEST.", dns.TypeSRV)
	for want, raw := range map[string][]byte{
		"SRV api.example.test":    pack(question),
		"NS .":                    pack(new(dns.Msg).SetQuestion(".", dns.TypeNS)),
		"TYPE65400 a.b":           pack(new(dns.Msg).SetQuestion("a.b.", 65400)),
		"A x":                     pack(new(dns.Msg).SetReply(new(dns.Msg).SetQuestion("x.", dns.TypeA))),
		"datagram that is no DNS": pack(new(dns.Msg)),
	} {
		var d message.Message
		readDNS(raw, &d)
		assert.Equal(t, want, d.Op)
	}
	whole := pack(question)
	for n := range whole {
		var d message.Message
		readDNS(whole[:n], &d)
		assert.Equal(t, "datagram that is no DNS", d.Op, n)
		_, err := answerDNS(whole[:n], "SERVFAIL")
		assert.True(t, errors.Is(err, errNoQuestion) || n == 0, n)
	}
}

// A question with EDNS is answered with EDNS; an answer is not answered.
func TestAnswerDNS(t *testing.T) {
	q := new(dns.Msg).SetQuestion("a.test.", dns.TypeA)
	q.SetEdns0(1232, true)
	q.RecursionDesired = true
	raw, err := q.Pack()
	require.NoError(t, err)
	reply, err := answerDNS(raw, "REFUSED")
	require.NoError(t, err)
	var a dns.Msg
	require.NoError(t, a.Unpack(reply))
	assert.Equal(t, dns.RcodeRefused, a.Rcode)
	assert.Equal(t, q.Id, a.Id)
	assert.Equal(t, q.Question, a.Question)
	assert.True(t, a.Response && a.RecursionDesired && a.RecursionAvailable && !a.Truncated)
	require.NotNil(t, a.IsEdns0())
	assert.EqualValues(t, 1232, a.IsEdns0().UDPSize())
	_, err = answerDNS(reply, "REFUSED")
	require.ErrorIs(t, err, errNoQuestion)

	f := openLink(t, "127.0.0.1:9", Config{Protocol: "dns"})
	_, err = f.Add(message.Rule{ID: "f", Action: message.Answer, Code: "BUSY"})
	require.ErrorContains(t, err, `no answer "BUSY" here: write one of SERVFAIL, NXDOMAIN, REFUSED, TC`)
}

// A datagram that is not a question cannot be answered, and is forwarded.
func TestNonQuestionsAreNotAnswered(t *testing.T) {
	server := serve(t)
	f := openLink(t, server.addr(), Config{Protocol: "dns"})
	f.AddRule(t, message.Rule{Action: message.Answer, Code: "SERVFAIL"})
	connect(t, f.Addr()).send("hello")
	server.expect("hello")
	require.Len(t, f.Recorded(evidence.Skipped), 1)
	assert.Equal(t, errNoQuestion.Error(), f.Recorded(evidence.Skipped)[0].Detail)
}
