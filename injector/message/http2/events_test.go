package http2

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// Events are found wherever the input is split.
func TestEventsInPieces(t *testing.T) {
	for _, c := range []struct {
		events func() Events
		text   string // | marks the ends
	}{
		{func() Events { return &ServerEvents{} }, "data: 1\n\n|: ping\n\nid: 2\nretry: 3\n\ndata\r\n\r\n|\n\ndatum: 3\n\ndata:4\rdata:5\r\r|data:\n\n|rest"},
		{func() Events { return &grpcEvents{} }, "\x00\x00\x00\x00\x02ab|\x01\x00\x00\x00\x00|\x00\x00\x00\x00\x01\x00|\x00\x00"},
	} {
		plain, parts := strings.ReplaceAll(c.text, "|", ""), strings.Split(c.text, "|")
		for size := 1; size <= len(plain); size++ {
			e, ended, from := c.events(), []string{}, 0
			for at := 0; at < len(plain); {
				n, ok := e.Next([]byte(plain[at:min(at+size, len(plain))]))
				if at += n; ok {
					ended = append(ended, plain[from:at])
					from = at
				} else {
					require.Positive(t, n)
				}
			}
			assert.Equal(t, parts, append(ended, plain[from:]), "in pieces of %d", size)
		}
	}
}

// serveFeed starts a server whose /feed sends 5 events of n bytes and then waits for its client to leave.
func serveFeed(t *testing.T, n int) (addr string, left chan struct{}) {
	left = make(chan struct{}, 16)
	return relaytest.ServeOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/feed" {
			_, _ = io.WriteString(w, "other")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			_, _ = io.WriteString(w, feedEvent(n, i))
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		left <- struct{}{}
	})), left
}

func feedEvent(n, i int) string { return "data: " + strings.Repeat(fmt.Sprint(i), n) + "\n\n" }

func feedEvents(n, count int) (text string) {
	for i := range count {
		text += feedEvent(n, i)
	}
	return text
}

// The client gets all events before the cut, whatever the windows, and nothing else. Silence leaves other streams alone.
func TestH2StreamsAreCut(t *testing.T) {
	for _, size := range []int{1, 100 << 10} {
		three, all := feedEvents(size, 3), feedEvents(size, 5)
		s, left := serveFeed(t, size)
		for ending, want := range map[message.Ending]string{"": "reset", message.EndClosed: "closed", message.EndSilence: "silence"} {
			t.Run(fmt.Sprint(size, want), func(t *testing.T) {
				f := relaytest.OpenLink(t, s, message.Config{})
				count, heal := f.AddRule(t, message.Rule{Action: message.CutReply, Events: 3, EndWith: ending, Match: message.Match{Path: "/feed"}})
				p := relaytest.ConnectHTTP2(t, f.Addr)
				id := p.Request("GET", "/feed", "")
				assert.Empty(t, p.ReadUntil(relaytest.Patience, func() bool { return len(p.Responses[id].Body) >= len(three) }))
				within, calls := relaytest.Patience, 1
				if ending == message.EndSilence {
					within = relaytest.Quiet
				}
				assert.Equal(t, want, p.ReadUntil(within, nil))
				assert.Equal(t, three, p.Responses[id].Body)
				assert.False(t, p.Responses[id].Ended)
				if ending == message.EndSilence {
					assert.Equal(t, "200 other", p.Response(p.Request("GET", "/other", "")).String())
					calls++
				}
				_ = p.Close()
				<-left
				relaytest.WaitUntil(t, "all calls are told", func() bool { return len(f.FinishedCalls()) == calls })
				assert.Equal(t, 0, f.FinishedCalls()[0].Status)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, relaytest.PlainTally(count))
				heal()
				fresh := relaytest.ConnectHTTP2(t, f.Addr)
				id = fresh.Request("GET", "/feed", "")
				assert.Empty(t, fresh.ReadUntil(relaytest.Patience, func() bool { return fresh.Responses[id].Body == all }))
				_ = fresh.Close()
				<-left
			})
		}
	}
}

