package sources

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// Messages that begin with their length, in the framing that the link of clients declares.
func TestDrillOfLengths(t *testing.T) {
	for name, once := range map[string]bool{"applied twice": false, "keyed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &orders{once: once, file: filepath.Join(t.TempDir(), "orders.log")}
			h := drillLoad(t, strings.NewReplacer("{addr}", lengthsServer(t, o), "{file}", o.file).Replace(`services:
  store: {address: "{addr}"}
clients: {depends: {store: {protocol: lengths, framing: {width: 2, little: true, includes: true, lockstep: true}}}}
effects:
  orders: {file: "{file}", format: json}
`), `100 length-prefixed messages are sent to "store", 5 at a time:`, "order {{key}}")
			assert.Equal(t, map[bool]string{false: "failed", true: "passed"}[once], verdict(t, h, twice).Outcome)
			assert.Equal(t, "passed", verdict(t, h, lost).Outcome)
			assert.Equal(t, "passed", verdict(t, h, served).Outcome)
		})
	}
}

// Datagrams are delivered twice on the link. Whether they are answered or not, an effect that is there twice is found, and
// what is lost is not known to be lost.
func TestDrillOfDatagrams(t *testing.T) {
	for name, c := range map[string]struct {
		fault, check, outcome string
		once, answered        bool
	}{
		"applied twice":             {"30% of messages from \"clients\" to \"store\" are delivered twice", twice, "failed", false, true},
		"keyed":                     {"30% of messages from \"clients\" to \"store\" are delivered twice", twice, "passed", true, true},
		"applied twice, unanswered": {"30% of messages from \"clients\" to \"store\" are delivered twice", twice, "failed", false, false},
		"lost, unanswered":          {"30% of messages from \"clients\" to \"store\" are lost", lost, "inconclusive", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &orders{once: c.once, file: filepath.Join(t.TempDir(), "orders.log")}
			replace := strings.NewReplacer("{addr}", datagramServer(t, o, !c.answered), "{file}", o.file, "{fault}", c.fault, "{check}", c.check,
				"{unanswered}", map[bool]string{true: "clients give up after 1s", false: "datagrams are not answered"}[c.answered])
			result, err := runner.Run(t.Context(), runner.Options{
				FS: fstest.MapFS{"orders.feature": {Data: []byte(replace.Replace(`Feature: Orders
  Scenario: Datagrams
    Given the system described in "system.yaml"
    And {unanswered}
    And applied effects are read from "orders"
    And effects settle within 1s
    When {fault}
    And 100 datagrams are sent to "store", 5 at a time:
      """
      order {{key}}
      """
    And 500ms pass
    Then {check}
`))}, "system.yaml": {Data: []byte(replace.Replace(`services:
  store: {address: "{addr}", ready: {line: "never"}}
clients: {depends: {store: udp}}
effects:
  orders: {file: "{file}", format: json}
`))}},
				Paths: []string{"orders.feature"}, Dir: t.TempDir(), Seed: 7,
			})
			require.NoError(t, err)
			h := result.Book.Scenarios[0]
			require.NotNil(t, h.Load)
			assert.Equal(t, 100, h.Load.Sent)
			assert.Equal(t, 100, h.Load.Wire)
			v := verdict(t, h, c.check)
			assert.Equal(t, c.outcome, v.Outcome, v.Reason)
			total := h.Sum(func(journal.Sample) bool { return true })
			if !c.answered {
				assert.Zero(t, total.Sent)
				assert.Equal(t, 100, total.OneWay)
				assert.Empty(t, total.Errors)
				for _, r := range h.Requests.All() {
					assert.Equal(t, "ambiguous", r.Outcome)
				}
			}
		})
	}
}

// Loads with names of different kinds run beside each other: requests over HTTP by the clock or counted, and counted
// messages, whose replies are lost. Only the messages have keys, and the service applies some of them twice.
func TestDrillOfLoadsOfDifferentKinds(t *testing.T) {
	for name, browsing := range map[string][2]string{
		"by the clock": {"And the \"browsing\" load of 50 requests per second on \"GET /\"\n    And a baseline is measured for 1s", "And 200ms pass"},
		"counted":      {"And effects settle within 1s", `And 30 requests on "GET /" of the "browsing" load are sent, 3 at a time`},
	} {
		for _, once := range []bool{false, true} {
			t.Run(name+map[bool]string{false: ", applied twice", true: ", keyed"}[once], func(t *testing.T) {
				t.Parallel()
				run := func() (*journal.History, int64) {
					o := &orders{once: once, file: filepath.Join(t.TempDir(), "orders.log")}
					replace := strings.NewReplacer("{addr}", lengthsServer(t, o), "{file}", o.file, "{given}", browsing[0], "{when}", browsing[1])
					var asked atomic.Int64
					result, err := runner.Run(t.Context(), runner.Options{
						FS: fstest.MapFS{"orders.feature": {Data: []byte(replace.Replace(`Feature: Orders
  Scenario: Two loads
    Given the system described in "system.yaml"
    {given}
    And clients retry failed requests up to 5 times with the same key
    And clients give up after 1s
    And applied effects are read from "orders"
    When 30% of replies from "store" to "clients" are lost after the work was done
    And 100 length-prefixed messages of the "orders" load are sent to "store", 5 at a time:
      """
      order {{key}}
      """
    {when}
    Then no request is applied more than once
    And no acknowledged request is lost
    And at least 90% of requests of the "orders" load succeed
    And at least 99% of requests of the "browsing" load succeed
`))}, "system.yaml": {Data: []byte(replace.Replace(`services:
  store: {address: "{addr}"}
  front: {address: "127.0.0.1:1", serves: [/]}
clients: {depends: {store: {protocol: lengths, framing: {width: 2, little: true, includes: true, lockstep: true}}}}
effects:
  orders: {file: "{file}", format: json}
`))}},
						Paths: []string{"orders.feature"}, Dir: t.TempDir(), Seed: 7,
						Handlers: map[string]http.Handler{"front": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })},
					})
					require.NoError(t, err)
					return result.Book.Scenarios[0], asked.Load()
				}
				h, asked := run()
				for again := 0; again < 3 && !delivered(h); again++ { // this machine was busy
					h, asked = run()
				}
				require.ElementsMatch(t, []string{"orders", "browsing"}, h.LoadNames)
				sent, browsed := h.OfLoad("orders"), h.OfLoad("browsing")
				assert.Equal(t, 100, sent.Load.Sent)
				assert.Equal(t, 100, sent.Requests.Len())
				assert.Greater(t, sent.Load.Retries, 10)
				assert.Zero(t, browsed.Requests.Len(), "they have no keys")
				assert.EqualValues(t, browsed.Load.Sent, asked)
				assert.Equal(t, map[bool]string{false: "failed", true: "passed"}[once], verdict(t, h, twice).Outcome)
				assert.Equal(t, "passed", verdict(t, h, lost).Outcome)
				assert.Equal(t, "passed", verdict(t, h, `at least 90% of requests of the "orders" load succeed`).Outcome)
				if name == "counted" {
					assert.Equal(t, 30, browsed.Load.Sent)
					assert.Equal(t, "passed", verdict(t, h, `at least 99% of requests of the "browsing" load succeed`).Outcome)
				}
			})
		}
	}
}

// delivered reports whether the load was steady and on time.
func delivered(h *journal.History) bool {
	return !slices.ContainsFunc(h.Verdicts, func(v journal.Verdict) bool {
		return (v.Check == check.LoadDelivered{}.String() || v.Check == check.BaselineSteady{}.String()) && v.Outcome != check.Passed.String()
	})
}
