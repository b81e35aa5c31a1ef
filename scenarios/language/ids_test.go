package language

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// idsOf parses features and returns the ids by feature, text of the line, and row.
func idsOf(t *testing.T, texts ...string) map[string]string {
	t.Helper()
	ids := map[string]string{}
	for _, e := range parsed(t, Source{FS: files(texts...)}) {
		assert.Regexp(t, `^[a-z0-9-]+$`, e.ID)
		for name, id := range ids {
			assert.NotEqual(t, id, e.ID, "%s and %s", name, e.Name)
		}
		ids[e.Feature+"/"+e.Name] = e.ID
	}
	return ids
}

const idSteps = "    Given the system described in \"system.yaml\"\n    When 5s pass\n"

func outlineOf(rows string) string {
	return "Feature: F\n  Scenario Outline: waits <t>\n    Given the system described in \"system.yaml\"\n    When <t> pass\n    Examples:\n      | t |\n" + rows
}

// TestIDsDependOnContentOnly: adding a row, a scenario or a file does not change the ids of others.
func TestIDsDependOnContentOnly(t *testing.T) {
	t.Parallel()
	before := idsOf(t, outlineOf("      | 5s |\n      | 6s |\n"))
	after := idsOf(t, "Feature: A\n  Scenario: first\n"+idSteps, outlineOf("      | 4s |\n      | 5s |\n      | 6s |\n")+"  Scenario: last\n"+idSteps)
	for name, id := range before {
		assert.Equal(t, id, after[name], name)
	}
	assert.Len(t, after, 5)
	moved := idsOf(t, "Feature: F\n  Scenario: new\n"+idSteps+"  Scenario: old\n"+idSteps)
	assert.Equal(t, idsOf(t, "Feature: F\n  Scenario: old\n"+idSteps)["F/old"], moved["F/old"])
}

// TestIDsDistinguishNames covers names that differ only in characters that are not ASCII letters.
func TestIDsDistinguishNames(t *testing.T) {
	t.Parallel()
	ids := idsOf(t, "Feature: F\n  Scenario: p99 < 5\n"+idSteps+"  Scenario: p99 > 5\n"+idSteps+"  Scenario: é\n"+idSteps+"  Scenario: è\n"+idSteps+"  Scenario: 日本\n"+idSteps)
	assert.Len(t, ids, 5)
	alone := idsOf(t, "Feature: F\n  Scenario: p99 > 5\n"+idSteps)
	assert.Equal(t, alone["F/p99 > 5"], ids["F/p99 > 5"])
}

// TestScenariosWithEqualNames: scenarios with equal names have different ids, even if only one of them is
// selected.
func TestScenariosWithEqualNames(t *testing.T) {
	t.Parallel()
	text := "Feature: F\n  Scenario: s\n" + idSteps + "  Scenario: s\n" + idSteps
	all := parsed(t, Source{FS: files(text)})
	second := parsed(t, Source{FS: files(text), Paths: []string{"a.feature:5"}})
	assert.NotEqual(t, all[0].ID, all[1].ID)
	assert.Equal(t, all[1].ID, second[0].ID)
}
