// Package web shows a run while it lasts as a page for browsers on this machine: figures, charts, live faults, stop rules and
// notes. Who knows the token of the page may also write notes, say what was detected and mitigated, heal and abort.
package web

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/loopback"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Limits of what a page sends, in bytes, and of how many pages are open.
const (
	maxBody  = 8 << 10
	maxName  = 100
	maxText  = 1000
	maxPages = 64
)

// leastGap is the time between two updates of a page.
const leastGap = 200 * time.Millisecond

// Actions are what a page with the token can do: all of "note", "detected", "mitigated", "heal" and "abort". by is the name
// that the person typed, and text that of a note.
type Actions map[string]func(by, text string) error

// Page shows one run. Its methods may be called by several goroutines.
type Page struct {
	token string
	blind bool // who does not know the token is not shown what comes next, nor what is live
	do    Actions

	mu       sync.Mutex
	opened   bool
	course   *course
	changed  chan struct{} // closed when the course has changed
	watching int           // pages that receive updates
}

// New returns the page of a run.
func New(title string, blind bool, do Actions) *Page {
	return &Page{token: rand.Text(), blind: blind, do: do, course: newCourse(title), changed: make(chan struct{})}
}

// Open lets pages act. Call it once the run has begun.
func (p *Page) Open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened = true
}

func (p *Page) isOpen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.opened
}

// Token returns what the address of the page needs, as ?token=, to act.
func (p *Page) Token() string { return p.token }

// Event shows an event, in the order of the journal.
func (p *Page) Event(e journal.Event) { p.change(func(c *course) { c.event(e) }) }

// Ask shows what the person at the keys is asked, until it is called with "".
func (p *Page) Ask(question string) {
	p.change(func(c *course) { c.next = journal.Visible(question) })
}

func (p *Page) change(change func(*course)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.course)
	close(p.changed)
	p.changed = make(chan struct{})
}

// now returns the state for a page, as JSON, and a channel that is closed when it has changed.
func (p *Page) now(acts bool) (text []byte, over bool, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.course.state()
	s.Acts = acts
	if p.blind && !acts {
		s = s.hide()
	}
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // it holds texts and numbers
	}
	return text, s.Over, p.changed
}

var (
	//go:embed page.html
	pageText string
	//go:embed page.js
	script string

	page = template.Must(template.New("page").Funcs(template.FuncMap{
		"script": func() template.JS { return template.JS(script) }, //nolint:gosec // a constant
	}).Parse(pageText))
)

// Handler returns the page. It answers only requests that name this machine as their host and were not sent by pages of
// other sites.
func (p *Page) Handler() http.Handler {
	digest := sha256.Sum256([]byte(script))
	policy := "default-src 'none'; style-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) + "'"
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		if err := page.Execute(&body, nil); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = body.WriteTo(w)
	})
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("POST /do", p.act)
	return loopback.Only(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	}))
}

// acts reports whether a request has the token. A wrong one is an error.
func (p *Page) acts(r *http.Request) (bool, error) {
	token := r.URL.Query().Get("token")
	switch {
	case token == "":
		return false, nil
	case subtle.ConstantTimeCompare([]byte(token), []byte(p.token)) != 1:
		return false, errors.New("this token is not that of the run: use the address that firedrill has printed")
	}
	return true, nil
}

// events sends the state whenever it has changed, as server-sent events, until the run has ended.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	acts, err := p.acts(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	if !p.enter() {
		http.Error(w, fmt.Sprintf("%d pages of this run are open already", maxPages), http.StatusServiceUnavailable)
		return
	}
	defer p.leave()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for {
		text, over, changed := p.now(acts)
		_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || out.Flush() != nil || over {
			return
		}
		gap := time.NewTimer(leastGap)
		for _, wait := range []func() bool{
			func() bool { return receive(r, gap.C) }, func() bool { return receive(r, changed) },
		} {
			if !wait() {
				gap.Stop()
				return
			}
		}
	}
}

// receive waits for a channel. It returns false if the client has gone.
func receive[T any](r *http.Request, from <-chan T) bool {
	select {
	case <-from:
		return true
	case <-r.Context().Done():
		return false
	}
}

func (p *Page) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watching >= maxPages {
		return false
	}
	p.watching++
	return true
}

func (p *Page) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watching--
}

// request is what a page asks for.
type request struct {
	Do   string `json:"do"` // one of the Actions
	By   string `json:"by"`
	Text string `json:"text"` // of a note
}

// act carries out what a page with the token asks for.
func (p *Page) act(w http.ResponseWriter, r *http.Request) {
	acts, err := p.acts(r)
	if err == nil && !acts {
		err = errors.New("this page is read-only: use the address with the token that firedrill has printed")
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	var q request
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	in.DisallowUnknownFields()
	if err := in.Decode(&q); err != nil {
		http.Error(w, "the request cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	do, known := p.do[q.Do]
	if !known {
		http.Error(w, fmt.Sprintf("%q cannot be done here", q.Do), http.StatusBadRequest)
		return
	}
	if err := q.check(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, over, _ := p.now(true)
	switch {
	case !p.isOpen():
		err = errors.New("the run has not begun")
	case over:
		err = errors.New("the run has ended")
	default:
		err = do(q.By, q.Text)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// check trims the texts of a request, and says what is wrong with it.
func (q *request) check() error {
	q.By, q.Text = line(q.By), line(q.Text)
	switch {
	case q.By == "":
		return errors.New("write your name: it stands beside what you do")
	case len(q.By) > maxName:
		return fmt.Errorf("a name has at most %d bytes", maxName)
	case q.Do == "note" && q.Text == "":
		return errors.New("the note is empty")
	case len(q.Text) > maxText:
		return fmt.Errorf("a note has at most %d bytes", maxText)
	}
	return nil
}

// line returns a text on one line.
func line(text string) string { return strings.Join(strings.Fields(text), " ") }
