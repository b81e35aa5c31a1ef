package message

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// flowCount reads frames until a condition holds, and counts the DATA bytes and connection credit received.
type flowCount struct{ data, credit int }

func (c *flowCount) until(p *h2peer, ok func() bool) {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(patience)))
	for !ok() {
		f, err := p.ReadFrame()
		require.NoError(p.t, err, "%+v", c)
		switch f := f.(type) {
		case *http2.DataFrame:
			c.data += int(f.Length)
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				c.credit += int(f.Increment)
			}
		case *http2.GoAwayFrame:
			p.goAway = &http2.GoAwayFrame{FrameHeader: f.FrameHeader, LastStreamID: f.LastStreamID}
		default:
			p.handleFrame(f)
		}
	}
}

func (c *flowCount) none(p *h2peer) {
	p.t.Helper()
	before := *c
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(quiet)))
	for {
		f, err := p.ReadFrame()
		if err != nil {
			break
		}
		if _, ok := f.(*http2.SettingsFrame); !ok {
			require.Fail(p.t, "something came", "%v after %+v", f, before)
		}
	}
}

// Held data is credited to its sender, so that other streams continue. It is sent as far as the receiver's
// windows permit, and the receiver's credit for it is not forwarded a second time.
func TestH2HeldBytesNeitherStarveNorOverrun(t *testing.T) {
	const n = 60000 // of the initial window of 65535
	for _, padded := range []bool{false, true} {
		t.Run(fmt.Sprintf("padded=%v", padded), func(t *testing.T) {
			s := startScript(t)
			f := openLink(t, s.addr, Config{})
			_, heal := f.addRule(t, Rule{Action: Delay, By: time.Hour, Match: charge})
			client := connectH2(t, f.addr)
			server := s.acceptH2(t)
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
			cost := write(client.openStream("POST", "/charge", false))
			atClient.until(client, func() bool { return atClient.credit == cost })
			assert.Zero(t, atServer.data)
			assert.Equal(t, cost, write(client.openStream("POST", "/other", false)))
			atServer.until(server, func() bool { return atServer.data == cost })
			atClient.none(client)
			heal() // the held bytes get the rest of the window
			atServer.until(server, func() bool { return atServer.data == 65535 })
			atServer.none(server)
			require.NoError(t, server.WriteWindowUpdate(0, uint32(cost))) //nolint:gosec // small
			atServer.until(server, func() bool { return atServer.data == cost+n })
			require.NoError(t, server.WriteWindowUpdate(0, n))
			atClient.until(client, func() bool { return atClient.credit == 2*cost }) // credit for all that was sent, once
			atClient.none(client)
		})
	}
}

// The same for answers that are held and answers that are dropped.
func TestH2HeldAnswersDoNotStarveOtherStreams(t *testing.T) {
	const n = 60000
	for _, then := range []Ending{EndHeld, EndSilence} {
		t.Run(string(then), func(t *testing.T) {
			s := startScript(t)
			f := openLink(t, s.addr, Config{})
			_, heal := f.addRule(t, Rule{Action: LoseReply, EndWith: then, Match: charge})
			client := connectH2(t, f.addr)
			server := s.acceptH2(t)
			var atClient, atServer flowCount
			answer := func(id uint32) {
				require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: server.fields(":status: 200"), EndHeaders: true}))
				for left := n; left > 0; left -= 12000 {
					require.NoError(t, server.WriteData(id, left == 12000, make([]byte, 12000)))
				}
			}
			first, second := client.request("POST", "/charge", ""), client.request("POST", "/other", "")
			server.requests(2)
			answer(first)
			atServer.until(server, func() bool { return atServer.credit == n })
			answer(second)
			atClient.until(client, func() bool { return atClient.data == n })
			atServer.none(server)
			require.NoError(t, client.WriteWindowUpdate(0, n))
			atServer.until(server, func() bool { return atServer.credit == 2*n })
			heal()
			if then == EndHeld {
				atClient.until(client, func() bool { return atClient.data == 2*n })
				require.NoError(t, client.WriteWindowUpdate(0, n))
			}
			atServer.none(server)
			f.checkAccounts(t)
		})
	}
}

// The server's GOAWAY applies only to streams it knows: a held stream is delivered on a connection of its own.
func TestH2GoAwayWhileStreamsAreHeld(t *testing.T) {
	s := startScript(t)
	f := openLink(t, s.addr, Config{})
	_, heal := f.addRule(t, Rule{Action: LoseRequest, EndWith: EndHeld, Match: charge})
	client := connectH2(t, f.addr)
	server := s.acceptH2(t)
	held := client.request("POST", "/charge", "x")
	passed := client.request("POST", "/other", "x")
	require.Equal(t, []uint32{3}, server.requests(1))
	require.NoError(t, server.WriteGoAway(3, http2.ErrCodeNo, nil))
	server.respond(3, "200", "ok")
	assert.Equal(t, "200 ok", client.response(passed).String())
	assert.EqualValues(t, 3, client.goAway.LastStreamID)
	heal()
	again := s.acceptH2(t)
	again.respond(again.requests(1)[0], "200", "done")
	assert.Equal(t, "200 done", client.response(held).String())
	client.reset()
}

