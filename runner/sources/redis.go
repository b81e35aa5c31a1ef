package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// openRedis returns the reader of a key of Redis, or of the names of keys.
func openRedis(p effects.Place) (effects.Reader, error) {
	o, err := redis.ParseURL(withScheme("redis", p.At))
	if err != nil {
		return effects.Reader{}, err
	}
	o.MaxRetries, o.DialTimeout, o.DisableIdentity = -1, 5*time.Second, true
	r := redisReader{options: o, settings: p.Settings, group: p.Group}
	if p.Settings["stream"] == "" {
		if r.fields, err = effects.NewFields(p); err != nil {
			return effects.Reader{}, err
		}
	}
	for name, read := range map[string]func(context.Context, *redis.Client, each) error{"stream": r.stream, "hash": r.hash, "list": r.list, "keys": r.keys} {
		if p.Settings[name] != "" {
			return effects.Reader{Read: effects.Timed(r.connected(read)), Whole: name != "stream"}, nil // a stream may be trimmed
		}
	}
	return effects.Reader{}, errors.New("it names no stream, hash, list or keys")
}

type each = func(journal.Effect) error

// redisReader reads from a Redis server.
type redisReader struct {
	options  *redis.Options
	settings map[string]string
	fields   effects.Fields // of values that are JSON
	group    string         // the field that effects are grouped by; "" if they are not
}

// connected returns a function that reads with a client of its own.
func (r redisReader) connected(read func(context.Context, *redis.Client, each) error) func(context.Context, each) error {
	return func(ctx context.Context, each each) error {
		o := *r.options
		c := redis.NewClient(&o)
		defer func() { _ = c.Close() }()
		return read(ctx, c, each)
	}
}

// pageSize is how many entries are read at a time where that is possible without reading an entry twice.
const pageSize = 1000

// stream reads the entries of a stream. Their ids ascend, so that pages of them have no gaps and no overlaps.
func (r redisReader) stream(ctx context.Context, c *redis.Client, each each) error {
	field := func(name string) string {
		if r.settings[name] != "" {
			return r.settings[name]
		}
		return name
	}
	n := 0
	for from := "-"; ; {
		entries, err := c.XRangeN(ctx, r.settings["stream"], from, "+", pageSize).Result()
		if err != nil {
			return err
		}
		for _, entry := range entries {
			n++
			key, _ := entry.Values[field("key")].(string)
			if key == "" {
				return fmt.Errorf("entry %d (%s) has no field %q: name the field of the idempotency key by `key`", n, entry.ID, field("key"))
			}
			id, ok := entry.Values[field("id")].(string)
			if !ok {
				id = entry.ID
			}
			e, err := effects.NewEffect(key, id)
			if err == nil {
				e.Value, _ = entry.Values[field("value")].(string)
				if r.group != "" {
					e.Group, _ = entry.Values[r.group].(string)
					if e.Order, ok = entry.Values["seq"].(string); !ok {
						e.Order = strconv.Itoa(n) // entries are appended
					}
				}
				err = each(e)
			}
			if err != nil {
				return fmt.Errorf("entry %d %w", n, err)
			}
		}
		if len(entries) < pageSize {
			return nil
		}
		from = "(" + entries[len(entries)-1].ID
	}
}

// deliver calls each for an item that is a key.
func deliver(each each, what string, n int, key string) error {
	e, err := effects.NewEffect(key, "")
	if err == nil {
		err = each(e)
	}
	if err != nil {
		return fmt.Errorf("%s %d %w", what, n, err)
	}
	return nil
}

// hash reads the fields of a hash, at once: a scan may return a field twice.
func (r redisReader) hash(ctx context.Context, c *redis.Client, each each) error {
	all, err := c.HGetAll(ctx, r.settings["hash"]).Result()
	if err != nil {
		return err
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		id, value := "", ""
		if r.settings["id"] != "" {
			if id, err = r.fields.ID(json.RawMessage(all[name])); err != nil {
				return fmt.Errorf("field %q %w", name, err)
			}
		}
		if r.settings["value"] != "" {
			if value, err = r.fields.Value(json.RawMessage(all[name])); err != nil {
				return fmt.Errorf("field %q %w", name, err)
			}
		}
		e, err := effects.NewEffect(name, id)
		if err == nil {
			e.Value = value
			err = each(e)
		}
		if err != nil {
			return fmt.Errorf("field %d %w", i+1, err)
		}
	}
	return nil
}

// list reads the values of a list, at once: a value that is pushed to its head would shift pages.
func (r redisReader) list(ctx context.Context, c *redis.Client, each each) error {
	all, err := c.LRange(ctx, r.settings["list"], 0, -1).Result()
	if err != nil {
		return err
	}
	for i, value := range all {
		if r.settings["key"] == "" {
			if err := deliver(each, "value", i+1, value); err != nil {
				return err
			}
			continue
		}
		e, err := r.fields.Effect(json.RawMessage(value))
		if err == nil {
			err = each(e)
		}
		if err != nil {
			return fmt.Errorf("value %d %w", i+1, err)
		}
	}
	return nil
}

// keys reads the names of keys. A scan may return a name twice.
func (r redisReader) keys(ctx context.Context, c *redis.Client, each each) error {
	prefix, suffix, _ := strings.Cut(r.settings["keys"], "*")
	seen := map[string]bool{}
	for it := c.Scan(ctx, 0, r.settings["keys"], pageSize).Iterator(); ; {
		if !it.Next(ctx) {
			return it.Err()
		}
		name := it.Val()
		key, ok := strings.CutSuffix(strings.TrimPrefix(name, prefix), suffix) // the scan chose by the pattern
		if !ok || seen[name] {
			continue
		}
		seen[name] = true
		if err := deliver(each, "key", len(seen), key); err != nil {
			return err
		}
	}
}
