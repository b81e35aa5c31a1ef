package language

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// cluster returns a system of five nodes that all depend on each other, and a client of two of them that has its
// own store.
func cluster() string {
	var b strings.Builder
	b.WriteString("services:\n")
	for i := 1; i <= 5; i++ {
		var others []string
		for j := 1; j <= 5; j++ {
			if i != j {
				others = append(others, fmt.Sprintf("n%d", j))
			}
		}
		fmt.Fprintf(&b, "  n%d: {address: \"127.0.0.1:700%d\", depends: [%s]}\n", i, i, strings.Join(others, ", "))
	}
	b.WriteString(`  api: {address: "127.0.0.1:7006", depends: [n1, n2, store]}
  store: {address: "127.0.0.1:7007"}
clients: {depends: [api]}
groups:
  five: [n1, n2, n3, n4, n5]
  four: [n4, n3, n2, n1]
  three: [n1, n2, n3]
  two: [n1, n2]
  west: [n1, api]
  east: [n5, store]
`)
	return b.String()
}

func clustered(steps string) fstest.MapFS {
	return fstest.MapFS{
		"system.yaml": {Data: []byte(cluster())},
		"a.feature":   {Data: []byte("Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n" + steps)},
	}
}

// cuts returns the links of the only fault, as the plan prints them.
func cuts(t *testing.T, sentence string) (links []string, placed []scenarios.Placed) {
	t.Helper()
	es, err := Parse(Source{FS: clustered("    When " + sentence + " for 5s\n"), Paths: []string{"."}})
	require.NoError(t, err, sentence)
	in, ok := es[0].Steps[1].Do.(scenarios.Inject)
	require.True(t, ok, sentence)
	assert.Equal(t, 5*time.Second, in.For)
	var plan strings.Builder
	require.NoError(t, scenarios.Plan(&plan, es))
	printed := regexp.MustCompile(`(?m)^ +on (.*); undone`).FindStringSubmatch(plan.String())
	require.NotNil(t, printed, plan.String())
	return strings.Split(printed[1], ", "), in.Faults
}

// mesh returns the links of the cluster between two sides, in both directions.
func mesh(these, those string) []string {
	var all []string
	for i := range 5 {
		for j := range 5 {
			a, b := fmt.Sprintf("n%d", i+1), fmt.Sprintf("n%d", j+1)
			if strings.Contains(these, a) && strings.Contains(those, b) || strings.Contains(those, a) && strings.Contains(these, b) {
				all = append(all, a+" -> "+b)
			}
		}
	}
	return all
}

func TestPartitionsAreSetsOfLinks(t *testing.T) {
	for sentence, want := range map[string][]string{
		`"n1" is cut off from "n2"`:                                   mesh("n1", "n2"),
		`"n1", "n2" are cut off from "n3"`:                            mesh("n1 n2", "n3"),
		`"n1" and "n2" are cut off from "n3", "n4", and "n5"`:         mesh("n1 n2", "n3 n4 n5"),
		`"three" is cut off from "n4", "n5"`:                          mesh("n1 n2 n3", "n4 n5"),
		`"n1", "n2" are cut off from "n4", "n5", except through "n3"`: mesh("n1 n2", "n4 n5"),
		`"three" is cut off from "n4", "n5", except through "n3"`:     mesh("n1 n2", "n4 n5"),
		`"api" is cut off from "three"`:                               {"api -> n1", "api -> n2"},
		`"three" is cut off from "api", "store"`:                      {"api -> n1", "api -> n2"},
		`"west" is cut off from "east"`:                               {"n1 -> n5", "n5 -> n1", "api -> store"},
		`"clients" is cut off from "api"`:                             {"clients -> api"},
		`"n1" is cut off from the rest of "three"`:                    mesh("n1", "n2 n3"),
		`"n1", "n5" are cut off from the rest of "five"`:              mesh("n1 n5", "n2 n3 n4"),
		`half of "five" is cut off from the other half`:               mesh("n1 n2", "n3 n4 n5"),
		`half of "four" is cut off from the other half`:               mesh("n4 n3", "n2 n1"),
		`half of "two" is cut off from the other half`:                mesh("n1", "n2"),
		`the minority of "five" is cut off from the majority`:         mesh("n1 n2", "n3 n4 n5"),
		`the minority of "four" is cut off from the majority`:         mesh("n4", "n1 n2 n3"),
		`the minority of "three" is cut off from the majority`:        mesh("n1", "n2 n3"),
		`traffic from "n1" never reaches "n2", "n3"`:                  {"requests of n1 -> n2", "requests of n1 -> n3", "replies of n2 -> n1", "replies of n3 -> n1"},
		`traffic from "three" never reaches "api"`:                    {"replies of api -> n1", "replies of api -> n2"},
		`"n1" and "n2" are cut off from each other`:                   mesh("n1", "n2"),
		`"n1" and "api" are cut off from each other`:                  {"api -> n1"},
		`requests from "n1" never reach "n2"`:                         {"n1 -> n2"}, // a single link in one direction
	} {
		got, placed := cuts(t, sentence)
		assert.Equal(t, want, got, sentence)
		for i, p := range placed {
			id := "fault-1"
			if len(placed) > 1 {
				id = fmt.Sprintf("fault-1.%d", i+1)
			}
			assert.Equal(t, id, p.ID)
			if f, ok := p.Fault.(injector.Partition); ok {
				assert.Equal(t, strings.ReplaceAll(strings.ReplaceAll(sentence, ", and ", ", "), `" and "`, `", "`), f.Say(p.From, p.To), "each link tells the whole")
			}
		}
	}
	_, placed := cuts(t, `requests from "n1" never reach "n2"`)
	assert.Equal(t, injector.CutOff{Dir: link.ToServer}, placed[0].Fault)
}

