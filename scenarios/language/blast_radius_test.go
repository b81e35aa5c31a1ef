package language

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

const limited = `services:
  orders: {command: ["${self}"], serves: [/orders], depends: {payments: http, stock: http}}
  payments: {command: ["${self}"]}
  stock: {command: ["${self}"]}
limits: {targets: [payments, "orders -> stock"], share: 50%, at_once: 2, duration: 30s}
`

// A fault within the limits is planned. One beyond any of them is a mistake, so that nothing starts.
func TestLimitsOfFaults(t *testing.T) {
	const half = `When 50% of calls from "orders" to "payments" are delayed by 1s`
	for name, c := range map[string]struct {
		steps []string
		want  []string // nil if it is within the limits
	}{
		"within all":            {[]string{half + " for 30s"}, nil},
		"a service":             {[]string{`When "payments" crashes for 5s`}, nil},
		"a link":                {[]string{`When 50% of calls from "orders" to "stock" are delayed by 1s for 5s`}, nil},
		"every second call":     {[]string{`When every 2nd of the calls from "orders" to "payments" are delayed by 1s for 5s`}, nil},
		"two at once":           {[]string{half, `And "payments" crashes for 5s`}, nil},
		"one after the other":   {[]string{half + " for 5s", half + " for 5s", half + " for 5s"}, nil},
		"another service":       {[]string{`When "stock" crashes for 5s`}, []string{"stock is outside of the limits of the system", `"payments", "orders -> stock"`, "`targets`"}},
		"the caller":            {[]string{`When "orders" hangs for 5s`}, []string{"orders is outside of the limits"}},
		"too large a share":     {[]string{`When 51% of calls from "orders" to "payments" are delayed by 1s for 5s`}, []string{"acts on 51% of the traffic of orders -> payments", "allow 50%", "`share`"}},
		"all calls":             {[]string{`When calls from "orders" to "payments" are delayed by 1s for 5s`}, []string{"acts on 100%"}},
		"all connections":       {[]string{`When "payments" refuses connections from "orders" for 5s`}, []string{"acts on 100%"}},
		"some of first calls":   {[]string{`When the first 10 calls from "orders" to "payments" are delayed by 1s for 5s`}, []string{"acts on 100%"}},
		"three at once":         {[]string{half, half, `And "payments" crashes for 5s`}, []string{"3 faults would be live at the same time", "allow 2", "`at_once`"}},
		"too long":              {[]string{half + " for 31s"}, []string{"would be live for 31s", "allow 30s", "`duration`"}},
		"too long until healed": {[]string{half, "And 20s pass", "And 20s pass", "And the fault is healed"}, []string{"would be live for 40s"}},
		"too long until checks": {[]string{half, "And 31s pass"}, []string{"would be live for 31s"}},
		"a series":              {[]string{`When "payments" crashes 3 times, 20s apart`, "And 5s pass"}, []string{"would be live for"}},
		"until a person says":   {[]string{half, `And the facilitator confirms "go on"`}, []string{"as long as a step takes whose duration is not known"}},
		"a partition":           {[]string{`When "orders" and "stock" are cut off from each other for 5s`}, []string{"acts on 100%"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, problems := parseOver(limited, append(append([]string{steadyLoad}, c.steps...), allSucceed)...)
			if c.want == nil {
				require.Empty(t, problems)
				var b strings.Builder
				require.NoError(t, scenarios.Plan(&b, []*scenarios.Experiment{e}))
				assert.Contains(t, b.String(), "limits        only on payments, orders -> stock; at most 50% of the traffic of a link; at most 2 at the same time; each at most for 30s\n")
				return
			}
			for _, want := range c.want {
				assert.Contains(t, problems, want)
			}
			assert.Contains(t, problems, "a.feature:")
			assert.Contains(t, problems, "1 problem; nothing was started")
		})
	}
}

func TestMistakesInLimits(t *testing.T) {
	for limits, want := range map[string]string{
		`{targets: [payment]}`:           `there is no service or link "payment"`,
		`{targets: []}`:                  "no target is listed",
		`{share: 0%}`:                    "allows no fault on a link",
		`{share: half}`:                  `"half" is not a share`,
		`{at_once: 0}`:                   "a number of faults",
		`{at_once: "2"}`:                 "a number of faults",
		`{duration: long}`:               `"long"`,
		`{most: 2}`:                      `no key "most"`,
		`[payments]`:                     "has to be a mapping",
		`{targets: ["stock -> orders"]}`: `there is no service or link "stock -> orders"`,
	} {
		file := strings.Split(limited, "limits:")[0] + "limits: " + limits + "\n"
		_, problems := parseOver(file, steadyLoad, `When 1% of calls from "orders" to "payments" are delayed by 1s for 5s`, allSucceed)
		assert.Contains(t, problems, want, limits)
		assert.Contains(t, problems, "system.yaml:5", limits)
	}
}

// A service on another machine has to be allowed, whether faults act on it or only the load reaches it.
func TestServicesOnOtherMachines(t *testing.T) {
	of := func(address, more string) string {
		return "services:\n  orders: {command: [\"${self}\"], serves: [/], depends: {payments: http}}\n  payments: {address: \"" + address + "\"}\n" + more
	}
	steps := []string{steadyLoad, `When calls from "orders" to "payments" are delayed by 1s for 5s`, allSucceed}
	for _, address := range []string{"127.0.0.1:80", "127.8.8.8:80", "localhost:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "unix:/tmp/s"} {
		sys, err := system.Read(fstest.MapFS{"s.yaml": {Data: []byte(of(address, ""))}}, "s.yaml", nil, Standard().protocols)
		require.NoError(t, err)
		assert.Empty(t, sys.Outside(nil), address)
	}
	for _, address := range []string{"10.0.0.5:80", "8.8.8.8:80", "0.0.0.0:80", "[::]:80", "[2001:db8::1]:80", "[::ffff:8.8.8.8]:80", "payments:80", "localhost.example.com:80", "127.0.0.1.nip.io:80", "169.254.169.254:80", "2130706433:80", "0x7f000001:80"} {
		_, problems := parseOver(of(address, ""), steps...)
		assert.Contains(t, problems, `"payments" runs at `+address+", which is not this machine", address)
		assert.Contains(t, problems, "--allow-target "+address)
		assert.Contains(t, problems, "a.feature:3")
	}
	_, problems := parseOver(of("10.0.0.5:80", `allow: ["10.0.0.5:80"]`+"\n"), steps...)
	assert.Empty(t, problems, "an address")
	_, problems = parseOver(of("10.0.0.5:80", `allow: ["10.0.0.5"]`+"\n"), steps...)
	assert.Empty(t, problems, "a host")
	_, problems = parseOver(of("10.0.0.5:80", `allow: ["10.0.0.5:81", "10.0.0"]`+"\n"), steps...)
	assert.Contains(t, problems, "which is not this machine", "another address")

	text := "Feature: a\n  Scenario: b\n    Given the system described in \"system.yaml\"\n    " + strings.Join(steps, "\n    ") + "\n"
	s := Source{FS: fstest.MapFS{"system.yaml": {Data: []byte(of("10.0.0.5:80", ""))}, "a.feature": {Data: []byte(text)}}, Paths: []string{"."}}
	_, err := Parse(s)
	require.ErrorContains(t, err, "which is not this machine")
	s.AllowTargets = []string{"10.0.0.5"}
	_, err = Parse(s)
	require.NoError(t, err)
}
