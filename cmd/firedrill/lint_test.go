package main

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// justified are the warnings about the catalogue that are accepted, by file and code.
var justified = map[string]string{
	"duplication.feature: proves-nothing":       "it is about the number of effects; other rows ask for success",
	"loss.feature: proves-nothing":              "it is about the number of effects; other rows ask for success",
	"real/asynchronous.feature: proves-nothing": "it is about what the standby keeps, whatever is refused meanwhile",
	"real/commit.feature: proves-nothing":       "it is about what the database keeps, whatever is refused meanwhile",
	"real/gateways.feature: proves-nothing":     "it is about repeated requests; the gateway may refuse some",
	"real/nats.feature: proves-nothing":         "it is about what the stream keeps, whatever is refused meanwhile",
	"real/rabbitmq.feature: proves-nothing":     "it is about what the queue keeps, whatever is refused meanwhile",
	"real/redis.feature: proves-nothing":        "it is about what the list keeps, whatever is refused meanwhile",
	"real/sentinel.feature: cannot-fail":        "it states the steady state from which the failover starts",
	"real/sentinel-loss.feature: cannot-fail":   "it states the steady state from which the failover starts",
	"real/sentinel.feature: shared-target":      "all members of the cluster are cut off on purpose",
	"real/sentinel-loss.feature: shared-target": "all members of the cluster are cut off on purpose",
	"rolling-restart.feature: too-few-requests": "all requests of the short outages count, and those beside them, too",
}

// TestCatalogueIsLintClean: the features of the catalogue have no mistakes, and only warnings that are justified.
func TestCatalogueIsLintClean(t *testing.T) {
	t.Parallel()
	all, err := lint(language.Source{FS: features.FS, Paths: []string{"."}}, func([]string) fs.FS { return features.FS })
	require.NoError(t, err)
	stale := map[string]bool{}
	for where := range justified {
		stale[where] = true
	}
	for _, f := range all {
		where := f.File + ": " + f.Code
		assert.True(t, f.Severity == "warning" && justified[where] != "", "%s:%d: %s: %s", f.File, f.Line, f.Code, f.What)
		delete(stale, where)
	}
	assert.Empty(t, stale, "nothing is to be justified there any more")
}
