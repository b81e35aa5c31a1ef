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

// pg is a frame, and pgFirst what is said before frames have types.
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

func TestPostgresRulesThatNoServerWouldFollow(t *testing.T) {
	r, err := New("postgres", Config{Link: "a -> b"})
	require.NoError(t, err)
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Do: Answer, Code: "40001"}, "in another state than the client believes: known are 53300, 57P01, 57P02, 57P03"},
		{Rule{Do: Answer, Code: "53300"}, "refuses a connection that opens: it answers STARTUP only"},
		{Rule{Do: Answer, Code: "57P01", Match: Match{Method: "startup"}}, "does not answer STARTUP"},
		{Rule{Do: Twice, Match: Match{Method: "STARTUP"}}, "a connection opens once"},
		{Rule{Do: LoseRequest, Then: ThenSilence, Dir: ToClient}, "only with its connection"},
		{Rule{Do: Twice, Dir: ToClient}, "never says a notification twice"},
		{Rule{Do: Corrupt}, `postgres has no fault "corrupt"`},
	} {
		_, err := r.Add(c.rule)
		require.ErrorContains(t, err, c.want)
	}
	for _, rule := range []Rule{{Do: Twice, Dir: ToClient, Even: true}, {Do: LoseRequest, Dir: ToClient, Even: true}, {Do: Delay, Dir: ToClient, By: 1}, {Do: Answer, Code: "57P01"}} {
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
		"WITH a AS (SELECT 1 FROM b) INSERT INTO c SELECT * FROM a": "WITH c",
		"COPY t (a) FROM STDIN":                "COPY t the data of its COPY are not part of it",
		"COPY (SELECT 1 FROM t) TO STDOUT":     "COPY ",
		"LISTEN news":                          "LISTEN news",
		"notify news, 'x'":                     "NOTIFY news",
		"CREATE TABLE IF NOT EXISTS t (a int)": "CREATE t",
		"start transaction read only":          "BEGIN  it opens or ends a transaction",
		"END":                                  "COMMIT  it opens or ends a transaction",
		"Insert into t select 1;\n commit":     "INSERT t it opens or ends a transaction",
		"select pg_try_advisory_lock(1)":       "SELECT  it takes a lock for its session",
		"select 'unfinished":                   "SELECT ",
		"select E'unfinished\\":                "SELECT ",
		"select $unfinished$ from t":           "SELECT ",
		"select /* unfinished":                 "SELECT ",
		`select "unfinished`:                   "SELECT ",
	} {
		st := pgRead([]byte(sql))
		assert.Equal(t, want, strings.TrimRight(st.method+" "+st.path+" "+st.once, " ")+map[bool]string{true: " ", false: ""}[st.path == "" && st.once == ""], sql)
	}
}

// What cannot be followed is told.
func TestPostgresEncryptionIsTold(t *testing.T) {
	s := play(t)
	f := openAs(t, "postgres", s.addr, Config{})
	client := connect(t, f.addr)
	server := s.next(t)
	talk(client, server, say(">"+pgFirst(pgTLS, ""), "<S", ">\x16\x03\x01", "<\x16"), false)
	part(client, server)
	require.Len(t, f.over(), 1)
	require.Contains(t, f.over()[0].Skipped, "PostgreSQL granted encryption to the client")
}

// A COPY by way of extended queries takes two Syncs and is answered once; what follows it is paired with its own answer.
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
			s := play(t)
			f := openAs(t, "postgres", s.addr, Config{})
			count, _ := f.live(t, Rule{Do: LoseReply, Then: ThenClosed, Match: Match{Path: "last"}})
			client := connect(t, f.addr)
			server := s.next(t)
			lines := c.lines
			if c.name == "password" {
				lines = lines[:len(lines)-1]
			}
			talk(client, server, lines, false)
			client.send(pg("Q", "SELECT FROM last\x00"), false)
			server.expect(pg("Q", "SELECT FROM last\x00"))
			server.send(pg("S", "a\x00b\x00")+pg("C", "SELECT 0\x00")+pg("Z", "I"), false)
			rest, how := client.ends(patience)
			require.Equal(t, "closed", how)
			require.Equal(t, pg("S", "a\x00b\x00"), rest, "the client learns of parameters")
			require.EqualValues(t, 1, count.Tally().Affected)
			require.Contains(t, f.seen(evidence.Applied)[0].Detail, "SELECT 0")
			ops := func() string {
				var got []string
				for _, call := range f.over() {
					got = append(got, call.Op)
				}
				return strings.Join(got, ", ")
			}
			until(t, "all are told", func() bool { return strings.HasSuffix(ops(), "SELECT last") })
			require.Equal(t, want+"SELECT last", ops())
		})
	}
}

