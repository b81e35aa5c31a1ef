package link

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// Each exchange sends "hello" to an echo server. Then the client closes the connection.
func TestObserveCountsWhatAFaultBeyondAffects(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		observe                  Observe
		exchanges                int
		affected, ended, carried int64 // before and after the end of the connection; bytes affected before
	}{
		"everything":            {Observe{}, 2, 4, 4, 20},
		"one direction":         {Observe{Dir: ToServer}, 2, 2, 2, 10},
		"connections":           {Observe{PerConnection: true}, 2, 1, 1, 10},
		"small chunks":          {Observe{Least: 6}, 2, 0, 0, 0},
		"no chunk":              {Observe{Least: Nothing}, 2, 0, 0, 0},
		"too few bytes":         {Observe{After: 11}, 2, 0, 0, 0},
		"from many bytes on":    {Observe{Dir: ToClient, After: 10}, 3, 2, 2, 10},
		"the end to the server": {Observe{Dir: ToServer, Ends: true, PerConnection: true}, 2, 0, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := open(t, serve(t, echo))
			count := evidence.NewCounter("traffic")
			c.observe.Count = count
			heal, err := l.Observe(c.observe)
			require.NoError(t, err)
			client := dial(t, l)
			for range c.exchanges {
				exchange(t, client)
			}
			got := count.Tally()
			require.Equal(t, c.affected, got.Affected)
			require.Positive(t, got.Seen)
			if !c.observe.PerConnection {
				require.Equal(t, c.carried, got.BytesAffected)
			}
			require.NoError(t, client.CloseWrite())
			_, err = client.Read(make([]byte, 1))
			require.Error(t, err)
			require.Equal(t, c.ended, count.Tally().Affected)

			require.NoError(t, heal(t.Context()))
			before := count.Tally()
			exchange(t, dial(t, l))
			require.Equal(t, before, count.Tally(), "healed")
		})
	}
	_, err := unboundLink().Observe(Observe{Least: -1})
	require.ErrorContains(t, err, "negative")
}

func exchange(t *testing.T, client *net.TCPConn) {
	t.Helper()
	require.NoError(t, client.SetDeadline(time.Now().Add(time.Minute)))
	send(t, client, "hello")
	expect(t, client, "hello")
}
