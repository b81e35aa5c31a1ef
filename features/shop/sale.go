package shop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	loadShedding     = "load shedding"
	stockReservation = "stock reservation"
)

var saleProtections = []Protection{
	{loadShedding, "sale", "at most 12 purchases are in progress, and more are refused at once; without, any number waits"},
	{stockReservation, "sale", "an item leaves the shelf before it is paid for, and returns if the payment fails; without, the shelf is updated afterwards"},
}

// sale sells a limited stock of one item: POST /purchases. A purchase is paid for at payments.
type sale struct {
	*part
	payments       *dependency
	protected      protected
	stock          *stock
	inProgress     chan struct{} // has room for each purchase that may be in progress
	sold, overload prometheus.Counter
}

const (
	saleStock    = 400
	soldEarlier  = 50 // before the sale
	salePayments = 6  // payments at a time
	saleLimit    = 12 // purchases in progress: those that pay, and as many that wait
	payLimit     = 3 * time.Second
)

func newSale(c config) (*part, error) {
	if c.links["payments"] == "" {
		return nil, errors.New("--payments is missing")
	}
	s := &sale{part: newPart(), protected: c.protected, stock: &stock{shelf: saleStock, sold: soldEarlier}, inProgress: make(chan struct{}, saleLimit)}
	s.payments = s.addDependency("payments", c.links["payments"], make(pool, salePayments), payLimit, c.protected)
	s.required = []*dependency{s.payments}
	s.sold = s.counter("items_sold_total", "items sold")
	s.overload = s.counter("purchases_refused_total", "purchases refused because too many were in progress")
	s.routes.HandleFunc("POST /purchases", s.post)
	s.routes.HandleFunc("GET /stock", s.stock.list)
	return s.part, nil
}

func (s *sale) post(w http.ResponseWriter, r *http.Request) {
	if s.protected[loadShedding] {
		select {
		case s.inProgress <- struct{}{}:
			defer func() { <-s.inProgress }()
		default:
			s.overload.Inc()
			w.Header().Set("Retry-After", "1")
			http.Error(w, "too many purchases are in progress", http.StatusServiceUnavailable)
			return
		}
	}
	buy := s.stock.buyUnreserved
	if s.protected[stockReservation] {
		buy = s.stock.buy
	}
	ctx := context.WithoutCancel(r.Context()) // a purchase does not end in the middle because the buyer has left
	switch err := buy(func() error { return s.pay(ctx, r.Header.Get("Idempotency-Key")) }); {
	case errors.Is(err, errSoldOut):
		http.Error(w, "sold out", http.StatusGone)
	case err != nil:
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
	default:
		s.sold.Inc()
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintln(w, "yours")
	}
}

func (s *sale) pay(ctx context.Context, key string) error {
	body, err := json.Marshal(chargeRequest{Order: key})
	if err != nil {
		return err
	}
	got, err := s.payments.call(ctx, http.MethodPost, "/charge", http.Header{"Idempotency-Key": {key}, "Content-Type": {"application/json"}}, string(body))
	if err == nil && got.status != http.StatusOK {
		err = fmt.Errorf("payments: status %d", got.status)
	}
	return err
}

// stock is what is for sale.
type stock struct {
	mu          sync.Mutex
	shelf, sold int
	reserved    int
}

var errSoldOut = errors.New("sold out")

// buy sells an item. It is taken from the shelf before it is paid for, under the same lock that shows whether one is left. A
// payment without an answer counts as failed here; where real money is paid, find out first whether it arrived.
func (s *stock) buy(pay func() error) error {
	if !s.move(&s.shelf, &s.reserved) {
		return errSoldOut
	}
	if err := pay(); err != nil {
		s.move(&s.reserved, &s.shelf)
		return err
	}
	s.move(&s.reserved, &s.sold)
	return nil
}

// move moves an item from one place to another, if there is one.
func (s *stock) move(from, to *int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *from == 0 {
		return false
	}
	*from--
	*to++
	return true
}

// buyUnreserved sells an item without the protection: it takes one from what was left before the payment, so that purchases
// that overlap sell the same item.
func (s *stock) buyUnreserved(pay func() error) error {
	s.mu.Lock()
	left := s.shelf
	s.mu.Unlock()
	if left == 0 {
		return errSoldOut
	}
	if err := pay(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shelf = left - 1
	s.sold++
	return nil
}

// list lists where the items are. Their sum never changes.
func (s *stock) list(w http.ResponseWriter, _ *http.Request) {
	type place struct {
		Place string `json:"place"`
		Items int    `json:"items"`
	}
	s.mu.Lock()
	places := []place{{"shelf", s.shelf}, {"reserved", s.reserved}, {"sold", s.sold}}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(places)
}
