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

// till is a real gRPC server which counts what it executes.
type till struct {
	addr string
	srv  *grpc.Server
	done atomic.Int64
	mu   sync.Mutex
	log  []string
}

type tillServer interface{}

// openTill starts it. Charge answers "<n> <what was asked>"; asked for "once" it says ALREADY_EXISTS from the second time on. Chat answers each message, Watch
// sends three, in its own time or, asked for "all at once", at once.
func openTill(t testing.TB, options ...grpc.ServerOption) *till {
	t.Helper()
	s := &till{srv: grpc.NewServer(options...)}
	s.srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Payments", HandlerType: (*tillServer)(nil),
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
					pause := 3 * gather
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

func (s *till) charge(what string) (any, error) {
	n := s.done.Add(1)
	s.mu.Lock()
	s.log = append(s.log, what)
	s.mu.Unlock()
	if what == "once" && n > 1 {
		return nil, status.Error(codes.AlreadyExists, "charged before")
	}
	return wrapperspb.String(fmt.Sprintf("%d %s", n, what)), nil
}

// payer is the usual client, which does not retry.
type payer struct {
	*grpc.ClientConn
}

func dialTill(t testing.TB, addr string) payer {
	t.Helper()
	p, err := newPayer(addr, insecure.NewCredentials())
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func newPayer(addr string, secure credentials.TransportCredentials) (payer, error) {
	c, err := grpc.NewClient(addr, grpc.WithTransportCredentials(secure), grpc.WithDisableRetry())
	return payer{c}, err
}

// charge returns the answer, or the code of the error.
func (p payer) charge(within time.Duration, what string, meta ...string) string {
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), meta...), within)
	defer cancel()
	out := &wrapperspb.StringValue{}
	if err := p.Invoke(ctx, chargeMethod, wrapperspb.String(what), out); err != nil {
		return status.Code(err).String()
	}
	return out.Value
}

// slowly lets a machine that pauses take its time before a call is taken for a stream; it returns the way back.
func slowly(t testing.TB) {
	before := gather
	gather = patience / 2
	t.Cleanup(func() { gather = before })
}

func TestGRPCEachFaultWithEachEnding(t *testing.T) {
	slowly(t)
	rows := []struct {
		rule     Rule
		want     string
		executed int
	}{
		{Rule{Do: LoseRequest}, "Unavailable", 0},
		{Rule{Do: LoseRequest, Then: ThenReset}, "Unavailable", 0},
		{Rule{Do: LoseRequest, Then: ThenClosed}, "Unavailable", 0},
		{Rule{Do: LoseRequest, Then: ThenSilence}, "DeadlineExceeded", 0},
		{Rule{Do: LoseReply}, "Unavailable", 1},
		{Rule{Do: LoseReply, Then: ThenReset}, "Unavailable", 1},
		{Rule{Do: LoseReply, Then: ThenClosed}, "Unavailable", 1},
		{Rule{Do: LoseReply, Then: ThenSilence}, "DeadlineExceeded", 1},
		{Rule{Do: LoseReply, Then: ThenHeld}, "DeadlineExceeded", 1},
		{Rule{Do: Answer, Code: "UNAVAILABLE"}, "Unavailable", 0},
		{Rule{Do: Answer, Code: "resource_exhausted", RetryAfter: time.Second}, "ResourceExhausted", 0},
		{Rule{Do: Answer, Code: "4"}, "DeadlineExceeded", 0},
		{Rule{Do: Answer, Code: "13"}, "Internal", 0},
		{Rule{Do: Answer, Status: 503}, "Unavailable", 0},
		{Rule{Do: Delay, By: quiet}, "N ten", 1},
		{Rule{Do: Reorder, Wait: quiet}, "N ten", 1}, // nobody passes: a mere delay
		{Rule{Do: Twice}, "N ten", 2},
		{Rule{Do: Twice, Second: true}, "N ten", 2},
		{Rule{Do: Twice, Late: quiet}, "N ten", 2},
	}
	for _, row := range rows {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/%s/%v/%v/used=%v", row.rule.Do, row.rule.Then, row.rule.Code, row.rule.Second, row.rule.Late, used), func(t *testing.T) {
				s := openTill(t)
				f := openAs(t, "grpc", s.addr, Config{})
				row.rule.Match.Path = chargeMethod
				p := dialTill(t, f.addr)
				warm := 0
				if used {
					warm = 1
					require.Equal(t, "1 warm", p.charge(patience, "warm"))
				}
				count, heal := f.live(t, row.rule)
				within := patience
				if row.want == "DeadlineExceeded" && row.rule.Do != Answer {
					within = 5 * quiet
				}
				got := p.charge(within, "ten")
				if strings.HasSuffix(got, " ten") {
					got = "N ten"
				}
				assert.Equal(t, row.want, got)
				until(t, "it is executed", func() bool { return int(s.done.Load()) == warm+row.executed })
				affected := int64(1)
				if row.rule.Do == Reorder {
					affected = 0
					assert.Len(t, f.seen(evidence.Expired), 1)
				}
				heal()
				assert.Equal(t, fmt.Sprintf("%d after", warm+row.executed+1), p.charge(patience, "after"), "the client recovers")
				f.balanced(t)
				assert.Equal(t, []int64{1, affected}, []int64{count.Tally().Seen, count.Tally().Affected})
				until(t, "the calls are told", func() bool { return len(f.over()) == warm+2 })
				touched := 0
				for _, c := range f.over() {
					assert.Equal(t, chargeMethod, c.Op)
					if c.Affected {
						touched++
						if row.rule.Then != ThenHeld { // which may be healed before the client has said that it left
							assert.Equal(t, within != patience, c.GaveUp)
						}
					}
				}
				assert.EqualValues(t, affected, touched)
			})
		}
	}
}

