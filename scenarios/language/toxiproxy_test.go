package language

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios"
)

// overToxiproxy returns a system file with a link whose settings are link.
func overToxiproxy(link string) string {
	return "services:\n  orders: {command: [\"${self}\"], serves: [/orders], depends: {payments: " + link + "}}\n  payments: {command: [\"${self}\"]}\n"
}

const throughDB = `{protocol: http, toxiproxy: {server: "127.0.0.1:8474", proxy: db}}`

// Each kind of fault on a link through a Toxiproxy server is planned, or is refused with a place, a cause and a remedy.
func TestFaultsThroughToxiproxy(t *testing.T) {
	for fault, want := range map[string]string{
		`traffic from "orders" to "payments" is delayed by 50ms, give or take 20ms`:                   "",
		`one-way traffic from "payments" to "orders" is delayed by 50ms`:                              "",
		`traffic from "orders" to "payments" is limited to 64 KB per second`:                          "",
		`traffic from "orders" to "payments" is sliced into pieces of 64 B, 10ms apart`:               "",
		`"orders" and "payments" are cut off from each other`:                                         "",
		`requests from "orders" never reach "payments"`:                                               "",
		`"orders" is cut off from "payments"`:                                                         "",
		`connections from "orders" to "payments" fall silent`:                                         "",
		`connections from "orders" to "payments" are reset`:                                           "",
		`connections from "orders" to "payments" are closed after 4 KB`:                               "",
		`connections from "orders" to "payments" close 2s late`:                                       "",
		`the toxic "latency" with "latency=800" is on traffic from "orders" to "payments"`:            "",
		`calls from "orders" to "payments" are delayed by 800ms`:                                      `no toxic for the fault "slow calls"`,
		`10% of replies from "payments" to "orders" are lost after the work was done`:                 `no toxic for the fault "lost replies"`,
		`30% of calls from "orders" to "payments" answer with status 503`:                             `no toxic for the fault "answered calls"`,
		`"payments" refuses connections from "orders"`:                                                `no toxic for the fault "refuse"`,
		`latency from "orders" to "payments" ramps from 0ms to 800ms over 20s`:                        `no toxic for the fault "ramp"`,
		`all traffic from "orders" to "payments" together is limited to 64 KB per second`:             `no toxic for the fault "shared bandwidth"`,
		`20% of connections from "orders" to "payments" are reset`:                                    "choice of connections is random",
		`traffic from "orders" to "payments" is delayed by 50ms, give or take 20ms, with a long tail`: `no toxic for the fault "slow traffic"`,
		`traffic from "orders" to "payments" is limited to 1500 B per second`:                         "in whole KB",
		`the toxic "timeout" is on traffic on 20% of connections from "orders" to "payments"`:         "choice of connections is random",
		`connections from "orders" to "payments" are reset after 2s`:                                  "cannot be removed while it waits",
	} {
		e, problems := parseOver(overToxiproxy(throughDB), steadyLoad, "When "+fault+" for 30s", allSucceed)
		if want != "" {
			assert.Contains(t, problems, want, fault)
			assert.Contains(t, problems, "the link orders -> payments leads through a Toxiproxy server", fault)
			assert.Contains(t, problems, "a.feature:", fault)
			assert.Contains(t, problems, "leave `toxiproxy` out of the link", fault)
			continue
		}
		if assert.Empty(t, problems, fault) {
			var b strings.Builder
			require.NoError(t, scenarios.Plan(&b, []*scenarios.Experiment{e}))
			assert.Contains(t, b.String(), `through the proxy "db" of the Toxiproxy server at http://127.0.0.1:8474, whose toxics act on all of its clients`)
			assert.Contains(t, b.String(), "is removed from the proxy, which is read back")
		}
	}
}

