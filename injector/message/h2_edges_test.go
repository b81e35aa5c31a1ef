package message

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// What a rule says itself fits the client's windows too, however small they are.
func TestH2WhatARuleSaysKeepsToTheWindows(t *testing.T) {
	for name, row := range map[string]struct {
		rule Rule
		want string
	}{
		"an answer":         {Rule{Do: Answer, Status: 503}, "503 injected\n"},
		"the second answer": {Rule{Do: Twice, Second: true}, "done again"},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t)
			f := open(t, s.addr, Config{})
			f.live(t, withMatch(row.rule))
			client := connectH2(t, f.addr)
			require.NoError(t, client.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
			server := s.meetH2(t)
			id := client.ask("POST", "/charge", "x")
			if row.rule.Do == Twice {
				server.requests(1)
				server.say(id, "200", "")
				copied := s.meetH2(t)
				copied.requests(1)
				copied.say(1, "200", row.want)
			}
			h := client.heard[id]
			require.Empty(t, client.listen(patience, func() bool { return h.head != "" }))
			require.Equal(t, "silence", client.listen(quiet, func() bool { return h.body != "" || h.ended }))
			require.NoError(t, client.WriteWindowUpdate(id, 5))
			require.Empty(t, client.listen(patience, func() bool { return h.body != "" }))
			assert.Equal(t, row.want[:5], h.body)
			require.NoError(t, client.WriteWindowUpdate(id, 100))
			assert.Equal(t, row.want, client.answer(id).body)
			f.balanced(t)
		})
	}
}

// A server that has said its whole answer may cancel what is left of the request (RFC 9113, section 8.1): the answer arrives, though it waits for windows.
func TestH2AnAnswerIsWholeThoughItsRequestIsCancelled(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	_, heal := f.live(t, Rule{Do: LoseReply, Then: ThenHeld, Match: charge})
	client := connectH2(t, f.addr)
	client.credit = false
	server := s.meetH2(t)
	first, second := client.ask("POST", "/charge", ""), client.open("POST", "/other", false)
	server.requests(1)
	say := func(id uint32, n int) {
		require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: server.fields(":status: 200"), EndHeaders: true}))
		for left := n; left > 0; left -= 10000 {
			require.NoError(t, server.WriteData(id, left == 10000, make([]byte, 10000)))
		}
	}
	say(first, 60000) // which the server has back while the client has still to read it
	until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
	heal()
	require.Empty(t, client.listen(patience, func() bool { return client.heard[first].ended }))
	say(second, 10000)
	require.NoError(t, server.WriteRSTStream(second, http2.ErrCodeNo))
	require.Equal(t, "silence", client.listen(quiet, func() bool { return client.heard[second].wasReset }))
	require.NoError(t, client.WriteWindowUpdate(0, 60000))
	h := client.heard[second]
	require.Empty(t, client.listen(patience, func() bool { return h.wasReset }))
	assert.True(t, h.ended)
	assert.Len(t, h.body, 10000)
	until(t, "the call is told", func() bool { return len(f.over()) == 2 })
	assert.Equal(t, Call{Op: "POST /other", Status: 200}, timeless(f.over()[1]))
}

// A server may reset a stream whose answer it has ended, as nginx does when it did not want the request's body (RFC 9113, section 8.1). An answer in a rule's
// hands stays what it was.
func TestH2AResetBehindAHeldAnswer(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	_, heal := f.live(t, Rule{Do: LoseReply, Then: ThenHeld, Match: charge})
	p := connectH2(t, f.addr)
	server := s.meetH2(t)
	id := p.ask("POST", "/charge", "x")
	there := server.requests(1)[0]
	server.say(there, "200", "done")
	time.Sleep(quiet) // it is held by then: waiting to see it would hide a race from the detector
	require.NoError(t, server.WriteRSTStream(there, http2.ErrCodeNo))
	until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
	assert.Equal(t, "status 200, 4 bytes, until healed", f.seen(evidence.Held)[0].Detail)
	heal()
	assert.Equal(t, "200 done", p.answer(id).String())
	f.balanced(t)
}

