package main

import (
	"bytes"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestInitAsksOnATerminal(t *testing.T) {
	t.Chdir(t.TempDir())
	o := initOptions{dir: "features", services: []string{"web=127.0.0.1:1", "orders=127.0.0.1:2"}}
	var out bytes.Buffer
	require.NoError(t, o.run(&out, strings.NewReader("orders\n\n")))
	assert.Contains(t, out.String(), "Which service shall the load call? [web]")
	feature, err := os.ReadFile("features/first.feature")
	require.NoError(t, err)
	assert.Contains(t, string(feature), `replies from "orders" to "clients"`)
	assert.Contains(t, string(feature), `on "GET /"`, "an empty line is the usual answer")
}

func TestInitFindsPrograms(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	found, err := candidates(dir)
	require.NoError(t, err)
	var addresses []string
	for _, c := range found {
		assert.NotEmpty(t, c.name)
		addresses = append(addresses, c.address)
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	assert.Contains(t, addresses, "127.0.0.1:"+port)

	names := map[string]bool{}
	for _, c := range found {
		assert.False(t, names[c.name], "two services are named %s", c.name)
		names[c.name] = true
	}
}

func TestPublishedPorts(t *testing.T) {
	for entry, want := range map[string]string{"8080:80": "8080", "127.0.0.1:8080:80": "8080", "8080:80/tcp": "8080", "80": "", "8000-8010:80": "", "${PORT}:80": ""} {
		assert.Equal(t, want, publishedPort(entry), entry)
	}
	assert.Equal(t, "9090", publishedPort(map[string]any{"published": strconv.Itoa(9090), "target": 80}))
}
