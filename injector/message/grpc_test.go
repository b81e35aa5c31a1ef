package message

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

const chargeMethod = "/shop.Payments/Charge"

// paymentServer is a real gRPC server that counts its executions.
type paymentServer struct {
	addr string
	srv  *grpc.Server
	done atomic.Int64
	mu   sync.Mutex
	log  []string
}

type paymentService interface{}

// startPayments starts a paymentServer. Charge answers "<n> <request>"; from the second request for "once" on,
// it returns ALREADY_EXISTS. Chat answers each message. Watch sends three messages, over time or, if asked for
// "all at once", immediately.
func startPayments(t testing.TB, options ...grpc.ServerOption) *paymentServer {
	t.Helper()
	s := &paymentServer{srv: grpc.NewServer(options...)}
	s.srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Payments", HandlerType: (*paymentService)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Charge", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			in := &wrapperspb.StringValue{}
			if err := decode(in); err != nil {
				return nil, err
			}
			return s.charge(in.Value)
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
					pause := 3 * quietTime
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
	s.addr = ln.Addr().String()
	served := make(chan struct{})
	go func() { defer close(served); _ = s.srv.Serve(ln) }()
	t.Cleanup(func() { s.srv.Stop(); <-served })
	return s
}

func (s *paymentServer) charge(what string) (any, error) {
	n := s.done.Add(1)
	s.mu.Lock()
	s.log = append(s.log, what)
	s.mu.Unlock()
	if what == "once" && n > 1 {
		return nil, status.Error(codes.AlreadyExists, "charged before")
	}
	return wrapperspb.String(fmt.Sprintf("%d %s", n, what)), nil
}

// paymentClient is an ordinary client without retries.
type paymentClient struct {
	*grpc.ClientConn
}

func dialPayments(t testing.TB, addr string) paymentClient {
	t.Helper()
	p, err := newPaymentClient(addr, insecure.NewCredentials())
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func newPaymentClient(addr string, secure credentials.TransportCredentials) (paymentClient, error) {
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(secure), grpc.WithDisableRetry())
	return paymentClient{c}, err
}

// charge returns the answer, or the code of the error.
func (p paymentClient) charge(within time.Duration, what string, meta ...string) string {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), meta...), within)
	defer cancel()
	out := &wrapperspb.StringValue{}
	if err := p.Invoke(ctx, chargeMethod, wrapperspb.String(what), out); err != nil {
		return status.Code(err).String()
	}
	return out.Value
}

// lengthenQuietTime prevents a slow machine from taking a call for a stream. The old value is restored after the
// test.
func lengthenQuietTime(t testing.TB) {
	before := quietTime
	quietTime = patience / 2
	t.Cleanup(func() { quietTime = before })
}

