package framed

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// redisPair returns a go-redis client on a relay in front of a server, and one connected directly.
func redisPair(t *testing.T, o goredis.Options) (f *relaytest.TestLink, through, direct *goredis.Client) {
	t.Helper()
	addr := relaytest.RedisServer(t)
	f = relaytest.OpenLinkFor(t, "redis", addr, message.Config{})
	o.Addr = f.Addr
	through, direct = goredis.NewClient(&o), goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { _ = through.Close(); _ = direct.Close() })
	return f, through, direct
}

// Case 1 of the systems whose verdict is known: 300 operations, of which a fifth of the replies, or of the
// requests, is lost.
func TestRedisAndItsUsualClient(t *testing.T) {
	ctx := t.Context()
	incr := func(c *goredis.Client, i int) error { return c.Incr(ctx, "n").Err() }
	for _, c := range []struct {
		name    string
		rule    message.Rule
		options goredis.Options
		op      func(c *goredis.Client, i int) error
		twice   bool // each lost reply, except for those of failed operations, causes a second effect
	}{
		{"no fault", message.Rule{}, goredis.Options{}, incr, false},
		{"reset, retried", message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, goredis.Options{}, incr, true},
		{"closed, retried", message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, goredis.Options{}, incr, true},
		{"silence, retried", message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, goredis.Options{ReadTimeout: time.Second}, incr, true},
		{"reset, not retried", message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, goredis.Options{MaxRetries: -1}, incr, false},
		{"request lost, retried", message.Rule{Action: message.LoseRequest, EndWith: message.EndReset}, goredis.Options{}, incr, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, through, direct := redisPair(t, c.options)
			count := evidence.NewCounter("messages")
			if c.rule.Action != "" {
				c.rule.Share, c.rule.Seed, c.rule.Match = 0.2, 7, message.Match{Method: "INCR"}
				count, _ = f.AddRule(t, c.rule)
			}
			acked, failed, n := 0, 0, 300
			if c.options.ReadTimeout > 0 {
				n = 20 // the client waits for each lost reply
			}
			for i := range n {
				if c.op(through, i) == nil {
					acked++
				} else {
					failed++
				}
			}
			final, err := direct.Get(ctx, "n").Int()
			require.NoError(t, err)
			injected := int(count.Tally().Affected)
			t.Logf("acked %d, failed %d, injected %d, final %d", acked, failed, injected, final)
			switch {
			case c.rule.Action == "":
				assert.Equal(t, []int{n, 0, n}, []int{acked, failed, final})
			case c.twice: // each lost reply was an effect of its own
				assert.Equal(t, acked+injected, final)
				assert.Positive(t, injected)
			case c.rule.Action == message.LoseRequest:
				assert.Equal(t, acked, final, "no request that was lost took effect")
				assert.Positive(t, injected)
			default:
				assert.Equal(t, n, final)
				assert.Equal(t, injected, failed)
				assert.Positive(t, injected)
			}
		})
	}
}

// Eight clients send pipelines of 900 commands while every third INCR is duplicated: all stay in sync, and every
// number is as expected.
func TestRedisConnectionStaysInSyncWithDuplicates(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", protocol), func(t *testing.T) {
			f, through, direct := redisPair(t, goredis.Options{Protocol: protocol, MaxRetries: -1})
			count, heal := f.AddRule(t, message.Rule{Action: message.Twice, Every: 3, Match: message.Match{Method: "INCR"}})
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					key := fmt.Sprintf("n%c", 'a'+w)
					p := through.Pipeline()
					for range 300 {
						p.Set(t.Context(), key+":s", "x", 0)
						p.Incr(t.Context(), key)
						p.Get(t.Context(), key+":s")
					}
					answers, err := p.Exec(t.Context())
					assert.NoError(t, err)
					for i, a := range answers {
						switch a := a.(type) {
						case *goredis.StatusCmd:
							assert.Equal(t, "OK", a.Val(), "answer %d", i)
						case *goredis.StringCmd:
							assert.Equal(t, "x", a.Val(), "answer %d", i)
						case *goredis.IntCmd:
							assert.Positive(t, a.Val(), "answer %d", i)
						}
					}
				})
			}
			wg.Wait()
			heal()
			f.CheckAccounts(t)
			total := 0
			for w := range 8 {
				n, err := direct.Get(t.Context(), fmt.Sprintf("n%c", 'a'+w)).Int()
				require.NoError(t, err)
				total += n
			}
			assert.EqualValues(t, 2400+count.Tally().Affected, total)
			assert.EqualValues(t, 800, count.Tally().Affected)
			assert.Len(t, f.Recorded(evidence.Discarded), 800)
		})
	}
}

