package framed

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/internal/relaytest"
	"github.com/firedrill-dev/firedrill/injector/message"
)

func pgConnect(t testing.TB, addr string, with ...string) *pgx.Conn {
	t.Helper()
	c, err := relaytest.PGDial(t.Context(), addr, with...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// pgCount counts the rows of a table, and then deletes them.
func pgCount(t testing.TB, direct *pgx.Conn, table string) (n int) {
	t.Helper()
	require.NoError(t, direct.QueryRow(t.Context(), "WITH gone AS (DELETE FROM "+table+" RETURNING 1) SELECT count(*) FROM gone").Scan(&n))
	return n
}

func TestPostgresAndItsUsualClient(t *testing.T) {
	addr := relaytest.PostgresServer(t)
	direct := pgConnect(t, addr)
	_, err := direct.Exec(t.Context(), "CREATE TABLE orders (id int, note text)")
	require.NoError(t, err)
	t.Run("healthy", func(t *testing.T) { pgHealthy(t, addr, direct) })
	t.Run("faults", func(t *testing.T) { pgFaults(t, addr, direct) })
	t.Run("commit lost", func(t *testing.T) { pgCommitLost(t, addr, direct) })
	t.Run("twice", func(t *testing.T) { pgTwice(t, addr, direct) })
	t.Run("all at once", func(t *testing.T) { pgAllAtOnce(t, addr, direct) })
	t.Run("at the start", func(t *testing.T) { pgAtTheStart(t, addr) })
}

// pgHealthy runs the features of pgx with a rule that never matches.
func pgHealthy(t *testing.T, addr string, direct *pgx.Conn) {
	ctx := t.Context()
	f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.LoseRequest, Match: message.Match{Path: "none"}})
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(mode.String(), func(t *testing.T) {
			c := pgConnect(t, f.Addr, "default_query_exec_mode="+strings.ReplaceAll(mode.String(), " ", "_"))
			require.NoError(t, c.Ping(ctx))
			for i := range 3 {
				tag, err := c.Exec(ctx, "INSERT INTO orders VALUES ($1, $2)", i, strings.Repeat("x", i*700_000))
				require.NoError(t, err)
				require.Equal(t, "INSERT 0 1", tag.String())
			}
			var size int
			require.NoError(t, c.QueryRow(ctx, "SELECT sum(length(note)) FROM orders").Scan(&size))
			require.Equal(t, 2_100_000, size)
			_, err := c.Exec(ctx, "SELECT nonsense")
			require.ErrorContains(t, err, "42703")
			require.Equal(t, 3, pgCount(t, direct, "orders"))
			batch := &pgx.Batch{}
			for i := range 50 {
				batch.Queue("INSERT INTO orders VALUES ($1, 'batch')", i)
			}
			require.NoError(t, c.SendBatch(ctx, batch).Close())
			tx, err := c.Begin(ctx)
			require.NoError(t, err)
			n, err := tx.CopyFrom(ctx, pgx.Identifier{"orders"}, []string{"id", "note"}, pgx.CopyFromSlice(2000, func(i int) ([]any, error) { return []any{i, strings.Repeat("c", 1000)}, nil }))
			require.NoError(t, err)
			require.EqualValues(t, 2000, n)
			require.NoError(t, tx.Commit(ctx))
			out := &strings.Builder{}
			_, err = c.PgConn().CopyTo(ctx, out, "COPY orders TO STDOUT")
			require.NoError(t, err)
			require.Equal(t, 2050, strings.Count(out.String(), "\n"))
			_, err = c.PgConn().CopyFrom(ctx, strings.NewReader("no number\n"), "COPY orders FROM STDIN")
			require.ErrorContains(t, err, "22P02")
			require.NoError(t, c.Ping(ctx))
			require.Equal(t, 2050, pgCount(t, direct, "orders"))
		})
	}
	t.Run("notified", func(t *testing.T) {
		c := pgConnect(t, f.Addr)
		_, err := c.Exec(ctx, "LISTEN news")
		require.NoError(t, err)
		_, err = direct.Exec(ctx, "NOTIFY news, 'hello'")
		require.NoError(t, err)
		note, err := c.WaitForNotification(ctx)
		require.NoError(t, err)
		require.Equal(t, "hello", note.Payload)
	})
	t.Run("pipeline", func(t *testing.T) { pgPipeline(t, pgConnect(t, f.Addr)) })
	t.Run("cancelled", func(t *testing.T) {
		c := pgConnect(t, f.Addr)
		slept := make(chan error, 1)
		go func() {
			_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
			slept <- err
		}()
		relaytest.WaitUntil(t, "it is cancelled", func() bool { return c.PgConn().CancelRequest(ctx) != nil || len(slept) > 0 })
		require.ErrorContains(t, <-slept, "57014")
	})
	toServer, toClient := f.CheckAccounts(t)
	assert.Equal(t, toServer.Received, toServer.Delivered)
	assert.Equal(t, toClient.Received, toClient.Delivered)
	assert.Zero(t, count.Tally().Seen)
	for _, call := range f.FinishedCalls() {
		assert.Equal(t, done, call.Status, call.Op)
		assert.Empty(t, call.Skipped)
	}
}