// A stalled stream stalls no other, and goes on when the fault is healed, unless its client has left.
func TestH2StreamsStall(t *testing.T) {
	for _, size := range []int{1, 100 << 10} {
		two, all := feedEvents(size, 2), feedEvents(size, 5)
		for _, leaves := range []string{"", "cancels", "closes"} {
			t.Run(fmt.Sprint(size, leaves), func(t *testing.T) {
				s, left := serveFeed(t, size)
				f := relaytest.OpenLink(t, s, message.Config{})
				count, heal := f.AddRule(t, message.Rule{Action: message.CutReply, Events: 2, EndWith: message.EndHeld, Match: message.Match{Path: "/feed"}})
				p := relaytest.ConnectHTTP2(t, f.Addr)
				id := p.Request("GET", "/feed", "")
				assert.Empty(t, p.ReadUntil(relaytest.Patience, func() bool { return len(p.Responses[id].Body) >= len(two) }))
				assert.Equal(t, "silence", p.ReadUntil(relaytest.Quiet, nil))
				assert.Equal(t, two, p.Responses[id].Body)
				assert.Equal(t, "200 other", p.Response(p.Request("GET", "/other", "")).String())
				assert.EqualValues(t, 1, count.Tally().Affected)
				switch leaves {
				case "cancels":
					require.NoError(t, p.WriteRSTStream(id, 8))
					assert.Equal(t, "200 other", p.Response(p.Request("GET", "/other", "")).String())
				case "closes":
					_ = p.Close()
					f.WaitClosed(t, message.ToServer)
				}
				heal()
				if leaves == "" {
					assert.Empty(t, p.ReadUntil(relaytest.Patience, func() bool { return p.Responses[id].Body == all }))
					_ = p.Close()
				}
				<-left
			})
		}
	}
}

// watch calls Watch. next returns its next message, or how the call ended.
func watch(t *testing.T, addr string) (next func() (string, error)) {
	p := relaytest.DialPayments(t, addr)
	ctx, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
	t.Cleanup(cancel)
	stream, err := p.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/shop.Payments/Watch")
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(wrapperspb.String("all at once")))
	require.NoError(t, stream.CloseSend())
	return func() (string, error) {
		out := &wrapperspb.StringValue{}
		err := stream.RecvMsg(out)
		return out.Value, err
	}
}

func TestGRPCStreamsAreCut(t *testing.T) {
	for _, ending := range []message.Ending{message.EndReset, message.EndClosed, message.EndHeld} {
		t.Run(string(ending), func(t *testing.T) {
			s := relaytest.StartPayments(t)
			f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
			count, heal := f.AddRule(t, message.Rule{Action: message.CutReply, Events: 2, EndWith: ending, Match: message.Match{Path: "shop.Payments/Watch"}})
			next := watch(t, f.Addr)
			for i := range 2 {
				got, err := next()
				require.NoError(t, err)
				assert.Equal(t, fmt.Sprint(i), got)
			}
			if ending == message.EndHeld {
				relaytest.WaitUntil(t, "it stalls", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
				heal()
				got, err := next()
				require.NoError(t, err)
				assert.Equal(t, "2", got)
				_, err = next()
				require.ErrorIs(t, err, io.EOF)
			} else {
				_, err := next()
				assert.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
			}
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1, Affected: 1}, relaytest.PlainTally(count))
		})
	}
}

