package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
)

// The doctor examines the proxy of a Toxiproxy server that a link leads through, and creates nothing there.
func TestDoctorExaminesToxiproxy(t *testing.T) {
	t.Parallel()
	server := machine.StartToxiproxy(t)
	write := func(settings string) string {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"system.yaml": fmt.Sprintf("services:\n  orders: {address: \"127.0.0.1:1\", serves: [/], depends: {db: {toxiproxy: {server: %q, proxy: db%s}}}}\n  db: {address: \"127.0.0.1:2\"}\n", server.URL, settings),
			"a.feature": `Feature: A
  Scenario: S
    Given the system described in "system.yaml"
    And a steady load of 10 requests per second on "GET /"
    When traffic from "orders" to "db" is delayed by 100ms for 1s
    Then at least 99% of requests succeed
`,
		} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		}
		return filepath.Join(dir, "a.feature")
	}
	existing, made := write(""), write(`, listen: "127.0.0.1:3"`)
	doctor := func(feature string) string {
		p := start(t, "", "doctor", feature)
		require.Zero(t, p.code(t), p.output())
		return p.output()
	}
	is := "the proxy \"db\" of the Toxiproxy server at " + server.URL
	require.Contains(t, doctor(existing), "– toxiproxy    "+is+": there is no such proxy")
	require.Contains(t, doctor(made), "✓ toxiproxy    "+is+"\n")
	_, err := toxiproxy.NewClient(server.URL).CreateProxy("db", "127.0.0.1:0", "127.0.0.1:2")
	require.NoError(t, err)
	require.Contains(t, doctor(existing), "✓ toxiproxy    "+is+"\n")
	server.Kill()
	require.Contains(t, doctor(made), "– toxiproxy    "+is+": nothing listens there")
}