// pgPipeline checks that requests flushed before their Sync are answered before it.
func pgPipeline(t *testing.T, c *pgx.Conn) {
	p := c.PgConn().StartPipeline(t.Context())
	for range 2 {
		p.SendPrepare("s", "SELECT $1::int", nil)
		p.SendFlushRequest()
		require.NoError(t, p.Flush())
		res, err := p.GetResults()
		require.NoError(t, err)
		require.IsType(t, &pgconn.StatementDescription{}, res)
		for i := range 3 {
			p.SendQueryPrepared("s", [][]byte{fmt.Append(nil, i)}, nil, nil)
			p.SendFlushRequest()
			require.NoError(t, p.Flush())
			res, err := p.GetResults()
			require.NoError(t, err)
			read := res.(*pgconn.ResultReader).Read()
			require.NoError(t, read.Err)
			require.Equal(t, fmt.Sprint(i), string(read.Rows[0][0]))
		}
		p.SendDeallocate("s")
		p.SendQueryParams("SELECT 1/0", nil, nil, nil, nil)
		p.SendQueryParams("SELECT 1", nil, nil, nil, nil)
		require.NoError(t, p.Sync())
		var failed int
		for synced := false; !synced; {
			res, err := p.GetResults()
			switch res := res.(type) {
			case *pgconn.PipelineSync:
				synced = true
			case *pgconn.ResultReader:
				if _, err := res.Close(); err != nil {
					failed++
				}
			default:
				if err != nil {
					failed++
				}
			}
		}
		require.Positive(t, failed)
	}
	require.NoError(t, p.Close())
}

