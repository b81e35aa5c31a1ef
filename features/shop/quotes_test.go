package shop

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startPrices serves prices, and returns its address and the part.
func startPrices(t *testing.T, without string) (string, *part) {
	t.Helper()
	by, err := parseWithout(without)
	require.NoError(t, err)
	p, err := newPrices(config{protected: by})
	require.NoError(t, err)
	server := httptest.NewServer(p.handler())
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), p
}

func TestQuotes(t *testing.T) {
	addr, _ := startPrices(t, "")
	want := 0
	for i := range quoteItems {
		want += priceOf(fmt.Sprintf("item-%d", 7+i))
	}
	for _, without := range []string{"", pipelining, livenessCheck} {
		quotes := start(t, "quotes", without, map[string]string{"prices": addr})
		got := ask(t, client(t), http.MethodPost, quotes+"/quotes", "", `{"n": 7}`)
		assert.Equal(t, http.StatusOK, got.status)
		assert.Equal(t, fmt.Sprintf("{\"cents\": %d}\n", want), got.body, "without %q", without)
		assert.Equal(t, http.StatusBadRequest, ask(t, client(t), http.MethodPost, quotes+"/quotes", "", `seven`).status)
	}
}

// talk returns a peer and its other end.
func talk(check bool) (*peer, net.Conn) {
	here, there := net.Pipe()
	return newPeer(here, bufio.NewReader(here), check), there
}

// TestCorrelation answers in the opposite order of the requests.
func TestCorrelation(t *testing.T) {
	p, there := talk(false)
	defer func() { there.Close(); <-p.lost }()
	got := make(chan price, 2)
	for _, item := range []string{"shirt", "shoes"} {
		go func() {
			one, err := p.ask(t.Context(), item)
			assert.NoError(t, err)
			assert.Equal(t, item, one.item)
			got <- one
		}()
	}
	var ids, items []string
	for in := bufio.NewScanner(there); len(ids) < 2 && in.Scan(); {
		id, item, _ := strings.Cut(in.Text(), " ")
		ids, items = append(ids, id), append(items, item)
	}
	for _, i := range []int{1, 0} {
		fmt.Fprintf(there, "%s %s %d\n", ids[i], items[i], 100*(i+1))
	}
	assert.ElementsMatch(t, []price{{items[0], 100}, {items[1], 200}}, []price{<-got, <-got})
}

// TestLivenessCheck has the other end fall silent, in virtual time.
func TestLivenessCheck(t *testing.T) {
	for _, check := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			p, there := talk(check)
			go func() {
				for in := bufio.NewScanner(there); in.Scan(); { // it reads and says nothing
				}
			}()
			time.Sleep(time.Hour)
			assert.True(t, p.usable(), "silence means nothing as long as no answer is awaited")
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			began := time.Now()
			_, err := p.ask(ctx, "shirt")
			if check {
				assert.ErrorIs(t, err, errLost)
				assert.LessOrEqual(t, time.Since(began), maxSilence+2*pingInterval)
			} else {
				assert.ErrorIs(t, err, context.DeadlineExceeded)
			}
			there.Close()
			<-p.lost
		})
	}
}

// TestSlowIsNotDead has the other end answer pings, and the request only after some time.
func TestSlowIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, there := talk(true)
		go func() {
			for in := bufio.NewScanner(there); in.Scan(); {
				if request := in.Text(); request == "ping" {
					fmt.Fprintln(there, "pong")
				} else {
					time.AfterFunc(time.Minute, func() { fmt.Fprintln(there, request, 500) })
				}
			}
		}()
		got, err := p.ask(t.Context(), "shirt")
		require.NoError(t, err)
		assert.Equal(t, 500, got.cents)
		there.Close()
		<-p.lost
	})
}

// TestIdleConnection has nothing asked for a while after a ping.
func TestIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, there := talk(true)
		go func() {
			for in := bufio.NewScanner(there); in.Scan(); {
				if request := in.Text(); request != "ping" {
					time.AfterFunc(pingInterval*3/2, func() { fmt.Fprintln(there, request, 500) })
				}
			}
		}()
		for range 3 {
			_, err := p.ask(t.Context(), "shirt")
			require.NoError(t, err)
			time.Sleep(time.Minute)
		}
		there.Close()
		<-p.lost
	})
}

// TestGoodbye stops the server of prices while it is asked, with a spare one. No request fails, but without a goodbye some
// have to wait until silence shows that it is gone.
func TestGoodbye(t *testing.T) {
	for name, without := range map[string]string{"on": "", "off": goodbye} {
		t.Run(name, func(t *testing.T) {
			addr, prices := startPrices(t, without)
			spare, _ := startPrices(t, "")
			by, err := parseWithout("")
			require.NoError(t, err)
			q := &quotes{part: newPart(), protected: by, servers: []*server{{addr: addr}, {addr: spare}}}
			defer func() { assert.NoError(t, q.hangUp()) }()
			ask := func() {
				_, err := q.quote(t.Context(), 1)
				require.NoError(t, err)
			}
			ask()
			require.Eventually(t, func() bool { return q.servers[0].current.Load() != nil }, 10*time.Second, time.Millisecond)
			first := q.servers[0].current.Load()
			ended := make(chan bool)
			go func() { prices.leave(); close(ended) }()
			for asking := true; asking; ask() {
				select {
				case <-ended:
					asking = false
				default:
				}
			}
			assert.False(t, first.usable())
			assert.Equal(t, without == "", first.leaving.Load(), "whether it said goodbye")
		})
	}
}
