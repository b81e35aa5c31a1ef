// Package sources reads effects from Redis and NATS, and sends load to PostgreSQL, NATS and gRPC.
//
// These readers use the usual client libraries, because a reader must support the servers' TLS
// and their ways to log in. A module that imports package runner does not link these libraries. To read effects from
// Redis or NATS in a Go test, import this package and set
//
//	runner.Options{Sources: sources.Kinds()}
//
// Loads are kinds of load that need these libraries:
//
//	runner.Options{Loads: sources.Loads()}
//
// To read effects, SQL needs nothing from here: package runner reads through database/sql, with the drivers that the program links. The
// firedrill command links all of them.
package sources

import (
	"strings"

	"github.com/redis/go-redis/v9/logging"

	"github.com/firedrill-dev/firedrill/runner/internal/effects"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
)

// Kinds returns the rows of the table of sources that need a client library.
func Kinds() []effects.Kind {
	return []effects.Kind{
		{Name: "redis", Open: openRedis},
		{Name: "nats", Open: openNATS},
	}
}

// Silence keeps the client libraries from writing to standard error, in the whole process. What they would log of the
// reading of effects is in the errors of the run, too.
func Silence() { logging.Disable() }

// withScheme returns the URL of an address, which may be one already.
func withScheme(scheme, at string) string {
	if strings.Contains(at, "://") {
		return at
	}
	return scheme + "://" + at
}

// Loads returns the rows of the table of kinds of load that need a client library.
func Loads() []load.Kind {
	return []load.Kind{
		{Name: "postgres", Open: openPostgreSQL},
		{Name: "nats message", Open: openNATSMessages},
		{Name: "nats request", Open: openNATSRequests},
		{Name: "grpc", Open: openGRPC(&grpcTypes{})},
	}
}