func pgFaults(t *testing.T, addr string, direct *pgx.Conn) {
	const insert = "INSERT INTO orders VALUES (7)"
	for _, c := range []struct {
		rule   message.Rule
		err    string // what the client sees; "" for no error
		rows   int
		detail string // in the evidence
	}{
		{message.Rule{Action: message.Delay, By: relaytest.Quiet}, "", 1, "delayed by"},
		{message.Rule{Action: message.LoseRequest}, "conn closed", 0, "request lost, then reset"},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndClosed}, "conn closed", 0, "request lost, then closed"},
		{message.Rule{Action: message.LoseRequest, EndWith: message.EndSilence}, "canceled", 0, "request lost, then silence"},
		{message.Rule{Action: message.LoseReply}, "conn closed", 1, "INSERT 0 1, "},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, "conn closed", 1, "lost, then closed"},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndSilence}, "canceled", 1, "lost, then silence"},
		{message.Rule{Action: message.Answer, Code: "57P01"}, "57P01", 0, "answered with 57P01"},
		{message.Rule{Action: message.Answer, Code: "57P02"}, "conn closed", 0, "answered with 57P02"},
		{message.Rule{Action: message.Twice}, "", 2, "delivered twice"},
		{message.Rule{Action: message.Twice, Second: true}, "", 2, "delivered twice"},
	} {
		for _, mode := range []string{"cache_statement", "simple_protocol"} {
			t.Run(fmt.Sprint(c.rule.Action, " ", c.rule.EndWith, c.rule.Code, " ", mode), func(t *testing.T) {
				f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
				conn := pgConnect(t, f.Addr, "default_query_exec_mode="+mode)
				_, err := conn.Exec(t.Context(), insert) // and prepare it
				require.NoError(t, err)
				require.Equal(t, 1, pgCount(t, direct, "orders"))
				c.rule.Match = message.Match{Method: "insert", Path: "orders"}
				count, heal := f.AddRule(t, c.rule)
				ctx, cancel := context.WithTimeout(t.Context(), relaytest.Patience)
				defer cancel()
				began, result := time.Now(), make(chan error, 1)
				go func() {
					_, err := conn.Exec(ctx, insert)
					result <- err
				}()
				if c.rule.EndWith == message.EndSilence { // nothing comes for a while after the rule acted
					relaytest.WaitUntil(t, "it is lost", func() bool { return count.Tally().Affected == 1 })
					time.Sleep(relaytest.Quiet)
					cancel()
				}
				err = <-result
				if c.err == "" {
					require.NoError(t, err)
					require.GreaterOrEqual(t, time.Since(began), c.rule.By)
				} else {
					require.ErrorContains(t, err, c.err)
				}
				relaytest.WaitUntil(t, "it is counted", func() bool { return count.Tally().Affected == 1 })
				require.Contains(t, f.Recorded(evidence.Applied)[0].Detail, c.detail)
				heal()
				f.CheckAccounts(t)
				if c.err == "" {
					require.NoError(t, conn.Ping(t.Context()), "still in protocol")
				}
				require.Equal(t, c.rows, pgCount(t, direct, "orders"))
			})
		}
	}
	for _, do := range []message.Action{message.LoseRequest, message.LoseReply} {
		t.Run(string(do)+" held", func(t *testing.T) {
			f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
			conn := pgConnect(t, f.Addr)
			_, heal := f.AddRule(t, message.Rule{Action: do, EndWith: message.EndHeld, First: 1, Match: message.Match{Method: "INSERT"}})
			inserted := make(chan error, 1)
			go func() {
				_, err := conn.Exec(t.Context(), insert, pgx.QueryExecModeSimpleProtocol)
				inserted <- err
			}()
			relaytest.WaitUntil(t, "it is held", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
			require.Empty(t, inserted)
			heal()
			require.NoError(t, <-inserted)
			require.Equal(t, 1, pgCount(t, direct, "orders"))
			require.Len(t, f.Recorded(evidence.Released), 1)
		})
	}
	t.Run("out of order", func(t *testing.T) {
		f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
		one, other := pgConnect(t, f.Addr), pgConnect(t, f.Addr)
		tx, err := one.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "INSERT INTO orders VALUES (1)")
		require.NoError(t, err)
		f.AddRule(t, message.Rule{Action: message.Reorder, Wait: relaytest.Patience, First: 1, Match: message.Match{Method: "COMMIT"}})
		committed := make(chan error, 1)
		go func() { committed <- tx.Commit(t.Context()) }()
		relaytest.WaitUntil(t, "COMMIT is held", func() bool { return len(f.Recorded(evidence.Held)) == 1 })
		_, err = other.Exec(t.Context(), "BEGIN; INSERT INTO orders VALUES (2); COMMIT")
		require.NoError(t, err)
		_, err = other.Exec(t.Context(), "COMMIT")
		require.NoError(t, err)
		require.NoError(t, <-committed)
		require.Len(t, f.Recorded(evidence.Applied), 1)
		require.Equal(t, 2, pgCount(t, direct, "orders"))
	})
}

// pgCommitLost loses the acknowledgement of a COMMIT: the client sees an error, but the row exists.
func pgCommitLost(t *testing.T, addr string, direct *pgx.Conn) {
	f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
	count, _ := f.AddRule(t, message.Rule{Action: message.LoseReply, Every: 2, Match: message.Match{Method: "COMMIT"}})
	var failed int
	for i := range 20 {
		c := pgConnect(t, f.Addr)
		require.NoError(t, c.Ping(t.Context()))
		tx, err := c.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), "INSERT INTO orders VALUES ($1)", i)
		require.NoError(t, err)
		if tx.Commit(t.Context()) != nil {
			failed++
		}
	}
	require.Equal(t, 10, failed)
	require.EqualValues(t, failed, count.Tally().Affected)
	require.Equal(t, 20, pgCount(t, direct, "orders"))
	for _, e := range f.Recorded(evidence.Applied) {
		require.Equal(t, "COMMIT, 18 bytes lost, then reset", e.Detail)
	}
}

