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
	"real/sentinel.feature: shared-target":      "all members of the cluster are cut off on purpose",
	"real/sentinel-loss.feature: shared-target": "all members of the cluster are cut off on purpose",
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
