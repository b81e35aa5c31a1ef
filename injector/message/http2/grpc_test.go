package http2_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

func TestGRPCEachFaultWithEachEnding(t *testing.T) {
	lengthenQuietTime(t)
	rows := []struct {
		rule     message.Rule
		want     string
		executed int
	}{
		{message.Rule{Action: message.LoseRequest}, "Unavailable", 0},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndReset}, "Unavailable", 0},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndClosed}, "Unavailable", 0},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence}, "Canceled", 0},
		{message.Rule{Action: message.LoseReply}, "Unavailable", 1},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, "Unavailable", 1},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, "Unavailable", 1},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, "Canceled", 1},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndHeld}, "Canceled", 1},
		{message.Rule{Action: message.Answer, Code: "UNAVAILABLE"}, "Unavailable", 0},
		{message.Rule{Action: message.Answer, Code: "resource_exhausted", RetryAfter: time.Second}, "ResourceExhausted", 0},
		{message.Rule{Action: message.Answer, Code: "4"}, "DeadlineExceeded", 0},
		{message.Rule{Action: message.Answer, Code: "13"}, "Internal", 0},
		{message.Rule{Action: message.Answer, Status: 503}, "Unavailable", 0},
		{message.Rule{Action: message.Delay, By: relaytest.Quiet}, "N ten", 1},
		{message.Rule{Action: message.Reorder, Wait: relaytest.Quiet}, "N ten", 1}, // no message passes: only a delay
		{message.Rule{Action: message.Twice}, "N ten", 2},
		{message.Rule{Action: message.Twice, Second: true}, "N ten", 2},
		{message.Rule{Action: message.Twice, Late: relaytest.Quiet}, "N ten", 2},
	}
	for _, row := range rows {
		for _, used := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%s/%s/%v/%v/used=%v", row.rule.Action, row.rule.EndWith, row.rule.Code, row.rule.Second, row.rule.Late, used), func(t *testing.T) {
				s := relaytest.StartPayments(t)
				f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
				row.rule.Match.Path = relaytest.ChargeMethod
				p := relaytest.DialPayments(t, f.Addr)
				warm := 0
				if used {
					warm = 1
					require.Equal(t, "1 warm", p.Charge(relaytest.Patience, "warm"))
				}
				count, heal := f.AddRule(t, row.rule)
				ctx, giveUp := context.WithTimeout(t.Context(), relaytest.Patience)
				defer giveUp()
				result := make(chan string, 1)
				go func() { result <- p.ChargeUntil(ctx, "ten") }()
				if row.want == "Canceled" { // nothing comes for a while after the rule acted
					relaytest.WaitUntil(t, "it is lost", func() bool { return count.Tally().Affected == 1 })
					time.Sleep(relaytest.Quiet)
					giveUp()
				}
				got := <-result
				if strings.HasSuffix(got, " ten") {
					got = "N ten"
				}
				assert.Equal(t, row.want, got)
				relaytest.WaitUntil(t, "it is executed", func() bool { return int(s.Done.Load()) == warm+row.executed })
				affected := int64(1)
				if row.rule.Action == message.Reorder {
					affected = 0
					assert.Len(t, f.Recorded(evidence.Expired), 1)
				}
				heal()
				assert.Equal(t, fmt.Sprintf("%d after", warm+row.executed+1), p.Charge(relaytest.Patience, "after"), "the client recovers")
				f.CheckAccounts(t)
				assert.Equal(t, []int64{1, affected}, []int64{count.Tally().Seen, count.Tally().Affected})
				relaytest.WaitUntil(t, "the calls are told", func() bool { return len(f.FinishedCalls()) == warm+2 })
				touched := 0
				for _, c := range f.FinishedCalls() {
					assert.Equal(t, relaytest.ChargeMethod, c.Op)
					if c.Affected {
						touched++
						if row.rule.EndWith != message.EndHeld { // the rule may be healed before the client's disconnection is noticed
							assert.Equal(t, row.want == "Canceled", c.GaveUp)
						}
					}
				}
				assert.EqualValues(t, affected, touched)
			})
		}
	}
}

