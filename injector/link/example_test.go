package link_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/firedrill-dev/firedrill/injector/link"
)

// A link can be used alone in a test: here, a client has to give up on a slow dependency.
func ExampleOpen() {
	prices := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, 42) }))
	defer prices.Close()
	// excerpt: alone
	l, err := link.Open(link.Config{Name: "app -> prices", Upstream: prices.Listener.Addr().String()})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	app := http.Client{Timeout: time.Second}
	get := func() string {
		resp, err := app.Get("http://" + l.Addr())
		if err != nil {
			return "no answer"
		}
		defer resp.Body.Close()
		return resp.Status
	}

	heal, err := l.Delay(link.Delay{By: time.Minute})
	if err != nil {
		panic(err)
	}
	fmt.Println("slow:", get())
	if err := heal(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("healed:", get())
	// end of excerpt
	app.CloseIdleConnections()

	// Output:
	// slow: no answer
	// healed: 200 OK
}
