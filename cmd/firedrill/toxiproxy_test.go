package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	shopify "github.com/Shopify/toxiproxy/v2"
	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// toxiproxyClients is a module that requires Toxiproxy's client, command line and tests.
const toxiproxyClients = "testdata/toxiproxy"

// apiOf starts links up and returns the address of its API.
func apiOf(t *testing.T, args ...string) string {
	t.Helper()
	p := startWith(t, nil, nil, append([]string{"links", "up", "--api", "127.0.0.1:0"}, args...)...)
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	require.Eventually(t, func() bool { return strings.Contains(p.out.String(), "control socket is in") }, time.Minute, 10*time.Millisecond, "%s", p.errOut)
	return apiIn(p.out.String())
}

// apiIn returns the address of the API in the output of links up.
func apiIn(output string) string {
	return regexp.MustCompile(`API: (http://\S+)`).FindStringSubmatch(output)[1]
}

// toxiproxyServer starts Toxiproxy's own server and returns the address of its API.
func toxiproxyServer(t *testing.T) string {
	t.Helper()
	server := shopify.NewServer(shopify.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
	api := httptest.NewServer(server.Routes())
	t.Cleanup(func() {
		api.Close()
		assert.NoError(t, server.Collection.Clear())
	})
	return api.URL
}

// chosenPorts are ports of proxies that the system chose.
var chosenPorts = regexp.MustCompile(`(127\.0\.0\.1|\[::\]|localhost):\d{4,}`)

// transcript returns what a client prints, without ports.
func transcript(t *testing.T, env, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	code := ""
	if err != nil {
		code = err.Error() + "\n"
	}
	return chosenPorts.ReplaceAllString(string(out), "HERE") + code
}

// Toxiproxy's own tests of its API pass, with Toxiproxy's Go client. Only the ports, the version and the import of the
// server are changed in them.
func TestToxiproxysTestsPass(t *testing.T) {
	t.Parallel()
	api := apiOf(t)
	module, err := exec.CommandContext(t.Context(), "go", "list", "-C", toxiproxyClients, "-m", "-f", "{{.Dir}}", "github.com/Shopify/toxiproxy/v2").Output()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "api_test.go"))
	require.NoError(t, err)
	ports := map[string]string{"8475": strings.TrimPrefix(api, "http://127.0.0.1:")}
	changed := regexp.MustCompile(`(localhost|127\.0\.0\.1):\d+`).ReplaceAllStringFunc(string(text), func(address string) string {
		host, port, _ := net.SplitHostPort(address)
		if ports[port] == "" {
			ports[port] = machine.FreePort(t)
		}
		return host + ":" + ports[port]
	})
	changed = strings.Replace(changed, `"github.com/Shopify/toxiproxy/v2"`, `"github.com/firedrill-dev/firedrill/cmd/firedrill/testdata/toxiproxy"`, 1)
	changed = strings.Replace(changed, `\"git\"`, `\"`+toxiproxyVersion+`\"`, 1)

	dir := t.TempDir()
	write := func(name string, text []byte) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		return filepath.Join(dir, name)
	}
	folder, err := filepath.Abs(toxiproxyClients)
	require.NoError(t, err)
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(folder, "api_test.go"): write("api_test.go", []byte(changed))}})
	require.NoError(t, err)
	test := exec.CommandContext(t.Context(), "go", "test", "-C", toxiproxyClients, "-v", "-count", "1", "-overlay", write("overlay.json", overlay), ".")
	test.Env = append(os.Environ(), "TOXIPROXY_URL="+api)
	out, err := test.CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, strings.Count(string(text), "\nfunc Test"), strings.Count(string(out), "\n--- PASS"), "%s", out)
	assert.Greater(t, strings.Count(string(out), "\n--- PASS"), 30)
}

// Toxiproxy's command line prints the same as with its own server, and what it adds acts.
func TestToxiproxysCommandLine(t *testing.T) {
	t.Parallel()
	cli := filepath.Join(t.TempDir(), "toxiproxy-cli")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-C", toxiproxyClients, "-o", cli, "github.com/Shopify/toxiproxy/v2/cmd/cli").CombinedOutput()
	require.NoError(t, err, "%s", out)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	defer web.Close()
	ours, theirs := apiOf(t), toxiproxyServer(t)
	both := func(args ...string) string {
		t.Helper()
		is := transcript(t, "TOXIPROXY_URL="+ours, cli, args...)
		assert.Equal(t, transcript(t, "TOXIPROXY_URL="+theirs, cli, args...), is, "%v", args)
		return is
	}
	took := func() time.Duration {
		t.Helper()
		raw := exec.CommandContext(t.Context(), cli, "list")
		raw.Env = append(os.Environ(), "TOXIPROXY_URL="+ours)
		list, err := raw.Output()
		require.NoError(t, err)
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
		began := time.Now()
		resp, err := client.Get("http://" + chosenPorts.FindString(string(list)))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return time.Since(began)
	}
	both("list")
	assert.Equal(t, "Created new proxy web\n", both("create", "-l", "127.0.0.1:0", "-u", web.Listener.Addr().String(), "web"))
	assert.Contains(t, both("create", "-l", "127.0.0.1:0", "-u", "127.0.0.1:1", "web"), "proxy already exists")
	both("create", "-l", "local373", "-u", "127.0.0.1:1", "other")
	both("list")
	assert.Equal(t, "Added downstream latency toxic 'slow' on proxy 'web'\n", both("toxic", "add", "-n", "slow", "-t", "latency", "-a", "latency=300", "web"))
	assert.GreaterOrEqual(t, took(), 300*time.Millisecond)
	both("toxic", "add", "-t", "limit_data", "-u", "--tox", "0.1", "-a", "bytes=100", "web")
	both("toxic", "add", "-t", "latency", "-a", "latency=fast", "web")
	both("toxic", "add", "-t", "flood", "web")
	both("toxic", "add", "-t", "latency", "none")
	both("inspect", "web")
	both("inspect", "none")
	both("toxic", "update", "-n", "slow", "-a", "latency=0", "-a", "jitter=0", "web")
	both("toxic", "update", "-n", "none", "-a", "latency=0", "web")
	both("inspect", "web")
	assert.Equal(t, "Removed toxic 'slow' on proxy 'web'\n", both("toxic", "remove", "-n", "slow", "web"))
	both("toxic", "remove", "-n", "slow", "web")
	assert.Contains(t, both("toggle", "web"), "disabled")
	both("list")
	assert.Contains(t, both("toggle", "web"), "enabled")
	both("toggle", "none")
	assert.Equal(t, "Deleted proxy web\n", both("delete", "web"))
	both("delete", "web")
	both("list")
}

