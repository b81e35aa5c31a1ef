package link

import (
	"encoding/json"
	"io"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/link/internal/socket"
)

func TestToxicAttributes(t *testing.T) {
	type attributes = map[string]any
	for _, c := range []struct {
		name       string
		attributes attributes
		want       string // part of the error; "" means no error
	}{
		{"noop", nil, ""},
		{"noop", attributes{"rate": 1}, `toxic "noop": it has no attribute "rate"; it has none`},
		{"latency", attributes{"latency": 50, "jitter": 50}, ""},
		{"latency", attributes{"latency": uint8(50), "jitter": 20.0}, ""},
		{"latency", attributes{"latency": json.Number("50")}, `latency: 50 (json.Number) is not an integer`},
		{"latency", attributes{"latency": 50.5}, `latency: 50.5 (float64) is not an integer`},
		{"latency", attributes{"latency": math.NaN()}, `is not an integer`},
		{"latency", attributes{"latency": "50"}, `latency: 50 (string) is not an integer`},
		{"latency", attributes{"latency": []int{1}}, `latency: [1] ([]int) is not an integer`},
		{"latency", attributes{"latency": uint64(math.MaxUint64)}, `is not an integer`},
		{"latency", attributes{"latency": 50, "jitter": 51}, ""},
		{"latency", attributes{"jitter": 51}, ""},
		{"latency", attributes{"jitter": 0}, `latency is 0: it must be at least 1 (ms), unless there is a jitter`},
		{"latency", attributes{"latency": 50, "Jitter": 20}, `it has no attribute "Jitter"; it has latency, jitter`},
		{"latency", attributes{"latency": math.MaxInt64}, `latency is 9223372036854775807: it must be between 0 and 86400000 (ms)`},
		{"latency", attributes{"latency": -1}, `latency is -1`},
		{"bandwidth", attributes{"rate": 1}, ""},
		{"bandwidth", attributes{"rate": math.MaxInt64 / 1000}, ""},
		{"bandwidth", attributes{"rate": 0}, `rate is 0: it must be between 1 and`},
		{"bandwidth", attributes{"rate": -1}, `rate is -1`}, // panics in Toxiproxy
		{"bandwidth", nil, `rate is missing`},
		{"slow_close", attributes{"delay": 1000}, ""},
		{"slow_close", attributes{"delay": -5}, `delay is -5`},
		{"timeout", nil, ""},
		{"timeout", attributes{"timeout": 1000}, ""},
		{"timeout", attributes{"timeout": -1}, `timeout is -1`},
		{"reset_peer", nil, ""},
		{"reset_peer", attributes{"timeout": 86_400_001}, `timeout is 86400001`},
		{"slicer", attributes{"average_size": 64, "size_variation": 63, "delay": 10}, ""},
		{"slicer", attributes{"average_size": 0}, `average_size is 0`}, // overflows the stack in Toxiproxy
		{"slicer", attributes{"average_size": 64, "size_variation": 64}, ""},
		{"slicer", attributes{"average_size": 64, "size_variation": 65}, `size_variation is 65: it must be at most average_size`}, // panics in Toxiproxy
		{"slicer", attributes{"average_size": 1 << 40}, `average_size is 1099511627776`},
		{"limit_data", nil, ""},
		{"limit_data", attributes{"bytes": -1}, `bytes is -1`},
		{"slicr", nil, `unknown toxic "slicr": known are bandwidth, bomb, `},
		{"", nil, `unknown toxic ""`},
		{"their latency", attributes{"latency": 5, "jitter": 5}, ""},
		{"their latency", attributes{"latency": 5, "jiter": 5}, `toxic "their latency": read its attributes: json: unknown field "jiter"`},
		{"their latency", attributes{"latency": "5"}, `cannot unmarshal string`},
		{"their latency", attributes{"latency": func() {}}, `unsupported type`},
		{"flipper", attributes{"Mask": 256}, `cannot unmarshal number 256`},
		{"bomb", attributes{"At": "reading"}, `toxic "bomb" panicked when it was created: boom`},
	} {
		toxic := Toxic{Name: c.name, Attributes: c.attributes}
		l := unboundLink()
		err := toxic.Check()
		if c.want == "" {
			require.NoError(t, err, "%+v", c)
			heal, err := l.Toxic(toxic)
			require.NoError(t, err, "%+v", c)
			require.NoError(t, heal(t.Context()))
			continue
		}
		require.ErrorContains(t, err, c.want)
		_, err = l.Toxic(toxic)
		require.ErrorContains(t, err, `put a toxic on link "a -> b": `)
		require.ErrorContains(t, err, c.want)
		require.Empty(t, l.stages)
		require.Empty(t, l.resets)
	}
	for _, on := range []On{{Share: 2}, {Share: math.NaN()}, {First: 1, From: 2}} {
		for _, name := range []string{"noop", "timeout", "reset_peer", "their noop"} {
			_, err := unboundLink().Toxic(Toxic{On: on, Name: name})
			require.ErrorContains(t, err, `"a -> b"`)
		}
	}
}

