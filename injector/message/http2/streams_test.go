package http2_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// The caller of a stream of gRPC waits until it has its first message, also if nothing follows it.
func TestGRPCStreamsAreNotAwaited(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			s := relaytest.StartPayments(t)
			f := relaytest.OpenLinkFor(t, protocol, s.Addr, message.Config{})
			p := relaytest.DialPayments(t, f.Addr)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			stream, err := p.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop.Payments/Chat")
			require.NoError(t, err)
			relaytest.WaitUntil(t, "the call has arrived", func() bool { toServer, _ := f.CheckAccounts(t); return toServer.Delivered == 1 })
			assert.Empty(t, f.BegunStreams())
			require.NoError(t, stream.SendMsg(wrapperspb.String("a")))
			require.NoError(t, stream.RecvMsg(&wrapperspb.StringValue{}))
			relaytest.WaitUntil(t, "the stream has begun", func() bool { return len(f.BegunStreams()) == 1 })
			assert.Equal(t, 200, f.BegunStreams()[0].Status)
			f.CheckAccounts(t)

			for range 20 { // unary calls on the same connection
				assert.Contains(t, p.Charge(relaytest.Patience, "ten"), " ten")
			}
			relaytest.WaitUntil(t, "they are reported", func() bool { return len(f.FinishedCalls()) == 20 })
			cancel()
			relaytest.WaitUntil(t, "the stream is reported", func() bool { return len(f.FinishedCalls()) == 21 })
			call := f.FinishedCalls()[0]
			assert.True(t, call.Stream && call.GaveUp)
			for _, unary := range f.FinishedCalls()[1:] {
				assert.Equal(t, 200, unary.Status)
			}
		})
	}
}

// While a rule holds the answer back, its caller waits.
func TestHeldGRPCStreamsAreAwaited(t *testing.T) {
	s := relaytest.StartPayments(t)
	f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
	_, heal := f.AddRule(t, message.Rule{Action: message.DelayReply, By: time.Hour})
	p := relaytest.DialPayments(t, f.Addr)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := p.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop.Payments/Chat")
	require.NoError(t, err)
	require.NoError(t, stream.SendMsg(wrapperspb.String("a")))
	f.WaitAnswerPending(t)
	assert.Empty(t, f.BegunStreams())
	heal()
	require.NoError(t, stream.RecvMsg(&wrapperspb.StringValue{}))
	relaytest.WaitUntil(t, "the stream has begun", func() bool { return len(f.BegunStreams()) == 1 })
	f.CheckAccounts(t)
}