// If a caller gives up, its server is informed, unless the call must be completed.
func TestH2CallersGivingUp(t *testing.T) {
	for name, row := range map[string]struct {
		rule     Rule
		answer   bool // the server answers afterwards
		notified bool // about the cancellation
	}{
		"no rule":             {Rule{Action: LoseReply, Match: Match{Path: "/none"}}, false, true},
		"its reply is lost":   {Rule{Action: LoseReply, EndWith: EndSilence}, true, false},
		"its second is given": {Rule{Action: Twice, Second: true}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t)
			f := openLink(t, s.addr, Config{})
			count, _ := f.addRule(t, row.rule)
			client := connectH2(t, f.addr)
			server := s.acceptH2(t)
			id := client.request("POST", "/charge", "x")
			server.requests(1)
			require.NoError(t, client.WriteRSTStream(id, http2.ErrCodeCancel))
			how := server.readUntil(2*quiet, func() bool { return server.responses[id].wasReset })
			assert.Equal(t, row.notified, how == "")
			if row.answer {
				assert.Zero(t, count.Tally().Affected)
				server.respond(id, "200", "done")
				if row.rule.Action == Twice {
					copied := s.acceptH2(t)
					copied.requests(1)
					copied.respond(1, "409", "twice")
				}
				waitUntil(t, "it is counted", func() bool { return count.Tally().Affected == 1 })
			}
			waitUntil(t, "the call is told", func() bool { return len(f.finishedCalls()) == 1 })
			assert.Equal(t, Call{Op: "POST /charge", GaveUp: true, Affected: row.answer}, withoutTimes(f.finishedCalls()[0]))
			client.reset()
		})
	}
}

// A truncated answer is the upstream's own failure, and is forwarded as such.
func TestH2TruncatedAnswerIsNotCountedAsLost(t *testing.T) {
	for _, then := range []Ending{EndSilence, EndHeld} {
		s := startScript(t)
		f := openLink(t, s.addr, Config{})
		count, _ := f.addRule(t, Rule{Action: LoseReply, EndWith: then})
		client := connectH2(t, f.addr)
		server := s.acceptH2(t)
		id := client.request("POST", "/charge", "x")
		server.requests(1)
		require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: server.fields(":status: 200"), EndHeaders: true}))
		require.NoError(t, server.WriteData(id, false, []byte("do")))
		require.NoError(t, server.WriteRSTStream(id, http2.ErrCodeInternal))
		h := client.response(id)
		assert.Equal(t, []any{true, http2.ErrCodeInternal}, []any{h.wasReset, h.reset})
		waitUntil(t, "the call is told", func() bool { return len(f.finishedCalls()) == 1 })
		assert.Zero(t, count.Tally().Affected)
		assert.Empty(t, f.recorded(evidence.Applied))
		f.checkAccounts(t)
	}
}

// Large messages are skipped and pass; so do messages that may be endless.
func TestH2LargeAndEndlessMessagesPass(t *testing.T) {
	for name, row := range map[string]struct {
		rule Rule
		why  string
		body string
		end  bool
	}{
		"large":       {Rule{Action: Twice}, "too large: more than 1024 bytes", strings.Repeat("x", 5000), true},
		"endless":     {Rule{Action: Twice}, "stream", "some", false},
		"large, held": {Rule{Action: LoseRequest, EndWith: EndHeld}, "too large: more than 1024 bytes", strings.Repeat("x", 5000), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t)
			f := openLink(t, s.addr, Config{Whole: 1024})
			late, _ := f.addRule(t, Rule{ID: "fault-0", Action: Delay, By: time.Millisecond})
			count, _ := f.addRule(t, row.rule)
			client := connectH2(t, f.addr)
			server := s.acceptH2(t)
			id := client.openStream("POST", "/charge", false)
			require.NoError(t, client.WriteData(id, row.end, []byte(row.body)))
			waitUntil(t, "it is skipped", func() bool { return len(f.recorded(evidence.Skipped)) == 1 })
			if !row.end {
				require.NoError(t, client.WriteData(id, true, []byte(" more")))
				row.body += " more"
			}
			require.Equal(t, []uint32{id}, server.requests(1))
			assert.Equal(t, row.body, server.responses[id].body)
			server.respond(id, "200", "ok")
			assert.Equal(t, "200 ok", client.response(id).String())
			assert.Equal(t, row.why, f.recorded(evidence.Skipped)[0].Detail)
			assert.EqualValues(t, 1, late.Tally().Affected)
			assert.Zero(t, count.Tally().Affected)
			waitUntil(t, "the call is told", func() bool { return len(f.finishedCalls()) == 1 })
			assert.Equal(t, Call{Op: "POST /charge", Status: 200, Affected: true, Skipped: row.why}, withoutTimes(f.finishedCalls()[0]))
		})
	}
}

// Once a rule has acted, input that cannot be parsed cannot be passed through: both sides of the connection are
// closed.
func TestH2InvalidInputAfterFaultEndsConnection(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		s := startScript(t)
		f := openLink(t, s.addr, Config{})
		f.addRule(t, Rule{Action: Answer, Status: 500, Match: charge})
		client := connectH2(t, f.addr)
		server := s.acceptH2(t)
		client.response(client.request("POST", "/charge", "x"))
		from := client
		if who == "server" {
			from = server
		}
		require.NoError(t, from.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 9, []byte{0xff}))
		assert.Equal(t, "reset", client.readUntil(patience, nil))
		assert.NotEqual(t, "silence", server.readUntil(patience, nil))
		waitUntil(t, "it is told", func() bool { return len(f.finishedCalls()) == 2 })
		assert.Equal(t, "not understood as HTTP/2", f.finishedCalls()[1].Skipped)
	}
}
