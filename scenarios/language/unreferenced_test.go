package language_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/language"
)

// TestUnreferenced: what could be used in another way than by its name is not reported.
func TestUnreferenced(t *testing.T) {
	t.Parallel()
	const orders = "services:\n  orders: {address: \"127.0.0.1:1\", serves: [/orders], depends: {payments: http}}\n  payments: {address: \"127.0.0.1:2\"}\n"
	for text, want := range map[string]string{
		"":                                     "",
		"  idle: {address: \"127.0.0.1:3\"}\n": `the service "idle"`,
		"  idle: {command: [\"true\"]}\n":      "", // it runs
		"  idle: {stand_in: {key: key}}\n":     "",
		"  idle: {address: \"127.0.0.1:3\", serves: [/idle]}\n":                                       "", // requests of the load may reach it
		"  idle: {address: \"127.0.0.1:3\", ready: {http: /}}\n":                                      "", // it is awaited
		"  idle: {address: \"127.0.0.1:3\", needs: sh}\n":                                             "", // without it, scenarios are skipped
		"  idle: {address: \"127.0.0.1:3\", depends: {payments: http}}\n":                             "", // it is linked
		"  idle: {address: \"127.0.0.1:3\"}\n  more: {command: [\"x\", \"${address:idle}\"]}\n":       "", // its address is passed on
		"  idle: {address: \"127.0.0.1:3\"}\n  more: {command: [\"x\"], files: {c: template.conf}}\n": "", // by a template
		"groups: {pair: [orders, payments]}\n":                                                        `the group "pair"`,
		"  apart: {command: [\"true\"]}\ngroups: {pair: [orders, apart]}\n":                           "", // it connects them
		"probes: {asked: {http: \"orders GET /asked\"}}\n":                                            `the probe "asked"`,
		"probes: {asked: {http: \"orders GET /asked\"}}\nstop: [{probe: asked, for: 5s}]\n":           "",
		"probes: {asked: {command: tell}}\ncommands: {tell: [\"true\"]}\n":                            `the probe "asked"`,
		"commands: {tell: [\"true\"]}\n":                                                              `the command "tell"`,
		"effects: {ledger: {file: e.ndjson, key: key}}\n":                                             `the source of effects "ledger"`,
	} {
		fsys := fstest.MapFS{"system.yaml": {Data: []byte(orders + text)}, "template.conf": {Data: []byte("upstream ${address:idle}")}}
		found := unreferenced(fsys, fstest.MapFS{})
		if want == "" {
			assert.Empty(t, found, text)
			continue
		}
		if assert.Len(t, found, 1, text) {
			assert.Equal(t, "no step and no other declaration refers to "+want, found[0])
		}
	}
}

// TestUnreferencedIsCertain: nothing is reported if not all that may use a system file could be read.
func TestUnreferencedIsCertain(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"system.yaml": {Data: []byte("services:\n  orders: {address: \"127.0.0.1:1\"}\ncommands: {tell: [\"true\"]}\n")}}
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".hidden"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".hidden", "a.feature"), []byte(`Given "tell"`), 0o600))
	require.Len(t, unreferenced(fsys, os.DirFS(dir)), 1, "a hidden folder is left out")
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "a.feature")))
	require.Empty(t, unreferenced(fsys, os.DirFS(dir)), "a feature that cannot be read")
	require.Empty(t, unreferenced(fsys, os.DirFS(filepath.Join(dir, "none"))))
}

func unreferenced(fsys, users fs.FS) (found []string) {
	for _, p := range language.Unreferenced(fsys, []string{"system.yaml"}, users, func(folder string) bool { return strings.HasPrefix(folder, ".") }) {
		found = append(found, p.What)
	}
	return found
}