// A request that is held until healed is delivered then, to a server whose client may have left.
func TestGRPCHeldUntilHealed(t *testing.T) {
	slowly(t)
	for _, do := range []Do{LoseRequest, LoseReply} {
		s := openTill(t)
		f := openAs(t, "grpc", s.addr, Config{})
		_, heal := f.live(t, Rule{Do: do, Then: ThenHeld, First: 1})
		p := dialTill(t, f.addr)
		answer := make(chan string, 1)
		go func() { answer <- p.charge(patience, "ten") }()
		until(t, "it is held", func() bool { return len(f.seen(evidence.Held)) == 1 })
		got := p.charge(patience, "other")
		assert.Contains(t, got, " other", "the others go on")
		heal()
		assert.Contains(t, <-answer, " ten")
		assert.Len(t, f.seen(evidence.Released), 1)
		assert.EqualValues(t, 2, s.done.Load())
	}
}

func TestGRPCTheSwallowedAnswerIsTold(t *testing.T) {
	slowly(t)
	for _, second := range []bool{false, true} {
		s := openTill(t)
		f := openAs(t, "grpc", s.addr, Config{})
		f.live(t, Rule{Do: Twice, Second: second})
		p := dialTill(t, f.addr)
		got := p.charge(patience, "once", "idempotency-key", "k7")
		other := "status 200, 13 bytes, grpc-status 0 OK"
		if got != "AlreadyExists" {
			require.False(t, second)
			other = "status 200, 0 bytes, grpc-status 6 ALREADY_EXISTS"
		}
		f.balanced(t)
		require.Len(t, f.seen(evidence.Swallowed), 1)
		told := f.seen(evidence.Swallowed)[0]
		assert.Equal(t, []string{other, "k7", chargeMethod}, []string{told.Detail, told.Key, told.Op})
	}
}

// Streams pass as if there were no rule, and are told as skipped.
func TestGRPCStreamsPassUntouched(t *testing.T) {
	for _, rule := range []Rule{
		{Do: Delay, By: time.Hour}, {Do: LoseRequest}, {Do: LoseReply}, {Do: LoseReply, Then: ThenHeld}, {Do: Answer, Code: "UNAVAILABLE"}, {Do: Twice}, {Do: Twice, Second: true},
		{Do: Reorder, Wait: time.Hour}, {Do: Corrupt}, {Do: Truncate},
	} {
		t.Run(fmt.Sprint(rule.Do, rule.Then, rule.Second), func(t *testing.T) {
			s := openTill(t)
			f := openAs(t, "grpc", s.addr, Config{})
			rule.Match.Path = "shop.Payments/Chat"
			count, _ := f.live(t, rule)
			p := dialTill(t, f.addr)
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
			until(t, "the call is told", func() bool { return len(f.over()) == 1 })
			assert.Equal(t, Call{Op: "/shop.Payments/Chat", Status: 200, Skipped: "stream"}, timeless(f.over()[0]))
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
			require.Len(t, f.seen(evidence.Skipped), 1)
			assert.Equal(t, "stream", f.seen(evidence.Skipped)[0].Detail)
		})
	}
}

