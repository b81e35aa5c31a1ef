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

// counted reads frames until ok, and adds up what DATA and credit of the connection came.
type counted struct{ data, credit int }

func (c *counted) until(p *h2peer, ok func() bool) {
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
			p.gone = &http2.GoAwayFrame{FrameHeader: f.FrameHeader, LastStreamID: f.LastStreamID}
		default:
			p.hear(f)
		}
	}
}

func (c *counted) none(p *h2peer) {
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

// What is kept is credited to its sender, so that the others go on; it leaves as the receiver's windows let it; and the receiver's credit for it is not
// given a second time.
func TestH2KeptBytesStarveNobodyAndOverrunNothing(t *testing.T) {
	const n = 60000 // of the 65535 that a receiver gives at first
	for _, padded := range []bool{false, true} {
		t.Run(fmt.Sprintf("padded=%v", padded), func(t *testing.T) {
			s := play(t)
			f := open(t, s.addr, Config{})
			_, heal := f.live(t, Rule{Do: Delay, By: time.Hour, Match: charge})
			client := connectH2(t, f.addr)
			server := s.meetH2(t)
			var atClient, atServer counted
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
			cost := write(client.open("POST", "/charge", false))
			atClient.until(client, func() bool { return atClient.credit == cost })
			assert.Zero(t, atServer.data)
			assert.Equal(t, cost, write(client.open("POST", "/other", false)))
			atServer.until(server, func() bool { return atServer.data == cost })
			atClient.none(client)
			heal() // the kept bytes have what is left of the window
			atServer.until(server, func() bool { return atServer.data == 65535 })
			atServer.none(server)
			require.NoError(t, server.WriteWindowUpdate(0, uint32(cost))) //nolint:gosec // small
			atServer.until(server, func() bool { return atServer.data == cost+n })
			require.NoError(t, server.WriteWindowUpdate(0, n))
			atClient.until(client, func() bool { return atClient.credit == 2*cost }) // all that it has said, and once
			atClient.none(client)
		})
	}
}

// The same for an answer that is kept, and one that is dropped.
func TestH2AnswersInHandStarveNobody(t *testing.T) {
	const n = 60000
	for _, then := range []Ending{ThenHeld, ThenSilence} {
		t.Run(string(then), func(t *testing.T) {
			s := play(t)
			f := open(t, s.addr, Config{})
			_, heal := f.live(t, Rule{Do: LoseReply, Then: then, Match: charge})
			client := connectH2(t, f.addr)
			server := s.meetH2(t)
			var atClient, atServer counted
			answer := func(id uint32) {
				require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: server.fields(":status: 200"), EndHeaders: true}))
				for left := n; left > 0; left -= 12000 {
					require.NoError(t, server.WriteData(id, left == 12000, make([]byte, 12000)))
				}
			}
			first, second := client.ask("POST", "/charge", ""), client.ask("POST", "/other", "")
			server.requests(2)
			answer(first)
			atServer.until(server, func() bool { return atServer.credit == n })
			answer(second)
			atClient.until(client, func() bool { return atClient.data == n })
			atServer.none(server)
			require.NoError(t, client.WriteWindowUpdate(0, n))
			atServer.until(server, func() bool { return atServer.credit == 2*n })
			heal()
			if then == ThenHeld {
				atClient.until(client, func() bool { return atClient.data == 2*n })
				require.NoError(t, client.WriteWindowUpdate(0, n))
			}
			atServer.none(server)
			f.balanced(t)
		})
	}
}

// A server that goes away is believed about its own numbers only: streams that were opened late, or not yet, are refused one by one.
func TestH2GoAwayWhileStreamsAreHeld(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: LoseRequest, Then: ThenHeld, Match: charge})
	client := connectH2(t, f.addr)
	server := s.meetH2(t)
	held := client.ask("POST", "/charge", "x")
	passed := client.ask("POST", "/other", "x")
	require.Equal(t, []uint32{3}, server.requests(1))
	require.NoError(t, server.WriteGoAway(3, http2.ErrCodeNo, nil))
	server.say(3, "200", "ok")
	assert.Equal(t, "200 ok", client.answer(passed).String())
	assert.EqualValues(t, 3, client.gone.LastStreamID)
	h := client.answer(held)
	assert.True(t, h.wasReset)
	assert.Equal(t, http2.ErrCodeRefusedStream, h.reset)
	client.reset()
}

