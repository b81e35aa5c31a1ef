package shop

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const pipelining = "pipelining"

var quotesProtections = []Protection{
	{livenessCheck, "quotes", "a connection on which nothing arrives for a second, not even the answer to a ping, is given up"},
	{pipelining, "quotes", "all prices of a quote are asked for at once; without, one after the other"},
}

// quotes adds up the prices of a basket: POST /quotes. It asks the server of prices or, if there is no connection to it, the
// spare one.
type quotes struct {
	*part
	protected protected
	servers   []*server
	dials     sync.WaitGroup
}

// server is a server of prices and the connection to it, if there is one.
type server struct {
	addr    string
	current atomic.Pointer[peer]
	dialing atomic.Bool
}

const (
	quoteItems  = 20
	redialPause = 100 * time.Millisecond
)

func newQuotes(c config) (*part, error) {
	q := &quotes{part: newPart(), protected: c.protected}
	for _, name := range []string{"prices", "spare"} {
		if addr := c.links[name]; addr != "" {
			q.servers = append(q.servers, &server{addr: addr})
		}
	}
	if q.servers == nil {
		return nil, errors.New("--prices is missing")
	}
	q.stop = q.hangUp
	quoted := q.counter("quotes_total", "quotes made")
	q.routes.HandleFunc("POST /quotes", func(w http.ResponseWriter, r *http.Request) {
		var basket struct{ N int } // the number of its first item
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&basket); err != nil {
			http.Error(w, `send {"n": 1}`, http.StatusBadRequest)
			return
		}
		total, err := q.quote(r.Context(), basket.N)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		quoted.Inc()
		fmt.Fprintf(w, "{\"cents\": %d}\n", total)
	})
	return q.part, nil
}

// quote returns the sum of the prices of a basket.
func (q *quotes) quote(ctx context.Context, first int) (total int, err error) {
	prices, errs := make([]int, quoteItems), make([]error, quoteItems)
	var all sync.WaitGroup
	for i := range quoteItems {
		look := func() { prices[i], errs[i] = q.price(ctx, fmt.Sprintf("item-%d", first+i)) }
		if q.protected[pipelining] {
			all.Go(look)
		} else {
			look()
		}
	}
	all.Wait()
	for _, cents := range prices {
		total += cents
	}
	return total, cmp.Or(errs...)
}

// price asks for the price of an item until a server answers. Asking twice does no harm, since it changes nothing.
func (q *quotes) price(ctx context.Context, item string) (int, error) {
	for {
		p := q.peer()
		if p == nil {
			select {
			case <-time.After(redialPause / 10):
				continue
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		got, err := p.ask(ctx, item)
		switch {
		case errors.Is(err, errLost):
			continue
		case err == nil && got.item != item:
			err = fmt.Errorf("the price of %s came for %s", got.item, item)
		}
		return got.cents, err
	}
}

// peer returns a connection to the first server that takes requests, or nil. It has those before it dialled.
func (q *quotes) peer() *peer {
	for _, s := range q.servers {
		if p := s.current.Load(); p != nil && p.usable() {
			return p
		}
		if s.dialing.CompareAndSwap(false, true) {
			q.dials.Go(func() {
				if p, err := dialPeer(s.addr, q.protected[livenessCheck]); err == nil {
					s.current.Store(p)
				}
				time.Sleep(redialPause)
				s.dialing.Store(false)
			})
		}
	}
	return nil
}

// hangUp closes all connections.
func (q *quotes) hangUp() error {
	q.dials.Wait()
	for _, s := range q.servers {
		if p := s.current.Load(); p != nil {
			p.conn.Close()
			<-p.lost
		}
	}
	return nil
}
