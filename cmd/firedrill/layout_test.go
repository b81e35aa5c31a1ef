package main

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/firedrill-dev/firedrill"

// imports lists which packages of this module each package may import. A pattern ending in /... includes subfolders.
// Packages without a row fail the test, so that each new folder needs a decision.
var imports = map[string][]string{
	"injector/datagram": {"injector/evidence", "injector/link", "injector/message"},
	"injector/disk":     {"injector/process"},
	"injector/evidence": {},
	"injector/link":     {"injector/evidence", "injector/link/internal/..."},
	"injector/message":  {"injector/evidence"},

	"injector/message/duplex": {"injector/message"},
	"injector/message/framed": {"injector/evidence", "injector/message", "injector/message/duplex"},
	"injector/message/http1":  {"injector/evidence", "injector/message", "injector/message/duplex", "injector/message/http2"},
	"injector/message/http2":  {"injector/evidence", "injector/message", "injector/message/duplex"},
	"injector/protocols":      {"injector/datagram", "injector/message", "injector/message/..."},

	"injector/link/internal/clock":  {},
	"injector/link/internal/socket": {},

	"injector/internal/relaytest": {"features/machine", "injector/evidence", "injector/link", "injector/message", "injector/process"},

	"injector/process":   {},
	"injector":           {"injector/..."},
	"injector/bench":     {"injector/..."},
	"injector/linktest":  {"injector/..."},
	"injector/loopback":  {},
	"injector/remote":    {"injector", "injector/link", "injector/process"},
	"injector/toxiproxy": {"injector", "injector/evidence", "injector/link", "injector/loopback", "injector/message", "injector/protocols"},
	"scenarios/journal":  {},
	"scenarios/codes":    {},
	"scenarios/check":    {"scenarios/codes", "scenarios/journal"},
	"scenarios/feature":  {"scenarios/codes", "scenarios/source"},
	"scenarios/source":   {"scenarios/codes", "scenarios/journal"},
	"scenarios/system":   {"injector/message", "injector/process", "injector/protocols", "scenarios/codes", "scenarios/source"},
	"scenarios":          {"injector/...", "scenarios/check", "scenarios/codes", "scenarios/journal", "scenarios/source", "scenarios/system"},

	"scenarios/language": {"injector/...", "scenarios/..."},

	"runner/internal/aggregate": {"injector/message", "runner/internal/load", "scenarios/journal"},
	"runner/internal/effects":   {"runner/internal/load", "scenarios/check", "scenarios/journal", "scenarios/source", "scenarios/system"},
	"runner/internal/load":      {"injector/evidence", "injector/message", "runner/internal/schedule", "scenarios", "scenarios/journal"},
	"runner/internal/probes":    {"injector/process", "runner/internal/load", "scenarios", "scenarios/check", "scenarios/source", "scenarios/system"},
	"runner/internal/schedule":  {"scenarios"},
	"runner/internal/standin":   {"runner/internal/effects", "scenarios", "scenarios/journal", "scenarios/source"},
	"runner/internal/testbed":   {"injector/...", "runner/internal/load", "runner/internal/standin", "scenarios"},
	"runner/internal/watchdog":  {"scenarios/journal"},

	"reports":           {"scenarios/codes", "scenarios/journal", "scenarios/check"},
	"reports/grafana":   {"reports", "scenarios/journal"},
	"reports/otlp":      {"reports", "scenarios/journal"},
	"reports/history":   {"reports", "scenarios/journal", "scenarios/check"},
	"reports/site":      {"injector/loopback", "reports/history", "scenarios/journal"},
	"runner":            {"injector/...", "scenarios/...", "reports", "runner/internal/...", "runner/control"},
	"runner/control":    {},
	"runner/sources":    {"runner/internal/effects", "runner/internal/load", "scenarios/journal"},
	"runner/godogsteps": {"runner", "scenarios/language"},
	"features/machine":  {},
	"runner/example":    {}, // imports nothing of Firedrill, as the systems of users do
	"features/services": {"injector/process"},
	"features/shop":     {},
	"features/truth":    {}, // its tests run firedrill
	"features":          {"injector/...", "scenarios/...", "runner", "reports", "features/..."},
	"cmd/firedrill":     {"injector/...", "scenarios/...", "runner", "reports", "reports/...", "runner/control", "runner/sources", "features/...", "cmd/firedrill/..."},

	"cmd/firedrill/live":   {"scenarios/journal"},
	"cmd/firedrill/screen": {"cmd/firedrill/live", "reports", "scenarios/journal"},
	"cmd/firedrill/web":    {"cmd/firedrill/live", "injector/loopback", "scenarios/journal"},

	"features/truth/service": {}, // a program that the drills of features/truth start
}

// owners lists the only packages that may import a library, and the number of their files that may (0 means any;
// testsOnly means only in tests).
var owners = map[string]struct {
	pkgs  []string
	files int
}{
	"github.com/tsenart/vegeta/v12":       {[]string{"runner/internal/load", "reports"}, 2},
	"github.com/cucumber/godog":           {[]string{"runner/godogsteps"}, 0},
	"github.com/Shopify/toxiproxy/v2":     {[]string{"injector/link", "injector/remote", "features/machine"}, 0},
	"github.com/pires/go-proxyproto":      {[]string{"injector/link"}, 1},
	"github.com/goccy/go-yaml":            {[]string{"scenarios/source", "scenarios/system", "cmd/firedrill"}, 0},
	"github.com/cucumber/gherkin/go":      {[]string{"scenarios/feature"}, 0},
	"github.com/miekg/dns":                {[]string{"injector/datagram"}, 0},
	"github.com/spf13/cobra":              {[]string{"cmd/firedrill"}, 0},
	"github.com/anishathalye/porcupine":   {[]string{"scenarios/check"}, 1},
	"go.etcd.io/bbolt":                    {[]string{"features/shop"}, 0},
	"charm.land/bubbletea/v2":             {[]string{"cmd/firedrill/screen"}, 0},
	"github.com/prometheus/client_golang": {[]string{"cmd/firedrill", "features/shop"}, 0},
	"go.opentelemetry.io/otel":            {[]string{"reports/otlp"}, 0},
}

