package language

import (
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// running returns an experiment whose system a file describes.
func running(t *testing.T, file string) *scenarios.Experiment {
	t.Helper()
	sys, err := system.Read(fstest.MapFS{"system.yaml": {Data: []byte(file)}}, "system.yaml", nil, Standard().protocols)
	require.NoError(t, err)
	return &scenarios.Experiment{System: sys}
}

func TestSentencesByHand(t *testing.T) {
	e := running(t, limited)
	in, err := Standard().ReadByHand(ByHand{Running: e, Sentence: `half of it`})
	require.Error(t, err)
	require.Empty(t, in.Faults)
	in, err = Standard().ReadByHand(ByHand{Running: e, Sentence: ` 50% of calls from "orders" to "payments" are delayed by 400ms for 30s `})
	require.NoError(t, err)
	require.Len(t, in.Faults, 1)
	assert.Equal(t, scenarios.Placed{ID: "fault-1", Kind: "slow calls", From: "orders", To: "payments", Fault: injector.SlowCalls{By: 400 * time.Millisecond, Pick: injector.Pick{Share: 0.5}}}, in.Faults[0])
	assert.Equal(t, 30*time.Second, in.For)
	assert.Empty(t, e.Steps, "the experiment stays as it is")

	cut := injector.Partition{These: []string{"orders"}, Those: []string{"payments", "stock"}}.Say("", "")
	in, err = Standard().ReadByHand(ByHand{Running: running(t, "services:\n  orders: {address: \"127.0.0.1:1\", depends: {payments: http, stock: http}}\n  payments: {address: \"127.0.0.1:2\"}\n  stock: {address: \"127.0.0.1:3\"}\n"), UntilHeal: true, Sentence: cut})
	require.NoError(t, err)
	assert.Zero(t, in.For)
	require.Len(t, in.Faults, 2, "one for each link")
	assert.Equal(t, "fault-1.2", in.Faults[1].ID)
}

// A sentence by hand is refused with the texts of features: what is unknown, with the nearest sentence; what is beyond the
// limits of the system; and what needs more than a sentence.
func TestRefusedSentencesByHand(t *testing.T) {
	const half = `50% of calls from "orders" to "payments" are delayed by 1s`
	live := []scenarios.Placed{
		{ID: "fault-1", From: "orders", To: "stock", Fault: injector.SlowCalls{By: 1}},
		{ID: "hand-1.1", From: "orders", To: "payments", Fault: injector.CutOff{}}, {ID: "hand-1.2", From: "clients", To: "orders", Fault: injector.CutOff{}},
	}
	for name, c := range map[string]struct {
		h    ByHand
		want []string
	}{
		"empty":               {ByHand{}, []string{"there is no sentence"}},
		"two lines":           {ByHand{Sentence: half + " for 1s\n" + half}, []string{"a sentence has one line"}},
		"mistyped":            {ByHand{Sentence: `calls from "orders" to "payments" are delaid by 400ms for 30s`}, []string{"this sentence is not known [unknown-sentence]", "did you mean", `are delayed by`}},
		"unknown service":     {ByHand{Sentence: `50% of calls from "orders" to "paiments" are delayed by 1s for 5s`}, []string{`there is no service "paiments" [unknown-name]`, `did you mean "payments"?`}},
		"no such link":        {ByHand{Sentence: `50% of calls from "payments" to "stock" are delayed by 1s for 5s`}, []string{`"payments" does not depend on "stock"`}},
		"wrong unit":          {ByHand{Sentence: `calls from "orders" to "payments" are delayed by 4 parsecs for 30s`}, []string{"parsecs", "bad-value"}},
		"no duration":         {ByHand{Sentence: half}, []string{"not said for how long", "for 30s"}},
		"both":                {ByHand{Sentence: half + " for 5s", UntilHeal: true}, []string{"leave out for how long"}},
		"a check":             {ByHand{Sentence: `at least 99% of requests succeed during the fault`}, []string{"is not a fault that can be injected by hand"}},
		"a description":       {ByHand{Sentence: `the system described in "system.yaml"`}, []string{"is not a fault that can be injected by hand"}},
		"healing":             {ByHand{Sentence: `"payments" starts again`}, []string{"is not a fault that can be injected by hand"}},
		"a table":             {ByHand{Sentence: `these faults run together for 5s:`}, []string{"a table has to follow"}},
		"another target":      {ByHand{Sentence: `"stock" crashes for 5s`}, []string{"stock is outside of the limits of the system", "[out-of-bounds]", `"payments", "orders -> stock"`}},
		"too large a share":   {ByHand{Sentence: `calls from "orders" to "payments" are delayed by 1s for 5s`}, []string{"acts on 100% of the traffic of orders -> payments", "allow 50%"}},
		"too long":            {ByHand{Sentence: half + " for 31s"}, []string{"would be live for 31s", "allow 30s"}},
		"for an unknown time": {ByHand{Sentence: half, UntilHeal: true}, []string{"whose duration is not known"}},
		"too many at once":    {ByHand{Sentence: half + " for 5s", Live: live}, []string{"3 faults would be live at the same time", "allow 2"}},
		"down already":        {ByHand{Sentence: `"payments" crashes for 5s`, Live: []scenarios.Placed{{ID: "fault-1", To: "payments", Fault: injector.Hang{}}}}, []string{`"payments" is down or hangs already`}},
	} {
		t.Run(name, func(t *testing.T) {
			c.h.Running = running(t, limited)
			in, err := Standard().ReadByHand(c.h)
			require.Error(t, err)
			assert.Empty(t, in.Faults)
			for _, want := range c.want {
				assert.Contains(t, err.Error(), want)
			}
		})
	}
	e := running(t, limited)
	e.BlastRadius = []string{"stock"}
	_, err := Standard().ReadByHand(ByHand{Running: e, Sentence: half + " for 5s"})
	require.ErrorContains(t, err, "outside of the blast radius")

	e = running(t, "services:\n  orders: {address: \"127.0.0.1:1\", depends: {payments: http}}\n  payments: {address: \"10.0.0.5:9090\"}\n")
	_, err = Standard().ReadByHand(ByHand{Running: e, Sentence: half + " for 5s"})
	require.ErrorContains(t, err, `"payments" runs at 10.0.0.5:9090, which is not this machine`)
	_, err = Standard().ReadByHand(ByHand{Running: e, Sentence: half + " for 5s", AllowTargets: []string{"10.0.0.5"}})
	require.NoError(t, err)
}
