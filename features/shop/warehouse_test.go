package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolt "go.etcd.io/bbolt"
)

// TestOrdersReachTheWarehouse sends orders through all three parts, of which the broker is killed and started again.
func TestOrdersReachTheWarehouse(t *testing.T) {
	dir := t.TempDir()
	url, kill := startProcess(t, "broker", "--dir", dir)
	broker := strings.TrimPrefix(url, "http://")
	checkout := start(t, "checkout", "", map[string]string{"broker": broker})
	warehouse := start(t, "warehouse", "", map[string]string{"broker": broker})
	c := client(t)
	want := map[string]int{}
	order := func(i int) {
		key := fmt.Sprint("k-", i)
		want[key] = 1
		assert.Equal(t, http.StatusCreated, ask(t, c, http.MethodPost, checkout+"/orders", key, `{"customer": "c"}`).status)
	}
	for i := range 5 {
		order(i)
	}
	first := ask(t, c, http.MethodPost, checkout+"/orders", "k-0", `{"customer": "c"}`)
	assert.Equal(t, http.StatusCreated, first.status, "sent again: acknowledged again")
	assert.Contains(t, first.body, `"n":1`)
	assert.Equal(t, http.StatusBadRequest, ask(t, c, http.MethodPost, checkout+"/orders", "", `{"customer": "c"}`).status, "no key")
	assert.Equal(t, http.StatusBadRequest, ask(t, c, http.MethodPost, checkout+"/orders", "k", `{}`).status, "no customer")

	kill()
	order(5) // acknowledged although there is no broker
	startProcess(t, "broker", "--dir", dir, "--listen", broker)
	order(6)
	require.Eventually(t, func() bool { return len(ledger(t, warehouse+"/picked")) == len(want) }, 20*time.Second, 20*time.Millisecond)
	assert.Equal(t, want, ledger(t, warehouse+"/picked"))
}

// lossy is a broker that loses the first so many messages.
type lossy struct {
	jetstream.JetStream
	mu         sync.Mutex
	lose, sent int
}

func (l *lossy) PublishMsg(ctx context.Context, _ *nats.Msg, _ ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	l.mu.Lock()
	l.sent++
	lost := l.sent <= l.lose
	l.mu.Unlock()
	if lost {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &jetstream.PubAck{}, nil
}

// outbox returns the keys of the orders in the outbox.
func outbox(t *testing.T, db *bolt.DB) (keys []string) {
	t.Helper()
	require.NoError(t, db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(outboxBucket).ForEach(func(k, _ []byte) error {
			keys = append(keys, string(k))
			return nil
		})
	}))
	return keys
}

func TestRetransmission(t *testing.T) {
	for name, c := range map[string]struct {
		on   bool
		sent int
	}{
		"on":  {true, 3},
		"off": {false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := openStore(config{dir: t.TempDir()}, "checkout.db", ordersBucket, outboxBucket, customersBucket)
			require.NoError(t, err)
			defer db.Close()
			broker := &lossy{lose: 2}
			o := &checkout{part: newPart(), db: db, protected: protected{retransmission: c.on}}
			o.ctx, o.end = context.WithCancel(t.Context())
			defer o.end()
			o.sent, o.again = o.counter("sent", ""), o.counter("again", "")
			for range brokerConnections {
				o.brokers = append(o.brokers, broker)
			}
			_, first, err := o.store(parcel{Order: "k", Customer: "c"})
			require.NoError(t, err)
			assert.True(t, first)
			assert.Equal(t, []string{"k"}, outbox(t, db))
			require.NoError(t, o.resume()) // as after a crash before the first delivery
			o.delivery.Wait()
			assert.Equal(t, c.sent, broker.sent)
			assert.Empty(t, outbox(t, db))
		})
	}
}

// arrival is a message of the broker.
type arrival struct {
	jetstream.Msg
	data  []byte
	acked *int
}

func (m arrival) Data() []byte { return m.data }
func (m arrival) Ack() error   { *m.acked++; return nil }

func TestWarehouse(t *testing.T) {
	a := func(n uint64) parcel { return parcel{fmt.Sprint("a-", n), "a", n} }
	b := parcel{"b-1", "b", 1}
	arrivals := []parcel{a(1), a(3), a(2), a(2), b, a(3), a(5)} // a-4 does not arrive
	for name, c := range map[string]struct {
		without string
		picks   string
		acked   int
	}{
		"all protections": {"", "a-1 a-2 a-3 b-1", 6},
		deduplication:     {deduplication, "a-1 a-2 a-3 a-2 b-1 a-3", 6},
		sequencing:        {sequencing, "a-1 a-3 a-2 b-1 a-5", 7},
	} {
		t.Run(name, func(t *testing.T) {
			by, err := parseWithout(c.without)
			require.NoError(t, err)
			db, err := openStore(config{dir: t.TempDir()}, "warehouse.db", picksBucket, knownBucket, customersBucket)
			require.NoError(t, err)
			defer db.Close()
			w := &warehouse{part: newPart(), db: db, protected: by, early: map[string]map[uint64]jetstream.Msg{}}
			w.picked = w.counter("picked", "")
			acked := 0
			for _, p := range arrivals {
				data, err := json.Marshal(p)
				require.NoError(t, err)
				require.NoError(t, w.receive(arrival{data: data, acked: &acked}))
			}
			var picks []string
			require.NoError(t, db.View(func(tx *bolt.Tx) error {
				return tx.Bucket(picksBucket).ForEach(func(_, raw []byte) error {
					var one pick
					defer func() { picks = append(picks, one.Key) }()
					return json.Unmarshal(raw, &one)
				})
			}))
			assert.Equal(t, c.picks, strings.Join(picks, " "))
			assert.Equal(t, c.acked, acked)
		})
	}
}