// pgTwice duplicates messages that stand alone. Others are skipped with the reason, and all connections stay in
// sync.
func pgTwice(t *testing.T, addr string, direct *pgx.Conn) {
	ctx := t.Context()
	t.Run("many clients", func(t *testing.T) {
		f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
		count, heal := f.AddRule(t, message.Rule{Action: message.Twice, Every: 3, Match: message.Match{Method: "INSERT"}})
		var wg sync.WaitGroup
		for range 4 {
			c := pgConnect(t, f.Addr)
			wg.Go(func() {
				for i := range 75 {
					_, err := c.Exec(ctx, "INSERT INTO orders VALUES ($1)", i)
					assert.NoError(t, err)
					var n int
					assert.NoError(t, c.QueryRow(ctx, "SELECT $1::int", i).Scan(&n))
					assert.Equal(t, i, n)
				}
			})
		}
		wg.Wait()
		heal()
		f.CheckAccounts(t)
		require.EqualValues(t, 100, count.Tally().Affected)
		require.Len(t, f.Recorded(evidence.Discarded), 100)
		require.Contains(t, f.Recorded(evidence.Discarded)[0].Detail, "INSERT 0 1, ")
		require.Equal(t, 400, pgCount(t, direct, "orders"))
	})
	t.Run("a batch", func(t *testing.T) {
		f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
		c := pgConnect(t, f.Addr)
		f.AddRule(t, message.Rule{Action: message.Twice, Match: message.Match{Method: "INSERT"}})
		batch := &pgx.Batch{}
		for i := range 50 {
			batch.Queue("INSERT INTO orders VALUES ($1)", i)
		}
		require.NoError(t, c.SendBatch(ctx, batch).Close())
		require.NoError(t, c.Ping(ctx))
		require.Equal(t, 100, pgCount(t, direct, "orders"))
	})
	t.Run("late", func(t *testing.T) {
		f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
		c := pgConnect(t, f.Addr)
		_, heal := f.AddRule(t, message.Rule{Action: message.Twice, Late: time.Hour, Match: message.Match{Method: "INSERT"}})
		_, err := c.Exec(ctx, "INSERT INTO orders VALUES (1)")
		require.NoError(t, err)
		heal()
		f.CheckAccounts(t)
		require.Len(t, f.Recorded(evidence.Applied), 1)
		require.NoError(t, c.Ping(ctx))
		require.Equal(t, 2, pgCount(t, direct, "orders"))
	})
	t.Run("late, in a transaction", func(t *testing.T) {
		f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
		c := pgConnect(t, f.Addr)
		_, heal := f.AddRule(t, message.Rule{Action: message.Twice, Late: time.Hour, Match: message.Match{Method: "INSERT"}})
		_, err := c.Exec(ctx, "INSERT INTO orders VALUES (1)")
		require.NoError(t, err)
		_, err = c.Exec(ctx, "BEGIN")
		require.NoError(t, err)
		heal()
		f.CheckAccounts(t)
		require.Contains(t, f.Recorded(evidence.Skipped)[0].Detail, "was not idle")
		require.Equal(t, 1, pgCount(t, direct, "orders"))
	})
	t.Run("immune", func(t *testing.T) {
		f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
		c := pgConnect(t, f.Addr)
		unnamed := pgConnect(t, f.Addr, "default_query_exec_mode=describe_exec")
		count, _ := f.AddRule(t, message.Rule{Action: message.Twice, Match: message.Match{}})
		why := func(do func() error) string {
			before := len(f.Recorded(evidence.Skipped))
			require.NoError(t, do())
			all := f.Recorded(evidence.Skipped)[before:]
			return all[len(all)-1].Detail
		}
		run := func(sql string, args ...any) func() error {
			return func() error { _, err := c.Exec(ctx, sql, args...); return err }
		}
		assert.Equal(t, "it names a prepared statement", why(func() error { _, err := c.Prepare(ctx, "s", "INSERT INTO orders VALUES ($1)"); return err }))
		assert.Equal(t, "it opens or ends a transaction", why(run("BEGIN")))
		assert.Equal(t, "inside a transaction", why(run("s", 1)))
		assert.Equal(t, "it opens or ends a transaction", why(run("COMMIT")))
		assert.Equal(t, "it opens or ends a transaction", why(run("SELECT 1; /* now */ end")))
		assert.Equal(t, "it takes a lock for its session", why(run("SELECT pg_advisory_lock(1)")))
		assert.Equal(t, "the data of its COPY are not part of it", why(func() error {
			_, err := c.PgConn().CopyFrom(ctx, strings.NewReader("1\n"), "COPY orders(id) FROM STDIN")
			return err
		}))
		assert.Equal(t, "its statement came before and has no name", why(func() error { _, err := unnamed.Exec(ctx, "INSERT INTO orders VALUES ($1)", 3); return err }))
		assert.Equal(t, "a part of it went to the server before its Sync", why(func() error {
			p := c.PgConn().StartPipeline(ctx)
			p.SendQueryParams("INSERT INTO orders VALUES (5)", nil, nil, nil, nil)
			p.SendFlushRequest()
			if err := p.Sync(); err != nil {
				return err
			}
			return p.Close()
		}))
		assert.EqualValues(t, 1, count.Tally().Affected, "the preparation without a name")
		assert.Equal(t, 4, pgCount(t, direct, "orders"))
	})
}

