package shop

import (
	"bufio"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const goodbye = "goodbye"

var pricesProtections = []Protection{
	{goodbye, "prices", "before it stops, it says so on each connection, and answers what it was asked until then; without, clients notice its silence"},
}

// prices answers requests on long-lived connections; see peer.
type prices struct {
	*part
	protected protected
	answered  prometheus.Counter
	stalled   atomic.Bool // it reads no further requests

	mu      sync.Mutex
	leaving bool // it accepts no further connections
	conns   map[net.Conn]bool
	open    sync.WaitGroup // connections
}

const (
	maxLookup = 2 * time.Millisecond    // a price takes up to that long, so that answers overtake each other
	farewell  = 2 * time.Second         // how long clients may take to end after a goodbye
	cleanUp   = 1500 * time.Millisecond // how long the process takes to end without one, such as to write down what it knows
)

func newPrices(c config) (*part, error) {
	p := &prices{part: newPart(), protected: c.protected, conns: map[net.Conn]bool{}}
	p.answered = p.counter("prices_answered_total", "prices answered")
	p.routes.HandleFunc("GET /lines", p.lines)
	p.leave = p.sayGoodbye
	return p.part, nil
}

// lines switches a connection from HTTP to lines, and answers on it until it ends.
func (p *prices) lines(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	if p.leaving {
		p.mu.Unlock()
		http.Error(w, "leaving", http.StatusServiceUnavailable)
		return
	}
	conn, in, err := http.NewResponseController(w).Hijack()
	if err == nil {
		p.conns[conn] = true
		p.open.Add(1)
	}
	p.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
	p.serveLines(conn, in.Reader)
	conn.Close()
	p.mu.Lock()
	delete(p.conns, conn)
	p.mu.Unlock()
	p.open.Done()
}

func (p *prices) serveLines(conn net.Conn, in *bufio.Reader) {
	var pending sync.WaitGroup
	defer pending.Wait()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := lines.Text()
		switch {
		case p.stalled.Load():
		case line == "ping":
			fmt.Fprintln(conn, "pong")
		default:
			pending.Go(func() {
				id, item, _ := strings.Cut(line, " ")
				time.Sleep(rand.N(maxLookup))
				p.answered.Inc()
				fmt.Fprintf(conn, "%s %s %d\n", id, item, priceOf(item))
			})
		}
	}
}

// priceOf returns the price of an item, in cents.
func priceOf(item string) int { return 100 + int(crc32.ChecksumIEEE([]byte(item))%9900) }

// sayGoodbye ends all connections. Clients that hear a goodbye close theirs when they have their answers.
func (p *prices) sayGoodbye() {
	p.mu.Lock()
	p.leaving = true
	if p.protected[goodbye] {
		for conn := range p.conns {
			fmt.Fprintln(conn, "bye")
		}
	}
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() { p.open.Wait(); close(ended) }()
	patience := farewell
	if !p.protected[goodbye] {
		p.stalled.Store(true)
		patience = cleanUp
	}
	select {
	case <-ended:
	case <-time.After(patience):
	}
	p.mu.Lock()
	for conn := range p.conns {
		conn.Close()
	}
	p.mu.Unlock()
	<-ended
}
