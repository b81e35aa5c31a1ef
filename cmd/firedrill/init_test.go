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

	"github.com/firedrill-dev/firedrill/injector/process"
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
	found, _, err := candidates(dir)
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
	variables := func(name string) string { return map[string]string{"PORT": "7070"}[name] }
	for entry, want := range map[string]string{
		"8080:80": "8080", "127.0.0.1:8080:80": "8080", "8080:80/tcp": "8080", "80": "", "8000-8010:80": "", "8080:80/udp": "",
		"9090-9091:8080-8081": "9090", "${PORT}:80": "7070", "$PORT:80": "7070", "127.0.0.1:${OTHER:-6060}:80": "6060", "${OTHER}:80": "",
	} {
		assert.Equal(t, want, publishedPort(entry, variables), entry)
	}
	assert.Equal(t, "9090", publishedPort(map[string]any{"published": strconv.Itoa(9090), "target": 80}, variables))
	assert.Empty(t, publishedPort(map[string]any{"published": 53, "target": 53, "protocol": "udp"}, variables))
	assert.Empty(t, publishedPort(uint64(80), variables))
}

func TestProcfile(t *testing.T) {
	for line, want := range map[string][]string{
		"web: bin/web -p 80":                   {"bin/web", "-p", "80"},
		"web: bin/web -p $PORT":                {"sh", "-c", "exec bin/web -p $PORT"},
		"web: bin/web -p ${PORT:-3000}":        {"sh", "-c", "exec bin/web -p $PORT"},
		"web: bin/web :${PORT} ${MODE}":        {"sh", "-c", "exec bin/web :$PORT $MODE"},
		"web: MODE=fast bin/web":               {"sh", "-c", "MODE=fast bin/web"},
		"web: cd app && npm start":             {"sh", "-c", "cd app && npm start"},
		"release: bin/migrate":                 nil,
		"# web: bin/web":                       nil,
		"web: bin/web --data='{\"a\": \"b\"}'": {"sh", "-c", `exec bin/web --data='{"a": "b"}'`},
	} {
		all := fromProcfile(line)
		if want == nil {
			assert.Empty(t, all, line)
			continue
		}
		require.Len(t, all, 1, line)
		assert.Equal(t, want, all[0].command, line)
	}
}

func TestNamesOfServices(t *testing.T) {
	all := withNames([]candidate{
		{name: "web", depends: map[string]string{"clients": "http"}}, {name: "clients"}, {name: "web"}, {name: "my shop"}, {name: "..."}, {name: "é"},
	})
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	assert.Equal(t, []string{"web", "clients-2", "web-2", "my-shop", "...", "service"}, names)
	assert.Equal(t, map[string]string{"clients-2": "http"}, all[0].depends)
	assert.Equal(t, "first", fromPorts([]process.Listener{{Port: 1, Program: "python3 first.py"}, {Port: 2}})[0].name)
	for name, want := range map[string]string{"web": "web", "web.2": "web.2", "on": `"on"`, "NULL": `"NULL"`, "7": `"7"`, "1e3": `"1e3"`} {
		assert.Equal(t, want, yamlKey(name))
	}
}
