package sources

import (
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/runner"
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
			total := h.Total("", "")
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
