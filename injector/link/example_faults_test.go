package link_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
)

// The counter of a fault shows whether a connection met it.
func ExampleLink_CutOff() {
	dependency := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer dependency.Close()
	l, err := link.Open(link.Config{Upstream: dependency.Listener.Addr().String()})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func() {
		resp, err := client.Get("http://" + l.Addr())
		if err != nil {
			fmt.Println("no answer")
			return
		}
		defer resp.Body.Close()
		fmt.Println(resp.Status)
	}

	count := evidence.NewCounter("connections")
	heal, err := l.CutOff(link.Cut{On: link.On{Count: count}})
	if err != nil {
		panic(err)
	}
	get()
	if err := heal(context.Background()); err != nil {
		panic(err)
	}
	fmt.Println("affected:", count.Tally().Affected)
	client.Timeout = time.Minute
	get()
	// Output:
	// no answer
	// affected: 1
	// 200 OK
}

// Each call of a fault method adds a fault. Faults act together, on live and new connections.
func ExampleLink_Delay() {
	l, err := link.Open(link.Config{Name: "orders -> payments", Upstream: "127.0.0.1:9001"})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	// A fifth of the connections, the same in each run with this seed, get answers 50 ms late, give or take 20 ms.
	heal, err := l.Delay(link.Delay{
		On:  link.On{ID: "slow answers", Seed: 7, Share: 0.2},
		Dir: link.ToClient, By: 50 * time.Millisecond, Jitter: 20 * time.Millisecond,
	})
	if err != nil {
		panic(err)
	}
	defer heal(context.Background())
	// ... use l.Addr() as the address of payments ...
}
