package framed

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// natsPair returns a client on a relay in front of a server, and one connected directly.
func natsPair(t testing.TB, o ...natsgo.Option) (f *relaytest.TestLink, through, direct *natsgo.Conn) {
	t.Helper()
	addr := relaytest.NATSServer(t, natsd.Options{})
	f = relaytest.OpenLinkFor(t, "nats", addr, message.Config{})
	return f, relaytest.NATSClient(t, f.Addr, o...), relaytest.NATSClient(t, addr)
}

func stored(t testing.TB, s jetstream.Stream) int {
	t.Helper()
	info, err := s.Info(t.Context())
	require.NoError(t, err)
	return int(info.State.Msgs) //nolint:gosec // few
}

// Case 4 of the systems whose verdict is known: acknowledgements of publishes are lost, and the application
// publishes again.
func TestJetStreamPublishesWhoseAcknowledgementIsLost(t *testing.T) {
	const n = 60
	for _, c := range []struct {
		name   string
		rule   message.Rule
		id     bool
		window time.Duration // of the stream
		pause  time.Duration // before a retry
		twice  bool          // each lost acknowledgement causes a duplicate message
	}{
		{"no fault", message.Rule{}, false, time.Minute, 0, false},
		{"without message id", message.Rule{Action: message.LoseReply}, false, time.Minute, 0, true},
		{"without message id, reset", message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, false, time.Minute, 0, true},
		{"with message id", message.Rule{Action: message.LoseReply}, true, time.Minute, 0, false},
		{"with message id, reset", message.Rule{Action: message.LoseReply, EndWith: message.EndReset}, true, time.Minute, 0, false},
		{"with message id, closed", message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, true, time.Minute, 0, false},
		{"with message id, after the window", message.Rule{Action: message.LoseReply}, true, 100 * time.Millisecond, 500 * time.Millisecond, true},
		{"request lost, without message id", message.Rule{Action: message.LoseRequest}, false, time.Minute, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, through, direct := natsPair(t, natsgo.ReconnectWait(time.Millisecond), natsgo.ReconnectJitter(0, 0), natsgo.MaxReconnects(-1))
			s := relaytest.NATSOrders(t, direct, c.window)
			count := evidence.NewCounter("messages")
			if c.rule.Action != "" {
				c.rule.Share, c.rule.Seed, c.rule.Match = 0.2, 7, message.Match{Method: "PUB", Path: "orders.>"}
				count, _ = f.AddRule(t, c.rule)
			}
			for i := range n {
				publish(t, through, fmt.Sprint("order-", i), c.id, c.pause, c.rule.EndWith, count)
			}
			injected := int(count.Tally().Affected)
			final := stored(t, s)
			t.Logf("published %d, injected %d, stored %d", n, injected, final)
			want := n
			if c.twice {
				want += injected
			}
			assert.Equal(t, want, final)
			assert.Equal(t, c.rule.Action != "", injected > 0)
			if c.rule.Action == message.LoseReply {
				for _, e := range f.Recorded(evidence.Applied) {
					assert.Regexp(t, `^(stored|duplicate of) seq \d+, \d+ bytes lost`, e.Detail)
				}
			}
		})
	}
}

// publish retries until the message is acknowledged, as applications do. It ends an attempt when a message was
// lost rather than after a timeout, so that a slow machine causes no additional attempts.
func publish(t *testing.T, c *natsgo.Conn, key string, id bool, pause time.Duration, then message.Ending, lost *evidence.Counter) {
	t.Helper()
	js, m := relaytest.JetStream(t, c), natsgo.NewMsg("orders.new")
	m.Data = []byte(key)
	if id {
		m.Header.Set(natsgo.MsgIdHdr, key)
	}
	for {
		ctx, cancel := context.WithTimeout(t.Context(), relaytest.Patience)
		connects := c.Stats().Reconnects
		before, answered := lost.Tally().Affected, make(chan error, 1)
		go func() {
			_, err := js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
			answered <- err
		}()
		relaytest.WaitUntil(t, "it is acknowledged or lost", func() bool { return len(answered) > 0 || lost.Tally().Affected > before })
		cancel()
		if <-answered == nil {
			return
		}
		require.Greater(t, lost.Tally().Affected, before, "never acknowledged")
		if then != "" { // messages sent before the client notices the end of its connection are lost with it
			relaytest.WaitUntil(t, "it connects anew", func() bool { return c.Stats().Reconnects > connects })
		}
		time.Sleep(pause)
	}
}

