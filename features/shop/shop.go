// Package shop provides the demo system of the catalogue's features: a small, resilient web shop that consists of
// several processes. Main runs one part:
//
//	front     composes pages of content, comments, ads and stats, of which only content is required
//	content, comments, ads, stats    the parts of pages
//	orders    accepts POST /orders with an Idempotency-Key, has payments charge it, and stores it in an embedded database
//	payments  charges once for each key
//	balancer  spreads requests over several instances of web
//	monitor   raises alerts by the metrics of front: GET /alerts
//	bulletin  sends sets of pages to several branches, in datagrams: POST /bulletins
//	customer  answers GET /customers with what profile and loyalty know; loyalty asks points and coupons
//	checkout  accepts POST /orders and sends them to broker
//	broker    NATS with JetStream, from which warehouse takes orders and picks them
//	sale      sells a limited stock: POST /purchases, which payments charges
//	labels    has labels printed by printer: POST /labels
//	songs     lists songs for several tenants: GET /{tenant}/songs
//	quotes    adds up prices: POST /quotes, over long-lived connections to prices and a spare one
//
// Each part serves GET /livez, GET /readyz (whether the required dependencies answer) and GET /metrics (Prometheus).
//
// Each of the Protections can be switched off, to show that a check fails without it.
package shop

import (
	"context"
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
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Protection is a resilience mechanism of the shop.
type Protection struct {
	Name    string
	Service string // parts that have it, separated by ", "
	Means   string // what it does
}

// Protections lists the protections of all parts, which --without can switch off, sorted by name.
func Protections() []Protection {
	all := slices.Clone(callProtections)
	for _, p := range parts {
		all = append(all, p.protections...)
	}
	slices.SortFunc(all, func(a, b Protection) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// protected holds whether each protection is on, by name.
type protected map[string]bool

// parseWithout parses a comma-separated list of the protections to switch off.
func parseWithout(list string) (protected, error) {
	p := protected{}
	var names []string
	for _, one := range Protections() {
		p[one.Name] = true
		names = append(names, one.Name)
	}
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("switch off %q: the shop has no such protection; it has %s", name, strings.Join(names, ", "))
		}
		p[name] = false
	}
	return p, nil
}

// config holds the flags of a part.
type config struct {
	listen, dir string
	fsync       bool
	links       map[string]string // host:port by dependency
	protected   protected
}

// part is a service of the shop.
type part struct {
	routes   *http.ServeMux
	required []*dependency // checked by /readyz
	all      []*dependency
	metrics  *prometheus.Registry
	leaving  atomic.Bool                 // it is about to stop: /readyz says so
	leave    func()                      // is called before the part stops serving; may be nil
	stop     func() error                // releases what it holds after it has stopped serving; may be nil
	serve    func(context.Context) error // serves until the context ends, in place of HTTP; may be nil
}

// kind is a kind of part: how it is made, the dependencies whose addresses it takes as flags, and its protections.
type kind struct {
	build       func(config) (*part, error)
	links       []string
	protections []Protection
}

// parts lists the kinds of parts by name.
var parts = map[string]kind{
	"ads":       {build: newSimple("ads")},
	"balancer":  {newBalancer, []string{"instances"}, nil},
	"branch":    {build: newBranch},
	"broker":    {build: newBroker},
	"bulletin":  {newBulletin, []string{"branches"}, bulletinProtections},
	"checkout":  {newCheckout, []string{"broker"}, checkoutProtections},
	"comments":  {build: newSimple("comments")},
	"content":   {build: newSimple("content")},
	"coupons":   {build: newSimple("coupons")},
	"customer":  {newAggregate("profile", "loyalty"), []string{"profile", "loyalty"}, aggregateProtections},
	"front":     {newFront, []string{"content", "comments", "ads", "stats", "cache"}, frontProtections},
	"labels":    {newLabels, []string{"printer"}, labelsProtections},
	"loyalty":   {newAggregate("points", "coupons"), []string{"points", "coupons"}, nil},
	"monitor":   {newMonitor, []string{"front"}, monitorProtections},
	"orders":    {newOrders, []string{"payments"}, ordersProtections},
	"payments":  {build: newPayments},
	"points":    {build: newSimple("points")},
	"prices":    {build: newPrices, protections: pricesProtections},
	"printer":   {build: newSimple("printer")},
	"profile":   {build: newSimple("profile")},
	"quotes":    {newQuotes, []string{"prices", "spare"}, quotesProtections},
	"sale":      {newSale, []string{"payments"}, saleProtections},
	"songs":     {build: newSongs, protections: songsProtections},
	"stats":     {build: newSimple("stats")},
	"warehouse": {newWarehouse, []string{"broker"}, warehouseProtections},
	"web":       {build: newWeb, protections: webProtections},
}

// Main runs a part until SIGTERM or SIGINT and returns the exit code. args are its name and flags.
func Main(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, args); err != nil {
		fmt.Fprintln(os.Stderr, "shop:", err)
		return 2
	}
	return 0
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || parts[args[0]].build == nil {
		return fmt.Errorf("name a part: %s", strings.Join(slices.Sorted(maps.Keys(parts)), ", "))
	}
	name, c := args[0], config{links: map[string]string{}}
	kind := parts[name]
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.StringVar(&c.listen, "listen", "127.0.0.1:0", "address to listen on")
	flags.StringVar(&c.dir, "dir", ".", "directory for data")
	flags.BoolVar(&c.fsync, "fsync", true, "sync writes to disk, so that data survives a power failure; otherwise it survives only a crash of the process")
	without := flags.String("without", "", "protections to switch off, separated by commas")
	for _, dep := range kind.links {
		flags.Func(dep, "address of "+dep, func(addr string) error { c.links[dep] = addr; return nil })
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	var err error
	if c.protected, err = parseWithout(*without); err != nil {
		return err
	}
	p, err := kind.build(c)
	if err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	if p.serve != nil {
		return p.serve(ctx)
	}
	return serve(ctx, name, c.listen, p)
}

// serve serves requests until ctx ends, and then waits for active requests.
func serve(ctx context.Context, name, listen string, p *part) error {
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: p.handler(), ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("%s listens on %s\n", name, ln.Addr())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		if p.leave != nil {
			p.leave()
		}
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		err = server.Shutdown(end)
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return errors.Join(err, p.close())
}

// close releases the part's resources after it has stopped serving.
func (p *part) close() error {
	for _, d := range p.all {
		d.client.CloseIdleConnections()
	}
	if p.stop == nil {
		return nil
	}
	return p.stop()
}

// handler adds the routes that all parts have, and returns the handler of all routes.
func (p *part) handler() http.Handler {
	p.routes.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
	p.routes.HandleFunc("GET /readyz", p.ready)
	p.routes.Handle("GET /metrics", promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{}))
	return p.routes
}

