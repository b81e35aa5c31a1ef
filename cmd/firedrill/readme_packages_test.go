package main

import (
	"fmt"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pkg is a package of this module: its path in the module, the first sentence of its documentation, and the
// packages of this module that it imports.
type pkg struct {
	name, doc string
	imports   []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}}\t{{.Doc}}\t{{join .Imports \" \"}}", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	var all []pkg
	for line := range strings.Lines(string(out)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		p := pkg{name: ours(fields[0]), doc: fields[1]}
		for _, imp := range strings.Fields(fields[2]) {
			if name := ours(imp); name != "" {
				p.imports = append(p.imports, name)
			}
		}
		all = append(all, p)
	}
	return all
}

func packageTable(t *testing.T) string {
	rows := markdown("folder", "what it is")
	for _, p := range packages(t) {
		what := strings.TrimPrefix(p.doc, "Package "+path.Base(p.name)+" ")
		rows.add(fmt.Sprintf("[%s](%[1]s)", p.name), strings.TrimPrefix(what, "Command "+path.Base(p.name)+" "))
	}
	return rows.String()
}

// importGraph returns a diagram of the packages of the program and their imports. An import is left out where another
// imported package has it too, directly or not.
func importGraph(t *testing.T) string {
	imports := map[string][]string{}
	var names []string
	for _, p := range packages(t) {
		names = append(names, p.name)
		imports[p.name] = p.imports
	}
	var reaches func(from, to string) bool
	reaches = func(from, to string) bool {
		return slices.ContainsFunc(imports[from], func(next string) bool { return next == to || reaches(next, to) })
	}
	names = slices.DeleteFunc(names, func(name string) bool { return name != "cmd/firedrill" && !reaches("cmd/firedrill", name) })
	var b strings.Builder
	b.WriteString("```mermaid\ngraph TD\n")
	for i, name := range names {
		fmt.Fprintf(&b, "  p%d[%q]\n", i, name)
	}
	for i, from := range names {
		for _, to := range imports[from] {
			if !slices.ContainsFunc(imports[from], func(other string) bool { return other != to && reaches(other, to) }) {
				fmt.Fprintf(&b, "  p%d --> p%d\n", i, slices.Index(names, to))
			}
		}
	}
	b.WriteString("```\n")
	return b.String()
}

// Each library has its licence in the README of package runner, which also names those that its users link.
func TestREADMELibraries(t *testing.T) {
	text := document(t, "runner/README.md")
	_, text, found := strings.Cut(text, "## Libraries and licences")
	require.True(t, found)
	licences, linked, found := strings.Cut(text, "A module that imports `runner` links")
	require.True(t, found)
	named := func(text, module string) bool {
		name := path.Base(regexp.MustCompile(`(/go)?(/v\d+)?$`).ReplaceAllString(module, ""))
		return regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).MatchString(text)
	}
	for _, m := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(document(t, "go.mod"), -1) { // without those marked as indirect
		assert.True(t, named(licences, m[1]), "the licence of %s", m[1])
	}
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./runner")
	cmd.Dir = root
	out, err := cmd.Output()
	require.NoError(t, err)
	for _, m := range slices.Compact(slices.Sorted(slices.Values(strings.Fields(string(out))))) {
		assert.True(t, m == module || named(licences, m) && named(linked, m), "%s is linked by those who import runner", m)
	}
}
