package message

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
)

// pg returns a frame; pgFirst returns a message without a type.
func pg(kind, body string) string {
	return kind + string(binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))) + body //nolint:gosec // small
}

func pgFirst(code uint32, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8)) //nolint:gosec // small
	return string(binary.BigEndian.AppendUint32(b, code)) + body
}

var (
	pgStart = pgFirst(3<<16, "user\x00u\x00database\x00shop\x00\x00")
	pgReady = pg("R", "\x00\x00\x00\x00") + pg("S", "TimeZone\x00UTC\x00") + pg("K", "\x00\x00\x00\x01\x00\x00\x00\x02") + pg("Z", "I")
)

func TestPostgresInvalidRules(t *testing.T) {
	r, err := New("postgres", Config{Link: "a -> b"})
	require.NoError(t, err)
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Action: Answer, Code: "40001"}, "in another state than the client believes: known are 53300, 57P01, 57P02, 57P03"},
		{Rule{Action: Answer, Code: "53300"}, "refuses a connection that opens: it answers STARTUP only"},
		{Rule{Action: Answer, Code: "57P01", Match: Match{Method: "startup"}}, "does not answer STARTUP"},
		{Rule{Action: Twice, Match: Match{Method: "STARTUP"}}, "a connection opens once"},
		{Rule{Action: LoseRequest, EndWith: EndSilence, Dir: ToClient}, "only with its connection"},
		{Rule{Action: Twice, Dir: ToClient}, "never says a notification twice"},
		{Rule{Action: Corrupt}, `postgres has no fault "corrupt"`},
	} {
		_, err := r.Add(c.rule)
		require.ErrorContains(t, err, c.want)
	}
	for _, rule := range []Rule{{Action: Twice, Dir: ToClient, AllowViolation: true}, {Action: LoseRequest, Dir: ToClient, AllowViolation: true}, {Action: Delay, Dir: ToClient, By: 1}, {Action: Answer, Code: "57P01"}} {
		_, err = r.Add(rule)
		require.NoError(t, err)
	}
}