func TestGRPCDiscardedAnswerIsRecorded(t *testing.T) {
	lengthenQuietTime(t)
	for _, second := range []bool{false, true} {
		s := relaytest.StartPayments(t)
		f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
		f.AddRule(t, message.Rule{Action: message.Twice, Second: second})
		p := relaytest.DialPayments(t, f.Addr)
		got := p.Charge(relaytest.Patience, "once", "idempotency-key", "k7")
		other := "status 200, 13 bytes, grpc-status 0 OK"
		if got != "AlreadyExists" {
			require.False(t, second)
			other = "status 200, 0 bytes, grpc-status 6 ALREADY_EXISTS"
		}
		f.CheckAccounts(t)
		require.Len(t, f.Recorded(evidence.Discarded), 1)
		event := f.Recorded(evidence.Discarded)[0]
		assert.Equal(t, []string{other, "k7", relaytest.ChargeMethod}, []string{event.Detail, event.Key, event.Op})
	}
}

// Streams pass as if there were no rule, and are reported as skipped.
func TestGRPCStreamsPassUntouched(t *testing.T) {
	for _, rule := range []message.Rule{
		{Action: message.Delay, By: time.Hour}, {Action: message.LoseRequest}, {Action: message.LoseReply}, {Action: message.LoseReply, EndWith: message.EndHeld}, {Action: message.Answer, Code: "UNAVAILABLE"}, {Action: message.Twice}, {Action: message.Twice, Second: true},
		{Action: message.Reorder, Wait: time.Hour}, {Action: message.Corrupt}, {Action: message.Truncate},
	} {
		t.Run(fmt.Sprint(rule.Action, rule.EndWith, rule.Second), func(t *testing.T) {
			s := relaytest.StartPayments(t)
			f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
			rule.Match.Path = "shop.Payments/Chat"
			count, _ := f.AddRule(t, rule)
			p := relaytest.DialPayments(t, f.Addr)
			ctx, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
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
			relaytest.WaitUntil(t, "the call is reported", func() bool { return len(f.FinishedCalls()) == 1 })
			assert.Equal(t, message.Call{Op: "/shop.Payments/Chat", Status: 200, Skipped: "stream", Stream: true}, relaytest.WithoutTimes(f.FinishedCalls()[0]))
			assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, relaytest.PlainTally(count))
			require.Len(t, f.Recorded(evidence.Skipped), 1)
			assert.Equal(t, "stream", f.Recorded(evidence.Skipped)[0].Detail)
		})
	}
}

// A server-side stream is a stream too, however short it and its request are.
func TestGRPCServerStreamIsNotAnAnswer(t *testing.T) {
	for _, rule := range []message.Rule{{Action: message.LoseReply}, {Action: message.LoseReply, EndWith: message.EndHeld}, {Action: message.Twice, Second: true}} {
		for _, what := range []string{"all", "all at once"} {
			t.Run(fmt.Sprint(rule.Action, rule.EndWith, " ", what), func(t *testing.T) {
				if what == "all at once" {
					lengthenQuietTime(t)
				}
				s := relaytest.StartPayments(t)
				f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
				count, _ := f.AddRule(t, rule)
				p := relaytest.DialPayments(t, f.Addr)
				ctx, cancel := context.WithTimeout(context.Background(), relaytest.Patience)
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
				require.Len(t, f.Recorded(evidence.Skipped), 1)
				assert.Equal(t, "stream", f.Recorded(evidence.Skipped)[0].Detail)
				assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, relaytest.PlainTally(count))
				f.CheckAccounts(t)
			})
		}
	}
}

// Calls are matched by their metadata, including the key. With a share of keys, retries get the same decision.
func TestGRPCMatchByMetadata(t *testing.T) {
	lengthenQuietTime(t)
	s := relaytest.StartPayments(t)
	f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
	p := relaytest.DialPayments(t, f.Addr)
	for _, match := range []message.Match{{Header: "Tenant: acme"}, {Key: "k-1"}, {Header: "Host: " + f.Addr, Key: "k-1"}} {
		count, heal := f.AddRule(t, message.Rule{Action: message.Answer, Code: "ABORTED", Match: match})
		assert.Equal(t, "Aborted", p.Charge(relaytest.Patience, "ten", "tenant", "acme", "idempotency-key", "k-1"))
		assert.Contains(t, p.Charge(relaytest.Patience, "ten", "tenant", "other", "idempotency-key", "k-2"), " ten")
		assert.Equal(t, []int64{1, 1}, []int64{count.Tally().Seen, count.Tally().Affected})
		heal()
	}
	_, heal := f.AddRule(t, message.Rule{ID: "fault-2", Action: message.Answer, Code: "ABORTED", Share: .5, Sticky: true})
	defer heal()
	chosen := map[bool]int{}
	for i := range 20 {
		key := fmt.Sprint("order-", i)
		first := p.Charge(relaytest.Patience, "ten", "idempotency-key", key) == "Aborted"
		chosen[first]++
		for range 3 {
			assert.Equal(t, first, p.Charge(relaytest.Patience, "ten", "idempotency-key", key) == "Aborted", key)
		}
	}
	assert.Len(t, chosen, 2)
}

