package relaytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const ChargeMethod = "/shop.Payments/Charge"

// paymentServer is a real gRPC server that counts its executions.
type paymentServer struct {
	Addr string
	srv  *grpc.Server
	Done atomic.Int64
	mu   sync.Mutex
	Log  []string
}

type paymentService interface{}

// StartPayments starts a paymentServer. Charge answers "<n> <request>"; from the second request for "once" on,
// it returns ALREADY_EXISTS. Chat answers each message. Watch sends three messages, over time or, if asked for
// "all at once", immediately.
func StartPayments(t testing.TB, options ...grpc.ServerOption) *paymentServer {
	t.Helper()
	s := &paymentServer{srv: grpc.NewServer(options...)}
	s.srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Payments", HandlerType: (*paymentService)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Charge", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := &wrapperspb.StringValue{}
			if err := decode(in); err != nil {
				return nil, err
			}
			return s.Charge(in.Value)
		}}},
		Streams: []grpc.StreamDesc{
			{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
				for {
					in := &wrapperspb.StringValue{}
					if err := stream.RecvMsg(in); errors.Is(err, io.EOF) {
						return nil
					} else if err != nil {
						return err
					}
					if err := stream.SendMsg(wrapperspb.String("re: " + in.Value)); err != nil {
						return err
					}
				}
			}},
			{StreamName: "Watch", ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
				in := &wrapperspb.StringValue{}
				if err := stream.RecvMsg(in); err != nil {
					return err
				}
				for i := range 3 {
					if err := stream.SendMsg(wrapperspb.String(fmt.Sprint(i))); err != nil {
						return err
					}
					pause := 60 * time.Millisecond // longer than http2.QuietTime
					if in.Value == "all at once" {
						pause = 0
					}
					select {
					case <-time.After(pause):
					case <-stream.Context().Done():
						return stream.Context().Err()
					}
				}
				return nil
			}},
		},
	}, struct{}{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.Addr = ln.Addr().String()
	served := make(chan struct{})
	go func() { defer close(served); _ = s.srv.Serve(ln) }()
	t.Cleanup(func() { s.srv.Stop(); <-served })
	return s
}

func (s *paymentServer) Charge(what string) (any, error) {
	n := s.Done.Add(1)
	s.mu.Lock()
	s.Log = append(s.Log, what)
	s.mu.Unlock()
	if what == "once" && n > 1 {
		return nil, status.Error(codes.AlreadyExists, "charged before")
	}
	return wrapperspb.String(fmt.Sprintf("%d %s", n, what)), nil
}

// Executed returns what was charged, in order.
func (s *paymentServer) Executed() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.Log...)
}

// paymentClient is an ordinary client without retries.
type paymentClient struct {
	*grpc.ClientConn
}

func DialPayments(t testing.TB, addr string) paymentClient {
	t.Helper()
	p, err := NewPaymentClient(addr, insecure.NewCredentials())
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func NewPaymentClient(addr string, secure credentials.TransportCredentials) (paymentClient, error) {
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(secure), grpc.WithDisableRetry())
	return paymentClient{c}, err
}

// Charge returns the answer, or the code of the error.
func (p paymentClient) Charge(within time.Duration, what string, meta ...string) string {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), meta...), within)
	defer cancel()
	return p.ChargeUntil(ctx, what)
}

// ChargeUntil is like Charge, and gives up when ctx ends.
func (p paymentClient) ChargeUntil(ctx context.Context, what string) string {
	out := &wrapperspb.StringValue{}
	if err := p.Invoke(ctx, ChargeMethod, wrapperspb.String(what), out); err != nil {
		return status.Code(err).String()
	}
	return out.Value
}
