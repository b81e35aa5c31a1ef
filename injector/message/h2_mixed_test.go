package message

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
)

// Under load with mixed faults and bodies larger than the windows in both directions, the relay itself loses
// nothing, nothing stalls, and neither net/http's server nor its client sees its windows exceeded.
func TestH2AccountsAddUpUnderMixedFaults(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{})
	rules := []Rule{
		{Action: Delay, By: 3 * time.Millisecond, Jitter: 3 * time.Millisecond, Share: .3},
		{Action: LoseRequest, Share: .01, EndWith: EndReset},
		{Action: LoseReply, Share: .01, EndWith: EndClosed},
		{Action: Answer, Status: 503, Share: .1},
		{Action: Twice, Share: .1},
		{Action: Twice, Share: .1, Second: true},
		{Action: Twice, Share: .1, Late: 5 * time.Millisecond},
		{Action: Reorder, Share: .2, Wait: 50 * time.Millisecond},
	}
	var counts []*evidence.Counter
	for i, r := range rules {
		r.ID, r.Seed = fmt.Sprintf("fault-%d", i), 7
		c, _ := f.addRule(t, r)
		counts = append(counts, c)
	}
	var all sync.WaitGroup
	for c := range 3 {
		client := h2client(t)
		for w := range 8 {
			random := rand.New(rand.NewPCG(uint64(c), uint64(w))) //nolint:gosec // a test's choices
			all.Go(func() {
				for range 15 {
					path := []string{"/orders", "/large"}[random.IntN(2)]
					req, _ := http.NewRequest(http.MethodPost, "http://"+f.addr+path, strings.NewReader(strings.Repeat("x", random.IntN(200<<10))))
					req.GetBody = nil // no retries
					res, err := client.Do(req)
					if err == nil {
						_, _ = io.Copy(io.Discard, res.Body)
						_ = res.Body.Close()
					}
				}
			})
		}
	}
	all.Wait()
	toServer, toClient := f.checkAccounts(t)
	var copies int64
	for i, c := range counts {
		assert.Positive(t, c.Tally().Affected, rules[i])
		if rules[i].Action == Twice {
			copies += c.Tally().Affected
		}
	}
	assert.Equal(t, copies, toServer.Copies)
	assert.Equal(t, counts[3].Tally().Affected, toClient.Injected)
	for _, e := range f.recorded(evidence.Skipped) {
		assert.Equal(t, "fault-7", e.Fault, e.Detail) // another message was held already
	}
	waitUntil(t, "all calls are told", func() bool { return len(f.finishedCalls()) == int(toServer.Received) })
	broken := int64(0) // truncated because the connection was lost with another message while it was being dropped
	for _, c := range f.finishedCalls() {
		if c.Status == 0 && !c.Affected {
			broken++
		}
	}
	dropped := counts[1].Tally().Affected + counts[3].Tally().Affected
	assert.GreaterOrEqual(t, toServer.Dropped, dropped)
	assert.LessOrEqual(t, toServer.Dropped, dropped+broken)
	assert.LessOrEqual(t, s.done.Load(), toServer.Delivered)
}

// Clients cancel, pause, half-close and reset under all faults at once: nothing hangs, nothing leaks, the
// accounts add up.
func TestH2MisbehavingClientsUnderEveryFault(t *testing.T) {
	s := startShop(t)
	f := openLink(t, s.addr, Config{Whole: 4 << 10})
	var heals []func()
	for i, r := range []Rule{
		{Action: Delay, By: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Share: .2},
		{Action: LoseRequest, Share: .02}, {Action: LoseRequest, Share: .02, EndWith: EndClosed}, {Action: LoseRequest, Share: .05, EndWith: EndSilence}, {Action: LoseRequest, Share: .05, EndWith: EndHeld},
		{Action: LoseReply, Share: .02}, {Action: LoseReply, Share: .02, EndWith: EndClosed}, {Action: LoseReply, Share: .05, EndWith: EndSilence}, {Action: LoseReply, Share: .05, EndWith: EndHeld},
		{Action: Answer, Status: 503, Share: .1}, {Action: Twice, Share: .1}, {Action: Twice, Second: true, Share: .1}, {Action: Twice, Late: time.Millisecond, Share: .1},
		{Action: Reorder, Wait: 5 * time.Millisecond, Share: .1},
	} {
		r.ID, r.Seed = fmt.Sprint("fault-", i), 5
		_, heal := f.addRule(t, r)
		heals = append(heals, heal)
	}
	var all sync.WaitGroup
	for c := range 6 {
		random := rand.New(rand.NewPCG(11, uint64(c))) //nolint:gosec // a test's choices
		all.Go(func() {
			for range 25 {
				misbehaveH2(connect(t, f.addr), random)
			}
		})
	}
	all.Wait()
	for _, heal := range heals {
		heal()
	}
	f.checkAccounts(t)
	for _, stage := range []evidence.Stage{evidence.Held, evidence.Applied, evidence.Discarded, evidence.Released, evidence.Skipped, evidence.Collateral} {
		assert.NotEmpty(t, f.recorded(stage), stage)
	}
}

