package main

// The drivers of database/sql with which effects are read.
import (
	_ "github.com/jackc/pgx/v5/stdlib"       // PostgreSQL
	_ "github.com/ncruces/go-sqlite3/driver" // SQLite
)