// TestEveryToxiproxyToxicIsBuiltIn compares the table with the toxics that Toxiproxy registers.
func TestEveryToxiproxyToxicIsBuiltIn(t *testing.T) {
	have := map[string]bool{}
	last := ""
	for _, o := range builtinToxics() {
		require.Less(t, last, o.name, "the table is searched as a sorted one")
		last, have[o.name] = o.name, true
		made := toxics.New(&toxics.ToxicWrapper{Type: o.name})
		require.NotNil(t, made, o.name)
		raw, err := json.Marshal(made)
		require.NoError(t, err)
		fields := map[string]any{}
		require.NoError(t, json.Unmarshal(raw, &fields))
		require.Len(t, o.attributes, len(fields), o.name)
		for _, a := range o.attributes {
			require.Contains(t, fields, a.name)
		}
	}
	for _, name := range []string{"noop", "latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"} {
		require.True(t, have[name], name)
	}
}

// TestBuiltinToxicsMatchDocumentation checks that each toxic acts on a live connection in the given
// direction and unit, and is healed. timeout and reset_peer are tested in defects_test.go.
func TestBuiltinToxicsMatchDocumentation(t *testing.T) {
	for name, c := range map[string]struct {
		toxic      string
		attributes map[string]any
		check      func(t *testing.T, from, to io.ReadWriter)
		affects    bool
		ends       bool // the toxic ends the connection
	}{
		"noop": {"noop", nil, func(t *testing.T, from, to io.ReadWriter) { transfer(t, from, to, 100, 0, 20*time.Second) }, false, false},
		"latency": {"latency", map[string]any{"latency": 80}, func(t *testing.T, from, to io.ReadWriter) {
			transfer(t, from, to, 100, 80*time.Millisecond, 20*time.Second)
		}, true, false},
		"bandwidth": {"bandwidth", map[string]any{"rate": 100}, func(t *testing.T, from, to io.ReadWriter) { // KB of 1000 bytes
			transfer(t, from, to, 10_000, 99*time.Millisecond, 20*time.Second)
		}, true, false},
		"slicer": {"slicer", map[string]any{"average_size": 100, "delay": 10_000}, func(t *testing.T, from, to io.ReadWriter) { // µs
			transfer(t, from, to, 1000, 90*time.Millisecond, 20*time.Second)
		}, true, false},
		"limit_data": {"limit_data", map[string]any{"bytes": 700}, func(t *testing.T, from, to io.ReadWriter) {
			_, err := from.Write(make([]byte, 1000))
			require.NoError(t, err)
			got, err := io.ReadAll(to)
			require.NoError(t, err)
			require.Len(t, got, 700)
			_, err = from.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}, true, true},
		"slow_close": {"slow_close", map[string]any{"delay": 100}, func(t *testing.T, from, to io.ReadWriter) {
			transfer(t, from, to, 100, 0, 20*time.Second)
			began := time.Now()
			require.NoError(t, from.(interface{ CloseWrite() error }).CloseWrite())
			_, err := to.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
			require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
		}, true, true},
	} {
		for _, dir := range []Dir{ToServer, ToClient} {
			t.Run(name, func(t *testing.T) {
				l, client, server := pair(t)
				var from, to io.ReadWriter = client, server
				if dir == ToClient {
					from, to = server, client
				}
				heal, count := put(t, l, dir, c.toxic, c.attributes)
				c.check(t, from, to)
				require.Equal(t, c.affects, count.Tally().Affected > 0)
				seen := count.Tally().Seen
				require.Positive(t, seen)
				if !c.ends {
					transfer(t, to, from, 10_000, 0, 20*time.Second)
					require.Equal(t, seen, count.Tally().Seen, "the other direction is left alone")
				}
				require.NoError(t, heal(t.Context()))
				if !c.ends {
					transfer(t, from, to, 10_000, 0, 20*time.Second)
					require.Equal(t, seen, count.Tally().Seen)
				}
			})
		}
	}
}

