// Package shop is a service of a user of Firedrill: orders that are charged at payments.
package shop

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Payments charges each key once, unless Forgetful.
type Payments struct {
	Forgetful bool

	mu      sync.Mutex
	keys    map[string]bool
	charges []Charge
}

// Charge is one charge, as GET /charges lists it.
type Charge struct {
	Key string `json:"key"`
	ID  string `json:"id"`
}

// Charges returns all charges.
func (p *Payments) Charges() []Charge {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Charge{}, p.charges...)
}

// ServeHTTP implements http.Handler.
func (p *Payments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/charges" {
		_ = json.NewEncoder(w).Encode(p.Charges())
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	if p.keys == nil {
		p.keys = map[string]bool{}
	}
	if !p.keys[key] || p.Forgetful {
		p.keys[key] = true
		p.charges = append(p.charges, Charge{key, fmt.Sprint("c-", len(p.charges)+1)})
	}
	fmt.Fprintln(w, "charged")
}

// Orders takes orders and charges each at payments, with up to three attempts.
type Orders struct {
	mu       sync.Mutex
	payments string
}

// ReachPaymentsAt sets the host:port of payments.
func (o *Orders) ReachPaymentsAt(addr string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.payments = addr
}

// ServeHTTP implements http.Handler.
func (o *Orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := o.Charge(r.Header.Get("Idempotency-Key")); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusCreated)
}

// Charge charges one order.
func (o *Orders) Charge(key string) (err error) {
	o.mu.Lock()
	url := "http://" + o.payments + "/charge"
	o.mu.Unlock()
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for range 3 {
		req, _ := http.NewRequest(http.MethodPost, url, nil)
		req.Header.Set("Idempotency-Key", key)
		resp, failed := client.Do(req)
		if failed != nil {
			err = failed
			continue
		}
		if err = resp.Body.Close(); resp.StatusCode == http.StatusOK {
			return err
		}
		err = errors.New(resp.Status)
	}
	return err
}