func TestGRPCEachFaultWithEachEnding(t *testing.T) {
	lengthenQuietTime(t)
	rows := []struct {
		rule     Rule
		want     string
		executed int
	}{
		{Rule{Action: LoseRequest}, "Unavailable", 0},
		{Rule{Action: LoseRequest, EndWith: EndReset}, "Unavailable", 0},
		{Rule{Action: LoseRequest, EndWith: EndClosed}, "Unavailable", 0},
		{Rule{Action: LoseRequest, EndWith: EndSilence}, "DeadlineExceeded", 0},
		{Rule{Action: LoseReply}, "Unavailable", 1},
		{Rule{Action: LoseReply, EndWith: EndReset}, "Unavailable", 1},
		{Rule{Action: LoseReply, EndWith: EndClosed}, "Unavailable", 1},
		{Rule{Action: LoseReply, EndWith: EndSilence}, "DeadlineExceeded", 1},
		{Rule{Action: LoseReply, EndWith: EndHeld}, "DeadlineExceeded", 1},
		{Rule{Action: Answer, Code: "UNAVAILABLE"}, "Unavailable", 0},
		{Rule{Action: Answer, Code: "resource_exhausted", RetryAfter: time.Second}, "ResourceExhausted", 0},
		{Rule{Action: Answer, Code: "4"}, "DeadlineExceeded", 0},
		{Rule{Action: Answer, Code: "13"}, "Internal", 0},
		{Rule{Action: Answer, Status: 503}, "Unavailable", 0},
		{Rule{Action: Delay, By: quiet}, "N ten", 1},
		{Rule{Action: Reorder, Wait: quiet}, "N ten", 1}, // no message passes: only a delay
		{Rule{Action: Twice}, "N ten", 2},
		{Rule{Action: Twice, Second: true}, "N ten", 2},
		{Rule{Action: Twice, Late: quiet}, "N ten", 2},
	}
	for _, row := range rows {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/%s/%v/%v/used=%v", row.rule.Action, row.rule.EndWith, row.rule.Code, row.rule.Second, row.rule.Late, used), func(t *testing.T) {
				s := startPayments(t)
				f := openLinkFor(t, "grpc", s.addr, Config{})
				row.rule.Match.Path = chargeMethod
				p := dialPayments(t, f.addr)
				warm := 0
				if used {
					warm = 1
					require.Equal(t, "1 warm", p.charge(patience, "warm"))
				}
				count, heal := f.addRule(t, row.rule)
				within := patience
				if row.want == "DeadlineExceeded" && row.rule.Action != Answer {
					within = 5 * quiet
				}
				got := p.charge(within, "ten")
				if strings.HasSuffix(got, " ten") {
					got = "N ten"
				}
				assert.Equal(t, row.want, got)
				waitUntil(t, "it is executed", func() bool { return int(s.done.Load()) == warm+row.executed })
				affected := int64(1)
				if row.rule.Action == Reorder {
					affected = 0
					assert.Len(t, f.recorded(evidence.Expired), 1)
				}
				heal()
				assert.Equal(t, fmt.Sprintf("%d after", warm+row.executed+1), p.charge(patience, "after"), "the client recovers")
				f.checkAccounts(t)
				assert.Equal(t, []int64{1, affected}, []int64{count.Tally().Seen, count.Tally().Affected})
				waitUntil(t, "the calls are told", func() bool { return len(f.finishedCalls()) == warm+2 })
				touched := 0
				for _, c := range f.finishedCalls() {
					assert.Equal(t, chargeMethod, c.Op)
					if c.Affected {
						touched++
						if row.rule.EndWith != EndHeld { // the rule may be healed before the client's disconnection is noticed
							assert.Equal(t, within != patience, c.GaveUp)
						}
					}
				}
				assert.EqualValues(t, affected, touched)
			})
		}
	}
}

// A request held until healing is then delivered to the server, even if the client has disconnected.
func TestGRPCHeldUntilHealed(t *testing.T) {
	lengthenQuietTime(t)
	for _, do := range []Action{LoseRequest, LoseReply} {
		s := startPayments(t)
		f := openLinkFor(t, "grpc", s.addr, Config{})
		_, heal := f.addRule(t, Rule{Action: do, EndWith: EndHeld, First: 1})
		p := dialPayments(t, f.addr)
		answer := make(chan string, 1)
		go func() { answer <- p.charge(patience, "ten") }()
		waitUntil(t, "it is held", func() bool { return len(f.recorded(evidence.Held)) == 1 })
		got := p.charge(patience, "other")
		assert.Contains(t, got, " other", "the others go on")
		heal()
		assert.Contains(t, <-answer, " ten")
		assert.Len(t, f.recorded(evidence.Released), 1)
		assert.EqualValues(t, 2, s.done.Load())
	}
}

func TestGRPCDiscardedAnswerIsRecorded(t *testing.T) {
	lengthenQuietTime(t)
	for _, second := range []bool{false, true} {
		s := startPayments(t)
		f := openLinkFor(t, "grpc", s.addr, Config{})
		f.addRule(t, Rule{Action: Twice, Second: second})
		p := dialPayments(t, f.addr)
		got := p.charge(patience, "once", "idempotency-key", "k7")
		other := "status 200, 13 bytes, grpc-status 0 OK"
		if got != "AlreadyExists" {
			require.False(t, second)
			other = "status 200, 0 bytes, grpc-status 6 ALREADY_EXISTS"
		}
		f.checkAccounts(t)
		require.Len(t, f.recorded(evidence.Discarded), 1)
		event := f.recorded(evidence.Discarded)[0]
		assert.Equal(t, []string{other, "k7", chargeMethod}, []string{event.Detail, event.Key, event.Op})
	}
}

