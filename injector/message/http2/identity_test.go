package http2_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestH2WithoutRulesBytesAreUnchanged(t *testing.T) {
	for _, c := range relaytest.HTTP2Corpus() {
		for _, protocol := range []string{"http", "grpc"} {
			for _, single := range []bool{false, true} {
				if single && len(c.Lines) > 2 && len(c.Lines[2].Text) > 100<<10 {
					continue
				}
				for _, first := range []string{"client", "server"} {
					t.Run(fmt.Sprintf("%s/%s/single=%v/%s ends", c.Name, protocol, single, first), func(t *testing.T) {
						s := relaytest.StartScript(t)
						f := relaytest.OpenLinkFor(t, protocol, s.Addr, message.Config{})
						f.AddRule(t, message.Rule{Action: message.LoseRequest, Match: message.Match{Path: "/none"}})
						client := relaytest.Connect(t, f.Addr)
						server := s.Accept(t)
						relaytest.Play(client, server, c.Lines, single)
						if first == "client" {
							relaytest.CloseBoth(client, server)
						} else {
							relaytest.CloseBoth(server, client)
						}
						reported := slices.ContainsFunc(f.FinishedCalls(), func(c message.Call) bool { return c.Skipped != "" })
						assert.Equal(t, c.Odd, reported, "what cannot be followed is reported")
					})
				}
			}
		}
	}
}

// A server may send SETTINGS before the client sends anything, and the client may then send anything.
func TestH2ServerMaySendFirst(t *testing.T) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	for _, single := range []bool{false, true} {
		for _, first := range []string{relaytest.Preface + settings, relaytest.HTTPRequest("GET", "/a"), "\x16\x03\x01"} {
			client, server := relaytest.ConnPair(t)
			relaytest.Play(client, server, []relaytest.Turn{{From: "<", Text: settings}, {From: ">", Text: first}, {From: "<", Text: settings}, {From: ">", Text: settings}}, single)
			relaytest.CloseBoth(client, server)
		}
	}
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.Answer, Status: 503})
	p := relaytest.NewHTTP2Peer(relaytest.Connect(t, f.Addr))
	server := s.Accept(t)
	server.Send(settings, false)
	p.Expect(settings)
	p.Send(relaytest.Preface, false)
	require.NoError(t, p.WriteSettings())
	assert.Contains(t, p.Response(p.Request("GET", "/a", "")).String(), "503", "and faults act all the same")
}

// A client that disconnects without sending anything is not reported.
func TestH2ClientThatSendsNothingIsNotReported(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		s := relaytest.StartScript(t)
		f := relaytest.OpenLinkFor(t, protocol, s.Addr, message.Config{})
		client := relaytest.Connect(t, f.Addr)
		server := s.Accept(t)
		relaytest.Play(client, server, relaytest.Turns("<\x00\x00\x00\x04\x00\x00\x00\x00\x00"), false)
		relaytest.CloseBoth(client, server)
		assert.Empty(t, f.FinishedCalls())
	}
}

// Half-closes and resets within frames are forwarded as such.
func TestH2ConnectionEndsAreForwarded(t *testing.T) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	hello := relaytest.Preface + settings
	for name, tail := range map[string]string{
		"at once": "", "in a frame's head": "\x00\x00\x05\x00\x01", "in DATA": "\x00\x00\x05\x00\x01\x00\x00\x00\x01hel", "in headers": "\x00\x00\x05\x01\x05\x00\x00\x00\x01\x82\x84",
		"between headers": "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82", "in a continuation": "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82\x00\x00\x04\x09\x04\x00\x00\x00\x01\x84",
	} {
		for _, reset := range []bool{false, true} {
			for _, who := range []string{"client", "server"} {
				t.Run(fmt.Sprintf("%s/%s/reset=%v", name, who, reset), func(t *testing.T) {
					client, server := relaytest.ConnPair(t)
					relaytest.Play(client, server, []relaytest.Turn{{From: ">", Text: hello}, {From: "<", Text: settings}}, false)
					a, b := client, server
					if who == "server" {
						a, b = server, client
					}
					a.Send(tail, false)
					if reset {
						a.Reset()
						_, how := b.ReadToEnd(relaytest.Patience)
						assert.Equal(t, "reset", how)
						return
					}
					require.NoError(t, a.CloseWrite())
					got, how := b.ReadToEnd(relaytest.Patience)
					assert.Equal(t, []string{tail, "closed"}, []string{got, how})
					b.Send("the other half still speaks", false)
					require.NoError(t, b.CloseWrite())
					got, how = a.ReadToEnd(relaytest.Patience)
					assert.Equal(t, []string{"the other half still speaks", "closed"}, []string{got, how})
				})
			}
		}
	}
}

// If the client on a gRPC link uses another protocol, its traffic passes and is reported.
func TestGRPCOtherProtocolsPass(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns(">"+relaytest.HTTPRequest("GET", "/a"), "<"+relaytest.OK, ">"+relaytest.HTTPRequest("GET", "/b"), "<"+relaytest.OK), false)
	relaytest.CloseBoth(client, server)
	relaytest.WaitUntil(t, "it is reported", func() bool { return len(f.FinishedCalls()) == 1 })
	assert.Equal(t, "not understood as HTTP/2", f.FinishedCalls()[0].Skipped)
}

// net/http's client and server, with large bodies in both directions at once on one connection.
func TestH2LargeBodiesBothWays(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	client := relaytest.HTTP2Client(t)
	body := make([]byte, 4<<20)
	for i := range body {
		body[i] = byte(rand.Uint32()) //nolint:gosec // test data
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			res, err := client.Post("http://"+f.Addr+"/large", "", bytes.NewReader(body))
			if assert.NoError(t, err) {
				n, err := io.Copy(io.Discard, res.Body)
				assert.NoError(t, err)
				assert.EqualValues(t, 1<<20, n)
				assert.Equal(t, http.StatusOK, res.StatusCode)
				_ = res.Body.Close()
			}
		})
	}
	all.Wait()
	assert.Equal(t, slices.Repeat([]string{"POST /large 4194304"}, 4), s.Executed())
}
