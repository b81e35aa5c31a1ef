package language

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

const sharedSystem = `services:
  orders: {command: [orders, "${link:pay}"], serves: [/], depends: {pay: {protocol: http, listen: "127.0.0.1:9191"}}}
  refunds: {command: [refunds, "${link:pay}"], depends: {pay: {protocol: http, listen: "127.0.0.1:9191"}}}
  pay: {command: [pay]}
`

func TestCallersShareAnAddress(t *testing.T) {
	t.Parallel()
	experiment := func(system, check string) ([]*scenarios.Experiment, error) {
		return read(fstest.MapFS{"system.yaml": {Data: []byte(system)}, "a.feature": {Data: []byte(`Feature: f
  Scenario: s
    Given the system described in "system.yaml"
    And a steady load of 100 requests per second on "POST /orders"
    When calls from "refunds" to "pay" are delayed by 300ms for 5s
    Then ` + check + "\n")}})
	}
	es, err := experiment(sharedSystem, "at least 99% of requests succeed during the fault")
	require.NoError(t, err)
	require.Len(t, es[0].System.Links, 1)
	assert.Equal(t, []string{"refunds"}, es[0].System.Links[0].Shared)
	placed := es[0].Steps[2].Do.(scenarios.Inject).Faults[0]
	assert.Equal(t, "orders -> pay", placed.On())
	assert.Contains(t, es[0].Warnings[0].What, `"orders", "refunds" share the address of this link`)

	free := strings.ReplaceAll(sharedSystem, `"127.0.0.1:9191"`, "shared") +
		"  mail: {command: [mail, \"${link:pay}\"], depends: {orders: {listen: shared}, pay: http}}\n"
	es, err = experiment(free, "at least 99% of requests succeed during the fault")
	require.NoError(t, err)
	var links []string
	for _, l := range es[0].System.Links {
		links = append(links, l.Name()+": "+l.Transport())
		assert.Empty(t, l.Address(), "a free port")
	}
	assert.Equal(t, []string{"orders -> pay: http, shared by refunds", "mail -> orders: tcp", "mail -> pay: http"}, links)

	var problems source.Problems
	_, err = experiment(sharedSystem, `"refunds" gives up on "pay" within 200ms`)
	require.ErrorAs(t, err, &problems)
	assert.Contains(t, problems[0].What, "cannot be told apart")

	for other, want := range map[string]string{
		`  mail: {command: [mail], depends: {pay: {protocol: tcp, listen: "127.0.0.1:9191"}}}` + "\n": "has other settings",
		`  post: {command: [post], depends: {pay: {listen: shared}}}` + "\n" +
			`  mail: {command: [mail], depends: {pay: {protocol: http, listen: shared}}}` + "\n": "has other settings",
		`  mail: {command: [mail], depends: {orders: {protocol: http, listen: "127.0.0.1:9191"}}}` + "\n": "listen at the same address",
	} {
		_, err = experiment(sharedSystem+other, "at least 99% of requests succeed during the fault")
		require.ErrorAs(t, err, &problems)
		assert.Contains(t, problems[0].What, want)
	}
}