// If a consumer's acknowledgement is lost, the message is delivered again with the delivery number 2; no message
// is lost.
func TestJetStreamConsumersWhoseAcknowledgementIsLost(t *testing.T) {
	const n = 40
	f, through, direct := natsPair(t)
	s := relaytest.NATSOrders(t, direct, time.Minute)
	for i := range n {
		publish(t, direct, fmt.Sprint(i), false, 0, "", nil)
	}
	count, _ := f.AddRule(t, message.Rule{Action: message.LoseRequest, Share: 0.2, Seed: 3, Match: message.Match{Path: "$JS.ACK.>"}})
	_, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "work", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second})
	require.NoError(t, err)
	consumer, err := relaytest.JetStream(t, through).Consumer(t.Context(), "ORDERS", "work")
	require.NoError(t, err)
	seen, again := map[string]int{}, 0
	done := make(chan struct{})
	at, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		assert.NoError(t, err)
		key := string(m.Data())
		seen[key]++
		if meta.NumDelivered > 1 {
			again++
		}
		assert.EqualValues(t, seen[key], meta.NumDelivered, "the server tells which delivery it is")
		assert.NoError(t, m.Ack())
	})
	require.NoError(t, err)
	relaytest.WaitUntil(t, "all are acknowledged", func() bool {
		info, err := consumer.Info(t.Context())
		return err == nil && info.NumPending == 0 && info.NumAckPending == 0 && info.AckFloor.Stream == n
	})
	at.Drain()
	go func() { <-at.Closed(); close(done) }()
	<-done
	assert.Len(t, seen, n)
	injected := int(count.Tally().Affected)
	assert.Positive(t, injected)
	assert.Equal(t, injected, again)
	for _, e := range f.Recorded(evidence.Applied) {
		assert.Equal(t, "PUB $JS.ACK.ORDERS.work", e.Class)
	}
}

