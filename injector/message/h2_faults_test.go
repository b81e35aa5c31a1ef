package message

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// The conformance matrix for HTTP/2: what becomes of the stream, of the connection and of another stream on it.
func TestH2EachFaultWithEachEnding(t *testing.T) {
	rows := []struct {
		rule Rule
		want outcome
	}{
		{Rule{Do: LoseRequest}, outcome{"", "reset", 0}},
		{Rule{Do: LoseRequest, Then: ThenReset}, outcome{"", "reset", 0}},
		{Rule{Do: LoseRequest, Then: ThenClosed}, outcome{"", "closed", 0}},
		{Rule{Do: LoseRequest, Then: ThenSilence}, outcome{"", "silence", 0}},
		{Rule{Do: LoseRequest, Then: ThenHeld}, outcome{"", "silence", 0}},
		{Rule{Do: LoseReply}, outcome{"", "reset", 1}},
		{Rule{Do: LoseReply, Then: ThenReset}, outcome{"", "reset", 1}},
		{Rule{Do: LoseReply, Then: ThenClosed}, outcome{"", "closed", 1}},
		{Rule{Do: LoseReply, Then: ThenSilence}, outcome{"", "silence", 1}},
		{Rule{Do: LoseReply, Then: ThenHeld}, outcome{"", "silence", 1}},
	}
	for _, row := range rows {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/used=%v", row.rule.Do, row.rule.Then, used), func(t *testing.T) {
				s := trade(t)
				f := open(t, s.addr, Config{})
				count, heal := f.live(t, withMatch(row.rule))
				p := connectH2(t, f.addr)
				warm := 0
				if used {
					warm = 1
					require.Equal(t, "200 1 /warm", p.answer(p.ask("GET", "/warm", "")).String())
				}
				id := p.ask("POST", "/charge", "10 EUR")
				if row.want.executed > 0 {
					until(t, "it is executed", func() bool { return s.done.Load() == int64(warm+1) })
				}
				bound := patience
				if row.want.how == "silence" {
					bound = quiet
				}
				how := p.listen(bound, nil)
				assert.Equal(t, row.want, outcome{p.heard[id].body, how, len(s.executed()) - warm})
				assert.Equal(t, heard{}, *p.heard[id])
				if how == "silence" { // the other streams go on
					assert.Equal(t, fmt.Sprintf("200 %d /other", s.done.Load()+1), p.answer(p.ask("POST", "/other", "x")).String())
				}
				if row.rule.Then == ThenHeld {
					until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
					heal()
					assert.Contains(t, p.answer(id).String(), "/charge")
					assert.Len(t, f.seen(evidence.Released), 1)
				} else {
					assert.Len(t, f.seen(evidence.Applied), 1)
				}
				p.reset()
				until(t, "the calls are told", func() bool {
					n := 0
					for _, c := range f.over() {
						if c.Op == "POST /charge" {
							n++
							assert.True(t, c.Affected)
						}
					}
					return n == 1
				})
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, plain(count))
				f.balanced(t)
			})
		}
	}
}

func TestH2ALossTakesTheOtherStreamsAlong(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: LoseReply, Match: charge})
	p := connectH2(t, f.addr)
	server := s.meetH2(t)
	p.ask("GET", "/a", "")
	id := p.ask("POST", "/charge", "x")
	p.ask("GET", "/b", "")
	server.requests(3)
	server.say(id, "200", "done")
	assert.Equal(t, "reset", p.listen(patience, nil))
	until(t, "all calls are told", func() bool { return len(f.over()) == 3 })
	require.Len(t, f.seen(evidence.Collateral), 2)
	assert.Equal(t, "GET /a", f.seen(evidence.Collateral)[0].Op)
	assert.Equal(t, "status 200, 4 bytes lost, then reset", f.seen(evidence.Applied)[0].Detail)
	for _, c := range f.over() {
		assert.Zero(t, c.Status)
	}
}

func TestH2AnsweredWithAStatus(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, heal := f.live(t, Rule{Do: Answer, Status: 503, RetryAfter: 1500 * time.Millisecond, Match: Match{Path: "/charge"}})
	p := connectH2(t, f.addr)
	for range 2 {
		h := p.answer(p.ask("POST", "/charge", "x"))
		assert.Equal(t, "503 503 injected\n", h.String())
		assert.Contains(t, h.trailers, "retry-after: 2")
		assert.Equal(t, fmt.Sprintf("200 %d /other", s.done.Load()+1), p.answer(p.ask("GET", "/other", "")).String())
	}
	h := p.answer(p.ask("HEAD", "/charge", ""))
	assert.Equal(t, "503 ", h.String())
	assert.Contains(t, h.trailers, "content-length: 13")
	assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 3, Affected: 3}, plain(count))
	heal()
	assert.Equal(t, "200 3 /charge", p.answer(p.ask("POST", "/charge", "x")).String())
	until(t, "all calls are told", func() bool { return len(f.over()) == 6 })
	assert.Equal(t, Call{Op: "POST /charge", Status: 503, Affected: true}, timeless(f.over()[0]))
	assert.Equal(t, Call{Op: "GET /other", Status: 200}, timeless(f.over()[1]))
}

