package shop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	bolt "go.etcd.io/bbolt"
)

// payments charges once for each key, whoever asks how often.
type payments struct {
	*part
	db      *bolt.DB
	charged prometheus.Counter
	asked   prometheus.Counter
}

var chargesBucket = []byte("charges")

func newPayments(c config) (*part, error) {
	db, err := openStore(filepath.Join(c.dir, "payments.db"), chargesBucket)
	if err != nil {
		return nil, err
	}
	p := &payments{part: newPart(), db: db}
	p.end = db.Close
	p.charged = p.counter("charges_total", "charges made")
	p.asked = p.counter("charges_asked_total", "requests for a charge, repeated ones included")
	p.routes.HandleFunc("POST /charge", p.charge)
	p.routes.HandleFunc("GET /ledger", func(w http.ResponseWriter, _ *http.Request) { writeLedger(w, db, chargesBucket) })
	return p.part, nil
}

func (p *payments) charge(w http.ResponseWriter, r *http.Request) {
	p.asked.Inc()
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		http.Error(w, "send an Idempotency-Key", http.StatusBadRequest)
		return
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		http.Error(w, "the body did not arrive", http.StatusBadRequest)
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
		raw, err := json.Marshal(order{ID: fmt.Sprintf("c-%d", n), Key: key})
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
