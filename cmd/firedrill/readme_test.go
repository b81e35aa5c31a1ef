package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

var update = flag.Bool("update", false, "write the generated parts of the documents again")

// generated matches a generated part of a document: <!-- table: NAME --> or <!-- code: FILE NAME -->, its content and
// <!-- end -->.
var generated = regexp.MustCompile(`(?s)<!-- (table|code): ([^\n]+) -->\n(.*?)<!-- end -->`)

// TestREADMETables fails if a table or code excerpt in a document is stale. With -update, it writes them again.
func TestREADMETables(t *testing.T) {
	all, printed := tables(), map[string]bool{}
	for _, name := range documents(t) {
		raw := document(t, name)
		fresh := generated.ReplaceAllStringFunc(raw, func(block string) string {
			m := generated.FindStringSubmatch(block)
			kind, ref, was := m[1], m[2], m[3]
			var content string
			if kind == "code" {
				content = excerpt(t, ref)
			} else {
				require.Contains(t, all, ref, "%s has a table that the code does not know", name)
				require.False(t, printed[ref], "the table %q stands in two documents", ref)
				printed[ref] = true
				content = all[ref](t)
			}
			if !*update {
				require.Equal(t, content, was, "%s %q in %s is stale: make docs", kind, ref, name)
			}
			return fmt.Sprintf("<!-- %s: %s -->\n%s<!-- end -->", kind, ref, content)
		})
		if *update {
			require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(fresh), 0o644)) //nolint:gosec // a document
		}
	}
	for name := range all {
		require.True(t, printed[name], "no document has the table %q", name)
	}
}

// excerpt returns the part of a Go file between the comments "// excerpt: NAME" and "// end of excerpt".
func excerpt(t *testing.T, ref string) string {
	t.Helper()
	file, name, ok := strings.Cut(ref, " ")
	require.True(t, ok, "%q is not FILE NAME", ref)
	_, after, ok := strings.Cut(document(t, file), "// excerpt: "+name+"\n")
	require.True(t, ok, "%s has no excerpt %q", file, name)
	code, _, ok := strings.Cut(after, "// end of excerpt")
	require.True(t, ok, "excerpt %q in %s has no end", name, file)
	code = strings.Trim(strings.TrimRight(code, "\t\n"), "\n") + "\n"
	for strings.HasPrefix(code, "\t") { // the excerpt is the body of a function
		code = strings.ReplaceAll(code[1:], "\n\t", "\n")
	}
	return "```go\n" + code + "```\n"
}

// TestREADMEFeatures fails if a feature or a system file in a document has a mistake. A block is a file if its first line
// is a comment with the file's name. Features may also use the demo shop.
func TestREADMEFeatures(t *testing.T) {
	named := regexp.MustCompile("(?s)```(?:gherkin|yaml|nginx)\n# (\\S+\\.)(feature|yaml|tmpl)\n(.*?)```")
	shop, err := features.FS.ReadFile("shop/system.yaml")
	require.NoError(t, err)
	for _, name := range documents(t) {
		files := fstest.MapFS{"features/shop/system.yaml": {Data: shop}}
		var paths []string
		for _, m := range named.FindAllStringSubmatch(document(t, name), -1) {
			files[m[1]+m[2]] = &fstest.MapFile{Data: []byte(m[3])}
			if m[2] == "tmpl" {
				continue
			}
			if m[2] == "yaml" { // a feature that only names it
				files[m[1]+"yaml.feature"] = &fstest.MapFile{Data: fmt.Appendf(nil, "Feature: a\n  Scenario: a\n    Given the system described in %q\n", path.Base(m[1])+"yaml")}
				m[2] = "yaml.feature"
			}
			paths = append(paths, m[1]+m[2])
		}
		if len(paths) > 0 {
			_, err := language.Parse(language.Source{FS: files, Paths: paths})
			require.NoError(t, err, name)
		}
	}
}

var (
	linked  = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fences  = regexp.MustCompile("(?s)```.*?```")
)

// TestREADMELinks fails if a link of a document points to a file or a heading that does not exist.
func TestREADMELinks(t *testing.T) {
	for _, name := range documents(t) {
		for _, m := range linked.FindAllStringSubmatch(fences.ReplaceAllString(document(t, name), ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := path.Join(path.Dir(name), file)
			if file == "" {
				target = name
			}
			_, err := os.Stat(filepath.Join(root, target))
			require.NoError(t, err, "%s links to %s", name, m[1])
			if anchor != "" {
				require.Contains(t, anchors(document(t, target)), anchor, "%s links to %s", name, m[1])
			}
		}
	}
}

// anchors returns the anchors that GitHub gives to the headings of a document.
func anchors(text string) []string {
	var all []string
	seen := map[string]int{}
	for _, m := range heading.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
		anchor := strings.ReplaceAll(regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		if n := seen[anchor]; n > 0 {
			all = append(all, fmt.Sprintf("%s-%d", anchor, n))
		} else {
			all = append(all, anchor)
		}
		seen[anchor]++
	}
	return all
}

const root = "../.."

// documents returns all Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case path.Ext(name) == ".md":
			all = append(all, name)
		}
		return nil
	}))
	return all
}

func document(t *testing.T, name string) string {
	t.Helper()
	return string(content(t, filepath.Join(root, name)))
}
