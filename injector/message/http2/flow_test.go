package http2_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
	ours "github.com/firedrill-dev/firedrill/injector/message/http2"
)

// flowCount reads frames until a condition holds, and counts the DATA bytes and connection credit received.
type flowCount struct{ data, Credit int }

func (c *flowCount) until(p *relaytest.HTTP2Peer, ok func() bool) {
	p.T.Helper()
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(relaytest.Patience)))
	for !ok() {
		f, err := p.ReadFrame()
		require.NoError(p.T, err, "%+v", c)
		switch f := f.(type) {
		case *http2.DataFrame:
			c.data += int(f.Length)
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				c.Credit += int(f.Increment)
			}
		case *http2.GoAwayFrame:
			p.GoAway = &http2.GoAwayFrame{FrameHeader: f.FrameHeader, LastStreamID: f.LastStreamID}
		default:
			p.HandleFrame(f)
		}
	}
}

func (c *flowCount) none(p *relaytest.HTTP2Peer) {
	p.T.Helper()
	before := *c
	require.NoError(p.T, p.SetReadDeadline(time.Now().Add(relaytest.Quiet)))
	for {
		f, err := p.ReadFrame()
		if err != nil {
			break
		}
		if _, ok := f.(*http2.SettingsFrame); !ok {
			require.Fail(p.T, "something came", "%v after %+v", f, before)
		}
	}
}

// Held data is credited to its sender, so that other streams continue. It is sent as far as the receiver's
// windows permit, and the receiver's credit for it is not forwarded a second time.
func TestH2HeldBytesNeitherStarveNorOverrun(t *testing.T) {
	const n = 60000 // of the initial window of 65535
	for _, padded := range []bool{false, true} {
		t.Run(fmt.Sprintf("padded=%v", padded), func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			_, heal := f.AddRule(t, message.Rule{Action: message.Delay, By: time.Hour, Match: relaytest.Charge})
			client := relaytest.ConnectHTTP2(t, f.Addr)
			server := s.AcceptHTTP2(t)
			var atClient, atServer flowCount
			write := func(id uint32) (cost int) {
				for left := n; left > 0; {
					part := min(left, 12000)
					left -= part
					if padded {
						require.NoError(t, client.WriteDataPadded(id, left == 0, make([]byte, part), make([]byte, 100)))
						cost += part + 101
					} else {
						require.NoError(t, client.WriteData(id, left == 0, make([]byte, part)))
						cost += part
					}
				}
				return cost
			}
			cost := write(client.OpenStream("POST", "/charge", false))
			atClient.until(client, func() bool { return atClient.Credit == cost })
			assert.Zero(t, atServer.data)
			assert.Equal(t, cost, write(client.OpenStream("POST", "/other", false)))
			atServer.until(server, func() bool { return atServer.data == cost })
			atClient.none(client)
			heal() // the held bytes get the rest of the window
			atServer.until(server, func() bool { return atServer.data == 65535 })
			atServer.none(server)
			require.NoError(t, server.WriteWindowUpdate(0, uint32(cost))) //nolint:gosec // small
			atServer.until(server, func() bool { return atServer.data == cost+n })
			require.NoError(t, server.WriteWindowUpdate(0, n))
			atClient.until(client, func() bool { return atClient.Credit == 2*cost }) // credit for all that was sent, once
			atClient.none(client)
		})
	}
}

