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

const (
	adaptiveTimeout = "adaptive timeout"
	deepCheck       = "deep check"
	idempotencyKeys = "idempotency keys"
	retryBudget     = "retry budget"
)

var ordersProtections = []Protection{
	{adaptiveTimeout, "orders", "a charge is asked for again when its answer is later than measured response times explain; without, after 250 ms"},
	{deepCheck, "orders", "the health check /readyz fails while payments cannot be reached; without, it says the same as /livez"},
	{idempotencyKeys, "orders", "a key seen before gets the same response and no second order, and its charge is the same charge"},
	{retryBudget, "orders", "at most a fifth of the charges, and ten more a second, are asked for again; without, each up to three times"},
}

// orders accepts orders. It has payments charge an order and then stores it. A stored order is an effect.
type orders struct {
	*part
	db        *bolt.DB
	payments  *dependency
	retrier   *retrier
	protected protected
	placed    prometheus.Counter
	failed    prometheus.Counter

	mu       sync.Mutex
	inFlight map[string]bool // keys whose first request has not been answered yet
}

// order is a stored order, by ID. keysBucket maps keys to the IDs of their orders.
type order struct {
	ID     string `json:"id"`
	Key    string `json:"key"`
	Digest string `json:"digest"` // of the request's body
}

// chargeLimit limits a charge, including retries.
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
	o := &orders{part: newPart(), db: db, protected: c.protected, inFlight: map[string]bool{}}
	o.stop = db.Close
	o.payments = o.addDependency("payments", c.links["payments"], make(pool, 256), chargeLimit, c.protected)
	o.retrier = &retrier{maxAttempts: 3, timer: &adaptive{}, budget: &budget{}, retries: o.counter("charge_retries_total", "retries of charge requests")}
	if !c.protected[adaptiveTimeout] {
		o.retrier.timer = fixed(250 * time.Millisecond)
	}
	if !c.protected[retryBudget] {
		o.retrier.budget = nil
	}
	if c.protected[deepCheck] {
		o.required = []*dependency{o.payments}
	}
	o.placed = o.counter("orders_placed_total", "orders stored")
	o.failed = o.counter("orders_failed_total", "orders that could not be charged or stored")
	o.routes.HandleFunc("POST /orders", o.post)
	o.routes.HandleFunc("GET /ledger", o.ledger)
	return o.part, nil
}

// openStore opens an embedded database. A completed write survives SIGKILL and, with fsync, a power failure.
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
		http.Error(w, "Idempotency-Key is missing", http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		http.Error(w, "the body is incomplete or too long", http.StatusBadRequest)
		return
	}
	digest := sha256.Sum256(body)
	mine := order{Key: key, Digest: hex.EncodeToString(digest[:8])}
	if o.protected[idempotencyKeys] {
		if !o.begin(w, mine) {
			return
		}
		defer o.finish(key)
	}
	// Continue if the client disconnects, because it will retry.
	ctx := context.WithoutCancel(r.Context())
	if err := o.charge(ctx, key); err != nil {
		o.failed.Inc()
		http.Error(w, "payments: "+err.Error(), http.StatusGatewayTimeout)
		return
	}
	stored, err := o.store(mine)
	if err != nil {
		o.failed.Inc()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	o.placed.Inc()
	respond(w, stored)
}

func respond(w http.ResponseWriter, stored order) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintf(w, "{\"order\":%q}\n", stored.ID)
}

// begin reports whether this request is the first with its key. Otherwise it answers the request: with the same response,
// with 422 if the body is different, or with 409 while the first request is in progress (IETF draft "The Idempotency-Key
// HTTP Header Field", sections 2.6 and 2.7).
func (o *orders) begin(w http.ResponseWriter, mine order) bool {
	o.mu.Lock()
	busy := o.inFlight[mine.Key]
	if !busy {
		o.inFlight[mine.Key] = true
	}
	o.mu.Unlock()
	if busy {
		http.Error(w, "the first request with this key is in progress", http.StatusConflict)
		return false
	}
	var stored order
	found, err := o.find(mine.Key, &stored)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case !found:
		return true
	case stored.Digest != mine.Digest:
		http.Error(w, "this key was used with another body", http.StatusUnprocessableEntity)
	default:
		respond(w, stored)
	}
	o.finish(mine.Key)
	return false
}

func (o *orders) finish(key string) {
	o.mu.Lock()
	delete(o.inFlight, key)
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

// store assigns an ID to an order and stores it durably.
func (o *orders) store(mine order) (order, error) {
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

// charge requests a charge from payments, with retries. Payments charges once for each key. Without idempotency keys,
// each attempt has a new key and is a new charge.
func (o *orders) charge(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, o.payments.limit)
	defer cancel()
	got, err := o.retrier.run(ctx, func(ctx context.Context, _ int) (reply, error) {
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

// ledger lists the stored orders.
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