// transfer sends bytes and asserts that they arrive, and how long that takes.
func transfer(t *testing.T, from io.Writer, to io.Reader, bytes int, least, most time.Duration) {
	t.Helper()
	began := time.Now()
	_, err := from.Write(make([]byte, bytes))
	require.NoError(t, err)
	_, err = io.ReadFull(to, make([]byte, bytes))
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(began), least)
	require.Less(t, time.Since(began), most)
}

// FuzzToxic checks that any name and attributes are accepted or rejected, and that an accepted toxic
// forwards bytes and can be healed. Custom toxics run on a connection.
func FuzzToxic(f *testing.F) {
	for i, o := range builtinToxics() {
		f.Add(o.name, "timeout", int64(50), "delay", float64(i), 0.5, uint8(i))
		for _, a := range o.attributes {
			f.Add(o.name, a.name, int64(i*10), "jitter", 1.0, 1.0, uint8(i))
			f.Add(o.name, a.name, int64(-1), "size_variation", math.Inf(-1), 0.0, uint8(7))
			f.Add(o.name, a.name, int64(math.MaxInt64), "size_variation", 1e300, math.NaN(), uint8(2))
		}
	}
	f.Add("their latency", "latency", int64(-3), "jitter", 2.0, 0.0, uint8(0))
	f.Add("their latency", "latency", int64(0), "jitter", 1e18, 0.0, uint8(0))
	f.Add("their bandwidth", "rate", int64(-1), "jitter", 2.0, 0.0, uint8(1))
	f.Add("flipper", "Mask", int64(300), "mask", 7.0, 0.9, uint8(2))
	f.Add("talker", "Say", int64(1), "End", 0.0, 0.0, uint8(0))
	f.Add("counter", "Bytes", int64(-1), "At", 0.0, 0.0, uint8(0))
	f.Add("bomb", "At", int64(-1), "At", 0.0, 0.0, uint8(1))
	f.Add("keeper", "", int64(-1), "", 0.0, 0.0, uint8(1))
	f.Fuzz(func(t *testing.T, name, one string, whole int64, other string, broken, share float64, dir uint8) {
		for _, attributes := range []map[string]any{nil, {one: whole}, {one: whole, other: broken}, {one: whole, other: int64(broken)}, {one: one}, {other: true}, {one: nil}} {
			l := unboundLink()
			toxic := Toxic{On: On{ID: "f", Share: share}, Name: name, Dir: Dir(dir), Attributes: attributes}
			if toxic.Name == "deaf" || toxic.Name == "their slicer" {
				return // the first never returns, the second overflows the stack
			}
			heal, err := l.Toxic(toxic)
			if err != nil {
				require.ErrorContains(t, err, `"a -> b"`)
				require.Empty(t, l.stages)
				require.Empty(t, l.resets)
				continue
			}
			if len(l.stages) == 0 || l.stages[0].toxic == nil {
				exercise(t, name, l, ToServer)
				exercise(t, name, l, ToClient)
			} else {
				runToxic(t, l)
			}
			if err := heal(t.Context()); err != nil {
				require.ErrorContains(t, err, "panicked")
			}
			require.Empty(t, l.stages)
			require.Empty(t, l.resets)
		}
	})
}

// nowhere is a socket that can only be closed.
type nowhere struct{ halfCloser }

func (nowhere) Close() error                          { return nil }
func (nowhere) SyscallConn() (syscall.RawConn, error) { return nil, nil }

// runToxic runs a custom toxic on a queue and ends it.
func runToxic(t *testing.T, l *Link) {
	t.Helper()
	sock, err := socket.New(nowhere{})
	require.NoError(t, err)
	c := &conn{link: l, id: 1, sock: sock}
	c.in.init(nil)
	c.out.init(nil)
	var stages []*stage
	for _, s := range l.stages {
		if s.picks(c) {
			stages = append(stages, s)
		}
	}
	c.in.set(stages, c, ToServer)
	c.in.put([]byte("some bytes"), nil)
	c.in.put(nil, syscall.ECONNRESET)
	time.Sleep(100 * time.Microsecond) // the test holds for any progress made meanwhile
	c.in.fail(errClose)
	l.wg.Wait()
	require.Empty(t, c.in.stubs)
}
