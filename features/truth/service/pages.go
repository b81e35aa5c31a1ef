package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// pages answers GET requests:
//
//	/ok, /other      a page that needs nothing
//	/dep, /dep/...   a page that needs the dependency: 502 when its call fails
//	/soft            the same, served without the dependency, and marked, when its call fails
//	/async           a page that calls the dependency and does not wait for its answer
//	/status/{code}   that status
//	/half            every second answer is a 500
//	/moved           a redirection to /ok
type pages struct {
	o        options
	back     *dependency
	first    sync.Once
	started  time.Time     // time of the first request
	places   chan struct{} // taken while a page is made
	requests atomic.Int64
	degraded atomic.Bool
}

func newPages(o options, back *dependency) *pages {
	p := &pages{o: o, back: back}
	if o.pool > 0 {
		p.places = make(chan struct{}, o.pool)
	}
	return p
}

func (p *pages) register(mux *http.ServeMux) {
	plain := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("/ok", p.page(false, plain))
	mux.HandleFunc("/other", p.page(false, plain))
	mux.HandleFunc("/work", p.page(false, plain))
	mux.HandleFunc("/dep", p.page(true, p.needed))
	mux.HandleFunc("/dep/", p.page(true, p.needed))
	mux.HandleFunc("/soft", p.page(true, p.optional))
	mux.HandleFunc("/async", p.page(false, p.unawaited))
	mux.HandleFunc("/status/{code}", p.page(false, status))
	mux.HandleFunc("/half", p.page(false, p.half))
	mux.Handle("/moved", http.RedirectHandler("/ok", http.StatusFound))
}

// page adds what all pages have in common: the pool, the delays and the warm-up.
func (p *pages) page(calls bool, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if p.places != nil && (calls || !p.o.bulkhead) {
			p.places <- struct{}{}
			defer func() { <-p.places }()
		}
		p.first.Do(func() { p.started = time.Now() })
		if time.Since(p.started) < p.o.warmUp {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		time.Sleep(p.o.delay + p.back.lateness())
		next(w, r)
	}
}

func (p *pages) needed(w http.ResponseWriter, _ *http.Request) {
	answer, err := p.back.call(http.MethodGet, "/work")
	if err != nil && p.o.stale {
		answer, err = p.back.last(), nil
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	fmt.Fprint(w, answer)
}

func (p *pages) optional(w http.ResponseWriter, _ *http.Request) {
	_, err := p.back.call(http.MethodGet, "/work")
	if err != nil {
		p.degraded.Store(true)
	}
	if err != nil || p.o.degrade == "always" || p.o.degrade == "sticky" && p.degraded.Load() {
		w.Header().Set("X-Degraded", "true")
	}
	fmt.Fprintln(w, "page")
}

func (p *pages) unawaited(w http.ResponseWriter, _ *http.Request) {
	go func() { _, _ = p.back.call(http.MethodGet, "/work") }()
	fmt.Fprintln(w, "page")
}

func status(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(r.PathValue("code"))
	if err != nil {
		code = http.StatusNotFound
	}
	w.WriteHeader(code)
}

func (p *pages) half(w http.ResponseWriter, _ *http.Request) {
	if p.requests.Add(1)%2 == 0 {
		w.WriteHeader(http.StatusInternalServerError)
	}
}
