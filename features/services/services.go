// Package services holds what the features in real/ run against: small services on the client libraries and gateways in question, driven over HTTP, and the
// start of servers that need a configuration first. Main runs one:
//
//	counter   counts in Redis, with go-redis
//	books     keeps what backends have done
//	backend   does a request's work: it has the books write it down
//	nginx     nginx as a gateway before two backends; haproxy is HAProxy as one
//	publisher publishes to NATS, with nats.go
//	worker    is subscribed to NATS, and a consumer of JetStream
//	postgres  a PostgreSQL server of its own
//	orders    keeps orders in PostgreSQL, with pgx
//	front     looks a name up for each request, with Go's resolver
//
// A request's path says which way the service goes about it: with the library's defaults, without retries, with an id that the server knows again. A
// service asks its server through a link, where faults act, and is asked for its effects past it.
package services

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is what a service is started with.
type config struct {
	listen, dir  string
	link, second string // host:port, through links
	direct       string // host:port, past the link
}

// service answers HTTP until it is ended.
type service struct {
	*http.ServeMux
	end func() // may be nil
}

// table says how each is started; one that becomes another program, or waits for it, returns with an error.
var table = map[string]func(context.Context, config) (service, error){
	"backend": newBackend, "books": newBooks, "counter": newCounter, "front": newFront, "haproxy": runHAProxy, "nginx": runNginx,
	"orders": newOrders, "postgres": runPostgres, "publisher": newPublisher, "worker": newWorker,
}

// Main runs one service until SIGTERM and returns the exit code: args are its name and its flags.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		return 2
	}
	return 0
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || table[args[0]] == nil {
		return fmt.Errorf("name a service: %s", strings.Join(slices.Sorted(maps.Keys(table)), ", "))
	}
	var c config
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&c.listen, "listen", "127.0.0.1:0", "address to listen on")
	flags.StringVar(&c.dir, "dir", ".", "folder for data")
	flags.StringVar(&c.link, "link", "", "address of what it depends on, through a link")
	flags.StringVar(&c.second, "second", "", "address of another of these")
	flags.StringVar(&c.direct, "direct", "", "address of what it depends on, past the link")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	s, err := table[args[0]](ctx, c)
	switch {
	case ctx.Err() != nil: // it was ended meanwhile
		return nil
	case err != nil:
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	s.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	return serve(ctx, c.listen, s)
}

func serve(ctx context.Context, listen string, s service) error {
	if s.end != nil {
		defer s.end()
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err = <-served:
		return err
	case <-ctx.Done():
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if err = server.Shutdown(end); errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		return err
	}
}

// patience is how long a request is worked on; its client may have gone meanwhile, and the work is done all the same.
const patience = 3 * time.Second

// handle serves a request that carries a key. Without an error it is acknowledged.
func (s service) handle(route string, do func(ctx context.Context, key string) error) {
	s.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), patience)
		defer cancel()
		err := do(ctx, r.Header.Get("Idempotency-Key"))
		var no refusal
		switch {
		case errors.As(err, &no):
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		case err != nil: // it may have happened
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			fmt.Fprintln(w, "done")
		}
	})
}

// refusal is an error that tells the client that nothing was done.
type refusal string

func (r refusal) Error() string { return string(r) }

// effect is one thing done.
type effect struct {
	Key string `json:"key"`
	ID  string `json:"id"`
}

// effects serves what was done.
func (s service) effects(route string, read func(context.Context) ([]effect, error)) {
	s.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		all, err := read(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		if all == nil {
			all = []effect{}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(all)
	})
}
