package framed

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func TestPostgresInvalidRules(t *testing.T) {
	r, err := relaytest.NewRelay("postgres", message.Config{Link: "a -> b"})
	require.NoError(t, err)
	for _, c := range []struct {
		rule message.Rule
		want string
	}{
		{message.Rule{Action: message.Answer, Code: "40001"}, "in another state than the client believes: known are 53300, 57P01, 57P02, 57P03"},
		{message.Rule{Action: message.Answer, Code: "53300"}, "refuses a connection that opens: it answers STARTUP only"},
		{message.Rule{Action: message.Answer, Code: "57P01", Match: message.Match{Method: "startup"}}, "does not answer STARTUP"},
		{message.Rule{Action: message.Twice, Match: message.Match{Method: "STARTUP"}}, "a connection opens once"},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence, Dir: message.ToClient}, "only with its connection"},
		{message.Rule{Action: message.Twice, Dir: message.ToClient}, "never sends a notification twice"},
		{message.Rule{Action: message.Corrupt}, `postgres has no fault "corrupt"`},
	} {
		_, err := r.Add(c.rule)
		require.ErrorContains(t, err, c.want)
	}
	for _, rule := range []message.Rule{{Action: message.Twice, Dir: message.ToClient, AllowViolation: true}, {Action: message.LoseRequest, Dir: message.ToClient, AllowViolation: true}, {Action: message.Delay, Dir: message.ToClient, By: 1}, {Action: message.Answer, Code: "57P01"}} {
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
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "postgres", s.Addr, message.Config{})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns(">"+relaytest.PGFirst(relaytest.PgTLS, ""), "<S", ">\x16\x03\x01", "<\x16"), false)
	relaytest.CloseBoth(client, server)
	require.Len(t, f.FinishedCalls(), 1)
	require.Contains(t, f.FinishedCalls()[0].Skipped, "PostgreSQL granted encryption to the client")
}

// A COPY in the extended query protocol takes two Syncs and has one answer; later messages are paired with their
// own answers.
func TestPostgresAnswersArePaired(t *testing.T) {
	calls := map[string]string{
		"password": "", "extended": "PREPARE, SELECT, ", "flushed": "SELECT, ", "sent ahead": "BEGIN, SELECT, SYNC, COMMIT, ", "large": "SELECT, EXECUTE, ",
		"copy in": "COPY t, ", "copy in, extended": "COPY t, ", "copy out": "COPY t, ",
	}
	for _, c := range relaytest.Conversations["postgres"] {
		want, ok := calls[c.Name]
		if !ok {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLinkFor(t, "postgres", s.Addr, message.Config{})
			count, _ := f.AddRule(t, message.Rule{Action: message.LoseReply, EndWith: message.EndClosed, Match: message.Match{Path: "last"}})
			client := relaytest.Connect(t, f.Addr)
			server := s.Accept(t)
			lines := c.Lines
			if c.Name == "password" {
				lines = lines[:len(lines)-1]
			}
			relaytest.Play(client, server, lines, false)
			client.Send(relaytest.PGMessage("Q", "SELECT FROM last\x00"), false)
			server.Expect(relaytest.PGMessage("Q", "SELECT FROM last\x00"))
			server.Send(relaytest.PGMessage("S", "a\x00b\x00")+relaytest.PGMessage("C", "SELECT 0\x00")+relaytest.PGMessage("Z", "I"), false)
			rest, how := client.ReadToEnd(relaytest.Patience)
			require.Equal(t, "closed", how)
			require.Equal(t, relaytest.PGMessage("S", "a\x00b\x00"), rest, "the client learns of parameters")
			require.EqualValues(t, 1, count.Tally().Affected)
			require.Contains(t, f.Recorded(evidence.Applied)[0].Detail, "SELECT 0")
			ops := func() string {
				var got []string
				for _, call := range f.FinishedCalls() {
					got = append(got, call.Op)
				}
				return strings.Join(got, ", ")
			}
			relaytest.WaitUntil(t, "all are told", func() bool { return strings.HasSuffix(ops(), "SELECT last") })
			require.Equal(t, want+"SELECT last", ops())
		})
	}
}

// A reply that consists of several turns is lost when the last one is complete: what the client needs to
// continue still arrives.
func TestPostgresLosesRepliesOfSeveralTurns(t *testing.T) {
	for name, method := range map[string]string{"password": "STARTUP", "copy in": "COPY", "copy in, extended": "COPY"} {
		t.Run(name, func(t *testing.T) {
			s := relaytest.StartScript(t)
			f := relaytest.OpenLinkFor(t, "postgres", s.Addr, message.Config{})
			f.AddRule(t, message.Rule{Action: message.LoseReply, EndWith: message.EndClosed, Match: message.Match{Method: method}})
			client := relaytest.Connect(t, f.Addr)
			server := s.Accept(t)
			for _, c := range relaytest.Conversations["postgres"] {
				if c.Name != name {
					continue
				}
				last := len(c.Lines) - 1
				if c.Lines[last].From == ">" {
					last--
				}
				for i, l := range c.Lines[:last+1] {
					switch {
					case l.From == ">":
						client.Send(l.Text, false)
						server.Expect(l.Text)
					case i == last || strings.HasPrefix(l.Text, relaytest.PGMessage("1", "")):
						server.Send(l.Text, false)
					default:
						server.Send(l.Text, false)
						client.Expect(l.Text)
					}
				}
			}
			rest, how := client.ReadToEnd(relaytest.Patience)
			require.Equal(t, "closed", how)
			require.NotContains(t, rest, "Z\x00\x00\x00\x05")
			require.Len(t, f.Recorded(evidence.Applied), 1)
		})
	}
}