// The same for answers that are held and answers that are dropped.
func TestH2HeldAnswersDoNotStarveOtherStreams(t *testing.T) {
	const n = 60000
	for _, then := range []message.Ending{message.EndHeld, message.EndSilence} {
		t.Run(string(then), func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			_, heal := f.AddRule(t, message.Rule{Action: message.LoseReply, EndWith: then, Match: relaytest.Charge})
			client := relaytest.ConnectHTTP2(t, f.Addr)
			server := s.AcceptHTTP2(t)
			var atClient, atServer flowCount
			answer := func(id uint32) {
				require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: server.EncodeFields(":status: 200"), EndHeaders: true}))
				for left := n; left > 0; left -= 12000 {
					require.NoError(t, server.WriteData(id, left == 12000, make([]byte, 12000)))
				}
			}
			first, second := client.Request("POST", "/charge", ""), client.Request("POST", "/other", "")
			server.Requests(2)
			answer(first)
			atServer.until(server, func() bool { return atServer.Credit == n })
			answer(second)
			atClient.until(client, func() bool { return atClient.data == n })
			atServer.none(server)
			require.NoError(t, client.WriteWindowUpdate(0, n))
			atServer.until(server, func() bool { return atServer.Credit == 2*n })
			heal()
			if then == message.EndHeld {
				atClient.until(client, func() bool { return atClient.data == 2*n })
				require.NoError(t, client.WriteWindowUpdate(0, n))
			}
			atServer.none(server)
			f.CheckAccounts(t)
		})
	}
}

// The server's GOAWAY applies only to streams it knows: a held stream is delivered on a connection of its own.
func TestH2GoAwayWhileStreamsAreHeld(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	_, heal := f.AddRule(t, message.Rule{Action: message.LoseRequest, EndWith: message.EndHeld, Match: relaytest.Charge})
	client := relaytest.ConnectHTTP2(t, f.Addr)
	server := s.AcceptHTTP2(t)
	held := client.Request("POST", "/charge", "x")
	passed := client.Request("POST", "/other", "x")
	require.Equal(t, []uint32{3}, server.Requests(1))
	require.NoError(t, server.WriteGoAway(3, http2.ErrCodeNo, nil))
	server.Respond(3, "200", "ok")
	assert.Equal(t, "200 ok", client.Response(passed).String())
	assert.EqualValues(t, 3, client.GoAway.LastStreamID)
	heal()
	again := s.AcceptHTTP2(t)
	again.Respond(again.Requests(1)[0], "200", "done")
	assert.Equal(t, "200 done", client.Response(held).String())
	client.Reset()
}

// If a caller gives up, its server is informed, unless the call must be completed.
func TestH2CallersGivingUp(t *testing.T) {
	for name, row := range map[string]struct {
		rule     message.Rule
		answer   bool // the server answers afterwards
		notified bool // about the cancellation
	}{
		"no rule":             {message.Rule{Action: message.LoseReply, Match: message.Match{Path: "/none"}}, false, true},
		"its reply is lost":   {message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, true, false},
		"its second is given": {message.Rule{Action: message.Twice, Second: true}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			count, _ := f.AddRule(t, row.rule)
			client := relaytest.ConnectHTTP2(t, f.Addr)
			server := s.AcceptHTTP2(t)
			id := client.Request("POST", "/charge", "x")
			server.Requests(1)
			require.NoError(t, client.WriteRSTStream(id, http2.ErrCodeCancel))
			within := relaytest.Quiet
			if row.notified {
				within = relaytest.Patience
			}
			how := server.ReadUntil(within, func() bool { return server.Responses[id].WasReset })
			assert.Equal(t, row.notified, how == "")
			if row.answer {
				assert.Zero(t, count.Tally().Affected)
				server.Respond(id, "200", "done")
				if row.rule.Action == message.Twice {
					copied := s.AcceptHTTP2(t)
					copied.Requests(1)
					copied.Respond(1, "409", "twice")
				}
				relaytest.WaitUntil(t, "it is counted", func() bool { return count.Tally().Affected == 1 })
			}
			relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
			assert.Equal(t, message.Call{Op: "POST /charge", GaveUp: true, Affected: row.answer}, relaytest.WithoutTimes(f.FinishedCalls()[0]))
			client.Reset()
		})
	}
}