func TestPostgresStatementsAreRead(t *testing.T) {
	for sql, want := range map[string]string{
		"":                                      "EMPTY ",
		"-- ping":                               "EMPTY ",
		" select 1":                             "SELECT ",
		"SELECT a, b FROM orders WHERE x = $1":  "SELECT orders",
		"/* who */ -- why\n(SELECT 1 FROM a)":   "SELECT ",
		"select extract(year from t) from b":    "SELECT b",
		"SELECT 'from x', E'\\' from y' FROM z": "SELECT z",
		"SELECT $a$ from x $ $b$ $a$ from q":    "SELECT q",
		"SELECT $1 FROM only (t)":               "SELECT ",
		"insert into Shop.Orders(id) values(1)": "INSERT shop.orders",
		`INSERT INTO shop."My Orders" SELECT 1`: "INSERT shop.My Orders",
		"UPDATE ONLY t SET a = 1":               "UPDATE t",
		"DELETE FROM t USING u":                 "DELETE t",
		"WITH a AS (SELECT 1 FROM b) INSERT INTO c SELECT * FROM a":                                                "INSERT c",
		"WITH a AS (SELECT 1 FROM b) SELECT * FROM a":                                                              "SELECT b",
		"WITH a AS (SELECT 1) SELECT * FROM a":                                                                     "SELECT ",
		"WITH a AS (SELECT 1 FROM x) SELECT * FROM a JOIN c ON true":                                               "SELECT x",
		"with a as (select id from jobs where ')' <> E'\\')' for update skip locked) update Jobs set x = 1 from a": "UPDATE jobs",
		"WITH a AS (INSERT INTO t VALUES (1) RETURNING id), b AS (DELETE FROM u) SELECT * FROM a":                  "INSERT t",
		"WITH a AS (DELETE FROM ONLY t RETURNING *) INSERT INTO u SELECT * FROM a":                                 "INSERT u",
		"WITH a AS NOT MATERIALIZED (UPDATE public.t SET x = (SELECT 1 FROM v)) SELECT 1":                          "UPDATE public.t",
		"WITH RECURSIVE a(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM a) DELETE FROM t USING a":                  "DELETE t",
		"WITH a AS (SELECT 1) MERGE INTO t USING a ON true WHEN MATCHED THEN DELETE":                               "MERGE t",
		"WITH update AS (SELECT 1), delete(insert) AS (SELECT 2) INSERT INTO t SELECT 1":                           "INSERT t",
		"WITH a AS (SELECT 1 FROM b) CYCLE id SET c USING p DELETE FROM t":                                         "DELETE t",
		"/* a /* nested */ INSERT INTO x */ WITH a AS (SELECT $q$) INSERT INTO x $q$) -- )\n DELETE FROM t":        "DELETE t",
		"WITH a AS (INSERT INTO":                 "INSERT ",
		"WITH":                                   "WITH ",
		"WITH a AS (SELECT 1); DELETE FROM t":    "WITH t",
		"EXPLAIN INSERT INTO t VALUES (1)":       "EXPLAIN t",
		"EXPLAIN ANALYZE INSERT INTO t SELECT 1": "INSERT t",
		"EXPLAIN (ANALYZE, BUFFERS) WITH a AS (SELECT 1) UPDATE t SET x = 1": "UPDATE t",
		"EXPLAIN (ANALYZE false) DELETE FROM t":                              "EXPLAIN t",
		"MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE":              "MERGE t",
		"WITH a AS (SELECT pg_advisory_lock(1)) SELECT 1":                    "SELECT  it takes a lock for its session",
		"COPY t (a) FROM STDIN":                                              "COPY t the data of its COPY are not part of it",
		"COPY (SELECT 1 FROM t) TO STDOUT":                                   "COPY ",
		"LISTEN news":                                                        "LISTEN news",
		"notify news, 'x'":                                                   "NOTIFY news",
		"CREATE TABLE IF NOT EXISTS t (a int)":                               "CREATE t",
		"start transaction read only":                                        "BEGIN  it opens or ends a transaction",
		"END":                                                                "COMMIT  it opens or ends a transaction",
		"Insert into t select 1;\n commit":                                   "INSERT t it opens or ends a transaction",
		"select pg_try_advisory_lock(1)":                                     "SELECT  it takes a lock for its session",
		"select 'unfinished":                                                 "SELECT ",
		"select E'unfinished\\":                                              "SELECT ",
		"select $unfinished$ from t":                                         "SELECT ",
		"select /* unfinished":                                               "SELECT ",
		`select "unfinished`:                                                 "SELECT ",
	} {
		st := pgRead([]byte(sql))
		assert.Equal(t, want, strings.TrimRight(st.method+" "+st.path+" "+st.onceReason, " ")+map[bool]string{true: " ", false: ""}[st.path == "" && st.onceReason == ""], sql)
	}
}

// Traffic that cannot be parsed is reported.
func TestPostgresEncryptionIsReported(t *testing.T) {
	s := startScript(t)
	f := openLinkFor(t, "postgres", s.addr, Config{})
	client := connect(t, f.addr)
	server := s.accept(t)
	exchange(client, server, messages(">"+pgFirst(pgTLS, ""), "<S", ">\x16\x03\x01", "<\x16"), false)
	closeBoth(client, server)
	require.Len(t, f.finishedCalls(), 1)
	require.Contains(t, f.finishedCalls()[0].Skipped, "PostgreSQL granted encryption to the client")
}

