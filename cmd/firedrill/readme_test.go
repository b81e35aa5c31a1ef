package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/firedrill-dev/firedrill/injector/protocols"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features"
	"github.com/firedrill-dev/firedrill/features/shop"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
)

var update = flag.Bool("update", false, "write README's tables again")

var table = regexp.MustCompile(`(?s)<!-- table: (\w+) -->\n(.*?)<!-- end -->`)

// TestREADME fails if a table of the README is stale. With -update, it regenerates the table from the code.
func TestREADME(t *testing.T) {
	path := filepath.Join("..", "..", "README.md")
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	tables := map[string]func() string{"faults": faultTable, "checks": checkTable, "protocols": protocolTable, "formats": func() string { return formatTable(reports.Formats()) }, "rows": rowTable, "protections": protectionTable, "findings": findingTable}
	printed := 0
	fresh := table.ReplaceAllStringFunc(string(raw), func(block string) string {
		name := table.FindStringSubmatch(block)[1]
		require.Contains(t, tables, name)
		printed++
		return fmt.Sprintf("<!-- table: %s -->\n%s<!-- end -->", name, tables[name]())
	})
	require.Equal(t, len(tables), printed, "README.md lacks a table")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(fresh), 0o644))
		return
	}
	require.Equal(t, fresh, string(raw), "README.md is stale: make docs")
}

// TestREADMEsDrill fails if the feature in the README cannot be run.
func TestREADMEsDrill(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```gherkin\n(.*?)```").FindSubmatch(raw)
	require.NotNil(t, block, "README.md shows no feature")
	system, err := features.FS.ReadFile("shop/system.yaml")
	require.NoError(t, err)
	es, err := scenarios.Parse(scenarios.Source{FS: fstest.MapFS{"a.feature": {Data: block[1]}, "shop/system.yaml": {Data: system}}, Paths: []string{"a.feature"}})
	require.NoError(t, err)
	require.Len(t, es, 1)
}

func faultTable() string {
	rows := []string{"| fault | a sentence | healed by |", "|---|---|---|"}
	for _, k := range injector.Kinds() {
		rows = append(rows, line(k.Name, code(k.Example), k.Undo))
	}
	return strings.Join(rows, "\n") + "\n"
}

func checkTable() string {
	rows := []string{"| check | a sentence | what it asks |", "|---|---|---|"}
	for _, k := range check.Kinds() {
		example := "(asked of every scenario)"
		if k.Example != "" {
			example = code(k.Example)
		}
		rows = append(rows, line(k.Name, example, k.Means))
	}
	return strings.Join(rows, "\n") + "\n"
}

func protocolTable() string {
	rows := []string{"| protocol | what it is | faults message by message |", "|---|---|---|"}
	for _, p := range protocols.All() {
		var can []string
		for _, do := range p.Actions {
			can = append(can, string(do))
		}
		rows = append(rows, line(p.Name, p.Means, strings.Join(can, ", ")))
	}
	return strings.Join(rows, "\n") + "\n"
}

func formatTable(formats reports.Table) string {
	rows := []string{"| report | file | for |", "|---|---|---|"}
	for _, f := range formats {
		rows = append(rows, line(f.Name, code(f.File), f.Means))
	}
	return strings.Join(rows, "\n") + "\n"
}

func rowTable() string {
	rows := []string{"| row | claim | feature | caught when the shop loses |", "|---|---|---|---|"}
	for _, r := range features.Rows() {
		rows = append(rows, line(r.N, r.Claim, fmt.Sprintf("[%s](features/%s)", r.File, r.File), r.Without))
	}
	return strings.Join(rows, "\n") + "\n"
}

func findingTable() string {
	rows := []string{"| feature | what happens | verdict |", "|---|---|---|"}
	for _, f := range features.Findings() {
		verdict := "holds"
		if len(f.Fails) > 0 {
			verdict = "fails: " + f.Fails[len(f.Fails)-1]
		}
		rows = append(rows, line(fmt.Sprintf("[%s](features/%s)", strings.TrimPrefix(f.File, "real/"), f.File), f.Scenario, verdict))
	}
	return strings.Join(rows, "\n") + "\n"
}

func protectionTable() string {
	rows := []string{"| protection | of | what it does |", "|---|---|---|"}
	for _, p := range shop.Protections() {
		rows = append(rows, line(p.Name, p.Service, p.Means))
	}
	return strings.Join(rows, "\n") + "\n"
}

func line(cells ...any) string {
	var b strings.Builder
	for _, c := range cells {
		fmt.Fprintf(&b, "| %s ", strings.ReplaceAll(fmt.Sprint(c), "|", `\|`))
	}
	return b.String() + "|"
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
