package language

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

const drills = `@nightly
Feature: Orders survive a slow payment service
  Background:
    Given the system described in "system.yaml"
    And the blast radius is limited to "payments"
    And the run stops at once if fewer than 50% of requests succeed for 10s
    And a steady load of 200 requests per second on "POST /orders"
    And every request carries a fresh idempotency key in the "Idempotency-Key" header
    And clients retry failed requests up to 3 times with the same key
    And applied effects are read from "GET /ledger"
    And a baseline is measured for 20s

  Rule: A slow dependency makes orders slower, never wrong
    Background:
      Given clients give up after 2s

    @slow
    Scenario Outline: payments answer <delay> late
      When calls from "orders" to "payments" are delayed by <delay> for 30s
      Then at least 1000 calls from "orders" to "payments" were affected by the fault
      And at least 99% of requests succeed during the fault
      And "orders" gives up on "payments" within 1s
      And "POST /orders" recovers within 10s of healing
      And every acknowledged request is applied exactly once

      Examples: a little
        | delay |
        | 300ms |
      @far
      Examples: much
        | delay |
        | 2s    |

  @other
  Scenario: payments crash
    When "payments" crashes 3 times, 10s apart
    Then at least 9% of requests succeed after healing
`

func parsed(t *testing.T, s Source) []*scenarios.Experiment {
	t.Helper()
	if s.FS == nil {
		s.FS = files(drills)
	}
	if s.Paths == nil {
		s.Paths = []string{"."}
	}
	es, err := Parse(s)
	require.NoError(t, err)
	return es
}

// injections returns all faults of an experiment in order.
func injections(e *scenarios.Experiment) []scenarios.Placed {
	var all []scenarios.Placed
	for _, s := range e.Steps {
		if in, ok := s.Do.(scenarios.Inject); ok {
			all = append(all, in.Faults...)
		}
	}
	return all
}

func TestParseExperiment(t *testing.T) {
	es := parsed(t, Source{})
	require.Len(t, es, 3)
	e := es[1]
	assert.Regexp(t, `^orders-survive-a-slow-payment-service-payments-answer-2s-late-[0-9a-f]{8}$`, e.ID)
	assert.Equal(t, "payments answer 2s late", e.Name)
	assert.Equal(t, "Orders survive a slow payment service", e.Feature)
	assert.Equal(t, "a.feature", e.File)
	assert.Equal(t, 18, e.Line)
	assert.Equal(t, 2, e.Row)
	assert.Equal(t, []string{"@nightly", "@slow", "@far"}, e.Tags)
	assert.Len(t, e.Steps, 15)
	assert.Equal(t, journal.Step{Keyword: "When", Text: `calls from "orders" to "payments" are delayed by 2s for 30s`, At: "a.feature:19"}, e.Steps[9].Step)
	assert.Equal(t, "slow calls", e.Steps[9].Phrase)
	assert.Equal(t, scenarios.Inject{For: 30 * time.Second, Faults: []scenarios.Placed{{ID: "fault-1", Kind: "slow calls", Fault: injector.SlowCalls{By: 2 * time.Second}, From: "orders", To: "payments"}}}, e.Steps[9].Do)
	assert.Equal(t, []string{"payments"}, e.BlastRadius)
	assert.Equal(t, []scenarios.StopRule{{Ratio: 0.5, For: 10 * time.Second}}, e.Stop)
	assert.Equal(t, 20*time.Second, e.Baseline)
	assert.Equal(t, 16*time.Second, e.Recovery, "five steady seconds after the ten, and one")
	assert.Equal(t, &scenarios.Load{Rate: 200, Key: scenarios.HeaderKey("Idempotency-Key"), Retries: 3, GiveUp: 2 * time.Second,
		Mix: []scenarios.Route{{Method: "POST", Path: "/orders", Share: 1, Service: "orders", Body: `{"n": {{n}}}`}}}, e.Load)
	assert.Equal(t, "orders", e.Effects.Sources[0].Service)
	assert.Equal(t, "a.feature:10", e.Effects.Sources[0].Step.At)
	require.Len(t, e.Checks, 5)
	assert.Equal(t, check.Success{Ratio: 0.99, Window: journal.During}, e.Checks[1].Check)
	assert.Equal(t, "a.feature:21", e.Checks[1].Step.At)
	for i, s := range e.Steps {
		assert.Equal(t, i >= 10, s.IsCheck, s.Text)
		assert.Equal(t, i == 9, s.Do != nil, s.Text)
	}
	assert.Equal(t, 20*time.Second+30*time.Second+16*time.Second+scenarios.DefaultSettle+2*time.Second, e.Estimate())

	crash := es[2]
	assert.Equal(t, 30*time.Second, crash.Steps[9].Do.(scenarios.Inject).For, "three crashes, ten seconds apart, take their time")
	assert.Equal(t, 5*time.Second, crash.Recovery, "a check asks about the time after healing")
}