func TestNATSFaultsTakeEffect(t *testing.T) {
	f, through, direct := natsPair(t)
	s := relaytest.NATSOrders(t, direct, time.Minute)
	js := relaytest.JetStream(t, through)
	_, err := direct.Subscribe("echo", func(m *natsgo.Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	news, err := direct.SubscribeSync("news.>")
	require.NoError(t, err)
	require.NoError(t, direct.Flush())
	with := func(r message.Rule, do func()) {
		t.Helper()
		before := len(f.Recorded(evidence.Applied))
		count, heal := f.AddRule(t, r)
		do()
		heal()
		relaytest.WaitUntil(t, "it acts", func() bool { return count.Tally().Affected > 0 })
		f.CheckAccounts(t)
		assert.Len(t, f.Recorded(evidence.Applied)[before:], 1, "%+v", r)
	}
	receive := func() string {
		t.Helper()
		m, err := news.NextMsg(relaytest.Patience)
		require.NoError(t, err)
		return string(m.Data)
	}
	publishText := func(text string) { t.Helper(); require.NoError(t, through.Publish("news.a", []byte(text))) }
	tell := message.Match{Method: "PUB", Path: "news.*"}

	with(message.Rule{Action: message.LoseRequest, First: 1, Match: tell}, func() { publishText("one"); publishText("two"); require.Equal(t, "two", receive()) })
	with(message.Rule{Action: message.Delay, By: relaytest.Quiet, First: 1, Match: tell}, func() {
		began := time.Now()
		publishText("late")
		require.Equal(t, "late", receive())
		require.GreaterOrEqual(t, time.Since(began), relaytest.Quiet)
	})
	with(message.Rule{Action: message.Twice, Match: tell}, func() {
		publishText("twice")
		require.Equal(t, []string{"twice", "twice"}, []string{receive(), receive()})
	})
	// Healing sends the copy: an old message arrives after a newer one.
	with(message.Rule{Action: message.Twice, Late: time.Hour, First: 1, Match: tell}, func() {
		publishText("old")
		publishText("new")
		require.Equal(t, []string{"old", "new"}, []string{receive(), receive()})
	})
	require.Equal(t, "old", receive())
	with(message.Rule{Action: message.Corrupt, Match: tell}, func() {
		publishText("aaaa")
		got := receive()
		require.NotEqual(t, "aaaa", got)
		require.Len(t, got, 4)
	})
	with(message.Rule{Action: message.Truncate, Match: tell}, func() { publishText("aaaa"); require.Less(t, len(receive()), 4) })
	with(message.Rule{Action: message.Answer, Code: "503", Match: message.Match{Path: "echo"}}, func() {
		_, err := through.Request("echo", nil, relaytest.Patience)
		require.ErrorIs(t, err, natsgo.ErrNoResponders)
	})
	with(message.Rule{Action: message.Answer, Code: "10077", Match: message.Match{Path: "orders.new"}}, func() {
		_, err := js.Publish(t.Context(), "orders.new", nil)
		var api *jetstream.APIError
		require.ErrorAs(t, err, &api)
		require.EqualValues(t, 10077, api.ErrorCode)
	})
	require.Zero(t, stored(t, s))
	with(message.Rule{Action: message.LoseReply, Match: message.Match{Path: "echo"}}, func() {
		_, err := through.Request("echo", nil, 20*relaytest.Quiet)
		require.ErrorIs(t, err, natsgo.ErrTimeout)
	})
	m, err := through.Request("echo", []byte("after"), relaytest.Patience)
	require.NoError(t, err)
	require.Equal(t, "after", string(m.Data))
}

// The copy of a publish is answered too; the evidence shows whether JetStream detected the duplicate.
func TestNATSPublishDeliveredTwice(t *testing.T) {
	for _, c := range []struct {
		id   bool
		rule message.Rule
		want string
		n    int
	}{
		{true, message.Rule{Action: message.Twice}, "duplicate of seq 1", 1}, {true, message.Rule{Action: message.Twice, Late: relaytest.Quiet}, "duplicate of seq 1", 1}, {true, message.Rule{Action: message.Twice, Second: true}, "stored seq 1", 1},
		{false, message.Rule{Action: message.Twice}, "stored seq 2", 2}, {false, message.Rule{Action: message.Twice, Late: time.Nanosecond}, "stored seq 2", 2},
	} {
		t.Run(fmt.Sprintf("%+v", c), func(t *testing.T) {
			f, through, direct := natsPair(t)
			s := relaytest.NATSOrders(t, direct, time.Minute)
			c.rule.Match = message.Match{Path: "orders.>"}
			if c.id {
				c.rule.Match.Key = "key"
			}
			f.AddRule(t, c.rule)
			m := natsgo.NewMsg("orders.new")
			if c.id {
				m.Header.Set(natsgo.MsgIdHdr, "key")
			}
			ack, err := relaytest.JetStream(t, through).PublishMsg(t.Context(), m)
			require.NoError(t, err)
			assert.Equal(t, c.rule.Second, ack.Duplicate)
			relaytest.WaitUntil(t, "the copy is answered", func() bool { return len(f.Recorded(evidence.Discarded)) == 1 })
			assert.Contains(t, f.Recorded(evidence.Discarded)[0].Detail, c.want)
			assert.Equal(t, c.n, stored(t, s))
			relaytest.WaitUntil(t, "it is one call", func() bool {
				return len(slices.DeleteFunc(f.FinishedCalls(), func(c message.Call) bool { return c.Op != "PUB orders.new" })) == 1
			})
		})
	}
}

// Messages to a subscriber are lost one by one, and JetStream delivers them again.
func TestNATSDeliveriesAreLost(t *testing.T) {
	f, through, direct := natsPair(t)
	news, err := through.SubscribeSync("news")
	require.NoError(t, err)
	require.NoError(t, through.Flush())
	count, heal := f.AddRule(t, message.Rule{Action: message.LoseRequest, Dir: message.ToClient, Every: 2, Match: message.Match{Method: "MSG", Path: "news"}})
	for i := range 10 {
		require.NoError(t, direct.Publish("news", []byte(strconv.Itoa(i))))
	}
	var got []string
	for range 5 {
		m, err := news.NextMsg(relaytest.Patience)
		require.NoError(t, err)
		got = append(got, string(m.Data))
	}
	relaytest.WaitUntil(t, "the tenth is lost", func() bool { return count.Tally().Affected == 5 })
	heal()
	assert.Equal(t, "0 2 4 6 8", strings.Join(got, " "))

	s := relaytest.NATSOrders(t, direct, time.Minute)
	publish(t, direct, "x", false, 0, "", nil)
	consumer, err := s.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Durable: "work", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 200 * time.Millisecond})
	require.NoError(t, err)
	f.AddRule(t, message.Rule{Action: message.LoseRequest, Dir: message.ToClient, First: 1, Match: message.Match{Method: "MSG", Path: "orders.*"}})
	consumer, err = relaytest.JetStream(t, through).Consumer(t.Context(), "ORDERS", consumer.CachedInfo().Name)
	require.NoError(t, err)
	relaytest.WaitUntil(t, "it comes", func() bool {
		m, err := consumer.Next(jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return false
		}
		meta, err := m.Metadata()
		require.NoError(t, err)
		assert.EqualValues(t, 2, meta.NumDelivered)
		return true
	})
}

