// Package remote injects faults into a proxy of a Toxiproxy server that runs elsewhere. Open finds the proxy, or creates it.
// A link leads to it, whose clients thereby pass both, and Inject puts the toxics of a fault on the proxy while the link
// counts what meets them.
//
// The counters of Toxiproxy are no evidence: it counts the bytes of a connection when the connection ends, so that those of
// a pool are counted long after a fault, or were sent long before it.
package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// Config names a proxy.
type Config struct {
	Link     string // the name of the link that leads to it, for errors
	Server   string // the URL of the server's API
	Proxy    string
	Listen   string // where the proxy listens if it has to be created; "" means that it has to exist
	Upstream string // where the proxy leads to if it has to be created
}

// Proxy is a proxy of a server. Its methods may be called concurrently.
type Proxy struct {
	cfg    Config
	api    *toxiproxy.Client
	addr   string
	leads  string // the address that it leads to
	forget func() // removes the record of a proxy that was created; nil if it was not

	mu   sync.Mutex // held while the toxics change
	ours []toxiproxy.Toxic
}

// answerTime is how long the server may take to answer. It may take a moment to remove a toxic that holds data.
const answerTime = 10 * time.Second

// Open finds the proxy, or creates it. It returns an error if the proxy is disabled or has a toxic, since nothing can be
// measured through it then. The caller closes the proxy.
func Open(ctx context.Context, cfg Config) (*Proxy, error) {
	p := &Proxy{cfg: cfg, api: toxiproxy.NewClient(cfg.Server)}
	is, err := p.read(ctx)
	if errors.Is(err, errNoProxy) && cfg.Listen != "" {
		is, err = p.create(ctx)
	}
	if err == nil {
		err = p.judge(is)
	}
	if err == nil {
		p.leads = is.Upstream
		p.addr, err = p.reached(is.Listen)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("link %q: %w", cfg.Link, err), p.Close(context.WithoutCancel(ctx)))
	}
	return p, nil
}

// Examine returns the error that Open would, as far as that is known without creating the proxy.
func Examine(ctx context.Context, cfg Config) error {
	p := &Proxy{cfg: cfg, api: toxiproxy.NewClient(cfg.Server)}
	err := p.Check(ctx)
	if errors.Is(err, errNoProxy) && cfg.Listen != "" {
		err = nil
	}
	return errors.Join(err, p.Close(ctx))
}

// Addr returns the address at which clients reach the proxy.
func (p *Proxy) Addr() string { return p.addr }

// Upstream returns the address that the proxy leads to, as the server dials it.
func (p *Proxy) Upstream() string { return p.leads }

// String returns a description such as `the proxy "db" of the Toxiproxy server at http://127.0.0.1:8474`.
func (p *Proxy) String() string {
	return fmt.Sprintf("the proxy %q of the Toxiproxy server at %s", p.cfg.Proxy, p.cfg.Server)
}

// Check returns an error if the proxy is not there, is disabled, or has toxics that were not put on it through p, or not
// those that were.
func (p *Proxy) Check(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.check(ctx)
}

// check is Check. p.mu must be held.
func (p *Proxy) check(ctx context.Context) error {
	is, err := p.read(ctx)
	if err != nil {
		return err
	}
	return p.judge(is)
}

var errLate = errors.New("the server did not answer in time")

var errNoProxy = errors.New("there is no such proxy")

// read returns the proxy as the server describes it.
func (p *Proxy) read(ctx context.Context) (*toxiproxy.Proxy, error) {
	is, err := ask(ctx, func() (*toxiproxy.Proxy, error) { return p.api.Proxy(p.cfg.Proxy) })
	switch {
	case isNotFound(err):
		return nil, fmt.Errorf("%s: %w: create it, or write `listen` beside it so that it is created", p, errNoProxy)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%s: nothing listens there: %w: start the server", p, syscall.ECONNREFUSED)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", p, err)
	}
	return is, nil
}