func TestSelection(t *testing.T) {
	twice := files(drills, "Feature: b\n  Scenario: c\n    Given the system described in \"system.yaml\"\n    When 5s pass\n")
	twice["sub/system.yaml"] = twice["system.yaml"]
	twice["sub/deep.feature"] = twice["b.feature"]
	for _, c := range []struct {
		name string
		s    Source
		want []string
	}{
		{"all", Source{}, []string{"payments answer 300ms late", "payments answer 2s late", "payments crash", "c", "c"}},
		{"a file", Source{Paths: []string{"b.feature"}}, []string{"c"}},
		{"a folder", Source{Paths: []string{"./sub/"}}, []string{"c"}},
		{"a scenario by its line", Source{Paths: []string{"a.feature:36"}}, []string{"payments crash"}},
		{"a scenario by one of its steps", Source{Paths: []string{"a.feature:37"}}, []string{"payments crash"}},
		{"an outline", Source{Paths: []string{"a.feature:18"}}, []string{"payments answer 300ms late", "payments answer 2s late"}},
		{"a row", Source{Paths: []string{"a.feature:32"}}, []string{"payments answer 2s late"}},
		{"two places in one file", Source{Paths: []string{"a.feature:28", "a.feature:36"}}, []string{"payments answer 300ms late", "payments crash"}},
		{"tags", Source{Tags: "@nightly and not @slow"}, []string{"payments crash"}},
		{"tags of examples", Source{Tags: "@far"}, []string{"payments answer 2s late"}},
		{"name", Source{Name: "answer .* late"}, []string{"payments answer 300ms late", "payments answer 2s late"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.FS = twice
			var names []string
			for _, e := range parsed(t, c.s) {
				names = append(names, e.Name)
			}
			assert.Equal(t, c.want, names)
		})
	}
}

func TestWrongSelection(t *testing.T) {
	for _, c := range []struct {
		name string
		s    Source
		what string
	}{
		{"nothing there", Source{Paths: []string{"nothing"}}, "cannot be read"},
		{"no feature file", Source{Paths: []string{"system.yaml"}}, "not a feature file"},
		{"outside", Source{Paths: []string{"../a.feature"}}, "outside"},
		{"no line", Source{Paths: []string{"a.feature:x"}}, "names no line"},
		{"no scenario there", Source{Paths: []string{"a.feature:1"}}, "no scenario is selected"},
		{"no such tag", Source{Tags: "@none"}, `no scenario is selected by "." with the tags "@none"`},
		{"no such name", Source{Name: "none"}, `no scenario is selected by "." and a name that matches "none"`},
		{"tags", Source{Tags: "@a and"}, "not a tag expression"},
		{"name", Source{Name: "("}, "not a regular expression"},
		{"own step", Source{Own: []string{"("}}, "not a regular expression"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.s.FS = files(drills)
			if c.s.Paths == nil {
				c.s.Paths = []string{"."}
			}
			es, err := Parse(c.s)
			require.ErrorContains(t, err, c.what)
			assert.Nil(t, es)
			var problems source.Problems
			assert.ErrorAs(t, err, &problems)
		})
	}
}

