package sources

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	_ "github.com/ncruces/go-sqlite3/driver"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// fixture is a real server with an empty list of effects.
type fixture struct {
	place  effects.Place
	add    func(key, id string) // adds an effect
	keyed  bool                 // the place holds one entry for each key, so that it cannot show that one was applied twice
	noKey  func()               // adds an entry without a key; nil if there can be none
	item   string               // the position of that entry in an error, after one effect
	broken func() effects.Place // the same list, with which a reading fails midway
	field  string               // a field of each entry that holds its id, to group by; "" if the place has no order
}

func place(kind, at string, settings ...string) effects.Place {
	p := effects.Place{EffectSource: system.EffectSource{Name: "orders", Kind: kind, At: at, Settings: map[string]string{}}}
	for i := 0; i < len(settings); i += 2 {
		p.Settings[settings[i]] = settings[i+1]
	}
	return p
}

func fixtures() map[string]func(t *testing.T) fixture {
	return map[string]func(t *testing.T) fixture{
		"sql postgres": postgresTable, "sql sqlite": sqliteTable, "file json": jsonFile, "file pattern": logFile, "http": pagedList,
		"redis stream": redisStream, "redis list": redisList, "redis hash": redisHash, "redis keys": redisKeys, "nats": natsStream,
	}
}

func kinds() []effects.Kind { return slices.Concat(effects.Kinds(), Kinds()) }

// TestEverySourceIsCovered compares the tables: each kind has settings, a reader and a fixture.
func TestEverySourceIsCovered(t *testing.T) {
	names, covered := []string{"stand_in"}, []string{"stand_in"} // package runner serves it, and tests it
	for _, k := range kinds() {
		names = append(names, k.Name)
	}
	for name := range fixtures() {
		kind, _, _ := strings.Cut(name, " ")
		covered = append(covered, kind)
	}
	slices.Sort(covered)
	assert.ElementsMatch(t, system.EffectKinds(), names)
	assert.ElementsMatch(t, names, slices.Compact(covered))
}

const prefix = "run-1-"

// newLedger returns the ledger of a place.
func newLedger(t *testing.T, p effects.Place) *effects.Ledger {
	t.Helper()
	r, err := effects.Open(kinds(), p, nil)
	require.NoError(t, err)
	return effects.NewLedger(effects.Source{Reader: r, Run: "run-", Scenario: prefix, Alone: true})
}

// acknowledged returns requests that were acknowledged with the given keys.
func acknowledged(keys ...string) journal.RequestRows {
	var all journal.RequestRows
	for _, key := range keys {
		all.Add(journal.Request{Key: prefix + key, Route: "POST /orders", Outcome: load.Acknowledged.String(), Attempts: []journal.Attempt{{Took: time.Millisecond, Status: 201}}})
	}
	return all
}

func TestSources(t *testing.T) {
	for name, make := range fixtures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := make(t)
			f.add(prefix+"early", "0")
			l := newLedger(t, f.place)
			require.NoError(t, l.ReadBefore(t.Context()))
			f.add(prefix+"a", "1")
			f.add(prefix+"b", "2")

			reading, err := l.Read(t.Context())
			require.NoError(t, err)
			assert.Equal(t, []string{"a", "b"}, slices.Sorted(slices.Values(keysOf(reading.Effects.Slice()))), "what was there before the load is subtracted")

			w := l.NewWait(effects.Expected{Requests: acknowledged("a", "b", "late"), Limit: time.Hour}, 0)
			require.False(t, w.ReadOnce(t.Context(), 3*time.Second), "one is missing")
			f.add(prefix+"late", "3")
			require.False(t, w.ReadOnce(t.Context(), 4*time.Second), "it has appeared, and the list may still change")
			require.True(t, w.ReadOnce(t.Context(), 5*time.Second))
			fact, all := w.Result()
			assert.Empty(t, fact.Error+fact.Doubt)
			assert.Equal(t, []string{"a", "b", "late"}, slices.Sorted(slices.Values(keysOf(all.Slice()))))

			f.add(prefix+"a", "4")
			reading, err = l.Read(t.Context())
			require.NoError(t, err)
			want := []string{"a", "a", "b", "late"}
			if f.keyed {
				want = want[1:]
			}
			assert.Equal(t, want, slices.Sorted(slices.Values(keysOf(reading.Effects.Slice()))), "an effect that was applied again")
		})
	}
}

