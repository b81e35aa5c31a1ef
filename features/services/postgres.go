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

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// runPostgres runs a PostgreSQL server that needs no password. It creates the database cluster unless an earlier start
// did. PostgreSQL does not run as root, so root switches to the user postgres of Debian's package, which may then access
// c.dir all the same.
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
	create, fsync := []string{initdb, "-D", data, "-U", "postgres", "-A", "trust", "--locale=C", "--encoding=UTF8"}, "fsync=on"
	if !c.fsync {
		create, fsync = append(create, "--no-sync"), "fsync=off"
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		if err := command(create...).Run(); err != nil {
			return service{}, fmt.Errorf("create a database: %w", err)
		}
	}
	postgres := filepath.Join(filepath.Dir(initdb), "postgres")
	err = command(postgres, "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", fsync).Run()
	return service{}, fmt.Errorf("the server ended: %w", err)
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