// A reply that takes several turns is lost when the last of them is over: what the client must hear to go on still arrives.
func TestPostgresLosesRepliesOfSeveralTurns(t *testing.T) {
	for name, method := range map[string]string{"password": "STARTUP", "copy in": "COPY", "copy in, extended": "COPY"} {
		t.Run(name, func(t *testing.T) {
			s := play(t)
			f := openAs(t, "postgres", s.addr, Config{})
			f.live(t, Rule{Do: LoseReply, Then: ThenClosed, Match: Match{Method: method}})
			client := connect(t, f.addr)
			server := s.next(t)
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
			rest, how := client.ends(patience)
			require.Equal(t, "closed", how)
			require.NotContains(t, rest, "Z\x00\x00\x00\x05")
			require.Len(t, f.seen(evidence.Applied), 1)
		})
	}
}

// What is sent ahead of answers may be part of a transaction, so that only the first is doubled.
func TestPostgresMessagesThatAreSentAhead(t *testing.T) {
	s := play(t)
	f := openAs(t, "postgres", s.addr, Config{})
	f.live(t, Rule{Do: Twice, Match: Match{Method: "INSERT"}})
	client := connect(t, f.addr)
	server := s.next(t)
	talk(client, server, say(">"+pgStart, "<"+pgReady), false)
	insert, inserted := pg("Q", "INSERT INTO t\x00"), pg("C", "INSERT 0 1\x00")+pg("Z", "I")
	client.send(insert+insert, false)
	server.expect(insert + insert + insert)
	server.send(inserted+inserted+inserted, false)
	client.expect(inserted + inserted)
	part(client, server)
	require.Len(t, f.seen(evidence.Swallowed), 1)
	require.Len(t, f.seen(evidence.Skipped), 1)
	require.Equal(t, "sent ahead: what comes before it may open a transaction", f.seen(evidence.Skipped)[0].Detail)
}

// A series whose first part was executed already cannot be lost as a whole; one that was only prepared can.
func TestPostgresSeriesThatAreFlushed(t *testing.T) {
	prepare, run := pg("P", "s\x00INSERT INTO t\x00\x00\x00")+pg("H", ""), pg("B", "\x00s\x00")+pg("E", "\x00")
	for first, lost := range map[string]bool{prepare: true, prepare + run + pg("H", ""): false} {
		s := play(t)
		f := openAs(t, "postgres", s.addr, Config{})
		f.live(t, Rule{Do: LoseRequest, Match: Match{Method: "INSERT", Path: "t"}})
		client := connect(t, f.addr)
		server := s.next(t)
		talk(client, server, say(">"+pgStart, "<"+pgReady, ">"+first, "<"+pg("1", "")), false)
		client.send(run+pg("S", ""), false)
		if lost {
			rest, how := client.ends(patience)
			require.Equal(t, "reset", how)
			require.Empty(t, rest)
			require.Len(t, f.seen(evidence.Applied), 1)
			continue
		}
		server.expect(run + pg("S", ""))
		part(client, server)
		require.Equal(t, pgSplit, f.seen(evidence.Skipped)[0].Detail)
	}
}

// What comes in pieces is the same as what comes at once.
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

// pgMessages feeds a dialect and returns what the messages are, and how it ends.
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
		m := d.look(dir, raw, nil)
		if dir == ToServer {
			d.sent(&m)
			if m.bars != nil {
				m.says = m.bars(Twice)
			}
		}
		all = append(all, fmt.Sprintf("%d bytes: %v %s %s %v %s", len(raw), m.kind, m.method, m.path, m.settles, m.says))
		raw = nil
	}
	return append(all, fmt.Sprintf("%d bytes more", len(raw)))
}