// judge returns an error if the proxy is not as it has to be. p.mu must be held, unless p is not shared yet.
func (p *Proxy) judge(is *toxiproxy.Proxy) error {
	var others []string
	for _, t := range is.ActiveToxics {
		if !slices.ContainsFunc(p.ours, func(our toxiproxy.Toxic) bool { return our.Name == t.Name }) {
			others = append(others, fmt.Sprintf("%q (%s, %s)", t.Name, t.Type, t.Stream))
		}
	}
	slices.Sort(others)
	switch {
	case !is.Enabled:
		return fmt.Errorf("%s is disabled: enable it", p)
	case len(others) > 0:
		return fmt.Errorf("%s has toxics that this run did not put there, which are left alone: %s: remove them, since nothing can be compared with what they disturb", p, strings.Join(others, ", "))
	}
	for _, our := range p.ours {
		i := slices.IndexFunc(is.ActiveToxics, func(t toxiproxy.Toxic) bool { return t.Name == our.Name })
		if i < 0 {
			return fmt.Errorf("%s does not have the toxic %q any more: the server was started again, or somebody removed it", p, our.Name)
		}
		if !same(our, is.ActiveToxics[i]) {
			return fmt.Errorf("%s has the toxic %q with other values than those it was given: somebody changed it", p, our.Name)
		}
	}
	return nil
}

// same reports whether a toxic that was read is the one that was put on the proxy.
func same(our, is toxiproxy.Toxic) bool {
	for name, value := range our.Attributes {
		if number, ok := is.Attributes[name].(float64); !ok || fmt.Sprint(int64(number)) != fmt.Sprint(value) {
			return false
		}
	}
	return our.Type == is.Type && our.Stream == is.Stream && is.Toxicity == 1
}

// create creates the proxy. It is recorded first, so that it is deleted if this program is killed.
func (p *Proxy) create(ctx context.Context) (*toxiproxy.Proxy, error) {
	forget, err := process.Record(p.url(""))
	if err != nil {
		return nil, err
	}
	is, err := ask(ctx, func() (*toxiproxy.Proxy, error) {
		return p.api.CreateProxy(p.cfg.Proxy, p.cfg.Listen, p.cfg.Upstream)
	})
	if err != nil {
		forget()
		return nil, fmt.Errorf("create %s, which listens on %s: %w", p, p.cfg.Listen, err)
	}
	p.forget = forget
	return is, nil
}

// Close deletes the proxy if Open created it.
func (p *Proxy) Close(ctx context.Context) error {
	defer http.DefaultClient.CloseIdleConnections() // the client of Toxiproxy uses its transport
	if p.forget == nil {
		return nil
	}
	if _, err := process.Delete(ctx, p.url("")); err != nil {
		return err // it stays recorded
	}
	p.forget()
	return nil
}

// url returns the URL of the proxy, or of one of its toxics.
func (p *Proxy) url(toxic string) string {
	u := strings.TrimSuffix(p.cfg.Server, "/") + "/proxies/" + url.PathEscape(p.cfg.Proxy)
	if toxic != "" {
		u += "/toxics/" + url.PathEscape(toxic)
	}
	return u
}

// reached returns the address at which a proxy is reached that listens on an address: if that has no host, it is the
// server's.
func (p *Proxy) reached(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("%s listens on %q: %w", p, listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		server, err := url.Parse(p.cfg.Server)
		if err != nil {
			return "", err
		}
		host = server.Hostname()
	}
	return net.JoinHostPort(host, port), nil
}

// ask calls the server, whose client has no context, and waits for answerTime at most.
func ask[T any](ctx context.Context, call func() (T, error)) (T, error) {
	type answer struct {
		is  T
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		is, err := call()
		answers <- answer{is, err}
	}()
	late := time.NewTimer(answerTime)
	defer late.Stop()
	var none T
	select {
	case a := <-answers:
		return a.is, a.err
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return none, errLate
		}
		return none, context.Cause(ctx)
	case <-late.C:
		return none, errLate
	}
}

func isNotFound(err error) bool {
	var answer *toxiproxy.ApiError
	return errors.As(err, &answer) && answer.Status == http.StatusNotFound
}
