package language

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// TestEveryCodeIsProduced: each problem of the broken files of the other tests has a code of the table, and each code of
// the table is that of a problem.
func TestEveryCodeIsProduced(t *testing.T) {
	t.Parallel()
	produced, codeOf := map[string]bool{}, map[string]string{}
	add := func(err error) {
		t.Helper()
		var all source.Problems
		require.ErrorAs(t, err, &all)
		for _, p := range all {
			require.True(t, slices.ContainsFunc(codes.Table(), func(r codes.Row) bool { return r.Code == p.Code }), "%q has no code", p.What)
			produced[p.Code], codeOf[p.What] = true, p.Code
		}
	}
	collect := func(s Source) {
		t.Helper()
		_, err := Parse(s)
		add(err)
	}
	const head = "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n"
	for _, c := range brokenSteps {
		collect(Source{FS: files(prelude + "    " + c.text + "\n"), Paths: []string{"."}})
	}
	for _, c := range brokenFeatures {
		collect(Source{FS: files(c.text), Paths: []string{"."}})
	}
	for _, c := range brokenLoads {
		collect(Source{FS: files(head + "    And a steady load of 50 requests per second " + c.text + "\n    When 5s pass\n"), Paths: []string{"."}})
	}
	for _, c := range brokenSystems {
		fsys := files(head + "    When 5s pass\n")
		fsys["system.yaml"] = &fstest.MapFile{Data: []byte(c.text)}
		collect(Source{FS: fsys, Paths: []string{"."}})
	}
	collect(Source{FS: files(prelude + "    When 5s pass\n"), Paths: []string{"b.feature"}})
	collect(Source{FS: files(prelude + "    When 5s pass\n"), Paths: []string{"."}, Name: "another"})
	collect(Source{FS: files(prelude + "    When 5s pass\n"), Paths: []string{"."}, Own: []string{"^5s pass$"}})
	programs := files(head + "    When 5s pass\n")
	programs["system.yaml"] = &fstest.MapFile{Data: []byte("services:\n  orders: {command: [orders], env: {TOKEN: \"${env:TOKEN}\"}}\n")}
	collect(Source{FS: programs, Paths: []string{"."}, Find: func(_, program string) (string, error) { return "", fmt.Errorf("%s is not installed", program) }})
	secret := files(head + "    When 5s pass\n")
	secret["system.yaml"] = &fstest.MapFile{Data: []byte("services:\n  db: {address: \"db:5432\", login: \"postgres://app:hunter2@/shop\"}\n")}
	collect(Source{FS: secret, Paths: []string{"."}})
	collect(Source{FS: programs, Paths: []string{"."}, LookupEnv: func(string) (string, bool) { return "", false }})
	collect(Source{FS: files(prelude + strings.Repeat("    When it rains\n", source.MaxProblems+1)), Paths: []string{"."}})
	add(panicked())
	collect(Source{FS: files(prelude + "    When 5s pass\n"), Paths: []string{"a.feature:x"}})
	collect(Source{FS: files(head + "    When only calls caused by \"POST /orders\" requests from \"orders\" to \"payments\" are delayed by 50ms for 5s\n"), Paths: []string{"."}})
	for _, text := range []string{"services: {a: {address: \"127.0.0.1:1\", depends: {b: {protocol: dns, tls: terminate}}}, b: {address: \"127.0.0.1:2\"}}\n", "services: {a: {address: \"127.0.0.1:1\"}}\nlimits: {targets: []}\n",
		"services: {a: {address: \"127.0.0.1:1\"}}\ncommands: {look: [cat, \"${port}\"]}\n"} {
		fsys := files(head + "    When 5s pass\n")
		fsys["system.yaml"] = &fstest.MapFile{Data: []byte(text)}
		collect(Source{FS: fsys, Paths: []string{"."}})
	}

	for _, r := range codes.Table() {
		assert.Equal(t, r.Of == codes.OfProblem || r.Of == codes.OfBoth, produced[r.Code], "no test produces %q", r.Code)
	}
	for text, want := range likelyMistaken {
		found := false
		for what, code := range codeOf {
			if strings.Contains(what, text) {
				found = true
				assert.Equal(t, want.String(), code, what)
			}
		}
		assert.True(t, found, "no test produces %q", text)
	}
}

// likelyMistaken holds codes by a part of the text, where another code is near: what is not there at all is no unknown name,
// and what is written wrongly selects nothing because of that.
var likelyMistaken = map[string]codes.Code{
	"the scenario has no load": codes.Missing, "this asks about requests, and there is no load": codes.Missing,
	"no fault is injected in this scenario, so there is no time": codes.Missing,
	"belongs to no service, so it has no port":                   codes.Missing, "has neither a command nor an address": codes.Missing, "no target is listed": codes.Missing,
	"no load runs on": codes.UnknownName, "there is no service": codes.UnknownName, "there is no protocol": codes.UnknownName,
	"goes over UDP, where there is no TLS": codes.Unsupported, "was not started by Firedrill": codes.Unsupported, "runs already, and its data": codes.Unsupported,
	"of the PROXY protocol": codes.BadValue, "names no line": codes.BadValue,
	"no scenario is selected by": codes.NothingSelected,
}

// panicked returns the problem of a parser that panicked.
func panicked() (err error) {
	var all source.List
	defer func() { err = all.Err() }()
	defer all.RecoverPanic("a.feature")
	panic("a defect")
}
