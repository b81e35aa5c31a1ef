package shop

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

// orders takes orders: it charges payments, then keeps the order; an order that is kept is an effect.
type orders struct {
	*part
	db        *bolt.DB
	payments  *dependency
	resender  *resender
	protected protected
	placed    prometheus.Counter
	refused   prometheus.Counter

	mu       sync.Mutex
	underWay map[string]bool // keys whose first request has not been answered yet
}

// order is what is kept, under its id; keys hold the id of the first order with that key.
type order struct {
	ID     string `json:"id"`
	Key    string `json:"key"`
	Digest string `json:"digest"` // of the request's body
}

// chargeLimit is how long an order waits for its charge, all sends included.
const chargeLimit = 3 * time.Second

var ordersBucket, keysBucket = []byte("orders"), []byte("keys")

func newOrders(c config) (*part, error) {
	if c.links["payments"] == "" {
		return nil, fmt.Errorf("--payments is missing")
	}
	db, err := openStore(c, "orders.db", ordersBucket, keysBucket)
	if err != nil {
		return nil, err
	}
	o := &orders{part: newPart(), db: db, protected: c.protected, underWay: map[string]bool{}}
	o.end = db.Close
	o.payments = o.depend("payments", c.links["payments"], make(pool, 256), chargeLimit, c.protected)
	o.resender = &resender{most: 3, timer: &adaptive{}, budget: &budget{}, resent: o.counter("charges_resent_total", "charges asked for again")}
	if !c.protected[adaptiveTimeout] {
		o.resender.timer = fixed(250 * time.Millisecond)
	}
	if !c.protected[retryBudget] {
		o.resender.budget = nil
	}
	o.needs = []*dependency{o.payments}
	o.placed = o.counter("orders_placed_total", "orders kept")
	o.refused = o.counter("orders_unplaced_total", "orders that were not kept")
	o.routes.HandleFunc("POST /orders", o.post)
	o.routes.HandleFunc("GET /ledger", o.ledger)
	return o.part, nil
}

// openStore opens an embedded database. What a write returned for survives SIGKILL; with fsync, also a power cut.
func openStore(c config, name string, buckets ...[]byte) (*bolt.DB, error) {
	path := filepath.Join(c.dir, name)
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second, InitialMmapSize: 16 << 20, NoSync: !c.fsync, NoGrowSync: !c.fsync})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.MaxBatchDelay = 2 * time.Millisecond
	return db, db.Update(func(tx *bolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return nil
	})
}

func (o *orders) post(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		http.Error(w, "send an Idempotency-Key", http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body did not arrive", http.StatusBadRequest)
		return
	}
	digest := sha256.Sum256(body)
	mine := order{Key: key, Digest: hex.EncodeToString(digest[:8])}
	if o.protected[idempotencyKeys] {
		if !o.first(w, mine) {
			return
		}
		defer o.leave(key)
	}
	// The client may have gone; the order is placed all the same, for the client will ask again.
	ctx := context.WithoutCancel(r.Context())
	if err := o.charge(ctx, key); err != nil {
		o.refused.Inc()
		http.Error(w, "payments: "+err.Error(), http.StatusGatewayTimeout)
		return
	}
	kept, err := o.keep(mine)
	if err != nil {
		o.refused.Inc()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	o.placed.Inc()
	respond(w, kept)
}

func respond(w http.ResponseWriter, kept order) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "{\"order\":%q}\n", kept.ID)
}

// first tells whether this request is the first of its key; otherwise it answers: the same response again, 422 for another body, 409 while the first is
// under way (IETF draft "The Idempotency-Key HTTP Header Field", section 2.6 and 2.7).
func (o *orders) first(w http.ResponseWriter, mine order) bool {
	o.mu.Lock()
	busy := o.underWay[mine.Key]
	if !busy {
		o.underWay[mine.Key] = true
	}
	o.mu.Unlock()
	if busy {
		http.Error(w, "the first request with this key is under way", http.StatusConflict)
		return false
	}
	var kept order
	found, err := o.find(mine.Key, &kept)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case !found:
		return true
	case kept.Digest != mine.Digest:
		http.Error(w, "this key was used with another body", http.StatusUnprocessableEntity)
	default:
		respond(w, kept)
	}
	o.leave(mine.Key)
	return false
}

func (o *orders) leave(key string) {
	o.mu.Lock()
	delete(o.underWay, key)
	o.mu.Unlock()
}

func (o *orders) find(key string, into *order) (found bool, err error) {
	err = o.db.View(func(tx *bolt.Tx) error {
		id := tx.Bucket(keysBucket).Get([]byte(key))
		if found = id != nil; !found {
			return nil
		}
		return json.Unmarshal(tx.Bucket(ordersBucket).Get(id), into)
	})
	return found, err
}

// keep stores an order durably.
func (o *orders) keep(mine order) (order, error) {
	err := o.db.Batch(func(tx *bolt.Tx) error {
		n, err := tx.Bucket(ordersBucket).NextSequence()
		if err != nil {
			return err
		}
		mine.ID = fmt.Sprintf("o-%d", n)
		raw, err := json.Marshal(mine)
		if err != nil {
			return err
		}
		if err := tx.Bucket(keysBucket).Put([]byte(mine.Key), []byte(mine.ID)); err != nil {
			return err
		}
		return tx.Bucket(ordersBucket).Put([]byte(mine.ID), raw)
	})
	return mine, err
}

// charge asks payments, again when the answer is late or lost; payments knows the key and charges once. Without idempotency keys each is a new charge.
func (o *orders) charge(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, o.payments.limit)
	defer cancel()
	got, err := o.resender.run(ctx, func(ctx context.Context, _ int) (reply, error) {
		id := key
		if !o.protected[idempotencyKeys] {
			id = rand.Text()
		}
		body, err := json.Marshal(chargeRequest{Order: key})
		if err != nil {
			return reply{}, err
		}
		return o.payments.call(ctx, http.MethodPost, "/charge", http.Header{"Idempotency-Key": {id}, "Content-Type": {"application/json"}}, string(body))
	})
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", got.status, got.body)
	}
	return err
}

// ledger lists the orders that were kept.
func (o *orders) ledger(w http.ResponseWriter, _ *http.Request) { writeLedger(w, o.db, ordersBucket) }

func writeLedger(w http.ResponseWriter, db *bolt.DB, bucket []byte) {
	list := []order{}
	err := db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(bucket).ForEach(func(_, raw []byte) error {
			var one order
			list = append(list, one)
			return json.Unmarshal(raw, &list[len(list)-1])
		})
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list)
}