// A core subscriber misses what is published while its link is reset and refused, but nothing while its link is
// only blackholed.
func TestNATSSubscriberBehindBrokenLink(t *testing.T) {
	for _, c := range []struct {
		name string
		act  func(*link.Link) (link.Heal, error)
		lost bool
	}{
		{"refused", func(l *link.Link) (link.Heal, error) { return l.Refuse(nil) }, true},
		{"cut off", func(l *link.Link) (link.Heal, error) { return l.CutOff(link.Cut{}) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, through, direct := natsPair(t, natsgo.ReconnectWait(10*time.Millisecond), natsgo.ReconnectJitter(0, 0), natsgo.MaxReconnects(-1))
			news, err := through.SubscribeSync("news")
			require.NoError(t, err)
			require.NoError(t, through.Flush())
			n := 0
			publishFor := func(d time.Duration) {
				for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
					require.NoError(t, direct.Publish("news", nil))
					n++
				}
				require.NoError(t, direct.Flush())
			}
			publishFor(relaytest.Quiet)
			heal, err := c.act(f.Link)
			require.NoError(t, err)
			publishFor(2 * time.Second)
			require.NoError(t, heal(t.Context()))
			relaytest.WaitUntil(t, "it is connected", through.IsConnected)
			require.NoError(t, through.FlushTimeout(relaytest.Patience))
			publishFor(relaytest.Quiet)
			got := 0
			gap := relaytest.Patience
			if c.lost { // the number that comes is not known
				gap = time.Second
			}
			for got < n {
				if _, err := news.NextMsg(gap); err != nil {
					break
				}
				got++
			}
			t.Logf("published %d, heard %d", n, got)
			assert.Equal(t, c.lost, got < n)
			assert.Positive(t, got)
		})
	}
}