// A stream that ends before the event is not affected, nor is one whose client cancels it.
func TestGRPCStreamsThatAreTooShort(t *testing.T) {
	s := relaytest.StartPayments(t)
	f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.CutReply, Events: 4})
	next := watch(t, f.Addr)
	for i := range 3 {
		got, err := next()
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprint(i), got)
	}
	_, err := next()
	require.ErrorIs(t, err, io.EOF)
	relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
	assert.Equal(t, "it ended or its caller left after 3 of its events", f.FinishedCalls()[0].Skipped)
	assert.Equal(t, 200, f.FinishedCalls()[0].Status)

	p := relaytest.DialPayments(t, f.Addr)
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := p.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop.Payments/Chat")
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(wrapperspb.String("hello")))
	require.NoError(t, stream.RecvMsg(&wrapperspb.StringValue{}))
	cancel()
	relaytest.WaitUntil(t, "the cancelled call is reported, though the fault is live", func() bool { return len(f.FinishedCalls()) == 2 })
	assert.Equal(t, "it ended or its caller left after 1 of its events", f.FinishedCalls()[1].Skipped)
	assert.Zero(t, count.Tally().Affected)
}

// Metadata of gRPC is changed in both directions, also of streams. What is beyond a quota gets a code.
func TestGRPCHeadersAndQuota(t *testing.T) {
	s := relaytest.StartPayments(t)
	f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
	p := relaytest.DialPayments(t, f.Addr)
	ctx, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
	defer cancel()
	for _, method := range []string{relaytest.ChargeMethod, "/shop.Payments/Chat"} {
		count, heal := f.AddRule(t, message.Rule{Action: message.EditReply, Headers: []string{"X-Cache: stale"}})
		stream, err := p.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		require.NoError(t, err)
		require.NoError(t, stream.SendMsg(wrapperspb.String("hello")))
		require.NoError(t, stream.CloseSend())
		got, err := stream.Header()
		require.NoError(t, err)
		assert.Equal(t, []string{"stale"}, got.Get("x-cache"))
		for err == nil {
			err = stream.RecvMsg(&wrapperspb.StringValue{})
		}
		require.ErrorIs(t, err, io.EOF)
		heal()
		assert.EqualValues(t, 1, count.Tally().Affected)
	}
	_, heal := f.AddRule(t, message.Rule{Action: message.EditRequest, Headers: []string{"content-type: text/plain"}})
	assert.Equal(t, codes.InvalidArgument.String(), p.Charge(relaytest.Patience, "it is not gRPC any more"))
	heal()
	count, _ := f.AddRule(t, message.Rule{Action: message.Answer, Code: "RESOURCE_EXHAUSTED", Quota: 1})
	relaytest.WaitUntil(t, "the quota is exceeded", func() bool { return p.Charge(relaytest.Patience, "ten") == codes.ResourceExhausted.String() })
	relaytest.WaitUntil(t, "the next second begins", func() bool { return strings.HasSuffix(p.Charge(relaytest.Patience, "ten"), " ten") })
	tally := count.Tally()
	assert.Equal(t, tally.Seen-tally.Affected, s.Done.Load()-1, "all others were charged, as the first was")
}

// The caller of server-sent events waits until it has their head.
func TestH2StreamsAreNotAwaited(t *testing.T) {
	s, left := serveFeed(t, 1)
	f := relaytest.OpenLink(t, s, message.Config{})
	p := relaytest.ConnectHTTP2(t, f.Addr)
	id := p.Request("GET", "/feed", "")
	assert.Empty(t, p.ReadUntil(relaytest.Patience, func() bool { return p.Responses[id].Head != "" }))
	require.Len(t, f.BegunStreams(), 1)
	assert.Equal(t, message.Call{Op: "GET /feed", Status: 200, Stream: true}, relaytest.WithoutTimes(f.BegunStreams()[0]))
	assert.Equal(t, "200 other", p.Response(p.Request("GET", "/other", "")).String())
	require.NoError(t, p.WriteRSTStream(id, 8))
	<-left
	relaytest.WaitUntil(t, "all calls are reported", func() bool { return len(f.FinishedCalls()) == 2 })
	assert.Equal(t, message.Call{Op: "GET /feed", GaveUp: true, Stream: true}, relaytest.WithoutTimes(f.FinishedCalls()[0]))
	assert.Len(t, f.BegunStreams(), 1)
}
