package shop

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// balancer spreads requests evenly over the instances of a service. An instance that says that it is about to stop, or that
// cannot be reached, gets no further requests until it answers GET /readyz. No request is sent to a second instance: it may
// have been carried out although its answer is missing.
type balancer struct {
	*part
	instances []*instance
	turn      atomic.Uint64
	client    *http.Client
	ended     context.Context
	probes    sync.WaitGroup
}

type instance struct {
	url   *url.URL
	proxy *httputil.ReverseProxy
	out   atomic.Bool // it gets no requests
}

// probeInterval is the time between two probes of an instance that is out.
const probeInterval = 100 * time.Millisecond

func newBalancer(c config) (*part, error) {
	if c.links["instances"] == "" {
		return nil, errors.New("--instances is missing")
	}
	b := &balancer{part: newPart(), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}}
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second, DisableCompression: true}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "balanced_requests_total", Help: "requests sent to each instance"}, []string{"instance"})
	b.metrics.MustRegister(requests)
	for n, addr := range strings.Split(c.links["instances"], ",") {
		i := &instance{url: &url.URL{Scheme: "http", Host: addr}}
		sent := requests.WithLabelValues(strconv.Itoa(n + 1))
		i.proxy = &httputil.ReverseProxy{
			Transport: transport,
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(i.url); sent.Inc() },
			ModifyResponse: func(r *http.Response) error {
				if r.Header.Get(drainHeader) != "" {
					b.takeOut(i)
				}
				return nil
			},
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				if r.Context().Err() == nil {
					b.takeOut(i)
				}
				http.Error(w, err.Error(), http.StatusBadGateway)
			},
		}
		b.instances = append(b.instances, i)
	}
	var end context.CancelFunc
	b.ended, end = context.WithCancel(context.Background())
	b.stop = func() error {
		end()
		b.probes.Wait()
		transport.CloseIdleConnections()
		return nil
	}
	b.routes.HandleFunc("/", b.forward)
	return b.part, nil
}

// forward sends a request to the next instance that is not out.
func (b *balancer) forward(w http.ResponseWriter, r *http.Request) {
	for range b.instances {
		i := b.instances[b.turn.Add(1)%uint64(len(b.instances))]
		if !i.out.Load() {
			i.proxy.ServeHTTP(w, r)
			return
		}
	}
	http.Error(w, "no instance is ready", http.StatusServiceUnavailable)
}

// takeOut sends no further requests to an instance until it is ready.
func (b *balancer) takeOut(i *instance) {
	if !i.out.CompareAndSwap(false, true) {
		return
	}
	b.probes.Go(func() {
		for !b.ready(i) {
			select {
			case <-b.ended.Done():
				return
			case <-time.After(probeInterval):
			}
		}
		i.out.Store(false)
	})
}

// ready asks an instance whether it is ready.
func (b *balancer) ready(i *instance) bool {
	req, err := http.NewRequestWithContext(b.ended, http.MethodGet, i.url.JoinPath("/readyz").String(), nil)
	if err != nil {
		return false
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
