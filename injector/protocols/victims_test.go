package protocols_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	natsd "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/message/http2"
)

// asker sends one message of a class with a given ID, and reports whether a rule chose it.
type asker func(class, id string) (hit bool)

// clientGroups are clients of a protocol whose messages get an error if a rule chooses them.
var clientGroups = []struct {
	protocol, name string
	rule           message.Rule
	cfg            message.Config
	noIDs          bool // its messages carry no IDs
	serve          func(testing.TB) (addr string)
	join           func(t testing.TB, addr string) (client func() asker)
}{
	{protocol: "http", rule: message.Rule{Action: message.Answer, Status: 503}, serve: shopAddr, join: joinHTTP},
	{protocol: "http", name: "over HTTP/2", rule: message.Rule{Action: message.Answer, Status: 503}, serve: shopAddr, join: func(t testing.TB, addr string) func() asker { return askHTTP(t, relaytest.HTTP2Client(t), addr) }},
	{protocol: "grpc", rule: message.Rule{Action: message.Answer, Code: "UNAVAILABLE"}, serve: func(t testing.TB) string { return relaytest.StartPayments(t).Addr }, join: joinGRPC},
	{protocol: "redis", rule: message.Rule{Action: message.Answer, Code: "LOADING"}, serve: relaytest.RedisServer, join: joinRedis},
	{protocol: "nats", rule: message.Rule{Action: message.Answer, Code: "503", Match: message.Match{Path: "echo.>"}}, serve: func(t testing.TB) string { return natsEcho(t, natsd.Options{}) }, join: joinNATS},
	{protocol: "lines", rule: message.Rule{Action: message.Answer, Code: "error"}, cfg: message.Config{Framing: message.Framing{Lockstep: true}}, noIDs: true, serve: func(t testing.TB) string { addr, _ := relaytest.CountLines(t); return addr }, join: joinLines},
}

func shopAddr(t testing.TB) string { return relaytest.StartShop(t).Addr }

func joinHTTP(t testing.TB, addr string) func() asker {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return askHTTP(t, &http.Client{Transport: transport, Timeout: relaytest.Patience}, addr)
}

func askHTTP(t testing.TB, client *http.Client, addr string) func() asker {
	return func() asker {
		return func(class, id string) bool {
			res, err := client.Post("http://"+addr+"/"+class+"/"+id, "", strings.NewReader("x"))
			if !assert.NoError(t, err) {
				return false
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			return res.StatusCode == http.StatusServiceUnavailable
		}
	}
}

func joinGRPC(t testing.TB, addr string) func() asker {
	lengthenQuietTime(t)
	c := relaytest.DialPayments(t, addr)
	return func() asker {
		return func(class, id string) bool {
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(context.Background(), "idempotency-key", id), relaytest.Patience)
			defer cancel()
			// The server does not implement this method.
			err := c.Invoke(ctx, "/shop.Payments/"+class, wrapperspb.String("x"), &wrapperspb.StringValue{})
			assert.Contains(t, []string{"Unimplemented", "Unavailable"}, status.Code(err).String())
			return status.Code(err).String() == "Unavailable"
		}
	}
}

func joinRedis(t testing.TB, addr string) func() asker {
	ask := askRedis(t, goredis.Options{Addr: addr})
	return func() asker { return ask }
}

func askRedis(t testing.TB, o goredis.Options) asker {
	o.MaxRetries, o.ReadTimeout = -1, relaytest.Patience
	c := goredis.NewClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return func(class, id string) bool {
		err := c.Incr(context.Background(), class+":"+id).Err()
		assert.True(t, err == nil || strings.Contains(err.Error(), "LOADING"), "%v", err)
		return err != nil
	}
}

// natsEcho starts a server with a responder.
func natsEcho(t testing.TB, o natsd.Options, with ...natsgo.Option) (addr string) {
	addr = relaytest.NATSServer(t, o)
	c := relaytest.NATSClient(t, addr, with...)
	_, err := c.Subscribe("echo.>", func(m *natsgo.Msg) { _ = m.Respond(m.Data) })
	require.NoError(t, err)
	require.NoError(t, c.Flush())
	return addr
}

