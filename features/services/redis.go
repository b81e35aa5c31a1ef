package services

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// operation is a path of the counter: the options of go-redis, and what it does.
type operation struct {
	path    string
	options redis.Options
	do      func(ctx context.Context, c *redis.Client, key string) error
}

var operations = []operation{
	{"/incr", redis.Options{}, increment}, // by default, go-redis retries any command up to three times, even INCR
	{"/incr/impatient", redis.Options{ReadTimeout: 400 * time.Millisecond}, increment},
	{"/incr/once", redis.Options{MaxRetries: -1}, increment},
	{"/waited", redis.Options{MaxRetries: -1}, addAndWait},
	{"/hasty", redis.Options{MaxRetries: -1}, add},
	{"/multi", redis.Options{}, func(ctx context.Context, c *redis.Client, key string) error {
		_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Incr(ctx, key); return nil })
		return err
	}},
	{"/sadd", redis.Options{}, add},
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

func add(ctx context.Context, c *redis.Client, key string) error {
	return c.SAdd(ctx, members, key).Err()
}

// addAndWait adds a key to the set, and returns an error unless a replica has it soon.
func addAndWait(ctx context.Context, c *redis.Client, key string) error {
	var replicas *redis.Cmd
	_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error { // on one connection
		p.SAdd(ctx, members, key)
		replicas = p.Do(ctx, "WAIT", 1, 300)
		return nil
	})
	if err != nil {
		return err
	}
	if n, err := replicas.Int(); n == 0 {
		return errors.Join(errors.New("no replica has it"), err)
	}
	return nil
}

// addToMaster adds a key to the set, at the first server by attempt, and if that fails at the second, which refuses it
// unless it has become the master.
func addToMaster(ctx context.Context, attempt func(context.Context, *redis.Client, string) error, first, second *redis.Client, key string) error {
	for {
		err := attempt(ctx, first, key)
		if err == nil {
			return nil
		}
		refused := add(ctx, second, key)
		if refused == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(err, refused)
		}
	}
}

// newCounter returns a service that counts in Redis how often each key was requested. /orders uses c.second as well, the
// replica of the server.
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
	first := redis.NewClient(&redis.Options{Addr: c.link, MaxRetries: -1})
	second := redis.NewClient(&redis.Options{Addr: c.second, MaxRetries: -1})
	clients = append(clients, first, second)
	s.handleFor(2*patience, "POST /orders", func(ctx context.Context, key string) error {
		attempt := addAndWait
		if c.isWithout("waiting for the replica") {
			attempt = add
		}
		return addToMaster(ctx, attempt, first, second, key)
	})
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