func TestMistakesInToxiproxy(t *testing.T) {
	delayed := `When traffic from "orders" to "payments" is delayed by 1s for 5s`
	for link, want := range map[string]string{
		`{toxiproxy: db}`:                                                                    "has to be a mapping",
		`{toxiproxy: {proxy: db}}`:                                                           "needs the server and the proxy",
		`{toxiproxy: {server: "127.0.0.1:8474"}}`:                                            "needs the server and the proxy",
		`{toxiproxy: {server: "127.0.0.1:8474", proxy: "a/b"}}`:                              `"a/b" cannot be the name of a proxy`,
		`{toxiproxy: {server: localhost, proxy: db}}`:                                        "is not the URL of a Toxiproxy server",
		`{toxiproxy: {server: "ftp://127.0.0.1:8474", proxy: db}}`:                           "is not the URL of a Toxiproxy server",
		`{toxiproxy: {server: "http://127.0.0.1:8474/proxies", proxy: db}}`:                  "is not the URL of a Toxiproxy server",
		`{toxiproxy: {server: "http://a:b@127.0.0.1:8474", proxy: db}}`:                      "is not the URL of a Toxiproxy server",
		`{toxiproxy: {server: "127.0.0.1:8474", proxy: db, listen: here}}`:                   `"here"`,
		`{toxiproxy: {server: "127.0.0.1:8474", proxy: db, listen: "unix:/tmp/db"}}`:         "knows no Unix sockets",
		`{toxiproxy: {server: "127.0.0.1:8474", proxy: db, upstream: "db:5432"}}`:            "`upstream` without `listen`",
		`{toxiproxy: {server: "127.0.0.1:8474", proxy: db, toxics: []}}`:                     `no key "toxics"`,
		`{protocol: http, tls: terminate, toxiproxy: {server: "127.0.0.1:8474", proxy: db}}`: "let TLS pass through",
		`{protocol: dns, toxiproxy: {server: "127.0.0.1:8474", proxy: db}}`:                  "Toxiproxy carries TCP",
	} {
		_, problems := parseOver(overToxiproxy(link), steadyLoad, delayed, allSucceed)
		assert.Contains(t, problems, want, link)
		assert.Contains(t, problems, "system.yaml:2", link)
	}
	_, problems := parseOver(overToxiproxy(`{toxiproxy: {server: "127.0.0.1:8474", proxy: db, listen: "127.0.0.1:15432", upstream: "db:5432"}}`), steadyLoad, delayed, allSucceed)
	assert.Empty(t, problems)
}

// A server on another machine has to be allowed.
func TestToxiproxyOnAnotherMachine(t *testing.T) {
	system := overToxiproxy(`{toxiproxy: {server: "http://10.0.0.5:8474", proxy: db}}`)
	steps := []string{steadyLoad, `When traffic from "orders" to "payments" is delayed by 1s for 5s`, allSucceed}
	_, problems := parseOver(system, steps...)
	assert.Contains(t, problems, "the Toxiproxy server of the link orders -> payments runs at 10.0.0.5:8474, which is not this machine")
	assert.Contains(t, problems, `allow: ["10.0.0.5:8474"]`)
	_, problems = parseOver(system+`allow: ["10.0.0.5:8474"]`+"\n", steps...)
	assert.Empty(t, problems)
}

// What is built in Go is validated as what is read.
func TestToxiproxyInGo(t *testing.T) {
	for want, proxy := range map[string]scenarios.Toxiproxy{
		"needs the server and the proxy":       {},
		"is not the URL of a Toxiproxy server": {Server: "127.0.0.1:8474", Proxy: "db"},
		"cannot be the name of a proxy":        {Server: "http://127.0.0.1:8474", Proxy: "a/b"},
		"`upstream` without `listen`":          {Server: "http://127.0.0.1:8474", Proxy: "db", Upstream: "db:1"},
	} {
		_, err := scenarios.New("a").System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Address: "127.0.0.1:1", Serves: []string{"/"}}},
			Links:    []scenarios.Link{{From: scenarios.Clients, To: "orders", Toxiproxy: &proxy}},
		}).Build()
		require.ErrorContains(t, err, want)
	}
}