// Who leaves once the whole answer has been given has not given up, also while its rule is not quite done with the stream.
func TestH2WhoLeavesAfterTheAnswerHasNotGivenUp(t *testing.T) {
	answer := h2Frame{kind: h2Headers, flags: flagEnd, fields: []hpack.HeaderField{{Name: ":status", Value: "503"}}}
	for _, row := range []struct {
		name       string
		resets     bool // and else the whole connection goes
		first      bool // before the answer
		wantStatus int
		wantGaveUp bool
	}{
		{"reset behind it", true, false, 503, false},
		{"reset before it", true, true, 0, true},
		{"gone behind it", false, false, 503, false},
		{"gone before it", false, true, 503, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var calls []Call
			relay, err := New("http", Config{Calls: func(c Call) { calls = append(calls, c) }})
			require.NoError(t, err)
			c := newH2(&httpConn{pair: pair{relay: relay, changed: sync.NewCond(&sync.Mutex{})}})
			s := &h2Stream{id: 1, call: true, answered: true, status: 503, hands: 1}
			s.down.window = 65535
			c.streams[1] = s
			leave := func() {
				if !row.resets {
					c.gone = time.Now()
					return
				}
				require.NoError(t, c.toServer.handle(&h2Frame{kind: h2Reset, stream: 1, payload: make([]byte, 4)}, false))
			}
			if row.first {
				leave()
			}
			c.toClient.take(s, &answer)
			if !row.first {
				leave()
			}
			s.hands--
			c.settle(s)
			require.Len(t, calls, 1)
			assert.Equal(t, []any{row.wantStatus, row.wantGaveUp}, []any{calls[0].Status, calls[0].GaveUp})
		})
	}
}

// A client may speak on of a stream that waits and is whole: of its windows, for one.
func TestH2ACopyIsOfTheRequestAlone(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: Delay, By: quiet})
	f.live(t, Rule{ID: "fault-2", Do: Twice})
	client := connectH2(t, f.addr)
	id := client.ask("POST", "/charge", "x")
	require.NoError(t, client.WriteWindowUpdate(id, 1))
	assert.True(t, client.answer(id).ended)
	f.balanced(t)
	assert.Equal(t, []string{"POST /charge 1", "POST /charge 1"}, s.executed())
}

// Who leaves a connection takes along the answers that he waited for, and not the work of which a rule loses the answer.
func TestH2TheWorkOutlivesAnAnswerThatFoundNobody(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: LoseReply, Match: charge})
	client := connectH2(t, f.addr)
	server := s.meetH2(t)
	other, lost := client.ask("POST", "/other", "x"), client.ask("POST", "/charge", "x")
	server.requests(2)
	client.reset()
	until(t, "the server is given credit for what is to come", func() bool {
		fr, err := server.ReadFrame()
		require.NoError(t, err)
		return fr.Header().Type == http2.FrameWindowUpdate
	})
	require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: other, BlockFragment: server.fields(":status: 200"), EndHeaders: true}))
	for range 3 { // the second of them finds a socket that is known to be reset
		require.NoError(t, server.WriteData(other, false, make([]byte, 10)))
		require.Equal(t, "silence", server.listen(quiet, nil))
	}
	server.say(lost, "200", "done")
	until(t, "it is counted", func() bool { return count.Tally().Affected == 1 })
	f.balanced(t)
}

// What waits for a window of a client who says nothing more will not leave: the connection ends with it.
func TestH2AHalfClosedClientGivesNoWindows(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	_, heal := f.live(t, Rule{Do: LoseReply, Then: ThenHeld, Match: charge})
	client := connectH2(t, f.addr)
	client.credit = false
	server := s.meetH2(t)
	first, second := client.ask("POST", "/charge", ""), client.ask("POST", "/other", "")
	server.requests(2)
	server.say(first, "200", string(make([]byte, 16000)))
	until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
	heal()
	require.Empty(t, client.listen(patience, func() bool { return client.heard[first].ended }))
	require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: second, BlockFragment: server.fields(":status: 200"), EndHeaders: true}))
	for range 4 {
		require.NoError(t, server.WriteData(second, false, make([]byte, 16000)))
	}
	require.Empty(t, client.listen(patience, func() bool { return len(client.heard[second].body) == 65535-16000 }))
	require.NoError(t, client.CloseWrite())
	require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: second, BlockFragment: server.fields("sum: 1"), EndHeaders: true, EndStream: true}))
	require.NoError(t, server.CloseWrite())
	assert.Equal(t, "closed", client.listen(patience, nil))
	assert.Equal(t, []any{65535 - 16000, false}, []any{len(client.heard[second].body), client.heard[second].ended}, "what was cut does not look whole")
	until(t, "the calls are told", func() bool { return len(f.over()) == 2 })
	assert.Equal(t, Call{Op: "POST /other", GaveUp: true}, timeless(f.over()[1]))
}

