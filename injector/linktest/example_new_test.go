package linktest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/linktest"
)

// A retry charges a customer twice, if the first charge went through and only its reply was lost.
func ExampleNew() {
	t := &exampleT{} // in a test, its own t
	defer t.end()

	var charges atomic.Int64
	payments := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { charges.Add(1) }))
	defer payments.Close()

	l := linktest.New(t, "http", payments.Listener.Addr().String())
	lost := l.Inject(injector.LoseReplies{Pick: injector.Pick{First: 1}})

	for range 2 { // the code under test, which asks l.Addr() instead of the server
		resp, err := http.Post("http://"+l.Addr()+"/charge", "text/plain", nil)
		if err == nil {
			resp.Body.Close()
			break
		}
	}
	fmt.Println(lost.Affected(), "reply lost,", charges.Load(), "charges")

	// Output: 1 reply lost, 2 charges
}

// exampleT stands for the *testing.T of a test, which an example has not.
type exampleT struct {
	testing.TB
	atEnd []func()
}

func (*exampleT) Helper()                           {}
func (*exampleT) Context() context.Context          { return context.Background() }
func (*exampleT) Logf(string, ...any)               {}
func (*exampleT) Skipped() bool                     { return false }
func (*exampleT) Failed() bool                      { return false }
func (*exampleT) Errorf(format string, args ...any) { fmt.Printf(format, args...) }
func (t *exampleT) Cleanup(f func())                { t.atEnd = append(t.atEnd, f) }

// end ends the test.
func (t *exampleT) end() {
	for _, f := range t.atEnd {
		f()
	}
}