// pgAtTheStart checks that rules act on the opening of a connection only if they name it.
func pgAtTheStart(t *testing.T, addr string) {
	f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
	all, healAll := f.AddRule(t, message.Rule{Action: message.LoseReply, Share: 1, Match: message.Match{Path: "postgres"}})
	pgConnect(t, f.Addr)
	assert.Zero(t, all.Tally().Seen)
	healAll()
	for _, c := range []struct {
		rule message.Rule
		err  string
	}{
		{message.Rule{Action: message.Answer, Code: "53300"}, "sorry, too many clients already"},
		{message.Rule{Action: message.Answer, Code: "57P03"}, "the database system is starting up"},
		{message.Rule{Action: message.LoseRequest}, "reset"},
		{message.Rule{Action: message.LoseReply, EndWith: message.EndClosed}, "EOF"},
	} {
		c.rule.Match = message.Match{Method: "STARTUP", Path: "postgres"}
		count, heal := f.AddRule(t, c.rule)
		_, err := relaytest.PGDial(t.Context(), f.Addr)
		require.ErrorContains(t, err, c.err)
		require.EqualValues(t, 1, count.Tally().Affected)
		heal()
	}
	pgConnect(t, f.Addr)
	relaytest.WaitUntil(t, "they are told", func() bool { return len(f.FinishedCalls()) == 4 })
	for _, call := range f.FinishedCalls() {
		assert.Equal(t, "STARTUP postgres", call.Op)
	}
}

// pgAllAtOnce runs all faults at once with clients that reconnect after every loss: each row is acknowledged, a
// lost acknowledgement, or a copy.
func pgAllAtOnce(t *testing.T, addr string, direct *pgx.Conn) {
	f := relaytest.OpenLinkFor(t, "postgres", addr, message.Config{})
	var again, lost []*evidence.Counter
	for i, r := range []message.Rule{
		{Action: message.Delay, By: 2 * time.Millisecond, Jitter: 2 * time.Millisecond}, {Action: message.LoseRequest}, {Action: message.LoseRequest, EndWith: message.EndClosed}, {Action: message.LoseReply}, {Action: message.LoseReply, EndWith: message.EndClosed},
		{Action: message.Answer, Code: "57P01"}, {Action: message.Twice}, {Action: message.Twice, Second: true}, {Action: message.Reorder, Wait: 5 * time.Millisecond},
	} {
		r.ID, r.Seed, r.Share, r.Match = fmt.Sprint("fault-", i), 3, .08, message.Match{Method: "INSERT"}
		count, _ := f.AddRule(t, r)
		switch r.Action {
		case message.Twice:
			again = append(again, count)
		case message.LoseReply:
			lost = append(lost, count)
		}
	}
	var wg sync.WaitGroup
	var acked atomic.Int64
	for range 4 {
		wg.Go(func() {
			var c *pgx.Conn
			for i := range 100 {
				if c == nil || c.IsClosed() {
					var err error
					if c, err = relaytest.PGDial(t.Context(), f.Addr); !assert.NoError(t, err) {
						return
					}
				}
				if _, err := c.Exec(t.Context(), "INSERT INTO orders VALUES ($1)", i); err == nil {
					acked.Add(1)
				}
			}
			assert.NoError(t, c.Close(t.Context()))
		})
	}
	wg.Wait()
	f.CheckAccounts(t)
	want := int(acked.Load())
	for _, c := range append(again, lost...) {
		require.Positive(t, c.Tally().Affected)
		want += int(c.Tally().Affected)
	}
	require.Equal(t, want, pgCount(t, direct, "orders"))
}