// Each function of the client for Node.js has the same result as with Toxiproxy's own server.
func TestToxiproxysNodeClient(t *testing.T) {
	t.Parallel()
	_, err := os.Stat(filepath.Join(toxiproxyClients, "node_modules"))
	machine.Need(t, err, "make install-tools")
	ours, theirs := apiOf(t), toxiproxyServer(t)
	check := func(api string) string {
		return transcript(t, "", "node", filepath.Join(toxiproxyClients, "check.mjs"), api, "127.0.0.1:1")
	}
	is := check(ours)
	assert.Equal(t, strings.Replace(check(theirs), `\"git\"`, `\"`+toxiproxyVersion+`\"`, 1), is)
	assert.Equal(t, 1, strings.Count(is, "populate: "), "%s", is)
	assert.Equal(t, 59, strings.Count(is, "\n"), "%s", is)
}

// Clients of the API obey the limits of the system file, with the texts that faults by hand get, and count with them.
func TestToxicsObeyLimits(t *testing.T) {
	t.Parallel()
	s := linksTo(t, "limits: {share: 50%, at_once: 1, duration: 30m}\n")
	c := toxiproxy.NewClient(apiIn(s.out.String()))
	p, err := c.Proxy("orders-payments")
	require.NoError(t, err)
	refusal := func(says string, err error) {
		t.Helper()
		var e *toxiproxy.ApiError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, http.StatusForbidden, e.Status)
		assert.Contains(t, e.Message, says)
	}
	add := func(kind string, toxicity float32, attributes toxiproxy.Attributes) error {
		_, err := p.AddToxic("", kind, "downstream", toxicity, attributes)
		return err
	}
	const much = "acts on 100% of the traffic of orders -> payments, and the limits of the system allow 50%"
	refusal(much, add("latency", 1, toxiproxy.Attributes{"latency": 400}))
	refusal(much, add("fault", 1, toxiproxy.Attributes{"sentence": `calls from "clients" to "orders-payments" are delayed by 400ms`}))
	refusal(much, p.Disable())
	refusal("forbid to delete or redirect it", p.Delete())
	_, err = s.call()
	require.NoError(t, err)

	require.NoError(t, add("timeout", 0.5, nil))
	const crowd = "2 faults would be live at the same time, and the limits of the system allow 1"
	refusal(crowd, add("latency", 0.5, toxiproxy.Attributes{"latency": 400}))
	code, said := firedrill(t, "inject", "--dir", s.runs, "50% of "+delayed+" for 30s")
	assert.Equal(t, usage, code)
	assert.Contains(t, said, crowd)
	_, err = p.UpdateToxic("timeout_downstream", 1, nil)
	refusal(much, err)
	require.NoError(t, p.RemoveToxic("timeout_downstream"))
	i := inject(t, "--dir", s.runs, "50% of "+delayed+" for 10m")
	refusal(crowd, add("latency", 0.5, toxiproxy.Attributes{"latency": 400}))
	require.NoError(t, c.ResetState())
	_ = i.Wait()

	p, err = c.CreateProxy("far", "127.0.0.1:0", "192.0.2.1:80")
	require.NoError(t, err)
	refusal(`"far" runs at 192.0.2.1:80, which is not this machine`, add("latency", 0.1, toxiproxy.Attributes{"latency": 400}))
	require.NoError(t, p.Delete())
}

// With a limit on the duration, what a client broke works again by itself.
func TestToxicsEndWithTheirTime(t *testing.T) {
	t.Parallel()
	s := linksTo(t, "limits: {duration: 100ms}\n")
	p, err := toxiproxy.NewClient(apiIn(s.out.String())).Proxy("orders-payments")
	require.NoError(t, err)
	works := func() bool { _, err := s.call(); return err == nil }
	for name, harm := range map[string]func() error{
		"a toxic":          func() error { _, err := p.AddToxic("", "reset_peer", "downstream", 1, nil); return err },
		"a disabled proxy": p.Disable,
	} {
		require.True(t, works(), name)
		require.Eventually(t, func() bool { // a slow test comes too late, and does it again
			_ = harm() // fails while it lasts
			return !works()
		}, time.Minute, 10*time.Millisecond, name)
		require.Eventually(t, works, time.Minute, 10*time.Millisecond, name)
	}
}