// A source with an order lists effects in it, with the field that a check groups them by. Those that only append number
// them.
func TestOrderOfSources(t *testing.T) {
	for name, make := range fixtures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := make(t)
			what, hint := f.place.Unordered("id")
			if f.field == "" {
				assert.Contains(t, what.String(), "has no order")
				assert.NotEmpty(t, hint)
				return
			}
			assert.True(t, what.None(), what)
			f.place.Group = f.field
			r, err := effects.Open(kinds(), f.place, nil)
			require.NoError(t, err)
			l := effects.NewLedger(effects.Source{Reader: r, Run: "run-", Scenario: prefix, Alone: true, Group: f.field})
			for i, key := range []string{"c", "a", "b"} {
				f.add(prefix+key, strconv.Itoa(i+1))
			}
			w := l.NewWait(effects.Expected{Requests: acknowledged("a", "b", "c")}, 0)
			require.True(t, w.ReadOnce(t.Context(), time.Second))
			fact, rows := w.Result()
			require.Empty(t, fact.Error)
			all := rows.Slice()
			slices.SortFunc(all, func(a, b journal.Effect) int {
				if a.Order != b.Order {
					return strings.Compare(a.Order, b.Order)
				}
				return a.Place - b.Place
			})
			assert.Equal(t, []string{"c", "a", "b"}, keysOf(all))
			for i, e := range all {
				assert.Equal(t, strconv.Itoa(i+1), e.Group)
			}
		})
	}
}

func keysOf(all []journal.Effect) []string {
	var keys []string
	for _, e := range all {
		keys = append(keys, strings.TrimPrefix(e.Key, prefix))
	}
	return keys
}

// An entry without a key may be an effect of any request: nothing is known then, and the error says where it is.
func TestEntryWithoutKeyIsAnError(t *testing.T) {
	for name, make := range fixtures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := make(t)
			f.add(prefix+"a", "1")
			if f.noKey == nil { // each entry has a key
				_, err := newLedger(t, f.place).Read(t.Context())
				require.NoError(t, err)
				return
			}
			f.noKey()
			_, err := newLedger(t, f.place).Read(t.Context())
			require.ErrorContains(t, err, f.item)
			assert.ErrorContains(t, err, "key")
		})
	}
}

// A source that fails midway yields no effects, and the scenario is inconclusive rather than short of effects.
func TestReadingThatFailsMidway(t *testing.T) {
	for name, make := range fixtures() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := make(t)
			l := newLedger(t, f.place)
			fill(f.add)
			f.add(prefix+"a", "a-1")
			reading, err := l.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, 3001, reading.Effects.Len())
			broken := newLedger(t, f.broken())
			w := broken.NewWait(effects.Expected{Requests: acknowledged("a"), Limit: time.Second, Stated: true}, 0)
			for now := time.Second; !w.ReadOnce(t.Context(), now); {
				now += effects.ReadRetryLimit
			}
			fact, all := w.Result()
			assert.NotEmpty(t, fact.Error)
			assert.Empty(t, all)
			t.Log(fact.Error)
		})
	}
}

// database returns a table in a database, of which reads are described by at.
func database(t *testing.T, driver, dsn, at string) fixture {
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	exec := func(text string, args ...any) {
		_, err := db.ExecContext(context.Background(), text, args...)
		require.NoError(t, err)
	}
	exec("create table orders (number integer, reference text, note text)")
	return fixture{
		place: place("sql", at, "query", "select note, number as id, reference as KEY from orders order by rowid;"),
		add:   func(key, id string) { exec("insert into orders values ($1, $2, 'x')", rowID(id), key) },
		noKey: func() { exec("insert into orders values (9, null, 'x')") },
		item:  "row 2",
		field: "id",
	}
}

// rowID returns a number for the ids that tests use.
func rowID(id string) int {
	n := 0
	_, _ = fmt.Sscan(strings.TrimPrefix(id, "a-"), &n)
	return n
}

func postgresTable(t *testing.T) fixture {
	addr := postgresServer(t)
	url := func(addr string) string { return "postgres://postgres@" + addr + "/postgres?sslmode=disable" }
	f := database(t, "pgx", url(addr), url(addr))
	f.place.Settings["query"] = "select note, number as id, reference as key from orders order by ctid"
	f.broken = func() effects.Place {
		return place("sql", url(cutAfter(t, addr, 60_000)), "query", f.place.Settings["query"])
	}
	return f
}

func sqliteTable(t *testing.T) fixture {
	path := filepath.Join(t.TempDir(), "or ders.db")
	f := database(t, "sqlite3", "file:"+strings.ReplaceAll(path, " ", "%20"), "sqlite:"+path)
	add := f.add
	f.add = func(key, id string) { add(key, id) }
	f.broken = func() effects.Place {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		for i := len(raw) / 2; i < len(raw); i++ {
			raw[i] = 0xff
		}
		other := filepath.Join(t.TempDir(), "broken.db")
		require.NoError(t, os.WriteFile(other, raw, 0o600))
		return place("sql", "sqlite:"+other, "query", f.place.Settings["query"])
	}
	return f
}