// TestPlaces: a file outside of the working directory is read from the root, and named as it is found from anywhere.
func TestPlaces(t *testing.T) {
	fsys := fstest.MapFS{"tmp/a.feature": {Data: []byte("Feature: A\n  Scenario: S\n    Given nonsense\n")}}
	for path, want := range map[string]string{
		"tmp/a.feature": "/tmp/a.feature:3:", "tmp/b.feature": `"/tmp/b.feature" cannot be read: file does not exist`, "tmp/a.feature:1": `no scenario is selected by "/tmp/a.feature:1"`,
	} {
		_, err := Parse(Source{FS: fsys, Root: "/", Paths: []string{path}})
		assert.ErrorContains(t, err, want)
		_, err = Parse(Source{FS: fsys, Root: "/home", Paths: []string{path}})
		assert.ErrorContains(t, err, strings.Replace(want, "/tmp", "tmp", 1))
	}
}

func TestIDsAreUniqueAndStable(t *testing.T) {
	fsys := files(drills, drills)
	seen := map[string]bool{}
	for _, e := range parsed(t, Source{FS: fsys}) {
		assert.False(t, seen[e.ID], e.ID)
		assert.Regexp(t, `^[a-z0-9-]+$`, e.ID)
		seen[e.ID] = true
	}
	assert.Len(t, seen, 6)
	alone := parsed(t, Source{FS: fsys, Paths: []string{"a.feature:32"}})
	assert.True(t, seen[alone[0].ID], "a row has the same id when it runs alone")
}

// TestLongNamesMakeFileNames: a run creates a folder for each scenario, named by its id.
func TestLongNamesMakeFileNames(t *testing.T) {
	long := strings.Repeat("a very long name ", 30)
	text := "Feature: " + long + "\n  Scenario: " + long + "one\n    Given the system described in \"system.yaml\"\n    When 5s pass\n  Scenario: " + long + "two\n    Given the system described in \"system.yaml\"\n    When 5s pass\n"
	es := parsed(t, Source{FS: files(text)})
	for _, e := range es {
		assert.LessOrEqual(t, len(e.ID), 160)
		assert.Regexp(t, `^a-very-long-name-a-[a-z0-9-]+[0-9a-f]{8}$`, e.ID)
	}
	assert.NotEqual(t, es[0].ID, es[1].ID)
}

func TestRowsWithoutOwnName(t *testing.T) {
	e := parsed(t, Source{FS: files("Feature: a\n  Scenario Outline: b\n    Given the system described in \"system.yaml\"\n    When <x> pass\n    Examples:\n      | x | why |\n      | 5s | short |\n")})
	assert.Equal(t, "b (5s, short)", e[0].Name)
}

func TestOtherLanguages(t *testing.T) {
	e := parsed(t, Source{FS: files("# language: de\nFunktionalität: a\n  Szenario: b\n    Angenommen the system described in \"system.yaml\"\n    Wenn 5s pass\n")})
	assert.Equal(t, "Wenn", e[0].Steps[1].Keyword)
	assert.Equal(t, scenarios.Wait{For: 5 * time.Second}, e[0].Steps[1].Do)
}

func TestWindowsLineEndsAndByteOrderMark(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(drills, "\n", "\r\n")
	assert.Len(t, parsed(t, Source{FS: files(text)}), 3)
}

func TestOwnSteps(t *testing.T) {
	text := "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And the moon is full\n    When \"payments\" hangs\n    And the tide comes\n    Then \"payments\" was affected by the fault\n"
	e := parsed(t, Source{FS: files(text), Own: []string{`^the moon is (\w+)$`, `^the tide`}})[0]
	assert.True(t, e.Steps[1].Foreign)
	assert.True(t, e.Steps[3].Foreign, "and it may take its time, so the hang before it is not healed at once")
	assert.Empty(t, e.Steps[1].Phrase)

	_, err := Parse(Source{FS: files(text), Paths: []string{"."}, Own: []string{`^the moon`, `^the tide`, `hangs`}})
	require.ErrorContains(t, err, "a.feature:5")
	require.ErrorContains(t, err, "in several ways")
}

