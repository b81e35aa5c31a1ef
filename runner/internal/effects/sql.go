package effects

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// database is a row of the table of databases, by the scheme of their URLs.
type database struct {
	schemes []string
	drivers []string // names under which drivers register; the first that is linked is used
	imports string   // of the usual driver
	file    bool     // the URL names a file, which is opened only for reading
}

var databases = []database{
	{[]string{"postgres", "postgresql"}, []string{"pgx", "pgx/v5", "postgres"}, "github.com/jackc/pgx/v5/stdlib", false},
	{[]string{"sqlite"}, []string{"sqlite", "sqlite3"}, "modernc.org/sqlite", true},
}

// openSQL returns the reader of a query. Programs link the drivers that they use; this module links none.
func openSQL(p Place) (Reader, error) {
	scheme, rest, _ := strings.Cut(p.At, ":")
	i := slices.IndexFunc(databases, func(d database) bool { return slices.Contains(d.schemes, scheme) })
	if i < 0 {
		return Reader{}, fmt.Errorf("%q is not the scheme of a database: write postgres://host/name or sqlite:file", scheme)
	}
	db := databases[i]
	drivers := db.drivers
	if own := p.Settings["driver"]; own != "" {
		drivers = []string{own}
	}
	at := slices.IndexFunc(drivers, func(name string) bool { return slices.Contains(sql.Drivers(), name) })
	if at < 0 {
		return Reader{}, fmt.Errorf("no driver %s is linked: add to the program or the test: import _ %q", quotedNames(drivers), db.imports)
	}
	q := query{group: p.Group, driver: drivers[at], dsn: p.At, text: strings.TrimRight(p.Settings["query"], "; \t\r\n")}
	if db.file {
		q.file = rest
		q.dsn = "file:" + (&url.URL{Path: rest}).EscapedPath() + "?mode=ro"
	}
	return Reader{Read: Timed(q.read), Whole: !limits(q.text), Answer: q.answer}, nil
}

// limits reports whether a query may leave out rows because there are many.
func limits(text string) bool {
	words := strings.Fields(strings.ToUpper(text))
	return slices.Contains(words, "LIMIT") || slices.Contains(words, "FETCH")
}

// query is a query on a database.
type query struct {
	driver, dsn, text string
	file              string // of the database; "" if it is not a file
	group             string // the column that effects are grouped by; "" if they are not
}

// rows runs the query in a read-only transaction and calls each with the result.
func (q query) rows(ctx context.Context, each func(*sql.Rows) error) error {
	if _, err := os.Stat(q.file); q.file != "" && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	db, err := sql.Open(q.driver, q.dsn)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	// A file is opened only for reading already, and not all drivers of such databases know read-only transactions.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: q.file == ""})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was changed
	rows, err := tx.QueryContext(ctx, q.text)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	return each(rows)
}

// read lists the rows as effects. Columns are found by name. More of them are allowed.
func (q query) read(ctx context.Context, each func(journal.Effect) error) error {
	return q.rows(ctx, func(rows *sql.Rows) error {
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		index := func(name string) int {
			return slices.IndexFunc(columns, func(c string) bool { return strings.EqualFold(c, name) })
		}
		key, id, value, seq, group := index("key"), index("id"), index("value"), index("seq"), index(q.group)
		switch {
		case key < 0:
			return fmt.Errorf("the query has no column \"key\" (it has %s): write select reference as key", quotedNames(columns))
		case group < 0 && q.group != "":
			return fmt.Errorf("the query has no column %q, which effects are grouped by (it has %s)", q.group, quotedNames(columns))
		}
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		n := 0
		for rows.Next() {
			n++
			if err := rows.Scan(into...); err != nil {
				return fmt.Errorf("row %d cannot be read: %w", n, err)
			}
			if !values[key].Valid {
				return fmt.Errorf(`row %d has a "key" that is null: leave such rows out (where key is not null), or name the column of the idempotency key`, n)
			}
			text := func(column int) string {
				if column < 0 {
					return ""
				}
				return values[column].String // "" for null
			}
			e, err := NewEffect(values[key].String, text(id))
			e.Value = text(value)
			if q.group != "" {
				e.Group, e.Order = text(group), text(seq)
			}
			if err == nil {
				err = each(e)
			}
			if err != nil {
				return fmt.Errorf("row %d %w", n, err)
			}
		}
		return rows.Err()
	})
}

// answer returns the first column of the only row. A null is "null".
func (q query) answer(ctx context.Context) (text string, err error) {
	err = q.rows(ctx, func(rows *sql.Rows) error {
		columns, err := rows.Columns()
		if err != nil {
			return err
		}
		var value sql.NullString
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(any)
		}
		if len(into) > 0 {
			into[0] = &value
		}
		if !rows.Next() {
			return errors.Join(rows.Err(), errors.New("the query returns no row"))
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if text = "null"; value.Valid {
			text = value.String
		}
		if rows.Next() {
			return errors.New("the query returns more than one row")
		}
		return rows.Err()
	})
	return text, err
}
