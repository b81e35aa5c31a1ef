package shop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

const retransmission = "retransmission"

var checkoutProtections = []Protection{
	{retransmission, "checkout", "an order stays in the outbox, and is sent again, until the broker has acknowledged it; without, it is sent once"},
}

// checkout takes orders and tells the warehouse about them, through the broker. It acknowledges an order once it is stored,
// together with an entry in the outbox (the pattern "transactional outbox"). The broker hears of it afterwards.
type checkout struct {
	*part
	db        *bolt.DB
	brokers   []jetstream.JetStream // one for each connection
	turn      atomic.Uint64         // of the next connection
	protected protected
	sent      prometheus.Counter
	again     prometheus.Counter
	end       context.CancelFunc // ends deliveries
	ctx       context.Context
	delivery  sync.WaitGroup
}

// parcel is the message about an order.
type parcel struct {
	Order    string `json:"order"` // the client's key
	Customer string `json:"customer"`
	N        uint64 `json:"n"` // it is the customer's n-th order, counted from 1
}

// brokerConnections is the number of connections to the broker. What is sent over one may overtake what was sent over another.
const brokerConnections = 3

// ackTimeout is how long the broker may take to acknowledge a message before it is sent again.
const ackTimeout = 250 * time.Millisecond

var outboxBucket, customersBucket = []byte("outbox"), []byte("customers")

func newCheckout(c config) (*part, error) {
	if c.links["broker"] == "" {
		return nil, errors.New("--broker is missing")
	}
	db, err := openStore(c, "checkout.db", ordersBucket, outboxBucket, customersBucket)
	if err != nil {
		return nil, err
	}
	o := &checkout{part: newPart(), db: db, protected: c.protected}
	o.ctx, o.end = context.WithCancel(context.Background())
	o.stop = db.Close
	for range brokerConnections {
		conn, js, err := connectBroker(c.links["broker"])
		if err != nil {
			return nil, errors.Join(err, o.stop())
		}
		o.brokers = append(o.brokers, js)
		rest := o.stop
		o.stop = func() error { conn.Close(); return rest() }
	}
	disconnect := o.stop
	o.stop = func() error { o.end(); o.delivery.Wait(); return disconnect() }
	o.sent = o.counter("orders_sent_total", "orders that the broker acknowledged")
	o.again = o.counter("orders_resent_total", "orders sent to the broker again")
	o.routes.HandleFunc("POST /orders", o.post)
	return o.part, o.resume()
}

// post stores an order and acknowledges it. An order whose key is known is acknowledged again, and not stored.
func (o *checkout) post(w http.ResponseWriter, r *http.Request) {
	var asked struct{ Customer string }
	key := r.Header.Get("Idempotency-Key")
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&asked); err != nil || asked.Customer == "" || key == "" {
		http.Error(w, `send {"customer": "..."} with an Idempotency-Key`, http.StatusBadRequest)
		return
	}
	order, first, err := o.store(parcel{Order: key, Customer: asked.Customer})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if first {
		o.delivery.Go(func() { o.deliver(order) })
	}
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(order)
}

// store stores an order and puts it into the outbox, in one transaction, unless it was stored before.
func (o *checkout) store(p parcel) (stored parcel, first bool, err error) {
	key := []byte(p.Order)
	err = o.db.Batch(func(tx *bolt.Tx) error {
		if raw := tx.Bucket(ordersBucket).Get(key); raw != nil {
			first = false
			return json.Unmarshal(raw, &p)
		}
		first = true
		customers := tx.Bucket(customersBucket)
		p.N = 1
		if last := customers.Get([]byte(p.Customer)); last != nil {
			p.N += binary.BigEndian.Uint64(last)
		}
		raw, err := json.Marshal(p)
		return errors.Join(err,
			customers.Put([]byte(p.Customer), binary.BigEndian.AppendUint64(nil, p.N)),
			tx.Bucket(ordersBucket).Put(key, raw),
			tx.Bucket(outboxBucket).Put(key, raw))
	})
	return p, first, err
}

// deliver sends an order to the broker until it is acknowledged, and only then takes it out of the outbox. The broker may
// get it several times: its acknowledgement may be what was lost.
func (o *checkout) deliver(p parcel) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of strings and a number
	}
	for {
		attempt, cancel := context.WithTimeout(o.ctx, ackTimeout)
		_, err := o.brokers[o.turn.Add(1)%brokerConnections].PublishMsg(attempt, &nats.Msg{Subject: ordersSubject, Data: body})
		cancel()
		if err == nil {
			o.sent.Inc()
			break
		}
		if !o.protected[retransmission] {
			break
		}
		select {
		case <-o.ctx.Done():
			return // it stays in the outbox, for the next start
		case <-time.After(ackTimeout / 5):
		}
		o.again.Inc()
	}
	if err := o.db.Batch(func(tx *bolt.Tx) error { return tx.Bucket(outboxBucket).Delete([]byte(p.Order)) }); err != nil {
		fmt.Printf("order %s stays in the outbox: %v\n", p.Order, err)
	}
}

// resume delivers what was in the outbox when checkout ended.
func (o *checkout) resume() error {
	return o.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(outboxBucket).ForEach(func(_, raw []byte) error {
			var p parcel
			if err := json.Unmarshal(raw, &p); err != nil {
				return err
			}
			o.delivery.Go(func() { o.deliver(p) })
			return nil
		})
	})
}
