package services

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// newLedger returns a service that keeps effects in memory, so that two backends can share a ledger.
func newLedger(context.Context, config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	var mu sync.Mutex
	var all []effect
	s.handle("POST /effects", func(_ context.Context, key string) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, effect{key, strconv.Itoa(len(all) + 1)})
		return nil
	})
	s.effects("GET /ledger", func(context.Context) ([]effect, error) {
		mu.Lock()
		defer mu.Unlock()
		return append([]effect(nil), all...), nil
	})
	return s, nil
}

// newBackend returns a service that records an effect in the ledger for each request that has a key, and then answers
// it.
func newBackend(_ context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	s.close = client.CloseIdleConnections
	s.handle("/", func(ctx context.Context, key string) error {
		if key == "" {
			return nil
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.direct+"/effects", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Idempotency-Key", key)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the ledger answered %s", resp.Status)
		}
		return nil
	})
	return s, nil
}
