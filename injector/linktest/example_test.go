package linktest_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/linktest"
)

// TestOrderIsChargedOnce is the example in the manual: a charge went through, its reply was lost.
func TestOrderIsChargedOnce(t *testing.T) {
	t.Parallel()
	payments := &payments{}
	server := httptest.NewServer(payments)
	defer server.Close()
	// excerpt: linktest
	l := linktest.New(t, "http", server.Listener.Addr().String())
	shop := shop{payments: l.Addr()} // the code under test

	lost := l.Inject(injector.LoseReplies{Pick: injector.Pick{First: 1}})
	if err := shop.order("o-1"); err != nil {
		t.Error(err)
	}
	if payments.charges.Load() != 1 || lost.Affected() != 1 {
		t.Errorf("%d charges of one order; %d replies were lost", payments.charges.Load(), lost.Affected())
	}
	// end of excerpt
}

// payments charges each key once.
type payments struct {
	keys    atomic.Pointer[string]
	charges atomic.Int64
}

func (p *payments) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	if last := p.keys.Swap(&key); last == nil || *last != key {
		p.charges.Add(1)
	}
	fmt.Fprintln(w, "charged")
}

type shop struct{ payments string }

// order charges an order, with one retry.
func (s shop) order(key string) (err error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for range 2 {
		req, _ := http.NewRequest(http.MethodPost, "http://"+s.payments+"/charge", nil)
		req.Header.Set("Idempotency-Key", key)
		var resp *http.Response
		if resp, err = client.Do(req); err == nil {
			return resp.Body.Close()
		}
	}
	return err
}

// TestPaymentOverTLS is the same over TLS: the link ends it, so that the fault acts on the call inside.
func TestPaymentOverTLS(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(&payments{})
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	// excerpt: tls
	l := linktest.New(t, "http", server.Listener.Addr().String(), linktest.TLS(roots)) // roots verify the dependency
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: l.CA()}}}

	busy := l.Inject(injector.Answer{Status: 503, Pick: injector.Pick{First: 1}})
	// end of excerpt
	defer client.CloseIdleConnections()
	for _, want := range []int{503, 200} {
		resp, err := client.Post("https://"+l.Addr()+"/charge", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != want {
			t.Errorf("status %d, want %d", resp.StatusCode, want)
		}
	}
	if busy.Affected() != 1 {
		t.Errorf("%d calls were answered", busy.Affected())
	}
}