// A COPY in the extended query protocol takes two Syncs and has one answer; later messages are paired with their
// own answers.
func TestPostgresAnswersArePaired(t *testing.T) {
	calls := map[string]string{
		"password": "", "extended": "PREPARE, SELECT, ", "flushed": "SELECT, ", "sent ahead": "BEGIN, SELECT, SYNC, COMMIT, ", "large": "SELECT, EXECUTE, ",
		"copy in": "COPY t, ", "copy in, extended": "COPY t, ", "copy out": "COPY t, ",
	}
	for _, c := range conversations["postgres"] {
		want, ok := calls[c.name]
		if !ok {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			s := startScript(t)
			f := openLinkFor(t, "postgres", s.addr, Config{})
			count, _ := f.addRule(t, Rule{Action: LoseReply, EndWith: EndClosed, Match: Match{Path: "last"}})
			client := connect(t, f.addr)
			server := s.accept(t)
			lines := c.lines
			if c.name == "password" {
				lines = lines[:len(lines)-1]
			}
			exchange(client, server, lines, false)
			client.send(pg("Q", "SELECT FROM last\x00"), false)
			server.expect(pg("Q", "SELECT FROM last\x00"))
			server.send(pg("S", "a\x00b\x00")+pg("C", "SELECT 0\x00")+pg("Z", "I"), false)
			rest, how := client.readToEnd(patience)
			require.Equal(t, "closed", how)
			require.Equal(t, pg("S", "a\x00b\x00"), rest, "the client learns of parameters")
			require.EqualValues(t, 1, count.Tally().Affected)
			require.Contains(t, f.recorded(evidence.Applied)[0].Detail, "SELECT 0")
			ops := func() string {
				var got []string
				for _, call := range f.finishedCalls() {
					got = append(got, call.Op)
				}
				return strings.Join(got, ", ")
			}
			waitUntil(t, "all are told", func() bool { return strings.HasSuffix(ops(), "SELECT last") })
			require.Equal(t, want+"SELECT last", ops())
		})
	}
}

// A reply that consists of several turns is lost when the last one is complete: what the client needs to
// continue still arrives.
func TestPostgresLosesRepliesOfSeveralTurns(t *testing.T) {
	for name, method := range map[string]string{"password": "STARTUP", "copy in": "COPY", "copy in, extended": "COPY"} {
		t.Run(name, func(t *testing.T) {
			s := startScript(t)
			f := openLinkFor(t, "postgres", s.addr, Config{})
			f.addRule(t, Rule{Action: LoseReply, EndWith: EndClosed, Match: Match{Method: method}})
			client := connect(t, f.addr)
			server := s.accept(t)
			for _, c := range conversations["postgres"] {
				if c.name != name {
					continue
				}
				last := len(c.lines) - 1
				if c.lines[last].from == ">" {
					last--
				}
				for i, l := range c.lines[:last+1] {
					switch {
					case l.from == ">":
						client.send(l.text, false)
						server.expect(l.text)
					case i == last || strings.HasPrefix(l.text, pg("1", "")):
						server.send(l.text, false)
					default:
						server.send(l.text, false)
						client.expect(l.text)
					}
				}
			}
			rest, how := client.readToEnd(patience)
			require.Equal(t, "closed", how)
			require.NotContains(t, rest, "Z\x00\x00\x00\x05")
			require.Len(t, f.recorded(evidence.Applied), 1)
		})
	}
}

// Messages sent ahead of answers may belong to a transaction, so only the first may be duplicated.
func TestPostgresMessagesThatAreSentAhead(t *testing.T) {
	s := startScript(t)
	f := openLinkFor(t, "postgres", s.addr, Config{})
	f.addRule(t, Rule{Action: Twice, Match: Match{Method: "INSERT"}})
	client := connect(t, f.addr)
	server := s.accept(t)
	exchange(client, server, messages(">"+pgStart, "<"+pgReady), false)
	insert, inserted := pg("Q", "INSERT INTO t\x00"), pg("C", "INSERT 0 1\x00")+pg("Z", "I")
	client.send(insert+insert, false)
	server.expect(insert + insert + insert)
	server.send(inserted+inserted+inserted, false)
	client.expect(inserted + inserted)
	closeBoth(client, server)
	require.Len(t, f.recorded(evidence.Discarded), 1)
	require.Len(t, f.recorded(evidence.Skipped), 1)
	require.Equal(t, "sent ahead: what comes before it may open a transaction", f.recorded(evidence.Skipped)[0].Detail)
}

