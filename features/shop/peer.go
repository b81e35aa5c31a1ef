package shop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const livenessCheck = "liveness check"

// peer is one end of a long-lived connection that carries many requests at a time. A request is a line with a number, the
// correlation id, and the name of an item; its answer is a line with the same number, the item and its price. Answers come in
// any order.
type peer struct {
	conn    net.Conn
	lost    chan struct{} // is closed when the connection has ended
	leaving atomic.Bool   // the other end has said goodbye: it gets no further requests
	heard   atomic.Int64  // when something arrived, or was not awaited, in nanoseconds since 1970

	mu      sync.Mutex
	last    uint64 // the number of the last request
	waiting map[uint64]chan price
}

// price is the answer to a request.
type price struct {
	item  string
	cents int
}

// errLost is the error of requests whose connection ended before their answer came.
var errLost = errors.New("the connection was lost")

const (
	pingInterval = 200 * time.Millisecond
	maxSilence   = time.Second // without an answer to a ping, or anything else
)

// dialPeer opens a connection and switches it from HTTP to lines.
func dialPeer(addr string, check bool) (*peer, error) {
	conn, err := net.DialTimeout("tcp", addr, maxSilence)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(maxSilence))
	in := bufio.NewReader(conn)
	if _, err = fmt.Fprintf(conn, "GET /lines HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n", addr); err == nil {
		var resp *http.Response
		if resp, err = http.ReadResponse(in, nil); err == nil && resp.StatusCode != http.StatusSwitchingProtocols { //nolint:bodyclose // its body is the connection
			err = fmt.Errorf("%s answered %s", addr, resp.Status)
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	return newPeer(conn, in, check), nil
}

// newPeer makes a peer of a connection. It is lost when the connection has ended.
func newPeer(conn net.Conn, in *bufio.Reader, check bool) *peer {
	p := &peer{conn: conn, lost: make(chan struct{}), waiting: map[uint64]chan price{}}
	p.heard.Store(time.Now().UnixNano())
	go p.read(in)
	if check {
		go p.watch()
	}
	return p
}

// usable reports whether the connection takes requests.
func (p *peer) usable() bool {
	select {
	case <-p.lost:
		return false
	default:
		return !p.leaving.Load()
	}
}

// ask sends a request and waits for its answer.
func (p *peer) ask(ctx context.Context, item string) (price, error) {
	answer := make(chan price, 1)
	p.mu.Lock()
	p.last++
	id := p.last
	p.waiting[id] = answer
	p.mu.Unlock()
	defer p.forget(id)
	if _, err := fmt.Fprintf(p.conn, "%d %s\n", id, item); err != nil {
		p.conn.Close()
		return price{}, errLost
	}
	select {
	case got := <-answer:
		return got, nil
	case <-p.lost:
		return price{}, errLost
	case <-ctx.Done():
		return price{}, ctx.Err()
	}
}

// forget ends the wait for an answer. After a goodbye, the last request that ends closes the connection.
func (p *peer) forget(id uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, id)
	if p.leaving.Load() && len(p.waiting) == 0 {
		p.conn.Close()
	}
}

// watch gives the connection up if nothing arrives for too long while answers are awaited. Pings make the other end write
// something, so that its silence means that it is dead.
func (p *peer) watch() {
	tick := time.NewTicker(pingInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-p.lost:
			return
		}
		switch heard := time.Unix(0, p.heard.Load()); {
		case !p.awaits():
			p.heard.Store(time.Now().UnixNano())
			_ = p.conn.SetWriteDeadline(time.Time{}) // that of the last ping must not fail a later request
		case time.Since(heard) > maxSilence:
			p.conn.Close()
		default:
			_ = p.conn.SetWriteDeadline(time.Now().Add(maxSilence))
			fmt.Fprintln(p.conn, "ping")
		}
	}
}

// awaits reports whether answers are awaited.
func (p *peer) awaits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting) > 0
}

// read reads until the connection ends.
func (p *peer) read(in *bufio.Reader) {
	defer close(p.lost)
	defer p.conn.Close()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		p.heard.Store(time.Now().UnixNano())
		switch line := lines.Text(); line {
		case "pong":
		case "bye":
			p.leaving.Store(true)
			p.forget(0)
		default:
			p.deliver(line)
		}
	}
}

// deliver gives an answer to the request that has its number.
func (p *peer) deliver(line string) {
	var id uint64
	var got price
	if _, err := fmt.Sscan(line, &id, &got.item, &got.cents); err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if answer := p.waiting[id]; answer != nil {
		answer <- got
		delete(p.waiting, id) // a second answer would not fit
	}
}