func TestCutOnReverseLink(t *testing.T) {
	e := parsed(t, Source{FS: files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When \"payments\" and \"orders\" are cut off from each other for 5s\n    And replies from \"payments\" never reach \"orders\" for 5s\n")})[0]
	for i, dir := range []link.Dir{link.Both, link.ToClient} {
		p := e.Steps[i+1].Do.(scenarios.Inject).Faults[0]
		assert.Equal(t, "orders", p.From)
		assert.Equal(t, "payments", p.To)
		assert.Equal(t, injector.CutOff{Dir: dir}, p.Fault)
	}
}

func TestOneWayFaultOnReverseLink(t *testing.T) {
	e := parsed(t, Source{FS: files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n" +
		"    When one-way traffic from \"payments\" to \"orders\" is delayed by 1s for 5s\n    And one-way latency from \"orders\" to \"payments\" ramps from 0ms to 1s over 5s for 5s\n")})[0]
	assert.Equal(t, []scenarios.Placed{
		{ID: "fault-1", Kind: "slow traffic", From: "orders", To: "payments", Fault: injector.SlowTraffic{By: time.Second, Way: injector.Way{Dir: link.ToClient}}},
		{ID: "fault-2", Kind: "ramp", From: "orders", To: "payments", Fault: injector.Ramp{End: time.Second, Over: 5 * time.Second, Way: injector.Way{Dir: link.ToServer}}},
	}, injections(e))
	for _, p := range injections(e) {
		assert.Contains(t, e.Steps[1].Text+e.Steps[2].Text, p.Fault.Say(p.From, p.To), "as it was said")
	}
}

// TestFaultsLastLongEnough compares the time that faults need with the time that passes while they are live.
func TestFaultsLastLongEnough(t *testing.T) {
	const ramp = "latency from \"orders\" to \"payments\" ramps from 0ms to 1s over 10s"
	for name, steps := range map[string]string{
		"for as long":             "When " + ramp + " for 10s",
		"in several steps":        "When " + ramp + "\n    And 4s pass\n    And \"recs\" hangs for 6s\n    And the fault is healed",
		"until the checks":        "When " + ramp + "\n    And 10s pass",
		"as long as people take":  "When " + ramp + "\n    And the facilitator confirms \"done\"",
		"as long as a step takes": "When " + ramp + "\n    And the tide comes",
	} {
		parsed(t, Source{FS: files("Feature: a\n  Scenario: " + name + "\n    Given the system described in \"system.yaml\"\n    " + steps + "\n"), Own: []string{"^the tide"}})
	}
}

func TestHealNeedsLiveFault(t *testing.T) {
	e := parsed(t, Source{FS: files("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n" +
		"    When \"payments\" is stopped gracefully\n    And \"inventory\" crashes\n    And \"recs\" hangs\n    And 5s pass\n" +
		"    And \"payments\" starts again\n    And \"inventory\" starts again\n    And \"recs\" resumes\n    And connections from \"orders\" to \"db\" are reset\n    And all faults are healed\n")})[0]
	var heals []scenarios.Heal
	for _, s := range e.Steps {
		if h, ok := s.Do.(scenarios.Heal); ok {
			heals = append(heals, h)
		}
	}
	assert.Equal(t, []scenarios.Heal{{Kind: "stop", Service: "payments"}, {Kind: "crash", Service: "inventory"}, {Kind: "hang", Service: "recs"}, {All: true}}, heals)
}

func TestFallbackMarkers(t *testing.T) {
	const head = "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    And a steady load of 5 requests per second on \"GET /recs\"\n    When \"recs\" hangs for 5s\n    Then at least 9% of requests succeed\n"
	plain := parsed(t, Source{FS: files(head)})[0]
	assert.Nil(t, plain.Load.Marker)
	assert.False(t, plain.Load.FallbackIsSuccess)
	assert.Equal(t, check.Success{Ratio: 0.09}, plain.Checks[0].Check)

	marked := parsed(t, Source{FS: files(head + "    And at least 5% of responses are fallbacks, marked by header \"x-degraded: true\"\n")})[0]
	assert.Equal(t, &scenarios.Mark{Name: "X-Degraded", Value: "true"}, marked.Load.Marker)
	assert.True(t, marked.Load.FallbackIsSuccess)
	assert.Equal(t, check.Success{Ratio: 0.09}, marked.Checks[0].Check)

	fsys := files(head)
	fsys["system.yaml"] = &fstest.MapFile{Data: []byte(shopFile + "fallback: \"X-Degraded: true\"\nfallback_is_success: true\n")}
	declared := parsed(t, Source{FS: fsys})[0]
	assert.Equal(t, &scenarios.Mark{Name: "X-Degraded", Value: "true"}, declared.Load.Marker)
	assert.True(t, declared.Load.FallbackIsSuccess)
	assert.Equal(t, check.Success{Ratio: 0.09}, declared.Checks[0].Check)
}