// A series whose first part was already executed cannot be lost as a whole; one that was only prepared can.
func TestPostgresSeriesThatAreFlushed(t *testing.T) {
	prepare, run := pg("P", "s\x00INSERT INTO t\x00\x00\x00")+pg("H", ""), pg("B", "\x00s\x00")+pg("E", "\x00")
	for first, lost := range map[string]bool{prepare: true, prepare + run + pg("H", ""): false} {
		s := startScript(t)
		f := openLinkFor(t, "postgres", s.addr, Config{})
		f.addRule(t, Rule{Action: LoseRequest, Match: Match{Method: "INSERT", Path: "t"}})
		client := connect(t, f.addr)
		server := s.accept(t)
		exchange(client, server, messages(">"+pgStart, "<"+pgReady, ">"+first, "<"+pg("1", "")), false)
		client.send(run+pg("S", ""), false)
		if lost {
			rest, how := client.readToEnd(patience)
			require.Equal(t, "reset", how)
			require.Empty(t, rest)
			require.Len(t, f.recorded(evidence.Applied), 1)
			continue
		}
		server.expect(run + pg("S", ""))
		closeBoth(client, server)
		require.Equal(t, pgSplit, f.recorded(evidence.Skipped)[0].Detail)
	}
}

// Input that arrives in pieces gives the same messages as input that arrives at once.
func FuzzPostgres(f *testing.F) {
	for _, c := range conversations["postgres"] {
		var up, down strings.Builder
		for _, l := range c.lines {
			if c.name == "large" {
				l.text = strings.ReplaceAll(l.text, strings.Repeat("x", 2<<20), "x")
			}
			if l.from == ">" {
				up.WriteString(l.text)
			} else {
				down.WriteString(l.text)
			}
		}
		f.Add([]byte(up.String()), []byte(down.String()), uint8(1))
	}
	f.Fuzz(func(t *testing.T, up, down []byte, step uint8) {
		whole, pieces := openPostgres(Config{Whole: 64}), openPostgres(Config{Whole: 64})
		for dir, b := range [][]byte{up, down} {
			want := pgMessages(t, whole, Dir(dir), b, len(b))               //nolint:gosec // 0 or 1
			got := pgMessages(t, pieces, Dir(dir), b, max(1, int(step%16))) //nolint:gosec // 0 or 1
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Fatalf("at once: %q\nin pieces: %q", want, got)
			}
		}
	})
}

// pgMessages feeds input to a dialect and returns the messages, followed by an error or incomplete input.
func pgMessages(t *testing.T, d dialect, dir Dir, b []byte, step int) (all []string) {
	var raw []byte
	for len(b) > 0 {
		n, whole, err := d.feed(dir, b[:min(step, len(b))])
		if err != nil {
			return append(all, err.Error())
		}
		if n > len(b) || n > step || (!whole && n < min(step, len(b))) {
			t.Fatalf("took %d of %q, whole=%v", n, b[:min(step, len(b))], whole)
		}
		raw, b = append(raw, b[:n]...), b[n:]
		if !whole {
			continue
		}
		m := d.inspect(dir, raw, nil)
		if dir == ToServer {
			d.sent(&m)
			if m.blocks != nil {
				m.detail = m.blocks(Twice)
			}
		}
		all = append(all, fmt.Sprintf("%d bytes: %v %s %s %v %s", len(raw), m.kind, m.method, m.path, m.final, m.detail))
		raw = nil
	}
	return append(all, fmt.Sprintf("%d bytes more", len(raw)))
}
