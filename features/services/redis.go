package services

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// operations are the counter's paths: the options of go-redis, and what it does.
var operations = []struct {
	path    string
	options redis.Options
	do      func(ctx context.Context, c *redis.Client, key string) error
}{
	{"/incr", redis.Options{}, increment}, // by default, go-redis retries any command up to three times, even INCR
	{"/incr/impatient", redis.Options{ReadTimeout: 400 * time.Millisecond}, increment},
	{"/incr/once", redis.Options{MaxRetries: -1}, increment},
	{"/multi", redis.Options{}, func(ctx context.Context, c *redis.Client, key string) error {
		_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Incr(ctx, key); return nil })
		return err
	}},
	{"/sadd", redis.Options{}, func(ctx context.Context, c *redis.Client, key string) error { return c.SAdd(ctx, members, key).Err() }},
	{"/lock", redis.Options{}, func(ctx context.Context, c *redis.Client, key string) error {
		got, err := c.SetNX(ctx, key, 1, 0).Result()
		if err == nil && !got {
			return refusal("denied: the lock is held")
		}
		return err
	}},
}

// members is the key of a set.
const members = "members"

func increment(ctx context.Context, c *redis.Client, key string) error { return c.Incr(ctx, key).Err() }

// newCounter returns a service that counts in Redis how often each key was requested.
func newCounter(_ context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	direct := redis.NewClient(&redis.Options{Addr: c.direct})
	clients := []*redis.Client{direct}
	s.close = func() {
		for _, client := range clients {
			_ = client.Close()
		}
	}
	for _, op := range operations {
		op.options.Addr = c.link
		client := redis.NewClient(&op.options)
		clients = append(clients, client)
		s.handle("POST "+op.path, func(ctx context.Context, key string) error { return op.do(ctx, client, key) })
	}
	s.effects("GET /ledger", func(ctx context.Context) ([]effect, error) { return countedEffects(ctx, direct) })
	return s, nil
}

// countedEffects returns the counters and the members of the set as effects.
func countedEffects(ctx context.Context, c *redis.Client) ([]effect, error) {
	keys, err := c.Keys(ctx, "*").Result()
	if err != nil {
		return nil, err
	}
	var all []effect
	for _, key := range keys {
		if key == members {
			added, err := c.SMembers(ctx, key).Result()
			if err != nil {
				return nil, err
			}
			for _, member := range added {
				all = append(all, effect{member, "member"})
			}
			continue
		}
		n, err := c.Get(ctx, key).Int()
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", strings.TrimSpace(key), err)
		}
		for i := range n {
			all = append(all, effect{key, fmt.Sprint(i + 1)})
		}
	}
	return all, nil
}
