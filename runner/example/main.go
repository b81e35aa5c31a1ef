// Command example is an order service like one of your own: it contains no Firedrill code.
//
//	own orders  takes orders: a bearer token, the key in the JSON body, rows in a PostgreSQL table, no list of effects
//	own tax     returns the tax of an order
//
// The environment holds LISTEN, and for orders TAX_URL, DATABASE_URL, API_TOKEN and WITHOUT. WITHOUT="unique key" leaves
// out the constraint by which an order that is sent again is recognized.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("name a service: orders or tax")
	}
	mux := http.NewServeMux()
	switch os.Args[1] {
	case "orders":
		s, err := newOrders(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		mux.HandleFunc("POST /v1/orders", s.place)
	case "tax":
		mux.HandleFunc("POST /v1/quotes", quote)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := http.Server{Addr: os.Getenv("LISTEN"), Handler: mux, ReadHeaderTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

func quote(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]int{"tax": o.Cents * 19 / 100})
}

type order struct {
	Key   string `json:"key"`
	Email string `json:"email"`
	Cents int    `json:"cents"`
}

type receipt struct {
	ID        int64 `json:"id"`
	Tax       int   `json:"tax"`
	Estimated bool  `json:"tax_estimated"`
}

type orders struct {
	db     *pgxpool.Pool
	tax    http.Client
	insert string
}

// newOrders creates the table.
func newOrders(ctx context.Context) (*orders, error) {
	unique, conflict := "unique", " on conflict (key) do nothing"
	if os.Getenv("WITHOUT") == "unique key" {
		unique, conflict = "", ""
	}
	db, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(ctx, "create table if not exists orders (id bigserial primary key, key text not null "+unique+", email text, cents int, tax int, estimated bool)")
	return &orders{
		db: db, tax: http.Client{Timeout: 300 * time.Millisecond},
		insert: "insert into orders (key, email, cents, tax, estimated) values ($1, $2, $3, $4, $5)" + conflict + " returning id",
	}, err
}

func (s *orders) place(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+os.Getenv("API_TOKEN") {
		http.Error(w, "unknown token", http.StatusUnauthorized)
		return
	}
	var o order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil || o.Key == "" || o.Cents <= 0 {
		http.Error(w, "key and cents are needed", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	out, err := s.store(ctx, o)
	switch {
	case errors.Is(err, errReused):
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
	case err != nil:
		log.Print(err)
		http.Error(w, "it is not known whether the order was placed: send it again", http.StatusServiceUnavailable)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(out)
	}
}

var errReused = errors.New("the key belongs to another order")

// store inserts the order, or returns the receipt of the order with its key.
func (s *orders) store(ctx context.Context, o order) (out receipt, err error) {
	out.Tax, out.Estimated = s.taxOf(ctx, o)
	err = pgx.BeginFunc(ctx, s.db, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, s.insert, o.Key, o.Email, o.Cents, out.Tax, out.Estimated).Scan(&out.ID)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var placed order
		err = tx.QueryRow(ctx, "select id, email, cents, tax, estimated from orders where key = $1", o.Key).Scan(&out.ID, &placed.Email, &placed.Cents, &out.Tax, &out.Estimated)
		if err == nil && (placed.Email != o.Email || placed.Cents != o.Cents) {
			return errReused
		}
		return err
	})
	return out, err
}

// taxOf asks the tax service twice, and estimates the tax if it does not answer in time.
func (s *orders) taxOf(ctx context.Context, o order) (tax int, estimated bool) {
	body, _ := json.Marshal(o)
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, os.Getenv("TAX_URL")+"/v1/quotes", bytes.NewReader(body))
		if err != nil {
			break
		}
		resp, err := s.tax.Do(req)
		if err != nil {
			continue
		}
		var answer struct{ Tax int }
		err = json.NewDecoder(resp.Body).Decode(&answer)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK {
			return answer.Tax, false
		}
	}
	return o.Cents / 5, true
}
