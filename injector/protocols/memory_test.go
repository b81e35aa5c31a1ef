package protocols_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

// The memory of a relay does not grow with the messages that it relayed: not with those that faults acted on,
// not with new keys and paths, and not with connections that come and go or are broken by faults or clients.
func TestMemoryStaysFlat(t *testing.T) {
	n := 100_000
	switch {
	case *full:
		n = 10_000_000
	case relaytest.RaceEnabled:
		n = 20_000
	}
	few := 100 / float64(n) // fewer of what ends connections, so that the machine does not run out of ports
	for _, c := range []struct {
		protocol string
		code     string
		serve    func(testing.TB) (addr string)
		ask      func(i int) string
		answers  func(in *bufio.Reader) error // reads one answer
	}{
		{"http", "", answerHTTP, func(i int) string { return relaytest.HTTPRequest("GET", fmt.Sprintf("/orders/%d/%s", i, word(i))) }, readHTTP},
		{"redis", "LOADING", relaytest.RedisServer, func(i int) string {
			key := fmt.Sprintf("%s:%d", word(i), i%1000)
			return fmt.Sprintf("*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(key), key)
		}, func(in *bufio.Reader) error { _, err := in.ReadSlice('\n'); return err }},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			f := relaytest.OpenLinkFor(t, c.protocol, c.serve(t), discard())
			var counts []*evidence.Counter
			for i, r := range []message.Rule{
				{Action: message.Answer, Status: 503, Code: c.code, Share: .02}, {Action: message.Twice, Share: 3 * few}, {Action: message.Twice, Late: time.Millisecond, Share: 3 * few}, {Action: message.Reorder, Wait: 20 * time.Millisecond, Share: .01},
				{Action: message.Delay, By: time.Microsecond, Share: .01}, {Action: message.LoseReply, EndWith: message.EndClosed, Share: few}, {Action: message.LoseRequest, Share: few},
			} {
				r.ID, r.Seed = fmt.Sprint("fault-", i), 9
				count, _ := f.AddRule(t, r)
				counts = append(counts, count)
			}
			var next atomic.Int64
			carry := func(most int) (heap int) {
				var all sync.WaitGroup
				for range 4 {
					all.Go(func() {
						for int(next.Load()) < most {
							pipeline(t, f.Addr, &next, c.ask, c.answers)
						}
					})
				}
				all.Wait()
				f.CheckAccounts(t)
				relaytest.WaitUntil(t, "all connections are over", func() bool { return f.Link.Counters().Live == 0 })
				return inUse()
			}
			before := carry(n / 10)
			after := carry(n)
			toServer, _ := f.CheckAccounts(t)
			t.Logf("%d messages on %d connections: %d KiB of heap after a tenth, %d KiB after all", toServer.Received, f.Link.Counters().Opened, before>>10, after>>10)
			assert.Less(t, after-before, 1<<20)
			for _, count := range counts {
				assert.Positive(t, count.Tally().Affected)
			}
		})
	}
}

// word returns one of a hundred thousand words that do not look like identifiers, so that each is a class of its
// own.
func word(i int) string {
	letters := make([]byte, 5)
	for j := range letters {
		letters[j] = byte('g' + i%10)
		i /= 10
	}
	return string(letters)
}

// inUse returns the size of the reachable heap.
func inUse() int {
	runtime.GC()
	runtime.GC() // collects what finalizers referenced
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc) //nolint:gosec // fits
}

// pipeline opens a connection that sends up to 5,000 messages, 100 at a time ahead of the answers. Faults may
// end it.
func pipeline(t testing.TB, addr string, next *atomic.Int64, ask func(int) string, answer func(*bufio.Reader) error) {
	conn, err := net.Dial("tcp", addr)
	if !assert.NoError(t, err) {
		return
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	var say bytes.Buffer
	for range 50 {
		say.Reset()
		at := int(next.Add(100)) - 100
		for i := range 100 {
			say.WriteString(ask(at + i))
		}
		_ = conn.SetDeadline(time.Now().Add(relaytest.Patience))
		if _, err = conn.Write(say.Bytes()); err != nil {
			return
		}
		for range 100 {
			if err = answer(in); err != nil {
				assert.NotErrorIs(t, err, io.ErrNoProgress)
				return
			}
		}
	}
}

// answerHTTP starts a server that answers every empty line with a success.
func answerHTTP(t testing.TB) (addr string) {
	return relaytest.AnswerEach(t, func(conn net.Conn) {
		in := bufio.NewReader(conn)
		out := bufio.NewWriter(conn)
		for {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if string(line) == "\r\n" {
				_, _ = out.WriteString(relaytest.OK)
			}
			if in.Buffered() == 0 && out.Flush() != nil {
				return
			}
		}
	})
}

// readHTTP reads an answer whose length has at most two digits.
func readHTTP(in *bufio.Reader) error {
	size := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if string(line) == "\r\n" {
			_, err = in.Discard(size)
			return err
		}
		if digits, found := strings.CutPrefix(string(line), "Content-Length: "); found {
			if size, err = strconv.Atoi(strings.TrimSpace(digits)); err != nil {
				return err
			}
		}
	}
}