// A push on a stream that its client has cancelled meanwhile: what the two know of each other's headers stays the same.
func TestH2APushOnAStreamThatIsOver(t *testing.T) {
	get := []string{":method: GET", ":scheme: http", ":authority: payments", ":path: /pushed", "x-new: 1"}
	for name, rule := range map[string]Rule{
		"answers are encoded anew":   {Do: LoseReply, Then: ThenSilence, Match: charge},
		"streams have other numbers": {Do: LoseRequest, Then: ThenHeld, Match: charge},
	} {
		t.Run(name, func(t *testing.T) {
			s := play(t)
			f := open(t, s.addr, Config{})
			count, heal := f.live(t, rule)
			client := connectH2(t, f.addr)
			server := s.meetH2(t)
			touched := client.ask("POST", "/charge", "x")
			if rule.Do == LoseRequest {
				until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
				early := client.ask("GET", "/early", "")
				server.say(server.requests(1)[0], "200", "")
				client.answer(early)
				heal()
			}
			at := server.requests(1)[0]
			if rule.Do == LoseReply {
				server.say(at, "200", "lost", "x-new: 1")
				until(t, "it is lost", func() bool { return count.Tally().Affected == 1 })
			}
			over := client.ask("GET", "/over", "")
			gone := server.requests(1)[0]
			require.NoError(t, client.WriteRSTStream(over, http2.ErrCodeCancel))
			require.Empty(t, server.listen(patience, func() bool { return server.heard[gone].wasReset }))
			require.NoError(t, server.WritePushPromise(http2.PushPromiseParam{StreamID: gone, PromiseID: 2, BlockFragment: server.fields(get...), EndHeaders: true}))
			require.NoError(t, server.WriteHeaders(http2.HeadersFrameParam{StreamID: 2, BlockFragment: server.fields(":status: 200", "x-new: 2"), EndHeaders: true, EndStream: true}))
			if rule.Do == LoseRequest {
				server.say(at, "200", "after", "x-new: 2")
			}
			last := client.ask("GET", "/last", "")
			server.say(server.requests(1)[0], "200", "last", "x-new: 1", "x-new: 2")
			promised := false
			require.NoError(t, client.SetReadDeadline(time.Now().Add(patience)))
			for !client.heard[last].ended {
				fr, err := client.ReadFrame()
				require.NoError(t, err)
				switch fr := fr.(type) {
				case *http2.PushPromiseFrame:
					promised = true
					fields, err := client.ReadMetaHeaders.DecodeFull(fr.HeaderBlockFragment())
					require.NoError(t, err)
					assert.Equal(t, "x-new 1", fields[4].Name+" "+fields[4].Value)
				case *http2.MetaHeadersFrame:
					assert.True(t, promised || fr.StreamID != 2, "it was not promised")
				}
				client.hear(fr)
			}
			assert.Equal(t, rule.Do == LoseReply, promised)
			assert.Equal(t, "x-new: 1\nx-new: 2", client.heard[last].trailers)
			if rule.Do == LoseRequest {
				assert.Equal(t, "x-new: 2", client.heard[touched].trailers)
			}
		})
	}
}

// What its client breaks off while a rule drops it has not gone out, and the rule has not answered it.
func TestH2ADroppedRequestThatBreaksOff(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, withMatch(Rule{Do: Answer, Status: 503}))
	client := connectH2(t, f.addr)
	s.meetH2(t)
	id := client.open("POST", "/charge", false, "content-length: 10")
	require.NoError(t, client.WriteData(id, false, []byte("x")))
	until(t, "it is chosen", func() bool { return count.Tally().Seen == 1 })
	require.NoError(t, client.WriteRSTStream(id, http2.ErrCodeCancel))
	until(t, "the call is told", func() bool { return len(f.over()) == 1 })
	toServer, _ := f.balanced(t)
	assert.Equal(t, Books{In: 1, Dropped: 1}, toServer)
	assert.Equal(t, Call{Op: "POST /charge", GaveUp: true}, timeless(f.over()[0]))
	assert.Zero(t, count.Tally().Affected)
}

// Headers that say far more than they are long are not followed.
func TestH2HeadersThatExpand(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	client := connectH2(t, f.addr)
	server := s.meetH2(t)
	client.open("GET", "/", true, "x-large: "+strings.Repeat("v", 4000)) // entry 62 of the table, but for the path's 63
	server.requests(1)
	block := append(slices.Clone(client.fields(":method: GET", ":scheme: http", ":path: /")), slices.Repeat([]byte{0x80 | 62}, 1000)...)
	require.NoError(t, client.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: block, EndStream: true, EndHeaders: true}))
	until(t, "it is told", func() bool { return len(f.over()) == 1 })
	assert.Equal(t, "not understood as HTTP/2", f.over()[0].Skipped)
}

// What is kept is counted with its headers, and with what else is said of it: beyond the limit nothing more is kept.
func TestH2KeptHeadersCount(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: LoseRequest, Then: ThenHeld, Match: charge})
	client := connectH2(t, f.addr)
	server := s.meetH2(t)
	go func() {
		for {
			if _, err := server.ReadFrame(); err != nil {
				return
			}
		}
	}()
	large := "x-large: " + strings.Repeat("v", 100<<10)
	for n := 0; n < keptBytes; n += len(large) {
		client.ask("POST", "/charge", "x", large)
	}
	client.ask("POST", "/charge", "x", large)
	until(t, "one passes", func() bool { return len(f.seen(evidence.Skipped)) > 0 })
	assert.Equal(t, heardFull, f.seen(evidence.Skipped)[0].Detail)
}