func joinNATS(t testing.TB, addr string) func() asker {
	ask := askNATS(t, relaytest.NATSClient(t, addr))
	return func() asker { return ask }
}

func askNATS(t testing.TB, c *natsgo.Conn) asker {
	return func(class, id string) bool {
		_, err := c.Request("echo."+class+"."+id, nil, relaytest.Patience)
		assert.True(t, err == nil || errors.Is(err, natsgo.ErrNoResponders), "%v", err)
		return err != nil
	}
}

func joinLines(t testing.TB, addr string) func() asker {
	return func() asker { return askLines(t, relaytest.Connect(t, addr)) }
}

func askLines(t testing.TB, c io.ReadWriter) asker {
	in := bufio.NewReader(c)
	return func(class, id string) bool {
		_, err := io.WriteString(c, class+" "+id+"\n")
		assert.NoError(t, err)
		text, err := in.ReadString('\n')
		assert.NoError(t, err)
		return text == "error\n"
	}
}

// The same seed chooses the same messages, however 16 clients interleave, and another seed chooses others. A
// retry is an occurrence of its own; a sticky rule chooses messages instead of occurrences, so that retries do
// not help.
func TestSameSeedChoosesSameMessages(t *testing.T) {
	for _, c := range clientGroups {
		t.Run(strings.TrimSpace(c.protocol+" "+c.name), func(t *testing.T) {
			upstream := c.serve(t)
			run := func(r message.Rule) *selection {
				f := relaytest.OpenLinkFor(t, c.protocol, upstream, c.cfg)
				r.Action, r.Status, r.Code, r.Match = c.rule.Action, c.rule.Status, c.rule.Code, c.rule.Match
				count, heal := f.AddRule(t, r)
				defer heal()
				most := 100
				if r.Sticky {
					most = 3
				}
				v := selectionOf(c.join(t, f.Addr), most)
				assert.EqualValues(t, v.hits, count.Tally().Affected)
				return v
			}
			first, other := run(message.Rule{Share: .3, Seed: 1}), run(message.Rule{Share: .3, Seed: 2})
			assert.Equal(t, first, run(message.Rule{Share: .3, Seed: 1}))
			assert.NotEqual(t, first.own, other.own)
			assert.Positive(t, first.retryHits, "retries that were victims too")
			assert.Less(t, first.retryHits, len(first.own)/2, "and most were none")
			if c.noIDs {
				return
			}
			first = run(message.Rule{Share: .3, Seed: 1, Sticky: true})
			assert.Equal(t, first, run(message.Rule{Share: .3, Seed: 1, Sticky: true}))
			assert.Equal(t, len(first.own), first.retryHits/2*3, "each and both of its retries")
			assert.InDelta(t, .3*16*15, first.hits/3, 50)
		})
	}
}

// selection holds the chosen messages of one run: for the classes of each client, which messages, by number and
// attempt; for the shared class, how many.
type selection struct {
	own                     []string
	shared, hits, retryHits int
}

// selectionOf lets 16 clients send 15 messages each, two thirds in a class of their own and one third in a shared
// class. A chosen message is sent again until it is not chosen, at most most times.
func selectionOf(join func() asker, maxAttempts int) *selection {
	v := &selection{}
	var mu sync.Mutex
	var all sync.WaitGroup
	for c := range 16 {
		ask := join()
		all.Go(func() {
			for i := range 15 {
				class := fmt.Sprintf("own%c", 'a'+c)
				if i%3 == 0 {
					class = "shared"
				}
				for attempt := 0; attempt < maxAttempts && ask(class, fmt.Sprint(1000+100*c+i)); attempt++ {
					mu.Lock()
					v.hits++
					if class == "shared" { // which message is a retry depends on the order of arrival
						v.shared++
					} else {
						v.own = append(v.own, fmt.Sprint(class, " ", i, " ", attempt))
						v.retryHits += min(attempt, 1)
					}
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	slices.Sort(v.own)
	return v
}

// lengthenQuietTime prevents a slow machine from taking a call for a stream.
func lengthenQuietTime(t testing.TB) { relaytest.Set(t, &http2.QuietTime, relaytest.Patience/2) }
