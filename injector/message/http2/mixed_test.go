package http2_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

// Under load with mixed faults and bodies larger than the windows in both directions, the relay itself loses
// nothing, nothing stalls, and neither net/http's server nor its client sees its windows exceeded.
func TestH2AccountsAddUpUnderMixedFaults(t *testing.T) {
	s := relaytest.StartShop(t)
	f := relaytest.OpenLink(t, s.Addr, message.Config{})
	rules := []message.Rule{
		{Action: message.Delay, By: 3 * time.Millisecond, Jitter: 3 * time.Millisecond, Share: .3},
		{Action: message.LoseRequest, Share: .01, EndWith: message.EndReset},
		{Action: message.LoseReply, Share: .01, EndWith: message.EndClosed},
		{Action: message.Answer, Status: 503, Share: .1},
		{Action: message.Twice, Share: .1},
		{Action: message.Twice, Share: .1, Second: true},
		{Action: message.Twice, Share: .1, Late: 5 * time.Millisecond},
		{Action: message.Reorder, Share: .2, Wait: 50 * time.Millisecond},
	}
	var counts []*evidence.Counter
	for i, r := range rules {
		r.ID, r.Seed = fmt.Sprintf("fault-%d", i), 7
		c, _ := f.AddRule(t, r)
		counts = append(counts, c)
	}
	var all sync.WaitGroup
	for c := range 3 {
		client := relaytest.HTTP2Client(t)
		for w := range 8 {
			random := rand.New(rand.NewPCG(uint64(c), uint64(w))) //nolint:gosec // a test's choices
			all.Go(func() {
				for range 15 {
					path := []string{"/orders", "/large"}[random.IntN(2)]
					req, _ := http.NewRequest(http.MethodPost, "http://"+f.Addr+path, strings.NewReader(strings.Repeat("x", random.IntN(200<<10))))
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
	toServer, toClient := f.CheckAccounts(t)
	var copies int64
	for i, c := range counts {
		assert.Positive(t, c.Tally().Affected, rules[i])
		if rules[i].Action == message.Twice {
			copies += c.Tally().Affected
		}
	}
	assert.Equal(t, copies, toServer.Copies)
	assert.Equal(t, counts[3].Tally().Affected, toClient.Injected)
	for _, e := range f.Recorded(evidence.Skipped) {
		assert.Equal(t, "fault-7", e.Fault, e.Detail) // another message was held already
	}
	relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == int(toServer.Received) })
	broken := int64(0) // truncated because the connection was lost with another message while it was being dropped
	for _, c := range f.FinishedCalls() {
		if c.Status == 0 && !c.Affected {
			broken++
		}
	}
	dropped := counts[1].Tally().Affected + counts[3].Tally().Affected
	assert.GreaterOrEqual(t, toServer.Dropped, dropped)
	assert.LessOrEqual(t, toServer.Dropped, dropped+broken)
	assert.LessOrEqual(t, s.Done.Load(), toServer.Delivered)
}

// Clients cancel, pause, half-close and reset under all faults at once.
func TestH2MisbehavingClientsUnderEveryFault(t *testing.T) {
	relaytest.Set(t, http2.MaxBuffered, 4<<10)
	relaytest.MisbehaveUnderEveryFault(t, .02, .05, relaytest.MisbehaveHTTP2)
}

// Cancelling the context ends connections in every state, and Serve returns.
func TestH2ContextEndsEveryConnection(t *testing.T) {
	relaytest.ContextEndsEveryConnection(t, func(t *testing.T, addr string) {
		p := relaytest.ConnectHTTP2(t, addr)
		p.Request("POST", "/charge", "x")
		p.ReadUntil(relaytest.Quiet, nil)
	})
}
