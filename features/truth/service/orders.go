package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// applied is one effect. Its id is a string or a number.
type applied struct {
	Key string `json:"key"`
	ID  any    `json:"id"`
}

// orders takes orders by key and keeps a ledger of their effects.
type orders struct {
	o    orderOptions
	back *dependency

	mu      sync.Mutex
	known   map[string]reply
	working map[string]bool // keys of orders in progress
	taken   sync.Cond       // signalled when an order is no longer in progress
	effects []applied
	file    *os.File // nil keeps effects in memory
}

// reply is the answer to a key, and the body of its request.
type reply struct{ body, text string }

func newOrders(o orderOptions, back *dependency) (*orders, error) {
	s := &orders{o: o, back: back, known: map[string]reply{}, working: map[string]bool{}}
	s.taken.L = &s.mu
	if o.file == "" {
		return s, nil
	}
	raw, err := os.ReadFile(o.file)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	for line := range bytes.Lines(raw) {
		var e applied
		if json.Unmarshal(line, &e) == nil {
			s.effects = append(s.effects, e)
			s.known[e.Key] = reply{text: fmt.Sprint("order ", e.ID)}
		}
	}
	if s.file, err = os.OpenFile(o.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil || !o.sync {
		return s, err
	}
	folder, err := os.Open(filepath.Dir(o.file)) // has the file's name
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	return s, folder.Sync()
}

func (s *orders) register(mux *http.ServeMux) {
	mux.HandleFunc("POST /orders", s.order)
	mux.HandleFunc("GET /orders", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "a form") })
	mux.HandleFunc("POST /refused/{code}", status)
	mux.HandleFunc("GET /ledger", s.ledger)
	mux.HandleFunc("GET /ledger/{form}", s.otherForm)
}

func (s *orders) order(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	key, body := r.Header.Get("Idempotency-Key"), string(raw)
	if s.o.key == "body" {
		var order struct{ Key string }
		_ = json.Unmarshal(raw, &order)
		key = order.Key
	}
	was, again := s.claim(key)
	defer s.release(key)
	switch {
	case again && was.body != "" && was.body != body && !s.o.anyBody:
		http.Error(w, "this key came with another body", http.StatusUnprocessableEntity)
	case again:
		s.answer(w, was.text, s.o.newReply)
	default:
		s.take(w, key, body)
	}
}

// claim returns the answer to a known key. It waits while an order with the key is in progress, unless
// the option unguarded is set.
func (s *orders) claim(key string) (reply, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.working[key] && !s.o.unguarded {
		s.taken.Wait()
	}
	was, again := s.known[key]
	s.working[key] = true
	return was, again
}

func (s *orders) release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.working, key)
	s.taken.Broadcast()
}

// take does the work of a new order.
func (s *orders) take(w http.ResponseWriter, key, body string) {
	began := time.Now()
	_, err := s.back.call(http.MethodPost, "/work")
	slow := time.Since(began) > 100*time.Millisecond
	if err != nil && s.o.failing != "503" && s.o.failing != "422" {
		if s.o.failing == "201" {
			s.answer(w, "order of "+key, false)
			return
		}
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	text := s.schedule(key)
	if s.o.forget != "always" && (s.o.forget != "slow" || !slow) {
		s.mu.Lock()
		s.known[key] = reply{body, text}
		s.mu.Unlock()
	}
	if err != nil {
		code, _ := strconv.Atoi(s.o.failing)
		http.Error(w, "the order was taken, the rest is not known", code)
		return
	}
	s.answer(w, text, false)
}

func (s *orders) answer(w http.ResponseWriter, text string, vary bool) {
	if s.o.status == http.StatusSeeOther {
		w.Header().Set("Location", "/orders")
	}
	w.WriteHeader(s.o.status)
	if vary {
		text += " at " + time.Now().String()
	}
	fmt.Fprintln(w, text)
}

// schedule applies an order now or later, once or twice, and returns the answer.
func (s *orders) schedule(key string) string {
	answer := "accepted " + key
	after := func(d time.Duration, key string) {
		if d > 0 {
			time.AfterFunc(d, func() { s.apply(key) })
			return
		}
		answer = fmt.Sprint("order ", s.apply(key))
	}
	after(s.o.late, key)
	if s.o.again > 0 {
		after(s.o.late+s.o.again, key)
	}
	if s.o.copies != "" {
		after(s.o.late, key+s.o.copies)
	}
	return answer
}

// apply writes an effect and returns its id.
func (s *orders) apply(key string) any {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := applied{Key: key, ID: "o-" + strconv.Itoa(len(s.effects))}
	if s.o.numeric {
		e.ID = len(s.effects)
	}
	s.effects = append(s.effects, e)
	if s.file != nil {
		line, _ := json.Marshal(e)
		_, _ = s.file.Write(append(line, '\n'))
		if s.o.sync {
			_ = s.file.Sync()
		}
	}
	return e.ID
}

func (s *orders) list() []applied {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []applied{}
	for range s.o.listed {
		all = append(all, s.effects...)
	}
	if s.o.shuffled {
		rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	}
	return all
}

func (s *orders) ledger(w http.ResponseWriter, _ *http.Request) {
	_ = json.NewEncoder(w).Encode(s.list())
}

// otherForm answers with something other than the ledger of this service.
func (s *orders) otherForm(w http.ResponseWriter, r *http.Request) {
	switch r.PathValue("form") {
	case "null":
		fmt.Fprintln(w, "null")
	case "text":
		fmt.Fprintln(w, "please log in")
	case "empty":
		fmt.Fprintln(w, "[]")
	case "other-fields":
		rows := []map[string]any{}
		for _, e := range s.list() {
			rows = append(rows, map[string]any{"idempotency_key": e.Key, "order": e.ID})
		}
		_ = json.NewEncoder(w).Encode(rows)
	case "other-keys": // keys in another form
		rows := s.list()
		for i := range rows {
			rows[i].Key = "order:" + strings.ToUpper(rows[i].Key)
		}
		_ = json.NewEncoder(w).Encode(rows)
	case "first-page":
		rows := s.list()
		w.Header().Set("Link", `</ledger/first-page?page=2>; rel="next"`)
		_ = json.NewEncoder(w).Encode(slices.Clone(rows[:min(20, len(rows))]))
	case "login":
		http.Redirect(w, r, "/ledger/text", http.StatusFound)
	default:
		http.NotFound(w, r)
	}
}