// A truncated answer is the upstream's own failure, and is forwarded as such.
func TestH2TruncatedAnswerIsNotCountedAsLost(t *testing.T) {
	for _, then := range []message.Ending{message.EndSilence, message.EndHeld} {
		s := relaytest.StartScript(t)
		f := relaytest.OpenLink(t, s.Addr, message.Config{})
		count, _ := f.AddRule(t, message.Rule{Action: message.LoseReply, EndWith: then})
		client := relaytest.ConnectHTTP2(t, f.Addr)
		server := s.AcceptHTTP2(t)
		id := client.Request("POST", "/charge", "x")
		server.Requests(1)
		require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: server.EncodeFields(":status: 200"), EndHeaders: true}))
		require.NoError(t, server.WriteData(id, false, []byte("do")))
		require.NoError(t, server.WriteRSTStream(id, http2.ErrCodeInternal))
		h := client.Response(id)
		assert.Equal(t, []any{true, http2.ErrCodeInternal}, []any{h.WasReset, h.Reset})
		relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
		assert.Zero(t, count.Tally().Affected)
		assert.Empty(t, f.Recorded(evidence.Applied))
		f.CheckAccounts(t)
	}
}

// Large messages are skipped and pass; so do messages that may be endless.
func TestH2LargeAndEndlessMessagesPass(t *testing.T) {
	for name, row := range map[string]struct {
		rule message.Rule
		why  string
		body string
		end  bool
	}{
		"large":       {message.Rule{Action: message.Twice}, "too large: more than 1,024 bytes", strings.Repeat("x", 5000), true},
		"endless":     {message.Rule{Action: message.Twice}, "stream", "some", false},
		"large, held": {message.Rule{Action: message.LoseRequest, EndWith: message.EndHeld}, "too large: more than 1,024 bytes", strings.Repeat("x", 5000), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := relaytest.StartScript(t)
			relaytest.Set(t, ours.MaxBuffered, 1024)
			f := relaytest.OpenLink(t, s.Addr, message.Config{})
			late, _ := f.AddRule(t, message.Rule{ID: "fault-0", Action: message.Delay, By: time.Millisecond})
			count, _ := f.AddRule(t, row.rule)
			client := relaytest.ConnectHTTP2(t, f.Addr)
			server := s.AcceptHTTP2(t)
			id := client.OpenStream("POST", "/charge", false)
			require.NoError(t, client.WriteData(id, row.end, []byte(row.body)))
			relaytest.WaitUntil(t, "it is skipped", func() bool { return len(f.Recorded(evidence.Skipped)) == 1 })
			if !row.end {
				require.NoError(t, client.WriteData(id, true, []byte(" more")))
				row.body += " more"
			}
			require.Equal(t, []uint32{id}, server.Requests(1))
			assert.Equal(t, row.body, server.Responses[id].Body)
			server.Respond(id, "200", "ok")
			assert.Equal(t, "200 ok", client.Response(id).String())
			assert.Equal(t, row.why, f.Recorded(evidence.Skipped)[0].Detail)
			assert.EqualValues(t, 1, late.Tally().Affected)
			assert.Zero(t, count.Tally().Affected)
			relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
			assert.Equal(t, message.Call{Op: "POST /charge", Status: 200, Affected: true, Skipped: row.why}, relaytest.WithoutTimes(f.FinishedCalls()[0]))
		})
	}
}

// Once a rule has acted, input that cannot be parsed cannot be passed through: both sides of the connection are
// closed.
func TestH2InvalidInputAfterFaultEndsConnection(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		s := relaytest.StartScript(t)
		f := relaytest.OpenLink(t, s.Addr, message.Config{})
		f.AddRule(t, message.Rule{Action: message.Answer, Status: 500, Match: relaytest.Charge})
		client := relaytest.ConnectHTTP2(t, f.Addr)
		server := s.AcceptHTTP2(t)
		client.Response(client.Request("POST", "/charge", "x"))
		from := client
		if who == "server" {
			from = server
		}
		require.NoError(t, from.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 9, []byte{0xff}))
		assert.Equal(t, "reset", client.ReadUntil(relaytest.Patience, nil))
		assert.NotEqual(t, "silence", server.ReadUntil(relaytest.Patience, nil))
		relaytest.WaitUntil(t, "it is reported", func() bool { return len(f.FinishedCalls()) == 2 })
		assert.Equal(t, "not understood as HTTP/2", f.FinishedCalls()[1].Skipped)
	}
}
