package shop

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestQueueBound fills the queue of labels while the printer hangs.
func TestQueueBound(t *testing.T) {
	for name, c := range map[string]struct {
		without string
		refused int
	}{
		"on":  {"", 10},
		"off": {queueBound, 0},
	} {
		t.Run(name, func(t *testing.T) {
			printing, release := make(chan bool, 100), make(chan bool)
			printer := serveFake(t, func(http.ResponseWriter, *http.Request) { printing <- true; <-release })
			labels := start(t, "labels", c.without, map[string]string{"printer": printer})
			client := client(t)
			answers := make(chan answered, 100)
			var all sync.WaitGroup
			send := func(n int) {
				for range n {
					all.Go(func() {
						got, err := try(t.Context(), client, http.MethodPost, labels+"/labels", "", "a label")
						assert.NoError(t, err)
						answers <- got
					})
				}
			}
			send(labelWorkers)
			for range labelWorkers {
				<-printing // so that no further one leaves the queue
			}
			send(labelQueue + 10)
			for range c.refused {
				got := <-answers
				assert.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
				assert.Equal(t, "1", got.header.Get("Retry-After"))
			}
			close(release)
			all.Wait()
			require.Len(t, answers, labelWorkers+labelQueue+10-c.refused)
			for len(answers) > 0 {
				assert.Equal(t, http.StatusOK, (<-answers).status, "what was let in is printed")
			}
			assert.Contains(t, ask(t, client, http.MethodGet, labels+"/metrics", "", "").body, "labels_waiting 0")
		})
	}
}

func TestBrokenPrinter(t *testing.T) {
	labels := start(t, "labels", "", map[string]string{"printer": serveFake(t, fail)})
	got := ask(t, client(t), http.MethodPost, labels+"/labels", "", "a label")
	assert.Equal(t, http.StatusBadGateway, got.status, "what the printer refused is not printed")
	assert.Contains(t, ask(t, client(t), http.MethodGet, labels+"/metrics", "", "").body, "labels_printed_total 0")
}