// The addresses in the server's INFO are replaced by the link's, so that clients reconnect through it. Nothing
// else in INFO changes.
func TestNATSClientsStayOnTheLink(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "nats", s.Addr, message.Config{})
	client := relaytest.Connect(t, f.Addr)
	upstream := s.Accept(t)
	host, port, err := net.SplitHostPort(f.Addr)
	require.NoError(t, err)
	for _, c := range []struct{ sent, received string }{
		{`"server_id":"X","host":"10.0.0.1","port":4222,"client_id":18446744073709551615`, `"client_id":18446744073709551615,"host":"%s","port":%s,"server_id":"X"`},
		{`"connect_urls":["10.0.0.1:4222","10.0.0.2:4222"],"ws_connect_urls":["10.0.0.1:80"]`, `"connect_urls":["` + f.Addr + `"],"host":"%s","port":%s`},
	} {
		upstream.Send("INFO {"+c.sent+"}\r\n", false)
		client.Expect("INFO {" + fmt.Sprintf(c.received, host, port) + "}\r\n")
	}
	upstream.Send("info not json\r\n", true)
	client.Expect("info not json\r\n")

	addr := relaytest.NATSServer(t, natsd.Options{})
	real := relaytest.NATSClient(t, relaytest.OpenLinkFor(t, "nats", addr, message.Config{}).Addr)
	assert.NotContains(t, real.DiscoveredServers(), addr)
	assert.NotContains(t, real.Servers(), "nats://"+addr)
}

// A verbose client, which gets an answer to each message, would miss an answer or get one too many.
func TestVerboseClientsAreImmune(t *testing.T) {
	addr := relaytest.NATSServer(t, natsd.Options{})
	f := relaytest.OpenLinkFor(t, "nats", addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.LoseRequest, First: 1})
	f.AddRule(t, message.Rule{Action: message.Twice})
	c := relaytest.NATSClient(t, f.Addr, func(o *natsgo.Options) error { o.Verbose = true; return nil })
	require.NoError(t, c.Publish("news", nil))
	require.NoError(t, c.Publish("news", nil))
	require.NoError(t, c.Flush())
	for _, e := range f.Recorded(evidence.Skipped) {
		assert.Equal(t, "its client asked for +OK after each", e.Detail)
	}
	assert.Len(t, f.Recorded(evidence.Skipped), 2)
	assert.Empty(t, f.Recorded(evidence.Applied))
}

// Errors that no server sends are rejected, as are faults on clients that could not receive the error.
func TestNATSInvalidRules(t *testing.T) {
	f, through, _ := natsPair(t)
	_, heal := f.AddRule(t, message.Rule{Action: message.LoseReply})
	_, err := through.Request("nobody", nil, relaytest.Patience)
	require.ErrorIs(t, err, natsgo.ErrNoResponders)
	require.Len(t, f.Recorded(evidence.Skipped), 1)
	assert.Equal(t, "not an answer of the service that does the work: status 503", f.Recorded(evidence.Skipped)[0].Detail)
	heal()
	f.AddRule(t, message.Rule{Action: message.Answer, Code: "503"})
	require.NoError(t, through.PublishRequest("nobody", "not.listened.to", nil))
	require.NoError(t, through.Flush())
	require.Len(t, f.Recorded(evidence.Skipped), 2)
	assert.Equal(t, "its client does not listen for the answer", f.Recorded(evidence.Skipped)[1].Detail)

	for want, r := range map[string]message.Rule{
		"known are 10008, 10023, 10077, 503": {Action: message.Answer, Code: "500"}, "delivers a message twice": {Action: message.Twice, Dir: message.ToClient},
	} {
		_, err := f.Add(r)
		require.ErrorContains(t, err, want)
	}
	_, err = f.Add(message.Rule{Action: message.Twice, Dir: message.ToClient, AllowViolation: true})
	require.NoError(t, err)
}