func TestSystemInSentences(t *testing.T) {
	text := `Feature: a
  Scenario: b
    Given these services and dependencies:
      | service | address        | depends on   | protocol |
      | front   | 127.0.0.1:8080 | orders, recs | http     |
      | recs    | 127.0.0.1:8081 |              |          |
    And the service "orders" is started with:
      """
      bin/orders -listen 127.0.0.1:${port}
      -payments ${link:payments}
      """
    And "orders" is ready within 3s
    And "orders" depends on "payments" at "http://127.0.0.1:9090" over http
    When calls from "orders" to "payments" are delayed by 1s for 5s
`
	e := parsed(t, Source{FS: files(text)})[0]
	assert.Equal(t, []system.Service{
		{Name: "front", Address: "127.0.0.1:8080"}, {Name: "recs", Address: "127.0.0.1:8081"},
		{Name: "orders", Command: []string{"bin/orders", "-listen", "127.0.0.1:${port}", "-payments", "${link:payments}"}, Ready: system.Ready{Within: 3 * time.Second}},
		{Name: "payments", Address: "127.0.0.1:9090"},
	}, e.System.Services)
	assert.Equal(t, resolved(system.Link{From: "front", To: "orders", Protocol: "http"}, system.Link{From: "front", To: "recs", Protocol: "http"}, system.Link{From: "orders", To: "payments", Protocol: "http"}), e.System.Links)
}

func TestInProcessServices(t *testing.T) {
	fsys := fstest.MapFS{
		"system.yaml": {Data: []byte("services:\n  a: {serves: [/]}\n  b: {command: [x]}\n")},
		"a.feature":   {Data: []byte("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    When 5s pass\n")},
	}
	e := parsed(t, Source{FS: fsys, Handlers: []string{"a", "b"}})[0]
	assert.Empty(t, e.System.Services[1].Command, "the handler takes the command's place")
	_, err := Parse(Source{FS: fsys, Paths: []string{"."}})
	require.ErrorContains(t, err, "neither a command nor an address")
}

func TestStarterFeaturesParse(t *testing.T) {
	root := os.DirFS("..")
	if _, err := fs.Stat(root, "features"); err != nil {
		t.Skip("no features beside this package")
	}
	es := parsed(t, Source{FS: root, Paths: []string{"features"}})
	assert.NotEmpty(t, es)
}

func FuzzParse(f *testing.F) {
	f.Add(drills)
	f.Add(prelude)
	for _, c := range brokenSteps {
		f.Add(prelude + "    " + c.text + "\n")
	}
	for _, c := range brokenFeatures {
		f.Add(c.text)
	}
	for _, p := range Standard().Phrases() {
		f.Add("Feature: a\n  Scenario: b\n    * " + p.Examples[0] + "\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		es, err := Parse(Source{FS: files(text), Paths: []string{"a.feature"}})
		if (err == nil) != (len(es) > 0) {
			t.Fatalf("%d experiments and %v", len(es), err)
		}
		noPanic(t, err)
		if err == nil {
			if err := scenarios.Plan(&strings.Builder{}, es); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzSystemFile(f *testing.F) {
	f.Add(shopFile)
	for _, c := range brokenSystems {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sys, err := scenarios.ReadSystem(fstest.MapFS{"system.yaml": {Data: []byte(text)}}, "system.yaml")
		noPanic(t, err)
		if err == nil {
			if _, err := sys.Order(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// noPanic fails the test if a parser panicked, which is reported as a problem.
func noPanic(t *testing.T, err error) {
	t.Helper()
	if err != nil && strings.Contains(err.Error(), "reading the file panicked") {
		t.Fatal(err)
	}
}