// Messages sent ahead of answers may belong to a transaction, so only the first may be duplicated.
func TestPostgresMessagesThatAreSentAhead(t *testing.T) {
	s := relaytest.StartScript(t)
	f := relaytest.OpenLinkFor(t, "postgres", s.Addr, message.Config{})
	f.AddRule(t, message.Rule{Action: message.Twice, Match: message.Match{Method: "INSERT"}})
	client := relaytest.Connect(t, f.Addr)
	server := s.Accept(t)
	relaytest.Play(client, server, relaytest.Turns(">"+relaytest.PGStart, "<"+relaytest.PGReady), false)
	insert, inserted := relaytest.PGMessage("Q", "INSERT INTO t\x00"), relaytest.PGMessage("C", "INSERT 0 1\x00")+relaytest.PGMessage("Z", "I")
	client.Send(insert+insert, false)
	server.Expect(insert + insert + insert)
	server.Send(inserted+inserted+inserted, false)
	client.Expect(inserted + inserted)
	relaytest.CloseBoth(client, server)
	require.Len(t, f.Recorded(evidence.Discarded), 1)
	require.Len(t, f.Recorded(evidence.Skipped), 1)
	require.Equal(t, "sent ahead: what comes before it may open a transaction", f.Recorded(evidence.Skipped)[0].Detail)
}

// A series whose first part was already executed cannot be lost as a whole; one that was only prepared can.
func TestPostgresSeriesThatAreFlushed(t *testing.T) {
	prepare, run := relaytest.PGMessage("P", "s\x00INSERT INTO t\x00\x00\x00")+relaytest.PGMessage("H", ""), relaytest.PGMessage("B", "\x00s\x00")+relaytest.PGMessage("E", "\x00")
	for first, lost := range map[string]bool{prepare: true, prepare + run + relaytest.PGMessage("H", ""): false} {
		s := relaytest.StartScript(t)
		f := relaytest.OpenLinkFor(t, "postgres", s.Addr, message.Config{})
		f.AddRule(t, message.Rule{Action: message.LoseRequest, Match: message.Match{Method: "INSERT", Path: "t"}})
		client := relaytest.Connect(t, f.Addr)
		server := s.Accept(t)
		relaytest.Play(client, server, relaytest.Turns(">"+relaytest.PGStart, "<"+relaytest.PGReady, ">"+first, "<"+relaytest.PGMessage("1", "")), false)
		client.Send(run+relaytest.PGMessage("S", ""), false)
		if lost {
			rest, how := client.ReadToEnd(relaytest.Patience)
			require.Equal(t, "reset", how)
			require.Empty(t, rest)
			require.Len(t, f.Recorded(evidence.Applied), 1)
			continue
		}
		server.Expect(run + relaytest.PGMessage("S", ""))
		relaytest.CloseBoth(client, server)
		require.Equal(t, pgSplit, f.Recorded(evidence.Skipped)[0].Detail)
	}
}

// Input that arrives in pieces gives the same messages as input that arrives at once.
func FuzzPostgres(f *testing.F) {
	for _, c := range relaytest.Conversations["postgres"] {
		var up, down strings.Builder
		for _, l := range c.Lines {
			if c.Name == "large" {
				l.Text = strings.ReplaceAll(l.Text, strings.Repeat("x", 2<<20), "x")
			}
			if l.From == ">" {
				up.WriteString(l.Text)
			} else {
				down.WriteString(l.Text)
			}
		}
		f.Add([]byte(up.String()), []byte(down.String()), uint8(1))
	}
	f.Fuzz(func(t *testing.T, up, down []byte, step uint8) {
		whole, pieces := openPostgres(message.Config{}), openPostgres(message.Config{})
		whole.(*postgres).seriesLimit, pieces.(*postgres).seriesLimit = 32, 32
		for dir, b := range [][]byte{up, down} {
			want := pgMessages(t, whole, message.Dir(dir), b, len(b))               //nolint:gosec // 0 or 1
			got := pgMessages(t, pieces, message.Dir(dir), b, max(1, int(step%16))) //nolint:gosec // 0 or 1
			if fmt.Sprint(want) != fmt.Sprint(got) {
				t.Fatalf("at once: %q\nin pieces: %q", want, got)
			}
		}
	})
}

// pgMessages feeds input to a dialect and returns the messages, followed by an error or incomplete input.
func pgMessages(t *testing.T, d Dialect, dir message.Dir, b []byte, step int) (all []string) {
	var raw []byte
	for len(b) > 0 {
		n, whole, err := d.Feed(dir, b[:min(step, len(b))])
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
		m := d.Inspect(dir, raw, nil)
		if dir == message.ToServer {
			d.Sent(&m)
			if m.Blocks != nil {
				m.Detail = m.Blocks(message.Twice)
			}
		}
		all = append(all, fmt.Sprintf("%d bytes: %v %s %s %v %s", len(raw), m.Kind, m.Method, m.Path, m.Final, m.Detail))
		raw = nil
	}
	return append(all, fmt.Sprintf("%d bytes more", len(raw)))
}
