// Package services provides the services of the features in real/: small HTTP services that use well-known client
// libraries, and launchers for servers and gateways that need a configuration file. Main runs one of them:
//
//	backend   records an effect in the ledger for each request
//	bookings  stores bookings in two PostgreSQL servers, of which one replicates the other, with pgx
//	counter   counts in Redis, with go-redis
//	etcd      a member of an etcd cluster
//	front     looks up a name for each request, with Go's resolver
//	haproxy   HAProxy as a gateway in front of two backends
//	ledger    keeps the effects of backends
//	nats      a member of a cluster of NATS servers
//	nginx     nginx as a gateway in front of two backends
//	orders    stores orders in PostgreSQL, with pgx
//	postgres  a PostgreSQL server
//	publisher publishes to NATS, with nats.go
//	rabbitmq  a RabbitMQ server
//	register  keeps a value in a cluster of etcd, through its JSON gateway
//	receiver  consumes from RabbitMQ, with amqp091-go
//	sender    publishes to RabbitMQ, with amqp091-go
//	replicator publishes to a cluster of NATS servers, with nats.go
//	worker    subscribes to NATS and consumes from JetStream
//
// The path of a request selects how the service works: with the library's defaults, without retries, or with an ID by
// which the server recognizes duplicates. A service uses its server through a link, in which faults are injected. Its
// effects are read directly.
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
	"strconv"
	"strings"
	"syscall"
	"time"
)

// config holds the flags of a service.
type config struct {
	listen, dir  string
	link, second string // host:port of dependencies through links; etcd and RabbitMQ: second and third are addresses of their own
	third        string
	direct       string         // host:port of the dependency without the link
	fsync        bool           // PostgreSQL syncs what it commits; a crash needs no sync, a loss of power does
	member       int            // number of this member of a cluster
	nodes        map[int]string // host:port of the numbered members of a cluster through links
	without      []string       // protections that are switched off, of Protections
}

// isWithout reports whether a protection is switched off.
func (c config) isWithout(protection string) bool { return slices.Contains(c.without, protection) }

// service is an HTTP service.
type service struct {
	*http.ServeMux
	close func() // releases resources; may be nil
}

// Protection is something that keeps a service, or those who use it, safe from a fault, and that --without can switch off.
type Protection struct {
	Name    string
	Service string // the service that is told to do without
	Means   string // what it does
}

// Protections lists the protections, sorted by name.
func Protections() []Protection {
	return []Protection{
		{"failover", "register", "a member of the cluster that fails is left alone for two seconds, while others are asked; without, the first is asked all the time"},
		{"linearizable reads", "register", "a member of the cluster that is asked for the value makes sure that it has missed no write; without, it answers by what it knows"},
		{"replicas", "replicator", "a stream is kept by three servers; without, by one"},
		{"synchronous replication", "postgres", "a commit is acknowledged when the standby has it, too"},
		{"waiting for the replica", "counter", "a count is acknowledged when the replica has it, too"},
	}
}

// starters start the services by name. Those that run another program return only when it ends, with an error.
var starters = map[string]func(context.Context, config) (service, error){
	"backend": newBackend, "bookings": newBookings, "counter": newCounter, "etcd": runEtcd, "front": newFront, "haproxy": runHAProxy, "ledger": newLedger,
	"nats": runNATS, "nginx": runNginx, "orders": newOrders, "postgres": runPostgres, "publisher": newPublisher, "rabbitmq": runRabbitMQ,
	"receiver": newReceiver, "register": newRegister, "replicator": newReplicator, "sender": newSender, "worker": newWorker,
}

// Main runs a service until SIGTERM or SIGINT and returns the exit code. args are its name and flags.
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
	if len(args) == 0 || starters[args[0]] == nil {
		return fmt.Errorf("name a service: %s", strings.Join(slices.Sorted(maps.Keys(starters)), ", "))
	}
	var c config
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&c.listen, "listen", "127.0.0.1:0", "address to listen on")
	flags.StringVar(&c.dir, "dir", ".", "directory for data")
	flags.StringVar(&c.link, "link", "", "address of the dependency, through a link")
	flags.StringVar(&c.second, "second", "", "address of a second dependency, through a link")
	flags.StringVar(&c.third, "third", "", "a third address")
	flags.StringVar(&c.direct, "direct", "", "address of the dependency, without a link")
	flags.BoolVar(&c.fsync, "fsync", false, "sync what is committed, so that it survives a loss of power")
	flags.IntVar(&c.member, "member", 1, "number of this member of the cluster")
	c.nodes = map[int]string{}
	flags.Func("node", "number=address of a server, through a link; may be repeated", func(text string) error {
		number, addr, _ := strings.Cut(text, "=")
		n, err := strconv.Atoi(number)
		c.nodes[n] = addr
		return err
	})
	flags.Func("without", "protections to switch off, separated by commas", func(text string) error {
		c.without = strings.Split(text, ",")
		return nil
	})
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	s, err := starters[args[0]](ctx, c)
	switch {
	case ctx.Err() != nil: // stopped while starting
		return nil
	case err != nil:
		return fmt.Errorf("start %s: %w", args[0], err)
	}
	s.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	return serve(ctx, c.listen, s)
}

func serve(ctx context.Context, listen string, s service) error {
	if s.close != nil {
		defer s.close()
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

// patience limits the work on a request. It continues if the client disconnects.
const patience = 3 * time.Second

// handle serves a route with do, which gets the request's key. If do returns no error, the request is acknowledged.
func (s service) handle(route string, do func(ctx context.Context, key string) error) {
	s.handleFor(patience, route, do)
}

// handleFor is handle with another limit than patience.
func (s service) handleFor(limit time.Duration, route string, do func(ctx context.Context, key string) error) {
	s.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), limit)
		defer cancel()
		err := do(ctx, r.Header.Get("Idempotency-Key"))
		var refused refusal
		switch {
		case errors.As(err, &refused):
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		case err != nil: // the effect may have happened
			http.Error(w, err.Error(), http.StatusInternalServerError)
		default:
			fmt.Fprintln(w, "done")
		}
	})
}

// refusal is an error that means that the effect did not happen.
type refusal string

func (r refusal) Error() string { return string(r) }

// effect is one effect of a request.
type effect struct {
	Key string `json:"key"`
	ID  string `json:"id"`
}

// effects serves a route with the list of effects.
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