// A body that a rule drops is given back to its sender, larger than any window.
func TestH2DroppedBodiesStallNobody(t *testing.T) {
	for _, rule := range []Rule{{Do: Answer, Status: 503}, {Do: LoseRequest, Then: ThenSilence}} {
		s := trade(t)
		f := open(t, s.addr, Config{})
		f.live(t, withMatch(rule))
		client := h2client(t)
		client.Timeout = 5 * quiet
		for range 3 {
			res, err := client.Post("http://"+f.addr+"/charge", "", strings.NewReader(strings.Repeat("x", 3<<20)))
			if rule.Do == Answer {
				require.NoError(t, err)
				assert.Equal(t, 503, res.StatusCode)
				_ = res.Body.Close()
			} else {
				require.Error(t, err)
			}
		}
		client.Timeout = patience
		res, err := client.Post("http://"+f.addr+"/other", "", strings.NewReader(strings.Repeat("x", 3<<20)))
		require.NoError(t, err)
		_ = res.Body.Close()
		assert.Equal(t, []string{"POST /other 3145728"}, s.executed())
	}
}

func TestH2DeliveredTwice(t *testing.T) {
	for _, second := range []bool{false, true} {
		for _, size := range []int{0, 3, 300 << 10} {
			t.Run(fmt.Sprintf("second=%v/%d bytes", second, size), func(t *testing.T) {
				s := trade(t)
				f := open(t, s.addr, Config{})
				count, heal := f.live(t, Rule{Do: Twice, Second: second, Match: Match{Path: "/once"}})
				client := h2client(t)
				post := func() (status int) {
					res, err := client.Post("http://"+f.addr+"/once", "", strings.NewReader(strings.Repeat("x", size)))
					require.NoError(t, err)
					defer res.Body.Close()
					return res.StatusCode
				}
				status, other := post(), "status 200, 7 bytes"
				if !second && status == 200 { // both are under way at once
					other = "status 409, 7 bytes"
				} else {
					assert.Equal(t, 409, status)
				}
				toServer, toClient := f.balanced(t)
				assert.EqualValues(t, 1, toServer.Copies)
				assert.EqualValues(t, 1, toClient.Swallowed)
				one := fmt.Sprintf("POST /once %d", size)
				assert.Equal(t, []string{one, one}, s.executed())
				require.Len(t, f.seen(evidence.Swallowed), 1)
				assert.Equal(t, other, f.seen(evidence.Swallowed)[0].Detail)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, plain(count))
				heal()
				post()
				assert.EqualValues(t, 3, s.done.Load())
			})
		}
	}
}

func TestH2ALateCopyOutlivesTheConnection(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	f.live(t, Rule{Do: Twice, Late: 3 * quiet, Match: Match{Path: "/once"}})
	p := connectH2(t, f.addr)
	assert.Equal(t, "200 1 /once", p.answer(p.ask("POST", "/once", "x", "idempotency-key: k1")).String())
	assert.EqualValues(t, 1, s.done.Load(), "the copy leaves later")
	p.reset()
	f.balanced(t)
	assert.EqualValues(t, 2, s.done.Load())
	require.Len(t, f.seen(evidence.Swallowed), 1)
	assert.Equal(t, "status 409, 7 bytes", f.seen(evidence.Swallowed)[0].Detail)
	assert.Equal(t, "k1", f.seen(evidence.Swallowed)[0].Key)
}

// A stream that waits is overtaken by the others of its connection, and reaches the server under a higher number.
func TestH2ReorderedOnOneConnection(t *testing.T) {
	s := play(t)
	f := open(t, s.addr, Config{})
	count, _ := f.live(t, Rule{Do: Reorder, Wait: patience, Others: 2, First: 1, Match: Match{Path: "/{any}"}})
	p := connectH2(t, f.addr)
	server := s.meetH2(t)
	asked := []uint32{p.ask("POST", "/a", "x", "tenant: acme")}
	until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
	for _, path := range []string{"/b", "/c", "/d"} {
		asked = append(asked, p.ask("POST", path, "x", "tenant: acme"))
	}
	var got []string
	for range 4 { // each is answered before the next is listened to
		for _, id := range server.requests(1) {
			got = append(got, server.heard[id].head)
			server.say(id, "200", server.heard[id].head)
		}
	}
	at := slices.Index(got, "POST /a")
	assert.GreaterOrEqual(t, at, 2)
	assert.ElementsMatch(t, []string{"POST /a", "POST /b", "POST /c", "POST /d"}, got)
	for i, path := range []string{"/a", "/b", "/c", "/d"} {
		assert.Equal(t, "200 POST "+path, p.answer(asked[i]).String())
	}
	assert.EqualValues(t, 1, count.Tally().Affected)
	require.Len(t, f.seen(evidence.Applied), 1)
	assert.Equal(t, "2 others passed it", f.seen(evidence.Applied)[0].Detail)
}

func TestH2DelayedAndHealed(t *testing.T) {
	s := trade(t)
	f := open(t, s.addr, Config{})
	count, heal := f.live(t, Rule{Do: Delay, By: 2 * quiet, Match: charge})
	p := connectH2(t, f.addr)
	began := time.Now()
	slow := p.ask("POST", "/charge", "x")
	assert.Equal(t, "200 1 /quick", p.answer(p.ask("GET", "/quick", "")).String())
	assert.Equal(t, "200 2 /charge", p.answer(slow).String())
	assert.GreaterOrEqual(t, time.Since(began), 2*quiet)
	assert.EqualValues(t, 1, count.Tally().Affected)
	heal()
	count, heal = f.live(t, Rule{ID: "fault-2", Do: Delay, By: time.Hour})
	id := p.ask("POST", "/charge", "x")
	until(t, "it waits", func() bool { return count.Tally().Seen == 1 })
	require.Equal(t, "silence", p.listen(quiet, nil))
	heal()
	assert.Equal(t, "200 3 /charge", p.answer(id).String())
}
