package runner

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A stream of events that the front keeps open, or that ends while a fault is live, is no call that waits for an answer.
// The calls beside it are judged as without it.
func TestOpenStreamsAreNoWaits(t *testing.T) {
	t.Parallel()
	const check = `"front" gives up on "back" within 1s`
	for name, row := range map[string]struct {
		lasts, patience time.Duration
		outcome         string
	}{
		"it stays open":                     {time.Hour, 600 * time.Millisecond, "passed"},
		"it ends during the fault":          {2500 * time.Millisecond, 600 * time.Millisecond, "passed"},
		"beside callers without a time-out": {time.Hour, time.Hour, "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			var listening sync.WaitGroup
			defer listening.Wait()
			r := runShop(t, backLoad+`    And the front listens to events
    And clients give up after 2s
    When 20% of replies from "back" to "front" are lost after the work was done, then silence for 3s
    Then `+check+`
    And at least 1% of requests succeed
`, func(s *shop, o *Options) {
				s.client.Timeout = row.patience
				o.Handlers["back"] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/events" {
						fmt.Fprint(w, "back")
						return
					}
					w.Header().Set("Content-Type", "text/event-stream")
					fmt.Fprint(w, "data: hello\n\n")
					w.(http.Flusher).Flush()
					select {
					case <-time.After(row.lasts):
					case <-r.Context().Done():
					}
				})
				o.Steps = append(o.Steps, Step{`^the front listens to events$`, func() error {
					resp, err := http.Get("http://" + s.back() + "/events")
					if err != nil {
						return err
					}
					events := bufio.NewReader(resp.Body)
					_, err = events.ReadString('\n')
					listening.Go(func() {
						defer resp.Body.Close()
						_, _ = io.Copy(io.Discard, events) // until the link is closed
					})
					return err
				}})
			})
			judged := 0
			for _, v := range onlyScenario(r).Verdicts {
				judged++
				switch {
				case v.Check == check:
					assert.Equal(t, row.outcome, v.Outcome, "%s; %s", v.Observed, v.Reason)
				case v.Kind == "accounts add up":
					assert.Equal(t, "passed", v.Outcome, v.Reason)
				default:
					judged--
				}
			}
			assert.Equal(t, 2, judged)
		})
	}
}