// Messages of more than 1 MiB pass in both directions, and are reported as skipped.
func TestGRPCLargeCallsAreSkipped(t *testing.T) {
	lengthenQuietTime(t)
	for _, rule := range []message.Rule{{Action: message.Answer, Code: "UNAVAILABLE"}, {Action: message.LoseRequest}, {Action: message.LoseRequest, EndWith: message.EndHeld}, {Action: message.LoseReply}, {Action: message.Twice}, {Action: message.Twice, Second: true}, {Action: message.Corrupt}, {Action: message.Reorder, Wait: time.Hour}} {
		s := relaytest.StartPayments(t)
		f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
		count, _ := f.AddRule(t, rule)
		p := relaytest.DialPayments(t, f.Addr)
		got := p.Charge(relaytest.Patience, strings.Repeat("a", 2<<20))
		assert.Len(t, got, 2<<20+len("1 "), rule.Action)
		assert.Equal(t, evidence.Tally{Unit: "calls", Seen: 1}, relaytest.PlainTally(count))
		require.NotEmpty(t, f.Recorded(evidence.Skipped))
		assert.Equal(t, "too large: more than 1,048,576 bytes", f.Recorded(evidence.Skipped)[0].Detail)
		f.CheckAccounts(t)
		assert.EqualValues(t, 1, s.Done.Load())
	}
}

// A message is damaged within its five-byte framing, so that what arrives is still a message.
func TestGRPCDamagedMessages(t *testing.T) {
	lengthenQuietTime(t)
	s := relaytest.StartPayments(t)
	f := relaytest.OpenLinkFor(t, "grpc", s.Addr, message.Config{})
	_, heal := f.AddRule(t, message.Rule{Action: message.Corrupt, Seed: 3})
	p := relaytest.DialPayments(t, f.Addr)
	text := strings.Repeat("a", 100)
	for range 5 { // most bytes are text; if another byte is damaged, the server's decoder rejects the message
		got := p.Charge(relaytest.Patience, text)
		assert.NotContains(t, got, text)
	}
	heal()
	before := s.Done.Load()
	assert.Positive(t, before)
	for _, what := range s.Log {
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
	_, heal = f.AddRule(t, message.Rule{ID: "fault-2", Action: message.Truncate})
	assert.Equal(t, "Internal", p.Charge(relaytest.Patience, text), "a string that ends early is not a string to protobuf")
	assert.Contains(t, p.Charge(relaytest.Patience, ""), " ", "nothing to cut")
	assert.Len(t, f.Recorded(evidence.Skipped), 1)
	heal()
	assert.Contains(t, p.Charge(relaytest.Patience, text), text)
}

func TestGRPCRejectsUnknownCodes(t *testing.T) {
	r, err := relaytest.NewRelay("grpc", message.Config{Link: "orders -> payments"})
	require.NoError(t, err)
	for _, code := range []string{"", "OK", "0", "17", "MAYBE"} {
		_, err = r.Add(message.Rule{ID: "fault-1", Action: message.Answer, Code: code})
		require.Error(t, err, code)
		assert.Contains(t, err.Error(), fmt.Sprintf("code %q is not an error of gRPC: they are CANCELLED, UNKNOWN", code))
	}
	_, err = r.Add(message.Rule{ID: "fault-1", Action: message.Corrupt, Dir: message.ToClient})
	require.Error(t, err)
	assert.True(t, http2.MatchMethod("shop.Payments/*", relaytest.ChargeMethod))
	assert.True(t, http2.MatchMethod(relaytest.ChargeMethod, relaytest.ChargeMethod))
	assert.False(t, http2.MatchMethod("shop.Orders/Charge", relaytest.ChargeMethod))
}

// lengthenQuietTime prevents a slow machine from taking a call for a stream.
func lengthenQuietTime(t testing.TB) { relaytest.Set(t, &http2.QuietTime, relaytest.Patience/2) }
