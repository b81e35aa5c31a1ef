package shop

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// udp opens a UDP socket.
func udp(t *testing.T, addr string) net.PacketConn {
	t.Helper()
	conn, err := net.ListenPacket("udp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// receive reads n datagrams that are pages, counts each, and returns their sender.
func receive(t *testing.T, conn net.PacketConn, n int) (pages map[int]int, from net.Addr) {
	t.Helper()
	pages = map[int]int{}
	buffer := make([]byte, 2048)
	for range n {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		size, addr, err := conn.ReadFrom(buffer)
		require.NoError(t, err)
		var p page
		require.NoError(t, json.Unmarshal(buffer[:size], &p))
		pages[p.Page]++
		from = addr
	}
	return pages, from
}

func sendTo(t *testing.T, conn net.PacketConn, to net.Addr, what any) {
	t.Helper()
	raw, err := json.Marshal(what)
	require.NoError(t, err)
	_, err = conn.WriteTo(raw, to)
	require.NoError(t, err)
}

// TestBulletin has three branches that miss different pages, of which two miss the same one.
func TestBulletin(t *testing.T) {
	for name, c := range map[string]struct {
		without string
		again   map[int]int // how often each page is sent again to a branch
		resent  int
	}{
		"on":  {"", map[int]int{3: 1, 7: 1}, 2 * 3},
		"off": {suppression, nil, 3 * pagesOfSet * 3},
	} {
		t.Run(name, func(t *testing.T) {
			branches := []net.PacketConn{udp(t, "127.0.0.1:0"), udp(t, "127.0.0.1:0"), udp(t, "127.0.0.1:0")}
			addrs := ""
			for _, b := range branches {
				addrs += "," + b.LocalAddr().String()
			}
			bulletin := start(t, "bulletin", c.without, map[string]string{"branches": addrs[1:]})
			assert.Equal(t, http.StatusBadRequest, ask(t, client(t), http.MethodPost, bulletin+"/bulletins", "", "").status, "no key")
			require.Equal(t, http.StatusCreated, ask(t, client(t), http.MethodPost, bulletin+"/bulletins", "k", "").status)
			var from net.Addr
			for _, b := range branches {
				var pages map[int]int
				pages, from = receive(t, b, pagesOfSet)
				assert.Equal(t, allPages(), slices.Sorted(maps.Keys(pages)))
			}
			for i, miss := range [][]int{{3}, {7}, {7}} {
				sendTo(t, branches[i], from, missing{Set: 1, Pages: miss})
			}
			for _, b := range branches {
				pages, _ := receive(t, b, c.resent/3)
				if c.again != nil {
					assert.Equal(t, c.again, pages)
				}
			}
			sendTo(t, branches[0], from, missing{Set: 99}) // unknown: nothing
			assert.Contains(t, ask(t, client(t), http.MethodGet, bulletin+"/metrics", "", "").body, fmt.Sprintf("datagrams_resent_total %d\n", c.resent))
		})
	}
}

// TestLateBranch has a branch that is new hear of a set when the bulletin has forgotten most of those before.
func TestLateBranch(t *testing.T) {
	b := &branch{protected: protected{}, open: map[uint64]*openSet{}, complete: newPart().counter("complete", "complete")}
	for _, set := range []uint64{3, 2 * keptSets} {
		b.receive(page{Set: set, Page: 0, Pages: 2}, nil)
	}
	assert.Len(t, b.open, keptSets, "it does not ask for what is no longer kept")
	assert.NotContains(t, b.open, uint64(keptSets))
	assert.Contains(t, b.open, uint64(keptSets+1))
}

func TestBranch(t *testing.T) {
	by, err := parseWithout("")
	require.NoError(t, err)
	reserved := udp(t, "127.0.0.1:0")
	addr := reserved.LocalAddr()
	require.NoError(t, reserved.Close())
	p, err := newBranch(config{listen: addr.String(), protected: by})
	require.NoError(t, err)
	server := serveFake(t, p.handler().ServeHTTP)
	defer func() { assert.NoError(t, p.close()) }()
	sender := udp(t, "127.0.0.1:0")
	send := func(set uint64, pages ...int) {
		for _, n := range pages {
			sendTo(t, sender, addr, page{Set: set, Key: fmt.Sprint("k-", set), Page: n, Pages: 3})
		}
	}
	asked := func() missing {
		var m missing
		buffer := make([]byte, 2048)
		require.NoError(t, sender.SetReadDeadline(time.Now().Add(10*time.Second)))
		n, _, err := sender.ReadFrom(buffer)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(buffer[:n], &m))
		return m
	}
	began := time.Now()
	send(1, 0, 1, 2)
	send(2, 2, 0)
	assert.Equal(t, missing{Set: 2, Pages: []int{1}}, asked())
	assert.GreaterOrEqual(t, time.Since(began), leastPatience)
	assert.Equal(t, missing{Set: 2, Pages: []int{1}}, asked(), "again, since no answer came")
	send(2, 1, 1)
	send(4, 0, 1, 2) // nothing of the third
	assert.Equal(t, missing{Set: 3}, asked())
	send(3, 0, 1, 2)
	require.Eventually(t, func() bool { return len(ledger(t, "http://"+server+"/bulletins")) == 4 }, 10*time.Second, 5*time.Millisecond)
	assert.Equal(t, map[string]int{"k-1": 1, "k-2": 1, "k-3": 1, "k-4": 1}, ledger(t, "http://"+server+"/bulletins"))
}