func TestPartitionsInATableOfFaults(t *testing.T) {
	es, err := Parse(Source{FS: clustered(`    When these faults run together for 5s:
      | fault        | from   | to     | value |
      | partition    | n1, n2 | n3     |       |
      | slow traffic | api    | store  | 50ms  |
      | partition    | west   | store  |       |
`), Paths: []string{"."}})
	require.NoError(t, err)
	var got []string
	for _, p := range es[0].Steps[1].Do.(scenarios.Inject).Faults {
		got = append(got, p.ID+" "+p.On())
	}
	assert.Equal(t, []string{
		"fault-1.1 n1 -> n3", "fault-1.2 n2 -> n3", "fault-1.3 n3 -> n1", "fault-1.4 n3 -> n2", "fault-2 api -> store", "fault-3 api -> store",
	}, got)
}

// brokenPartitions are wrong sentences; they are in line 4.
var brokenPartitions = []brokenCase{
	{"nobody", `"n1", "n9" are cut off from "n2" for 5s`, 4, `"n1"`, `no service and no group "n9"`, `services and groups: "n1"`},
	{"empty name", `"n1" is cut off from "" for 5s`, 4, `"" for`, "a name is empty", "between the quotes"},
	{"no link", `"store" is cut off from "n1", "n2" for 5s`, 4, `"store"`, `no link runs between "store" and "n1", "n2"`, `"n1 -> n2"`},
	{"both sides", `"n1", "n2" are cut off from "n2" for 5s`, 4, `"n1"`, `"n2" stands on both sides`, "leave it out"},
	{"both sides by its group", `"n1" is cut off from "three" for 5s`, 4, `"n1"`, `"n1" stands on both sides`, "leave it out"},
	{"twice", `"n1", "three" are cut off from "n5" for 5s`, 4, `"n1"`, `"n1" stands there twice`, "leave it out"},
	{"no group", `half of "fife" is cut off from the other half for 5s`, 4, `half`, `no group "fife"`, `did you mean "five"?`},
	{"a service for a group", `half of "n1" is cut off from the other half for 5s`, 4, `half`, `"n1" is a service and no group`, "groups: {"},
	{"no minority of two", `the minority of "two" is cut off from the majority for 5s`, 4, `the`, "has 2 members", "3 at least"},
	{"no member", `"n5" is cut off from the rest of "three" for 5s`, 4, `"n5"`, `"n5" is not in the group "three"`, `"n1", "n2", "n3"`},
	{"no rest", `"n1", "n2" are cut off from the rest of "two" for 5s`, 4, `"n1"`, `no service is left in the group "two"`, "leave out"},
	{"bridge to nobody", `"n1" is cut off from "n2", except through "n6" for 5s`, 4, `"n1"`, `no service "n6"`, `services: "n1"`},
	{"bridge to nowhere", `"n1" is cut off from "n2", except through "store" for 5s`, 4, `"n1"`, `nothing goes through "store"`, "except through"},
	{"only the bridge", `"n1" is cut off from "n2", except through "n1" for 5s`, 4, `"n1"`, `nothing goes through "n1"`, "except through"},
	{"outside of the radius", "the blast radius is limited to \"n2\"\n    When \"n1\" is cut off from \"n2\" for 5s", 5, `"n1"`, `"n1" is outside of the blast radius`, "widen"},
	{"healed at once", "\"n1\" is cut off from \"n2\"", 4, `"n1"`, "healed at once", "for 30s"},
}

