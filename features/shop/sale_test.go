package shop

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestStockReservation has two buyers pay for the last item at the same time.
func TestStockReservation(t *testing.T) {
	for name, c := range map[string]struct {
		buy  func(*stock, func() error) error
		sold int
	}{
		"on":  {(*stock).buy, 1},
		"off": {(*stock).buyUnreserved, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stock{shelf: 1}
			err := c.buy(s, func() error { // while the first one pays, the second one comes
				second := c.buy(s, func() error { return nil })
				if c.sold == 1 {
					assert.ErrorIs(t, second, errSoldOut)
				}
				return nil
			})
			require.NoError(t, err)
			assert.Equal(t, c.sold, s.sold)
			assert.Equal(t, 0, s.shelf)
			assert.Equal(t, 0, s.reserved)
			assert.ErrorIs(t, c.buy(s, nil), errSoldOut)
		})
	}
	s := &stock{shelf: 1}
	declined := errors.New("declined")
	assert.ErrorIs(t, s.buy(func() error { return declined }), declined)
	assert.Equal(t, stock{shelf: 1}, stock{shelf: s.shelf, reserved: s.reserved, sold: s.sold}, "an item that is not paid for returns to the shelf")
}

// TestLoadShedding has more buyers come than may be in progress, while payments hangs.
func TestLoadShedding(t *testing.T) {
	paying, release := make(chan bool, 100), make(chan bool)
	payments := serveFake(t, func(http.ResponseWriter, *http.Request) { paying <- true; <-release })
	sale := start(t, "sale", "", map[string]string{"payments": payments})
	c := client(t)
	answers := make(chan answered, 100)
	var all sync.WaitGroup
	for range saleLimit + 5 {
		all.Go(func() {
			got, err := try(t.Context(), c, http.MethodPost, sale+"/purchases", "k", "")
			assert.NoError(t, err)
			answers <- got
		})
	}
	for range 5 {
		got := <-answers
		assert.Equal(t, http.StatusServiceUnavailable, got.status, got.body)
		assert.Equal(t, "1", got.header.Get("Retry-After"))
	}
	for range salePayments {
		<-paying
	}
	close(release)
	all.Wait()
	for range saleLimit {
		assert.Equal(t, http.StatusCreated, (<-answers).status)
	}
	var places []struct {
		Place string
		Items int
	}
	require.NoError(t, json.Unmarshal([]byte(ask(t, c, http.MethodGet, sale+"/stock", "", "").body), &places))
	assert.Equal(t, saleStock-saleLimit, places[0].Items)
	assert.Equal(t, soldEarlier+saleLimit, places[2].Items)
}