func TestRedisFaultsTakeEffect(t *testing.T) {
	ctx := t.Context()
	f, through, direct := redisPair(t, goredis.Options{MaxRetries: -1, ReadTimeout: 5 * time.Second})
	require.NoError(t, through.Set(ctx, "k", "old", 0).Err())
	with := func(r message.Rule, do func()) []evidence.Event {
		t.Helper()
		before := len(f.Recorded(evidence.Applied))
		count, heal := f.AddRule(t, r)
		do()
		heal()
		f.CheckAccounts(t)
		assert.Positive(t, count.Tally().Affected, "%+v", r)
		return f.Recorded(evidence.Applied)[before:]
	}
	with(message.Rule{Action: message.Answer, Code: "LOADING", Match: message.Match{Method: "GET"}}, func() {
		err := through.Get(ctx, "k").Err()
		require.ErrorContains(t, err, "LOADING")
		require.NoError(t, through.Ping(ctx).Err(), "in its place of the pipeline")
	})
	with(message.Rule{Action: message.Delay, By: 80 * time.Millisecond}, func() {
		began := time.Now()
		require.NoError(t, through.Get(ctx, "k").Err())
		require.GreaterOrEqual(t, time.Since(began), 80*time.Millisecond)
	})
	with(message.Rule{Action: message.Twice, Second: true, Match: message.Match{Method: "INCR"}}, func() {
		n, err := through.Incr(ctx, "twice").Result()
		require.NoError(t, err)
		require.EqualValues(t, 2, n, "the second answer")
	})
	with(message.Rule{Action: message.Corrupt, Match: message.Match{Method: "SET"}}, func() {
		require.NoError(t, through.Set(ctx, "spoiled", "aaaaaaaaaa", 0).Err())
		got, err := direct.Get(ctx, "spoiled").Result()
		require.NoError(t, err)
		require.Len(t, got, 10)
		require.NotEqual(t, "aaaaaaaaaa", got)
	})
	with(message.Rule{Action: message.Truncate, Match: message.Match{Method: "SET"}}, func() {
		require.NoError(t, through.Set(ctx, "cut", "aaaaaaaaaa", 0).Err())
		got, err := direct.Get(ctx, "cut").Result()
		require.NoError(t, err)
		require.Less(t, len(got), 10)
	})
	// Healing sends the copy: an old write arrives after a newer one.
	with(message.Rule{Action: message.Twice, Late: time.Hour, Match: message.Match{Method: "SET"}}, func() {
		require.NoError(t, through.Set(ctx, "k", "old", 0).Err())
		require.NoError(t, direct.Set(ctx, "k", "new", 0).Err())
	})
	require.Eventually(t, func() bool { return direct.Get(ctx, "k").Val() == "old" }, relaytest.Patience, time.Millisecond)
}

// Transactions and blocking commands are neither duplicated nor refused; the evidence says why.
func TestRedisTransactionsAreImmune(t *testing.T) {
	ctx := t.Context()
	f, through, direct := redisPair(t, goredis.Options{MaxRetries: -1})
	count, _ := f.AddRule(t, message.Rule{Action: message.Twice})
	_, err := through.TxPipelined(ctx, func(p goredis.Pipeliner) error { p.Incr(ctx, "n"); return nil })
	require.NoError(t, err)
	require.Equal(t, "1", direct.Get(ctx, "n").Val())
	_, err = through.BLPop(ctx, time.Second, "none").Result()
	require.ErrorIs(t, err, goredis.Nil)
	require.Zero(t, count.Tally().Affected)
	reasons := map[string]bool{}
	for _, e := range f.Recorded(evidence.Skipped) {
		reasons[e.Detail] = true
	}
	require.Equal(t, map[string]bool{"part of a transaction": true, "a blocking command": true}, reasons)
}

// Messages to a subscription are lost one by one, and the subscription continues.
func TestRedisPublishedMessagesAreLost(t *testing.T) {
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprint("RESP", protocol), func(t *testing.T) {
			ctx := t.Context()
			f, through, direct := redisPair(t, goredis.Options{Protocol: protocol})
			sub := through.Subscribe(ctx, "news", "other")
			defer sub.Close()
			for range 2 {
				_, err := sub.Receive(ctx)
				require.NoError(t, err)
			}
			count, heal := f.AddRule(t, message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence, Dir: message.ToClient, Every: 2, Match: message.Match{Path: "news"}})
			for i := range 10 {
				require.NoError(t, direct.Publish(ctx, "news", i).Err())
			}
			var got []string
			for range 5 {
				m, err := sub.ReceiveMessage(ctx)
				require.NoError(t, err)
				got = append(got, m.Payload)
			}
			relaytest.WaitUntil(t, "the tenth is lost", func() bool { return count.Tally().Affected == 5 })
			heal()
			require.Equal(t, "0 2 4 6 8", strings.Join(got, " "))
			require.NoError(t, sub.Ping(ctx))
			require.NoError(t, through.Ping(ctx).Err())
		})
	}
}

func TestRedisInvalidRules(t *testing.T) {
	r, err := relaytest.NewRelay("redis", message.Config{Link: "a -> b"})
	require.NoError(t, err)
	for _, c := range []struct {
		rule message.Rule
		want string
	}{
		{message.Rule{Action: message.Answer, Code: "NONSENSE"}, "known are BUSY, CLUSTERDOWN, LOADING"},
		{message.Rule{Action: message.Twice, Dir: message.ToClient}, "never sends a published message twice"},
	} {
		_, err := r.Add(c.rule)
		require.ErrorContains(t, err, c.want)
	}
	_, err = r.Add(message.Rule{Action: message.Twice, Dir: message.ToClient, AllowViolation: true})
	require.NoError(t, err)
}

// Output of a server that cannot be parsed is reported, as is a client's.
func TestUnparsableAnswersAreReported(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "redis", s.Addr, message.Config{})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns("<$never\r\n", ">x", "<y"), false)
	relaytest.CloseBoth(client, server)
	require.Len(t, f.FinishedCalls(), 1)
	require.Equal(t, ErrNotUnderstood.Error(), f.FinishedCalls()[0].Skipped)
}
