package services

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// runPostgres runs a PostgreSQL server that needs no password. It creates the database cluster unless an earlier start
// did. PostgreSQL does not run as root, so root switches to the user postgres of Debian's package, which may then access
// c.dir all the same.
//
// The server at c.link, if it is set, is the primary that this server replicates, from a copy that it makes first. The
// one at c.direct replicates this server, which acknowledges commits when that has them, too. If it was promoted when
// this server starts again, the roles change.
func runPostgres(ctx context.Context, c config) (service, error) {
	data, err := filepath.Abs(filepath.Join(c.dir, "data"))
	if err != nil {
		return service{}, err
	}
	var asUser []string // command prefix
	if os.Geteuid() == 0 {
		asUser = []string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--pdeathsig=KILL"}
	}
	_, port, err := net.SplitHostPort(c.listen)
	if err != nil {
		return service{}, err
	}
	initdb, err := process.LookPath("initdb")
	if err != nil {
		return service{}, err
	}
	command := func(args ...string) *exec.Cmd {
		args = append(asUser[:len(asUser):len(asUser)], args...)
		cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // installed programs
		cmd.Dir, cmd.Stdout, cmd.Stderr = filepath.Dir(data), os.Stdout, os.Stderr
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // fast shutdown
		return cmd
	}
	settings := []string{"-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="}
	create := []string{initdb, "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "--encoding=UTF8"}
	_, err = os.Stat(filepath.Join(data, "PG_VERSION"))
	exists, primary := err == nil, c.link
	if exists && c.direct != "" && isPrimary(ctx, c.direct) {
		exists, primary = false, c.direct
		if err := os.RemoveAll(data); err != nil {
			return service{}, err
		}
	}
	switch {
	case primary != "":
		copier, err := process.LookPath("pg_basebackup")
		if err != nil {
			return service{}, err
		}
		create = []string{copier, "-D", data, "--write-recovery-conf", "--checkpoint=fast", "--dbname=postgres://postgres@" + primary + "/?sslmode=disable"}
	case c.direct != "" && !c.isWithout("synchronous replication"):
		settings = append(settings, "-c", "synchronous_standby_names=*")
	}
	if !c.fsync {
		create, settings = append(create, "--no-sync"), append(settings, "-c", "fsync=off")
	}
	if !exists {
		if err := command(create...).Run(); err != nil {
			return service{}, fmt.Errorf("create a database: %w", err)
		}
	}
	err = command(append([]string{filepath.Join(filepath.Dir(initdb), "postgres")}, settings...)...).Run()
	return service{}, fmt.Errorf("the server ended: %w", err)
}

// isPrimary reports whether a server accepts connections and replicates no other one.
func isPrimary(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, "postgres://postgres@"+addr+"/postgres?sslmode=disable")
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(ctx) }()
	var standby bool
	err = conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&standby)
	return err == nil && !standby
}

const schema = `CREATE TABLE orders (id bigserial PRIMARY KEY, key text NOT NULL); CREATE TABLE known (id bigserial PRIMARY KEY, key text NOT NULL UNIQUE)`

// newOrders returns a service that stores each order in a transaction of its own. An unanswered COMMIT may have succeeded.
// The paths differ in what they conclude from it: that the outcome is unknown, that the order was not placed, or that it
// must be placed again.
func newOrders(ctx context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	direct, err := pgxpool.New(ctx, "postgres://postgres@"+c.direct+"/postgres?sslmode=disable")
	if err != nil {
		return s, err
	}
	if _, err := direct.Exec(ctx, schema); err != nil {
		direct.Close()
		return s, err
	}
	pool, err := pgxpool.New(ctx, "postgres://postgres@"+c.link+"/postgres?sslmode=disable")
	if err != nil {
		direct.Close()
		return s, err
	}
	s.close = func() { pool.Close(); direct.Close() }
	s.handle("POST /orders", func(ctx context.Context, key string) error { return place(ctx, pool, "orders", key) })
	s.handle("POST /hasty", func(ctx context.Context, key string) error {
		if err := place(ctx, pool, "orders", key); err != nil {
			return refusal("not placed: " + err.Error())
		}
		return nil
	})
	for path, table := range map[string]string{"/again": "orders", "/again/known": "known"} {
		s.handle("POST "+path, func(ctx context.Context, key string) error {
			for {
				err := place(ctx, pool, table, key)
				var pgErr *pgconn.PgError
				switch {
				case errors.As(err, &pgErr) && pgErr.Code == "23505": // unique_violation: an earlier attempt succeeded
					return nil
				case err == nil, ctx.Err() != nil:
					return err
				}
			}
		})
	}
	s.effects("GET /ledger", func(ctx context.Context) ([]effect, error) {
		rows, err := direct.Query(ctx, "SELECT key, id FROM orders UNION ALL SELECT key, id FROM known")
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e effect, err error) {
			var id int64
			err = row.Scan(&e.Key, &id)
			e.ID = strconv.FormatInt(id, 10)
			return e, err
		})
	})
	return s, nil
}

func place(ctx context.Context, pool *pgxpool.Pool, table, key string) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO "+table+" (key) VALUES ($1)", key)
		return err
	})
}

// newBookings returns a service that stores each booking at that of two servers which is the primary, at c.link or
// c.second. It starts when the other one, at c.direct, has the table, too.
func newBookings(ctx context.Context, c config) (service, error) {
	s := service{ServeMux: http.NewServeMux()}
	// The one that may be promoted stands first: when it was, the other one is never asked, even if it is back.
	settings, err := pgxpool.ParseConfig("postgres://postgres@" + c.second + "," + c.link + "/postgres?sslmode=disable&target_session_attrs=read-write")
	if err != nil {
		return s, err
	}
	settings.MaxConns = 60
	pool, err := pgxpool.NewWithConfig(ctx, settings)
	if err != nil {
		return s, err
	}
	s.close = pool.Close
	standby, err := pgx.Connect(ctx, "postgres://postgres@"+c.direct+"/postgres?sslmode=disable")
	if err != nil {
		pool.Close()
		return s, err
	}
	defer func() { _ = standby.Close(ctx) }()
	if _, err = pool.Exec(ctx, "CREATE TABLE bookings (id bigserial PRIMARY KEY, key text NOT NULL)"); err == nil {
		err = awaitTable(ctx, standby)
	}
	if err != nil {
		pool.Close()
		return s, err
	}
	s.handle("POST /bookings", func(ctx context.Context, key string) error { return place(ctx, pool, "bookings", key) })
	s.handle("POST /bookings/asynchronous", func(ctx context.Context, key string) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "SET LOCAL synchronous_commit TO local")
			if err == nil {
				_, err = tx.Exec(ctx, "INSERT INTO bookings (key) VALUES ($1)", key)
			}
			return err
		})
	})
	return s, nil
}

// awaitTable waits until a standby has the table of bookings.
func awaitTable(ctx context.Context, standby *pgx.Conn) error {
	for {
		_, err := standby.Exec(ctx, "SELECT FROM bookings LIMIT 1")
		var pgErr *pgconn.PgError
		if err == nil || !errors.As(err, &pgErr) || pgErr.Code != "42P01" { // undefined_table
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}
