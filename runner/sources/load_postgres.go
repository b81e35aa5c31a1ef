package sources

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
)

// openPostgreSQL logs in as the login of the service says; the user and the database are postgres if it does not.
func openPostgreSQL(ctx context.Context, p load.Place) (load.Session, error) {
	u := *p.URL
	u.Scheme, u.Host = "postgres", p.Address
	if u.User == nil {
		u.User = url.User("postgres")
	}
	u.Path = cmp.Or(strings.Trim(u.Path, "/"), "postgres")
	query := u.Query()
	query.Set("sslmode", "disable") // of the address as given; TLS is set below
	u.RawQuery = query.Encode()
	cfg, err := pgconn.ParseConfig(u.String())
	if err != nil {
		return nil, load.OwnError("the login is not valid", "write postgres://user:${env:PASSWORD}@/database", errors.New("parse the login")) // the error may contain it
	}
	cfg.TLSConfig, cfg.Fallbacks, cfg.ConnectTimeout = p.TLS, nil, 0
	cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	cfg.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) { return p.Dial(ctx, network) }
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	var reply *pgconn.PgError
	switch {
	case errors.As(err, &reply) && (strings.HasPrefix(reply.Code, "53") || strings.HasPrefix(reply.Code, "57")):
		return nil, load.Decline(reply.Code)
	case errors.As(err, &reply):
		return nil, load.OwnError("the login was answered with "+reply.Code, "check the login of the service in the system file", errors.New("login failed"))
	case err != nil:
		return nil, err
	}
	return pgSession{conn}, nil
}

type pgSession struct{ *pgconn.PgConn }

// Send implements load.Session. The text may hold several statements: without a BEGIN, they are one transaction.
func (s pgSession) Send(ctx context.Context, r load.Request) (load.Reply, error) {
	results := s.Exec(ctx, r.Text)
	var text bytes.Buffer
	committed := false
	for results.NextResult() {
		rows := results.ResultReader()
		for rows.NextRow() {
			text.Write(bytes.Join(rows.Values(), []byte("\t")))
			text.WriteByte('\n')
		}
		tag, _ := rows.Close() // the error is that of results
		text.WriteString(tag.String() + "\n")
		committed = committed || tag.String() == "COMMIT"
	}
	err := results.Close()
	reply := load.Reply{Outcome: load.Acknowledged, Text: text.Bytes()}
	var failed *pgconn.PgError
	switch {
	case errors.As(err, &failed):
		reply.Outcome, reply.Word, reply.Text = load.Refused, failed.Code, []byte(failed.Code+" "+failed.Message)
		reply.Transient = slices.ContainsFunc(pgTransient, func(class string) bool { return strings.HasPrefix(failed.Code, class) })
		if committed || slices.ContainsFunc(pgUnknown, func(class string) bool { return strings.HasPrefix(failed.Code, class) }) {
			reply.Outcome = load.Ambiguous
		}
		reply.Last = s.IsClosed() || failed.Severity == "FATAL" || failed.Severity == "PANIC"
	case err != nil:
		return load.Reply{}, err
	case s.TxStatus() != 'I': // closing the session rolls it back
		reply.Outcome, reply.Word = load.Refused, "transaction-left-open"
	}
	reply.Last = reply.Last || s.TxStatus() != 'I'
	return reply, nil
}

// The classes of SQLSTATE after which a client may try again, and those that do not say whether the statement was applied.
var (
	pgTransient = []string{"40001", "40P01", "53", "55P03", "57P03"}
	pgUnknown   = []string{"08", "40003", "57P01", "57P02", "57P05"}
)

// Close implements load.Session.
func (s pgSession) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.PgConn.Close(ctx)
	<-s.CleanupDone()
	return err
}