// What a server streams is a stream too, however short the request, and however soon it is over.
func TestGRPCAServersStreamIsNoAnswer(t *testing.T) {
	for _, rule := range []Rule{{Do: LoseReply}, {Do: LoseReply, Then: ThenHeld}, {Do: Twice, Second: true}} {
		for _, what := range []string{"all", "all at once"} {
			t.Run(fmt.Sprint(rule.Do, rule.Then, " ", what), func(t *testing.T) {
				if what == "all at once" {
					slowly(t)
				}
				s := openTill(t)
				f := openAs(t, "grpc", s.addr, Config{})
				count, _ := f.live(t, rule)
				p := dialTill(t, f.addr)
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
				require.Len(t, f.seen(evidence.Skipped), 1)
				assert.Equal(t, "stream", f.seen(evidence.Skipped)[0].Detail)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
				f.balanced(t)
			})
		}
	}
}

// Calls are chosen by their metadata and by the key among it; a share of keys is the same at every retry.
func TestGRPCCallsAreChosenByTheirMetadata(t *testing.T) {
	slowly(t)
	s := openTill(t)
	f := openAs(t, "grpc", s.addr, Config{})
	p := dialTill(t, f.addr)
	for _, match := range []Match{{Header: "Tenant: acme"}, {Key: "k-1"}, {Header: "Host: " + f.addr, Key: "k-1"}} {
		count, heal := f.live(t, Rule{Do: Answer, Code: "ABORTED", Match: match})
		assert.Equal(t, "Aborted", p.charge(patience, "ten", "tenant", "acme", "idempotency-key", "k-1"))
		assert.Contains(t, p.charge(patience, "ten", "tenant", "other", "idempotency-key", "k-2"), " ten")
		assert.Equal(t, []int64{1, 1}, []int64{count.Tally().Seen, count.Tally().Affected})
		heal()
	}
	_, heal := f.live(t, Rule{ID: "fault-2", Do: Answer, Code: "ABORTED", Share: .5, Sticky: true})
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

// Messages of more than 1 MiB pass, and are told as skipped, whichever way they go.
func TestGRPCLargeCallsAreSkipped(t *testing.T) {
	slowly(t)
	for _, rule := range []Rule{{Do: Answer, Code: "UNAVAILABLE"}, {Do: LoseRequest}, {Do: LoseRequest, Then: ThenHeld}, {Do: LoseReply}, {Do: Twice}, {Do: Twice, Second: true}, {Do: Corrupt}, {Do: Reorder, Wait: time.Hour}} {
		s := openTill(t)
		f := openAs(t, "grpc", s.addr, Config{})
		count, _ := f.live(t, rule)
		p := dialTill(t, f.addr)
		got := p.charge(patience, strings.Repeat("a", 2<<20))
		assert.Len(t, got, 2<<20+len("1 "), rule.Do)
		assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, plain(count))
		require.NotEmpty(t, f.seen(evidence.Skipped))
		assert.Equal(t, "too large: more than 1048576 bytes", f.seen(evidence.Skipped)[0].Detail)
		f.balanced(t)
		assert.EqualValues(t, 1, s.done.Load())
	}
}

// A message is damaged inside its frame of five bytes: what arrives is a message still.
func TestGRPCDamagedMessages(t *testing.T) {
	slowly(t)
	s := openTill(t)
	f := openAs(t, "grpc", s.addr, Config{})
	_, heal := f.live(t, Rule{Do: Corrupt, Seed: 3})
	p := dialTill(t, f.addr)
	text := strings.Repeat("a", 100)
	for range 5 { // most of its bytes are text: in one that is none it is refused by the server's decoder
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
	_, heal = f.live(t, Rule{ID: "fault-2", Do: Truncate})
	assert.Equal(t, "Internal", p.charge(patience, text), "a string that ends early is no string to protobuf")
	assert.Contains(t, p.charge(patience, ""), " ", "nothing to cut")
	assert.Len(t, f.seen(evidence.Skipped), 1)
	heal()
	assert.Contains(t, p.charge(patience, text), text)
}

func TestGRPCRulesAreHeldToTheirCodes(t *testing.T) {
	r, err := New("grpc", Config{Link: "orders -> payments"})
	require.NoError(t, err)
	for _, code := range []string{"", "OK", "0", "17", "MAYBE"} {
		_, err = r.Add(Rule{ID: "fault-1", Do: Answer, Code: code})
		require.Error(t, err, code)
		assert.Contains(t, err.Error(), fmt.Sprintf("code %q is no error of gRPC: they are CANCELLED, UNKNOWN", code))
	}
	_, err = r.Add(Rule{ID: "fault-1", Do: Corrupt, Dir: ToClient})
	require.Error(t, err)
	assert.True(t, matchMethod("shop.Payments/*", chargeMethod))
	assert.True(t, matchMethod(chargeMethod, chargeMethod))
	assert.False(t, matchMethod("shop.Orders/Charge", chargeMethod))
}