// Streams pass as if there were no rule, and are reported as skipped.
func TestGRPCStreamsPassUntouched(t *testing.T) {
	for _, rule := range []Rule{
		{Action: Delay, By: time.Hour}, {Action: LoseRequest}, {Action: LoseReply}, {Action: LoseReply, EndWith: EndHeld}, {Action: Answer, Code: "UNAVAILABLE"}, {Action: Twice}, {Action: Twice, Second: true},
		{Action: Reorder, Wait: time.Hour}, {Action: Corrupt}, {Action: Truncate},
	} {
		t.Run(fmt.Sprint(rule.Action, rule.EndWith, rule.Second), func(t *testing.T) {
			s := startPayments(t)
			f := openLinkFor(t, "grpc", s.addr, Config{})
			rule.Match.Path = "shop.Payments/Chat"
			count, _ := f.addRule(t, rule)
			p := dialPayments(t, f.addr)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			stream, err := p.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop.Payments/Chat")
			require.NoError(t, err)
			for i := range 20 {
				require.NoError(t, stream.SendMsg(wrapperspb.String(fmt.Sprint(i))))
				out := &wrapperspb.StringValue{}
				require.NoError(t, stream.RecvMsg(out))
				assert.Equal(t, fmt.Sprint("re: ", i), out.Value)
			}
			require.NoError(t, stream.CloseSend())
			require.ErrorIs(t, stream.RecvMsg(&wrapperspb.StringValue{}), io.EOF)
			waitUntil(t, "the call is told", func() bool { return len(f.finishedCalls()) == 1 })
			assert.Equal(t, Call{Op: "/shop.Payments/Chat", Status: 200, Skipped: "stream"}, withoutTimes(f.finishedCalls()[0]))
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
			require.Len(t, f.recorded(evidence.Skipped), 1)
			assert.Equal(t, "stream", f.recorded(evidence.Skipped)[0].Detail)
		})
	}
}

// A server-side stream is a stream too, however short it and its request are.
func TestGRPCServerStreamIsNotAnAnswer(t *testing.T) {
	for _, rule := range []Rule{{Action: LoseReply}, {Action: LoseReply, EndWith: EndHeld}, {Action: Twice, Second: true}} {
		for _, what := range []string{"all", "all at once"} {
			t.Run(fmt.Sprint(rule.Action, rule.EndWith, " ", what), func(t *testing.T) {
				if what == "all at once" {
					lengthenQuietTime(t)
				}
				s := startPayments(t)
				f := openLinkFor(t, "grpc", s.addr, Config{})
				count, _ := f.addRule(t, rule)
				p := dialPayments(t, f.addr)
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				stream, err := p.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/shop.Payments/Watch")
				require.NoError(t, err)
				require.NoError(t, stream.SendMsg(wrapperspb.String(what)))
				require.NoError(t, stream.CloseSend())
				for i := range 3 {
					out := &wrapperspb.StringValue{}
					require.NoError(t, stream.RecvMsg(out))
					assert.Equal(t, fmt.Sprint(i), out.Value)
				}
				require.ErrorIs(t, stream.RecvMsg(&wrapperspb.StringValue{}), io.EOF)
				require.Len(t, f.recorded(evidence.Skipped), 1)
				assert.Equal(t, "stream", f.recorded(evidence.Skipped)[0].Detail)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
				f.checkAccounts(t)
			})
		}
	}
}

