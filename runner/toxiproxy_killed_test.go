package runner_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// runUnderToxics runs a drill through the proxy "found", which exists, and through "made", which is created. It is killed.
func runUnderToxics() {
	proxy := func(name, listen string) *scenarios.Toxiproxy {
		return &scenarios.Toxiproxy{Server: os.Getenv("SERVER"), Proxy: name, Listen: listen}
	}
	system := scenarios.System{
		Services: []scenarios.Service{{Name: "orders", Address: "127.0.0.1:1", Serves: []string{"/orders"}}, {Name: "stock", Handler: &orders{}, Serves: []string{"/stock"}}},
		Links: []scenarios.Link{
			{From: scenarios.Clients, To: "orders", Protocol: "http", Toxiproxy: proxy("found", "")},
			{From: scenarios.Clients, To: "stock", Protocol: "http", Toxiproxy: proxy("made", os.Getenv("LISTEN"))},
		},
	}
	e, err := scenarios.New("killed").System(system).
		Together(
			scenarios.Placed{From: scenarios.Clients, To: "orders", Fault: injector.CutOff{}},
			scenarios.Placed{From: scenarios.Clients, To: "stock", Fault: injector.SlowTraffic{By: 10 * time.Millisecond}},
		).For(10 * time.Minute).Build()
	if err == nil {
		_, err = runner.RunExperiments(context.Background(), runner.Options{Dir: filepath.Join(os.Getenv("DIR"), "runs")}, e)
	}
	panic(err)
}

// What a killed run has put on a server is removed by its guardian: toxics, and a proxy that it created. The proxy and the
// toxic of others stay.
func TestKilledRunLeavesNoToxics(t *testing.T) {
	t.Parallel()
	server := machine.StartToxiproxy(t)
	api := toxiproxy.NewClient(server.URL)
	found, err := api.CreateProxy("found", "127.0.0.1:0", "127.0.0.1:1")
	require.NoError(t, err)
	other, err := api.CreateProxy("other", "127.0.0.1:0", "127.0.0.1:1")
	require.NoError(t, err)
	_, err = other.AddToxic("theirs", "latency", "downstream", 1, toxiproxy.Attributes{"latency": 1})
	require.NoError(t, err)

	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "ROLE=killed under toxics", "DIR="+t.TempDir(), "SERVER="+server.URL, "LISTEN="+machine.FreeAddr(t), "TMPDIR="+t.TempDir())
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	toxics := func(proxy string) int {
		is, err := api.Proxy(proxy)
		if err != nil {
			return -1
		}
		return len(is.ActiveToxics)
	}
	require.Eventually(t, func() bool { return toxics("found") == 2 && toxics("made") == 2 }, time.Minute, 10*time.Millisecond)

	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool { return toxics("found") == 0 && toxics("made") == -1 }, time.Minute, 10*time.Millisecond)
	assert.Equal(t, 1, toxics("other"))
	_, err = found.Toxics()
	require.NoError(t, err)
}
