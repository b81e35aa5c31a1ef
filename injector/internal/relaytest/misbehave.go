package relaytest

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// MisbehaveUnderEveryFault runs misbehaving clients under all faults at once: nothing hangs, nothing leaks, and the
// accounts add up. breaks and keeps are the shares of the losses that end a connection, and of those that do not.
func MisbehaveUnderEveryFault(t *testing.T, breaks, keeps float64, misbehave func(Peer, *rand.Rand)) {
	t.Helper()
	s := StartShop(t)
	f := OpenLink(t, s.Addr, message.Config{})
	var heals []func()
	for i, r := range []message.Rule{
		{Action: message.Delay, By: 2 * time.Millisecond, Jitter: 2 * time.Millisecond, Share: .2},
		{Action: message.LoseRequest, Share: breaks}, {Action: message.LoseRequest, Share: breaks, EndWith: message.EndClosed}, {Action: message.LoseRequest, Share: keeps, EndWith: message.EndSilence}, {Action: message.LoseRequest, Share: keeps, EndWith: message.EndHeld},
		{Action: message.LoseReply, Share: breaks}, {Action: message.LoseReply, Share: breaks, EndWith: message.EndClosed}, {Action: message.LoseReply, Share: keeps, EndWith: message.EndSilence}, {Action: message.LoseReply, Share: keeps, EndWith: message.EndHeld},
		{Action: message.Answer, Status: 503, Share: .1}, {Action: message.Twice, Share: .1}, {Action: message.Twice, Second: true, Share: .1}, {Action: message.Twice, Late: time.Millisecond, Share: .1},
		{Action: message.Reorder, Wait: 5 * time.Millisecond, Share: .1},
		{Action: message.EditRequest, Headers: []string{"X-N: 9"}, Share: .2}, {Action: message.EditReply, Headers: []string{"Date"}, Share: .2}, {Action: message.ReplaceReply, Body: "replaced", Share: .2},
	} {
		r.ID, r.Seed = fmt.Sprint("fault-", i), 5
		_, heal := f.AddRule(t, r)
		heals = append(heals, heal)
	}
	var all sync.WaitGroup
	for c := range 6 {
		random := rand.New(rand.NewPCG(11, uint64(c))) //nolint:gosec // a test's choices
		all.Go(func() {
			for range 25 {
				c, err := net.Dial("tcp", f.Addr)
				if assert.NoError(t, err) {
					misbehave(Peer{c.(*net.TCPConn), t}, random)
				}
			}
		})
	}
	all.Wait()
	for _, heal := range heals {
		heal()
	}
	f.CheckAccounts(t)
	for _, stage := range []evidence.Stage{evidence.Held, evidence.Applied, evidence.Discarded, evidence.Released, evidence.Skipped, evidence.Collateral} {
		assert.NotEmpty(t, f.Recorded(stage), stage)
	}
}

// MisbehaveHTTP2 opens streams, cancels some, and disconnects in one way or another. Errors of writes after the end of
// the connection are expected.
func MisbehaveHTTP2(c Peer, random *rand.Rand) {
	p := NewHTTP2Peer(c)
	defer func() { _ = p.Close() }()
	_, _ = p.WriteText(Preface, false)
	_ = p.WriteSettings()
	for range 1 + random.IntN(8) {
		id := p.next
		p.next += 2
		p.Responses[id] = &HTTP2Response{}
		size := random.IntN(8 << 10)
		list := []string{":method: POST", ":scheme: http", ":authority: x", ":path: " + []string{"/charge", "/large", "/a"}[random.IntN(3)], "x-n: " + fmt.Sprint(random.IntN(3))}
		if random.IntN(2) == 0 {
			list = append(list, fmt.Sprint("content-length: ", size))
		}
		_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.EncodeFields(list...), EndHeaders: true})
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
		p.HandleFrame(f)
	}
	switch random.IntN(3) {
	case 0:
		p.Reset()
	case 1:
		_ = p.CloseWrite()
		_ = p.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, _ = io.Copy(io.Discard, p.Peer)
	}
}

// Misbehave sends a few requests ahead of their answers and disconnects in one way or another.
func Misbehave(p Peer, random *rand.Rand) {
	defer func() { _ = p.Close() }()
	var text strings.Builder
	for range 1 + random.IntN(6) {
		switch random.IntN(5) {
		case 0:
			text.WriteString(HTTPRequest("GET", "/a"))
		case 1:
			text.WriteString(HTTPPost("/charge", strings.Repeat("x", random.IntN(8<<10))))
		case 2:
			text.WriteString("POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
		case 3:
			text.WriteString(HTTPRequest("HEAD", "/h"))
		case 4:
			text.WriteString(HTTPRequest("GET", "/large"))
		}
	}
	_, _ = p.WriteText(text.String(), false)
	_ = p.SetReadDeadline(time.Now().Add(time.Duration(random.IntN(30)) * time.Millisecond))
	_, _ = io.CopyN(io.Discard, p, int64(random.IntN(4<<10)))
	switch random.IntN(3) {
	case 0:
		p.Reset()
	case 1:
		_ = p.CloseWrite()
		_, _ = io.Copy(io.Discard, p)
	}
}

// ContextEndsEveryConnection checks that cancelling the context ends connections of HTTP in every state, and that Serve
// returns. ask connects, sends a POST of /charge, and reads until nothing comes.
func ContextEndsEveryConnection(t *testing.T, ask func(t *testing.T, addr string)) {
	for _, rule := range []message.Rule{
		{Action: message.Answer, Status: 500, Match: message.Match{Path: "/none"}}, {Action: message.Delay, By: time.Hour}, {Action: message.LoseRequest, EndWith: message.EndSilence}, {Action: message.LoseRequest, EndWith: message.EndHeld},
		{Action: message.LoseRequest, EndWith: message.EndClosed}, {Action: message.LoseReply, EndWith: message.EndSilence}, {Action: message.LoseReply, EndWith: message.EndHeld}, {Action: message.Reorder, Wait: time.Hour},
	} {
		t.Run(fmt.Sprint(rule.Action, " ", rule.EndWith), func(t *testing.T) {
			s := StartShop(t)
			r, err := NewRelay("http", message.Config{})
			require.NoError(t, err)
			rule.ID, rule.Count = "fault-1", evidence.NewCounter("calls")
			_, err = r.Add(rule)
			require.NoError(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			served := make(chan struct{})
			l := ServeLink(t, s.Addr, func(_ context.Context, c link.Conn, dial message.Dial) {
				defer close(served)
				r.Serve(ctx, c, dial)
			})
			ask(t, l.Addr())
			cancel()
			select {
			case <-served:
			case <-time.After(Patience):
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