// textFile returns a file to which add and noKey append lines.
func textFile(t *testing.T, line func(key, id string) string, noKey string, settings ...string) fixture {
	path := filepath.Join(t.TempDir(), "orders.log")
	write := func(text string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = f.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return fixture{
		place: place("file", path, settings...), item: "line 2", field: "id",
		add:   func(key, id string) { write(line(key, id) + "\n") },
		noKey: func() { write(noKey + "\n") },
		broken: func() effects.Place {
			write(line(prefix+"half", "1")[:12])
			return place("file", path, settings...)
		},
	}
}

func jsonFile(t *testing.T) fixture {
	return textFile(t, func(key, id string) string { return fmt.Sprintf(`{"order":{"key":%q},"id":%q}`, key, id) }, `{"order":{}}`, "key", "$.order.key")
}

func logFile(t *testing.T) fixture {
	f := textFile(t, func(key, id string) string { return fmt.Sprintf("12:00 info\n12:01 applied %s as %s", key, id) }, "12:02 applied  as 7", "format", `applied (?P<key>\S*) as (?P<id>\S+)`)
	f.item = "line 3"
	return f
}

// pagedList serves a list in pages.
func pagedList(t *testing.T) fixture {
	var mu sync.Mutex
	var all []map[string]any
	const size = 2
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("from"), &from)
		n := size
		if len(all) > 100 {
			n = 500
		}
		to := min(from+n, len(all))
		answer := map[string]any{"data": map[string]any{"orders": all[from:to]}, "links": map[string]any{"next": nil}, "total": len(all), "has_more": to < len(all)}
		if to < len(all) {
			answer["links"] = map[string]any{"next": fmt.Sprint("/orders?from=", to)}
		}
		_ = json.NewEncoder(w).Encode(answer)
	})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	at := func(base string) effects.Place {
		p := place("http", "orders GET /orders", "items", "$.data.orders", "key", "reference", "id", "id", "next", "$.links.next")
		p.URL = base + "/orders"
		return p
	}
	add := func(item map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, item)
	}
	return fixture{
		place: at(server.URL), item: "item 2", field: "id",
		add:    func(key, id string) { add(map[string]any{"reference": key, "id": id}) },
		noKey:  func() { add(map[string]any{"reference": nil, "id": 7}) },
		broken: func() effects.Place { return at("http://" + cutAfter(t, server.Listener.Addr().String(), 20_000)) },
	}
}

// redisPlace returns a place in a Redis server.
func redisPlace(t *testing.T, do func(c *redis.Client, key, id string) error, settings ...string) (fixture, *redis.Client) {
	addr := redisServer(t)
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return fixture{
		place:  place("redis", addr, settings...),
		add:    func(key, id string) { require.NoError(t, do(c, key, id)) },
		broken: func() effects.Place { return place("redis", cutAfter(t, addr, 40_000), settings...) },
	}, c
}

func redisStream(t *testing.T) fixture {
	f, c := redisPlace(t, func(c *redis.Client, key, id string) error {
		return c.XAdd(t.Context(), &redis.XAddArgs{Stream: "orders", Values: []string{"reference", key, "id", id}}).Err()
	}, "stream", "orders", "key", "reference")
	f.item, f.field = "entry 2", "id"
	f.noKey = func() {
		require.NoError(t, c.XAdd(t.Context(), &redis.XAddArgs{Stream: "orders", Values: []string{"id", "7"}}).Err())
	}
	return f
}

func redisList(t *testing.T) fixture {
	f, c := redisPlace(t, func(c *redis.Client, key, id string) error {
		return c.RPush(t.Context(), "orders", fmt.Sprintf(`{"k":%q,"id":%q}`, key, id)).Err()
	}, "list", "orders", "key", "$.k")
	f.item, f.field = "value 2", "id"
	f.noKey = func() { require.NoError(t, c.RPush(t.Context(), "orders", `{"id":1}`).Err()) }
	return f
}

func redisHash(t *testing.T) fixture {
	f, _ := redisPlace(t, func(c *redis.Client, key, id string) error { return c.HSetNX(t.Context(), "orders", key, id).Err() }, "hash", "orders")
	f.keyed = true
	return f
}

func redisKeys(t *testing.T) fixture {
	f, c := redisPlace(t, func(c *redis.Client, key, id string) error {
		return c.Set(t.Context(), "order:"+key+":state", id, 0).Err()
	}, "keys", "order:*:state")
	f.keyed, f.item = true, "key "
	f.noKey = func() { require.NoError(t, c.Set(t.Context(), "order::state", 1, 0).Err()) }
	return f
}

func natsStream(t *testing.T) fixture {
	addr := natsServer(t)
	conn, err := nats.Connect(addr)
	require.NoError(t, err)
	closed := make(chan struct{})
	conn.SetClosedHandler(func(*nats.Conn) { close(closed) })
	t.Cleanup(func() { conn.Close(); <-closed })
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}})
	require.NoError(t, err)
	publish := func(text string) {
		_, err := js.Publish(context.Background(), "orders.placed", []byte(text))
		require.NoError(t, err)
	}
	return fixture{
		place: place("nats", addr, "stream", "ORDERS", "key", "$.key"), item: "message 2", field: "order",
		add:   func(key, id string) { publish(fmt.Sprintf(`{"key":%q,"order":%q}`, key, id)) },
		noKey: func() { publish(`{"key":null}`) },
		broken: func() effects.Place {
			return place("nats", cutAfter(t, addr, 60_000), "stream", "ORDERS", "key", "$.key")
		},
	}
}