// deepCheckTimeout limits a deep health check: a dependency that does not answer in this time is not healthy.
const deepCheckTimeout = 500 * time.Millisecond

// ready is the deep health check, which asks the required dependencies whether they are alive. It does not ask for their own
// deep check, so that services that need each other can start.
func (p *part) ready(w http.ResponseWriter, r *http.Request) {
	if p.leaving.Load() {
		http.Error(w, "about to stop", http.StatusServiceUnavailable)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), deepCheckTimeout)
	defer cancel()
	for _, d := range p.required {
		got, err := d.call(ctx, http.MethodGet, "/livez", nil, "")
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("status %d", got.status)
		}
		if err != nil {
			http.Error(w, fmt.Sprintf("%s: %v", d.name, err), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

// counter adds a counter to the part's metrics.
func (p *part) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	p.metrics.MustRegister(c)
	return c
}

func newPart() *part {
	return &part{routes: http.NewServeMux(), metrics: prometheus.NewRegistry()}
}

// newSimple returns the constructor of a part that answers each request with a line of text.
func newSimple(name string) func(config) (*part, error) {
	return func(config) (*part, error) {
		p := newPart()
		served := p.counter(name+"_served_total", "requests served")
		p.routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			served.Inc()
			fmt.Fprintf(w, "%s of %s\n", name, r.URL.Path)
		})
		return p, nil
	}
}
