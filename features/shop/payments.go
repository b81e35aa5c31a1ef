package shop

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

// payments charges orders, once for each idempotency key.
type payments struct {
	*part
	db       *bolt.DB
	charged  prometheus.Counter
	requests prometheus.Counter
}

// chargeRequest is the body of POST /charge.
type chargeRequest struct {
	Order string `json:"order"` // key of the order; the ledger lists charges by it
}

var chargesBucket = []byte("charges")

func newPayments(c config) (*part, error) {
	db, err := openStore(c, "payments.db", chargesBucket)
	if err != nil {
		return nil, err
	}
	p := &payments{part: newPart(), db: db}
	p.stop = db.Close
	p.charged = p.counter("charges_total", "charges made")
	p.requests = p.counter("charge_requests_total", "requests for a charge, including retries")
	p.routes.HandleFunc("POST /charge", p.charge)
	for _, path := range []string{"/ledger", "/charges"} { // the latter because orders serves /ledger, too
		p.routes.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { writeLedger(w, db, chargesBucket) })
	}
	return p.part, nil
}

func (p *payments) charge(w http.ResponseWriter, r *http.Request) {
	p.requests.Inc()
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		http.Error(w, "Idempotency-Key is missing", http.StatusBadRequest)
		return
	}
	var request chargeRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request); err != nil || request.Order == "" {
		http.Error(w, `send {"order": "..."}`, http.StatusBadRequest)
		return
	}
	first := false
	err := p.db.Batch(func(tx *bolt.Tx) error {
		b := tx.Bucket(chargesBucket)
		if first = b.Get([]byte(key)) == nil; !first {
			return nil
		}
		n, err := b.NextSequence()
		if err != nil {
			return err
		}
		raw, err := json.Marshal(order{ID: fmt.Sprintf("c-%d", n), Key: request.Order})
		if err != nil {
			return err
		}
		return b.Put([]byte(key), raw)
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if first {
		p.charged.Inc()
	}
	fmt.Fprintln(w, "charged")
}