// misbehaveH2 opens streams, cancels some, and disconnects in one way or another. Errors of writes after the end of
// the connection are expected.
func misbehaveH2(c peer, random *rand.Rand) {
	p := newH2Peer(c)
	defer p.Close()
	_, _ = p.write(preface, false)
	_ = p.WriteSettings()
	for range 1 + random.IntN(8) {
		id := p.next
		p.next += 2
		p.responses[id] = &h2Response{}
		size := random.IntN(8 << 10)
		list := []string{":method: POST", ":scheme: http", ":authority: x", ":path: " + []string{"/charge", "/large", "/a"}[random.IntN(3)], "x-n: " + fmt.Sprint(random.IntN(3))}
		if random.IntN(2) == 0 {
			list = append(list, fmt.Sprint("content-length: ", size))
		}
		_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.fields(list...), EndHeaders: true})
		if random.IntN(5) > 0 {
			_ = p.WriteDataPadded(id, random.IntN(5) > 0, make([]byte, size), make([]byte, random.IntN(20)))
		}
		if random.IntN(4) == 0 {
			_ = p.WriteRSTStream(id, http2.ErrCodeCancel)
		}
		_ = p.WriteWindowUpdate(id, 100)
	}
	_ = p.SetReadDeadline(time.Now().Add(time.Duration(random.IntN(50)) * time.Millisecond))
	for {
		f, err := p.ReadFrame()
		if err != nil {
			break
		}
		p.handleFrame(f)
	}
	switch random.IntN(3) {
	case 0:
		p.reset()
	case 1:
		_ = p.CloseWrite()
		_ = p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, _ = io.Copy(io.Discard, p.peer)
	}
}

// Cancelling the context ends connections in every state, and Serve returns.
func TestH2ContextEndsEveryConnection(t *testing.T) {
	for _, rule := range []Rule{
		{Action: Answer, Status: 500, Match: Match{Path: "/none"}}, {Action: Delay, By: time.Hour}, {Action: LoseRequest, EndWith: EndSilence}, {Action: LoseRequest, EndWith: EndHeld},
		{Action: LoseRequest, EndWith: EndClosed}, {Action: LoseReply, EndWith: EndSilence}, {Action: LoseReply, EndWith: EndHeld}, {Action: Reorder, Wait: time.Hour},
	} {
		t.Run(fmt.Sprint(rule.Action, " ", rule.EndWith), func(t *testing.T) {
			s := startShop(t)
			r, err := New("http", Config{})
			require.NoError(t, err)
			rule.ID, rule.Count = "fault-1", evidence.NewCounter("calls")
			_, err = r.Add(rule)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			served := make(chan struct{})
			l := serveLink(t, s.addr, func(_ context.Context, c link.Conn, dial Dial) {
				defer close(served)
				r.Serve(ctx, c, dial)
			})
			p := connectH2(t, l.Addr())
			p.request("POST", "/charge", "x")
			p.readUntil(quiet, nil)
			cancel()
			select {
			case <-served:
			case <-time.After(patience):
				require.FailNow(t, "Serve did not return")
			}
			toServer, toClient, err := r.Quiesce(context.Background())
			require.NoError(t, err)
			for _, b := range []evidence.Accounts{toServer, toClient} {
				assert.Empty(t, b.Wrong())
			}
		})
	}
}
