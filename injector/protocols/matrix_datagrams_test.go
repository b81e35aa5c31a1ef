package protocols_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
)

// datagramClient is a client of a protocol over UDP.
type datagramClient struct {
	*net.UDPConn
	*backend
	t    *testing.T
	text func(key string) string // the message; nil for DNS
	key  string
}

// connectDatagrams returns a function that connects a client whose messages have no answers.
func connectDatagrams(text func(key string) string) func(t *testing.T, addr, key string, b *backend) conversation {
	return func(t *testing.T, addr, key string, b *backend) conversation {
		return &datagramClient{UDPConn: dialUDP(t, addr), backend: b, t: t, key: key, text: text}
	}
}

func dialUDP(t *testing.T, addr string) *net.UDPConn {
	c, err := net.Dial("udp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.UDPConn)
}

func (c *datagramClient) warm() {
	text := c.text("warm" + c.key)
	before := c.executed(text)
	_, err := c.Write([]byte(text))
	require.NoError(c.t, err)
	relaytest.WaitUntil(c.t, "it is received", func() bool { return c.executed(text) == before+1 })
}

func (c *datagramClient) send() error {
	_, err := c.Write([]byte(c.text(c.key)))
	return err
}

func (c *datagramClient) arrived() int { return c.executed(c.text(c.key)) }

func (c *datagramClient) answer() string {
	require.FailNow(c.t, "these messages have no answer")
	return ""
}

func (c *datagramClient) ending(within time.Duration) string {
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(within)))
	n, err := c.Read(make([]byte, 64<<10))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silence"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	}
	return fmt.Sprintf("%d bytes, %v", n, err)
}

func (c *datagramClient) leave(bool) { _ = c.Close() }

// dnsClient asks for addresses, and counts the questions at the server.
type dnsClient struct {
	datagramClient
	lastID, counted uint16            // IDs: of any question, and of the last one that is counted
	answers         map[uint16]string // the first answers, by ID
	received        int               // answers to questions that are counted
}

func connectDNS(t *testing.T, addr, key string, b *backend) conversation {
	return newDNS(t, addr, key, b)
}

func newDNS(t *testing.T, addr, key string, b *backend) *dnsClient {
	return &dnsClient{datagramClient: datagramClient{UDPConn: dialUDP(t, addr), backend: b, t: t, key: key}, answers: map[uint16]string{}}
}

func dnsName(key string) string { return key + ".count.test." }

// ask sends a question with an ID of its own.
func (c *dnsClient) ask(name string) error {
	c.lastID++
	q := dnsmessage.Message{Header: dnsmessage.Header{ID: c.lastID, RecursionDesired: true}, Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	text, err := q.Pack()
	require.NoError(c.t, err)
	_, err = c.Write(text)
	return err
}

func (c *dnsClient) warm() {
	require.NoError(c.t, c.ask("warm.test."))
	c.answerTo(c.lastID)
}

func (c *dnsClient) send() error {
	c.counted = c.lastID + 1
	return c.ask(dnsName(c.key))
}

func (c *dnsClient) arrived() int { return c.executed(dnsName(c.key)) }

func (c *dnsClient) answer() string { return c.answerTo(c.counted) }

// answerTo ignores answers to other questions, as resolvers do.
func (c *dnsClient) answerTo(id uint16) string {
	for c.answers[id] == "" {
		require.NoError(c.t, c.receive(relaytest.Patience))
	}
	return c.answers[id]
}

// receive reads one answer.
func (c *dnsClient) receive(within time.Duration) error {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	if err != nil {
		return err
	}
	var m dnsmessage.Message
	require.NoError(c.t, m.Unpack(buf[:n]))
	if m.Questions[0].Name.String() == dnsName(c.key) {
		c.received++
	}
	switch {
	case c.answers[m.ID] != "":
	case m.RCode != dnsmessage.RCodeSuccess:
		c.answers[m.ID] = "error"
	default:
		c.answers[m.ID] = fmt.Sprint(m.Answers[0].Body.(*dnsmessage.AResource).A[3])
	}
	return nil
}

// dnsAnswers is a client whose messages are the answers: it counts what it receives.
type dnsAnswers struct{ *dnsClient }

func connectDNSAnswers(t *testing.T, addr, key string, b *backend) conversation {
	return &dnsAnswers{newDNS(t, addr, key, b)}
}

func (c *dnsAnswers) arrived() int {
	_ = c.receive(time.Millisecond) // nothing may have come, or the client has disconnected
	return c.received
}