func TestSubjects(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"a", "a", true}, {"a", "b", false}, {"a.b", "a", false}, {"a", "a.b", false}, {"*", "a", true}, {"*", "a.b", false}, {"a.*", "a.b", true}, {"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.d", false}, {">", "a", true}, {">", "a.b.c", true}, {"a.>", "a", false}, {"a.>", "a.b.c", true}, {"a.*.>", "a.b", false}, {"*", "", false}, {">", "", false},
	} {
		assert.Equal(t, c.want, matchSubject(c.pattern, c.subject), "%s of %s", c.pattern, c.subject)
	}
	for subject, want := range map[string]string{
		"orders.new": "orders.new", "orders.1234.paid": "orders.{id}.paid", "_INBOX.ZoE4fXzGzPlmUPuLNzKbqJ.1": "_INBOX",
		"$JS.ACK.ORDERS.work.1.7.7.1700000000000000000.0":                     "$JS.ACK.ORDERS.work",
		"$JS.ACK.hub.abcdef12.ORDERS.work.1.7.7.1700000000000000000.0.rAnDoM": "$JS.ACK.ORDERS.work",
		"$JS.API.CONSUMER.MSG.NEXT.ORDERS.work":                               "$JS.API.CONSUMER.MSG.NEXT.ORDERS.work",
		"":                                                                    "",
	} {
		assert.Equal(t, want, subjectClass(subject))
	}
}

// Publishers, requesters and consumers under all faults at once: nothing hangs, nothing leaks, the accounts add
// up.
func TestNATSUnderEveryFault(t *testing.T) {
	f, _, direct := natsPair(t)
	relaytest.NATSOrders(t, direct, time.Minute)
	_, err := direct.Subscribe("echo", func(m *natsgo.Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	var heals []func()
	for i, r := range []message.Rule{
		{Action: message.Delay, By: 2 * time.Millisecond, Jitter: time.Millisecond, Share: .2}, {Action: message.LoseRequest, Share: .03}, {Action: message.LoseRequest, Share: .01, EndWith: message.EndReset},
		{Action: message.LoseRequest, Share: .01, EndWith: message.EndClosed}, {Action: message.LoseReply, Share: .05}, {Action: message.LoseReply, Share: .01, EndWith: message.EndReset}, {Action: message.LoseReply, Share: .01, EndWith: message.EndClosed},
		{Action: message.LoseRequest, Share: .03, Dir: message.ToClient}, {Action: message.LoseRequest, Share: .01, Dir: message.ToClient, EndWith: message.EndReset}, {Action: message.Twice, Share: .1}, {Action: message.Twice, Second: true, Share: .1},
		{Action: message.Twice, Late: time.Millisecond, Share: .1}, {Action: message.Answer, Code: "503", Share: .05}, {Action: message.Answer, Code: "10008", Share: .05}, {Action: message.Reorder, Wait: 5 * time.Millisecond, Share: .1},
		{Action: message.Reorder, Wait: 5 * time.Millisecond, Share: .1, Dir: message.ToClient}, {Action: message.Corrupt, Share: .05}, {Action: message.Truncate, Share: .05}, {Action: message.Corrupt, Share: .05, Dir: message.ToClient},
		{Action: message.Twice, Share: .05, Dir: message.ToClient, AllowViolation: true}, {Action: message.Delay, By: time.Millisecond, Share: .1, Dir: message.ToClient},
	} {
		r.ID, r.Seed = fmt.Sprint("fault-", i), 5
		_, heal := f.AddRule(t, r)
		heals = append(heals, heal)
	}
	var all sync.WaitGroup
	for range 6 {
		c := relaytest.NATSClient(t, f.Addr, natsgo.ReconnectWait(time.Millisecond), natsgo.ReconnectJitter(0, 0), natsgo.MaxReconnects(-1))
		_, err := c.Subscribe("orders.>", func(m *natsgo.Msg) {})
		require.NoError(t, err)
		all.Go(func() {
			for i := range 100 {
				_ = c.Publish("orders.a", []byte("hello"))
				_ = c.PublishRequest("orders.b", natsgo.NewInbox(), make([]byte, i*100))
				if i%10 == 0 {
					_, _ = c.Request("echo", []byte("hello"), 50*time.Millisecond)
				}
			}
		})
	}
	all.Wait()
	for _, heal := range heals {
		heal()
	}
	f.CheckAccounts(t)
	for _, stage := range []evidence.Stage{evidence.Held, evidence.Applied, evidence.Discarded, evidence.Skipped} {
		assert.NotEmpty(t, f.Recorded(stage), stage)
	}
}
