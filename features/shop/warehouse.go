package shop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

const (
	deduplication = "de-duplication"
	sequencing    = "sequencing"
)

var warehouseProtections = []Protection{
	{deduplication, "warehouse", "an order that was picked is not picked again, however often its message arrives"},
	{sequencing, "warehouse", "an order waits until the customer's earlier ones were picked"},
}

// warehouse picks the orders that the broker has. A picked order is an effect.
type warehouse struct {
	*part
	db        *bolt.DB
	protected protected
	early     map[string]map[uint64]jetstream.Msg // by customer and number: messages that came before their predecessor
	picked    prometheus.Counter
}

// pick is a picked order, in the order of Seq.
type pick struct {
	Key      string `json:"key"` // of the order
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Seq      uint64 `json:"seq"`
}

var picksBucket, knownBucket = []byte("picks"), []byte("known")

func newWarehouse(c config) (*part, error) {
	if c.links["broker"] == "" {
		return nil, errors.New("--broker is missing")
	}
	db, err := openStore(c, "warehouse.db", picksBucket, knownBucket, customersBucket)
	if err != nil {
		return nil, err
	}
	conn, js, err := connectBroker(c.links["broker"])
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	w := &warehouse{part: newPart(), db: db, protected: c.protected, early: map[string]map[uint64]jetstream.Msg{}}
	w.picked = w.counter("orders_picked_total", "orders picked")
	w.routes.HandleFunc("GET /picked", w.list)
	consuming, err := w.consume(js)
	if err != nil {
		conn.Close()
		return nil, errors.Join(err, db.Close())
	}
	w.stop = func() error {
		consuming.Stop()
		<-consuming.Closed()
		conn.Close()
		return db.Close()
	}
	return w.part, nil
}

// consume begins to receive messages, one after the other. The broker sends a message again that is not acknowledged within
// two seconds, and waits while 1,000 are not acknowledged, so that not more of them can be early.
func (w *warehouse) consume(js jetstream.JetStream) (jetstream.ConsumeContext, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	consumer, err := js.CreateOrUpdateConsumer(ctx, ordersSubject, jetstream.ConsumerConfig{
		Durable: "warehouse", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second, MaxAckPending: 1000,
	})
	if err != nil {
		return nil, err
	}
	return consumer.Consume(func(m jetstream.Msg) {
		if err := w.receive(m); err != nil {
			fmt.Println("not picked, the broker will send it again:", err)
		}
	})
}

// receive picks the order of a message and those that waited for it, and acknowledges each that is picked.
func (w *warehouse) receive(m jetstream.Msg) error {
	var p parcel
	if err := json.Unmarshal(m.Data(), &p); err != nil {
		return errors.Join(err, m.Term())
	}
	last, err := w.lastOf(p.Customer)
	if err != nil {
		return err
	}
	if w.protected[sequencing] && p.N > last+1 {
		if w.early[p.Customer] == nil {
			w.early[p.Customer] = map[uint64]jetstream.Msg{}
		}
		w.early[p.Customer][p.N] = m
		return nil
	}
	if err := w.pick(p); err != nil {
		return err
	}
	if err := m.Ack(); err != nil { // if it gets lost, the message comes again
		return err
	}
	next, waits := w.early[p.Customer][max(p.N, last)+1]
	if !waits {
		return nil
	}
	delete(w.early[p.Customer], max(p.N, last)+1)
	return w.receive(next)
}

// pick stores that an order was picked. With de-duplication, that and the order's key are stored in one transaction, so that
// a crash in between cannot make it pick the order twice.
func (w *warehouse) pick(p parcel) error {
	again := false
	err := w.db.Update(func(tx *bolt.Tx) error {
		known, picks := tx.Bucket(knownBucket), tx.Bucket(picksBucket)
		if again = known.Get([]byte(p.Order)) != nil; again && w.protected[deduplication] {
			return nil
		}
		n, err := picks.NextSequence()
		if err != nil {
			return err
		}
		raw, err := json.Marshal(pick{Key: p.Order, ID: fmt.Sprintf("p-%d", n), Customer: p.Customer, Seq: n})
		key := binary.BigEndian.AppendUint64(nil, n)
		return errors.Join(err, picks.Put(key, raw), known.Put([]byte(p.Order), key), setLast(tx, p))
	})
	if err == nil && !again {
		w.picked.Inc()
	}
	return err
}

// lastOf returns the number of the customer's last order that was picked, or 0.
func (w *warehouse) lastOf(customer string) (n uint64, err error) {
	err = w.db.View(func(tx *bolt.Tx) error {
		if raw := tx.Bucket(customersBucket).Get([]byte(customer)); raw != nil {
			n = binary.BigEndian.Uint64(raw)
		}
		return nil
	})
	return n, err
}

// setLast stores the number of the customer's last order, unless a later one was picked already.
func setLast(tx *bolt.Tx, p parcel) error {
	b := tx.Bucket(customersBucket)
	if raw := b.Get([]byte(p.Customer)); raw != nil && binary.BigEndian.Uint64(raw) >= p.N {
		return nil
	}
	return b.Put([]byte(p.Customer), binary.BigEndian.AppendUint64(nil, p.N))
}

// list lists the picked orders in the order in which they were picked.
func (w *warehouse) list(rw http.ResponseWriter, _ *http.Request) {
	list := []json.RawMessage{}
	err := w.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(picksBucket).ForEach(func(_, raw []byte) error {
			list = append(list, append(json.RawMessage(nil), raw...))
			return nil
		})
	})
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(list)
}