func TestBrokenPartitions(t *testing.T) {
	for _, c := range brokenPartitions {
		t.Run(c.name, func(t *testing.T) { requireProblem(t, c, "a.feature", clustered("    When "+c.text+"\n")) })
	}
}

func TestPartitionIsHealedAsOne(t *testing.T) {
	_, err := Parse(Source{FS: clustered("    When half of \"five\" is cut off from the other half\n    And 5s pass\n    And the fault is healed\n    And the fault is healed\n"), Paths: []string{"."}})
	var problems source.Problems
	require.True(t, errors.As(err, &problems))
	require.Len(t, problems, 1)
	assert.Equal(t, 7, problems[0].Line, "the second heal has nothing to heal")
}

func TestPlanPrintsTheLinksOfAPartition(t *testing.T) {
	es, err := Parse(Source{FS: clustered(`    When half of "three" is cut off from the other half for 5s
    And traffic from "n1" never reaches "api"
    And 5s pass
`), Paths: []string{"."}})
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, scenarios.Plan(&b, es))
	assert.Contains(t, b.String(), `half of "three" is cut off from the other half for 5s
             on n1 -> n2, n1 -> n3, n2 -> n1, n3 -> n1; undone after 5s: all of its links at once; what was held arrives
`)
	assert.Contains(t, b.String(), "             on replies of api -> n1; undone with the step that heals it")
	assert.Contains(t, b.String(), "heal what is live, the last first")
}

func TestPartitionsBuiltInGo(t *testing.T) {
	sys, err := scenarios.ReadSystem(fstest.MapFS{"system.yaml": {Data: []byte(cluster())}}, "system.yaml")
	require.NoError(t, err)
	e, err := scenarios.New("b").System(sys).Partition(injector.Partition{These: []string{"n1"}, RestOf: "three"}).For(5*time.Second).
		Inject("n1", "n2", injector.CutOff{}).Wait(time.Second).Build()
	require.NoError(t, err)
	assert.Equal(t, `"n1" is cut off from the rest of "three" for 5s`, e.Steps[1].Text)
	assert.Len(t, e.Steps[1].Do.(scenarios.Inject).Faults, 4)
	assert.Len(t, e.Steps[2].Do.(scenarios.Inject).Faults, 2)

	sys.Groups = append(sys.Groups, system.Group{Name: "n1", Members: []string{"n1"}})
	_, err = scenarios.New("b").System(sys).Partition(injector.Partition{These: []string{"n1"}}).For(5 * time.Second).Build()
	require.ErrorContains(t, err, "is a service and cannot be a group")
	require.ErrorContains(t, err, "one side of the partition is empty")
}

func TestGroupMembersMayFormCycles(t *testing.T) {
	sys, err := scenarios.ReadSystem(fstest.MapFS{"system.yaml": {Data: []byte(cluster())}}, "system.yaml")
	require.NoError(t, err)
	order, err := sys.Order()
	require.NoError(t, err)
	at := func(name string) int {
		return slices.IndexFunc(order, func(s system.Service) bool { return s.Name == name })
	}
	assert.Len(t, order, 7)
	assert.Less(t, at("n2"), at("api"), "what is not a peer is started after what it depends on")
	sys.Groups = nil
	_, err = sys.Order()
	require.ErrorContains(t, err, "circle")
	require.ErrorContains(t, err, "group")
}