// A caller who gives up: its server hears of it, unless the work is to be done; then it is done.
func TestH2CallersWhoGiveUp(t *testing.T) {
	for name, row := range map[string]struct {
		rule   Rule
		answer bool // the server answers afterwards
		hears  bool // of the cancellation
	}{
		"no rule":             {Rule{Do: LoseReply, Match: Match{Path: "/none"}}, false, true},
		"its reply is lost":   {Rule{Do: LoseReply, Then: ThenSilence}, true, false},
		"its second is given": {Rule{Do: Twice, Second: true}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t)
			f := open(t, s.addr, Config{})
			count, _ := f.live(t, row.rule)
			client := connectH2(t, f.addr)
			server := s.meetH2(t)
			id := client.ask("POST", "/charge", "x")
			server.requests(1)
			require.NoError(t, client.WriteRSTStream(id, http2.ErrCodeCancel))
			how := server.listen(2*quiet, func() bool { return server.heard[id].wasReset })
			assert.Equal(t, row.hears, how == "")
			if row.answer {
				assert.Zero(t, count.Tally().Affected)
				server.say(id, "200", "done")
				if row.rule.Do == Twice {
					copied := s.meetH2(t)
					copied.requests(1)
					copied.say(1, "409", "twice")
				}
				until(t, "it is counted", func() bool { return count.Tally().Affected == 1 })
			}
			until(t, "the call is told", func() bool { return len(f.over()) == 1 })
			assert.Equal(t, Call{Op: "POST /charge", GaveUp: true, Affected: row.answer}, timeless(f.over()[0]))
			client.reset()
		})
	}
}

// An answer that breaks off is the upstream's own failure, and shown as that.
func TestH2AnAnswerThatBreaksOffIsNotALostOne(t *testing.T) {
	for _, then := range []Ending{ThenSilence, ThenHeld} {
		s := play(t)
		f := open(t, s.addr, Config{})
		count, _ := f.live(t, Rule{Do: LoseReply, Then: then})
		client := connectH2(t, f.addr)
		server := s.meetH2(t)
		id := client.ask("POST", "/charge", "x")
		server.requests(1)
		require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: server.fields(":status: 200"), EndHeaders: true}))
		require.NoError(t, server.WriteData(id, false, []byte("do")))
		require.NoError(t, server.WriteRSTStream(id, http2.ErrCodeInternal))
		h := client.answer(id)
		assert.Equal(t, []any{true, http2.ErrCodeInternal}, []any{h.wasReset, h.reset})
		until(t, "the call is told", func() bool { return len(f.over()) == 1 })
		assert.Zero(t, count.Tally().Affected)
		assert.Empty(t, f.seen(evidence.Applied))
		f.balanced(t)
	}
}

// Large messages are skipped and pass; so are those of which no end can be seen.
func TestH2WhatIsTooLargeOrEndlessPasses(t *testing.T) {
	for name, row := range map[string]struct {
		rule Rule
		why  string
		body string
		end  bool
	}{
		"large":       {Rule{Do: Twice}, "too large: more than 1024 bytes", strings.Repeat("x", 5000), true},
		"endless":     {Rule{Do: Twice}, "stream", "some", false},
		"large, held": {Rule{Do: LoseRequest, Then: ThenHeld}, "too large: more than 1024 bytes", strings.Repeat("x", 5000), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t)
			f := open(t, s.addr, Config{Whole: 1024})
			late, _ := f.live(t, Rule{ID: "fault-0", Do: Delay, By: time.Millisecond})
			count, _ := f.live(t, row.rule)
			client := connectH2(t, f.addr)
			server := s.meetH2(t)
			id := client.open("POST", "/charge", false)
			require.NoError(t, client.WriteData(id, row.end, []byte(row.body)))
			until(t, "it is skipped", func() bool { return len(f.seen(evidence.Skipped)) == 1 })
			if !row.end {
				require.NoError(t, client.WriteData(id, true, []byte(" more")))
				row.body += " more"
			}
			require.Equal(t, []uint32{id}, server.requests(1))
			assert.Equal(t, row.body, server.heard[id].body)
			server.say(id, "200", "ok")
			assert.Equal(t, "200 ok", client.answer(id).String())
			assert.Equal(t, row.why, f.seen(evidence.Skipped)[0].Detail)
			assert.EqualValues(t, 1, late.Tally().Affected)
			assert.Zero(t, count.Tally().Affected)
			until(t, "the call is told", func() bool { return len(f.over()) == 1 })
			assert.Equal(t, Call{Op: "POST /charge", Status: 200, Affected: true, Skipped: row.why}, timeless(f.over()[0]))
		})
	}
}

// Once a rule has acted, what cannot be followed cannot go through any more: the connection is over, for both.
func TestH2NonsenseAfterAFaultEndsTheConnection(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		s := play(t)
		f := open(t, s.addr, Config{})
		f.live(t, Rule{Do: Answer, Status: 500, Match: charge})
		client := connectH2(t, f.addr)
		server := s.meetH2(t)
		client.answer(client.ask("POST", "/charge", "x"))
		from := client
		if who == "server" {
			from = server
		}
		require.NoError(t, from.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersEndHeaders, 9, []byte{0xff}))
		assert.Equal(t, "reset", client.listen(patience, nil))
		assert.NotEqual(t, "silence", server.listen(patience, nil))
		until(t, "it is told", func() bool { return len(f.over()) == 2 })
		assert.Equal(t, "not understood as HTTP/2", f.over()[1].Skipped)
	}
}
