package load

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// answerRedis answers each command on a port with the same reply.
func answerRedis(t *testing.T, reply string) (hostPort string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				lines := bufio.NewScanner(conn)
				for lines.Scan() {
					if strings.HasPrefix(lines.Text(), "*") { // a command begins
						_, _ = fmt.Fprint(conn, reply)
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// TestAnswersOfRedis: the null of Redis is neither an item of a queue nor an element of a set. A text that reads like its
// form in journals is.
func TestAnswersOfRedis(t *testing.T) {
	t.Parallel()
	since := func(time.Time) time.Duration { return time.Second }
	for _, c := range []struct {
		name, reply string
		taken       string // "" means that it took nothing
		inSet       bool
	}{
		{"an item", "$1\r\n5\r\n", "5", true},
		{"no item", "$-1\r\n", "", false},
		{"no item in time", "*-1\r\n", "", false},
		{"a text", "$5\r\n(nil)\r\n", "(nil)", true},
		{"a list that begins with a null", "*2\r\n$-1\r\n:1\r\n", "(nil)\n1", true},
		{"no", ":0\r\n", "0", false},
		{"yes", ":1\r\n", "1", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := scenarios.Load{GiveUp: 30 * time.Second, Mix: []scenarios.Route{{Kind: "redis", Body: "LPOP jobs", Share: 1, Service: "store"}}}
			client := NewClient(t.Context(), Config{Load: &l, KeyPrefix: "run", Address: at(answerRedis(t, c.reply)), Kinds: Kinds()})
			t.Cleanup(client.Close)
			r := Result{Attempts: []Attempt{client.Try(1, 1)}}
			require.Equal(t, Acknowledged, r.Attempts[0].Outcome, r.Attempts[0].Kind)
			takes := r.Takes("jobs", since, journal.During)
			require.Len(t, takes, 1)
			assert.Equal(t, c.taken, takes[0].Value)
			assert.Equal(t, c.taken == "", takes[0].None)
			looks := r.OnSet("members", "5", "", since, journal.During)
			require.Len(t, looks, 1)
			assert.Equal(t, c.inSet, looks[0].Value == journal.InSet)
		})
	}
}