// testers lists additional packages that may import a library in their tests.
var testers = map[string][]string{
	"github.com/cucumber/godog":           {"runner"},
	"github.com/goccy/go-yaml":            {"scenarios/language"},
	"github.com/prometheus/client_golang": {"injector/toxiproxy"},                            // Toxiproxy's server wants a registry
	"github.com/Shopify/toxiproxy/v2":     {"runner", "injector/toxiproxy", "cmd/firedrill"}, // a user's own toxic; Toxiproxy's client
}

const testsOnly = -1

type goPackage struct {
	ImportPath   string
	Dir          string
	Imports      []string
	TestImports  []string
	XTestImports []string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Standard     bool
}

func TestImportDirections(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range list(t, module+"/...") {
		name := ours(p.ImportPath)
		allowed, known := imports[name]
		require.True(t, known, "%s has no row in the table of imports: say what it may import", name)
		seen[name] = true
		for _, imp := range p.Imports {
			if other := ours(imp); other != "" {
				require.True(t, slices.ContainsFunc(allowed, func(pattern string) bool { return allows(pattern, other) }), "%s imports %s, which its row does not allow", name, other)
			}
			if name == "scenarios/journal" {
				require.False(t, strings.Contains(strings.Split(imp, "/")[0], "."), "scenarios/journal imports %s: the standard library only", imp)
			}
		}
	}
	for name := range imports {
		require.True(t, seen[name], "the table of imports names %s, which does not exist", name)
	}
}

func TestLibrariesHaveOneOwner(t *testing.T) {
	importers := map[string]map[string]int{} // library -> package -> files
	for _, p := range list(t, module+"/...") {
		if ours(p.ImportPath) == "injector/bench" { // a comparison program that nothing depends on
			continue
		}
		for _, file := range p.GoFiles {
			for _, imp := range fileImports(t, path.Join(p.Dir, file)) {
				for library := range owners {
					if strings.HasPrefix(imp, library) {
						if importers[library] == nil {
							importers[library] = map[string]int{}
						}
						importers[library][ours(p.ImportPath)]++
					}
				}
			}
		}
		for _, imp := range append(p.TestImports, p.XTestImports...) {
			for library, owner := range owners {
				if strings.HasPrefix(imp, library) {
					require.Contains(t, slices.Concat(owner.pkgs, testers[library]), ours(p.ImportPath), "a test imports %s", library)
				}
			}
		}
	}
	for library, owner := range owners {
		if owner.files == testsOnly {
			require.Empty(t, importers[library], "%s", library)
			continue
		}
		files := 0
		for pkg, n := range importers[library] {
			require.Contains(t, owner.pkgs, pkg, "%s is imported by it", library)
			files += n
		}
		for _, pkg := range owner.pkgs {
			require.Positive(t, importers[library][pkg], "%s is not imported by %s", library, pkg)
		}
		if owner.files > 0 {
			require.Equal(t, owner.files, files, "%s is imported in too many files", library)
		}
	}
}

// TestNoRegistrationByInit verifies that no table is filled by init functions.
func TestNoRegistrationByInit(t *testing.T) {
	for _, p := range list(t, module+"/...") {
		for _, file := range p.GoFiles {
			require.NotContains(t, string(content(t, path.Join(p.Dir, file))), "\nfunc init()", "%s/%s", ours(p.ImportPath), file)
		}
	}
}

// TestOnlyNeedSkipsWhatIsMissing verifies that machine.Need alone decides whether a test is skipped if something is missing.
// The runner decides it of scenarios.
func TestOnlyNeedSkipsWhatIsMissing(t *testing.T) {
	var readers []string
	for _, p := range list(t, module+"/...") {
		for _, file := range slices.Concat(p.GoFiles, p.TestGoFiles, p.XTestGoFiles) {
			if strings.Contains(string(content(t, path.Join(p.Dir, file))), "Getenv("+`"FIREDRILL_MUST_RUN"`) {
				readers = append(readers, path.Join(ours(p.ImportPath), file))
			}
		}
	}
	require.ElementsMatch(t, []string{"features/machine/need.go", "runner/session.go"}, readers)
}

func ours(importPath string) string {
	if rest, ok := strings.CutPrefix(importPath, module+"/"); ok {
		return rest
	}
	return ""
}

func allows(pattern, name string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == dir || strings.HasPrefix(name, dir+"/")
	}
	return pattern == name
}

func list(t *testing.T, patterns ...string) []goPackage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=ImportPath,Dir,Imports,TestImports,XTestImports,GoFiles,TestGoFiles,XTestGoFiles,Standard"}, patterns...)...).Output()
	require.NoError(t, err)
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, p)
	}
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	return raw
}

func fileImports(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, content(t, file), parser.ImportsOnly)
	require.NoError(t, err)
	var paths []string
	for _, imp := range parsed.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		require.NoError(t, err)
		paths = append(paths, p)
	}
	return paths
}