// Calls are matched by their metadata, including the key. With a share of keys, retries get the same decision.
func TestGRPCMatchByMetadata(t *testing.T) {
	lengthenQuietTime(t)
	s := startPayments(t)
	f := openLinkFor(t, "grpc", s.addr, Config{})
	p := dialPayments(t, f.addr)
	for _, match := range []Match{{Header: "Tenant: acme"}, {Key: "k-1"}, {Header: "Host: " + f.addr, Key: "k-1"}} {
		count, heal := f.addRule(t, Rule{Action: Answer, Code: "ABORTED", Match: match})
		assert.Equal(t, "Aborted", p.charge(patience, "ten", "tenant", "acme", "idempotency-key", "k-1"))
		assert.Contains(t, p.charge(patience, "ten", "tenant", "other", "idempotency-key", "k-2"), " ten")
		assert.Equal(t, []int64{1, 1}, []int64{count.Tally().Seen, count.Tally().Affected})
		heal()
	}
	_, heal := f.addRule(t, Rule{ID: "fault-2", Action: Answer, Code: "ABORTED", Share: .5, Sticky: true})
	defer heal()
	chosen := map[bool]int{}
	for i := range 20 {
		key := fmt.Sprint("order-", i)
		first := p.charge(patience, "ten", "idempotency-key", key) == "Aborted"
		chosen[first]++
		for range 3 {
			assert.Equal(t, first, p.charge(patience, "ten", "idempotency-key", key) == "Aborted", key)
		}
	}
	assert.Len(t, chosen, 2)
}

// Messages of more than 1 MiB pass in both directions, and are reported as skipped.
func TestGRPCLargeCallsAreSkipped(t *testing.T) {
	lengthenQuietTime(t)
	for _, rule := range []Rule{{Action: Answer, Code: "UNAVAILABLE"}, {Action: LoseRequest}, {Action: LoseRequest, EndWith: EndHeld}, {Action: LoseReply}, {Action: Twice}, {Action: Twice, Second: true}, {Action: Corrupt}, {Action: Reorder, Wait: time.Hour}} {
		s := startPayments(t)
		f := openLinkFor(t, "grpc", s.addr, Config{})
		count, _ := f.addRule(t, rule)
		p := dialPayments(t, f.addr)
		got := p.charge(patience, strings.Repeat("a", 2<<20))
		assert.Len(t, got, 2<<20+len("1 "), rule.Action)
		assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
		require.NotEmpty(t, f.recorded(evidence.Skipped))
		assert.Equal(t, "too large: more than 1048576 bytes", f.recorded(evidence.Skipped)[0].Detail)
		f.checkAccounts(t)
		assert.EqualValues(t, 1, s.done.Load())
	}
}

// A message is damaged within its five-byte framing, so that what arrives is still a message.
func TestGRPCDamagedMessages(t *testing.T) {
	lengthenQuietTime(t)
	s := startPayments(t)
	f := openLinkFor(t, "grpc", s.addr, Config{})
	_, heal := f.addRule(t, Rule{Action: Corrupt, Seed: 3})
	p := dialPayments(t, f.addr)
	text := strings.Repeat("a", 100)
	for range 5 { // most bytes are text; if another byte is damaged, the server's decoder rejects the message
		got := p.charge(patience, text)
		assert.NotContains(t, got, text)
	}
	heal()
	before := s.done.Load()
	assert.Positive(t, before)
	for _, what := range s.log {
		if len(what) == len(text) {
			changed := 0
			for i := range what {
				if what[i] != 'a' {
					changed++
				}
			}
			assert.Equal(t, 1, changed)
		}
	}
	_, heal = f.addRule(t, Rule{ID: "fault-2", Action: Truncate})
	assert.Equal(t, "Internal", p.charge(patience, text), "a string that ends early is no string to protobuf")
	assert.Contains(t, p.charge(patience, ""), " ", "nothing to cut")
	assert.Len(t, f.recorded(evidence.Skipped), 1)
	heal()
	assert.Contains(t, p.charge(patience, text), text)
}

func TestGRPCRejectsUnknownCodes(t *testing.T) {
	r, err := New("grpc", Config{Link: "orders -> payments"})
	require.NoError(t, err)
	for _, code := range []string{"", "OK", "0", "17", "MAYBE"} {
		_, err = r.Add(Rule{ID: "fault-1", Action: Answer, Code: code})
		require.Error(t, err, code)
		assert.Contains(t, err.Error(), fmt.Sprintf("code %q is no error of gRPC: they are CANCELLED, UNKNOWN", code))
	}
	_, err = r.Add(Rule{ID: "fault-1", Action: Corrupt, Dir: ToClient})
	require.Error(t, err)
	assert.True(t, matchMethod("shop.Payments/*", chargeMethod))
	assert.True(t, matchMethod(chargeMethod, chargeMethod))
	assert.False(t, matchMethod("shop.Orders/Charge", chargeMethod))
}
