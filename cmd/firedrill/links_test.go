package main

import (
	"bufio"
	"cmp"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Links of a system file and of a configuration file of Toxiproxy stand until they are interrupted. Toxiproxy's client
// controls them, faults on single calls included.
func TestLinksUp(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	payments := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	defer payments.Close()
	dir := t.TempDir()
	write := func(name, text string) string {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
		return filepath.Join(dir, name)
	}
	address := payments.Listener.Addr().String()
	cmd := exec.CommandContext(t.Context(), built(t), "links", "up", "--api", "127.0.0.1:0",
		write("system.yaml", "services:\n  payments: {address: \""+address+"\"}\nclients: {depends: {payments: http}}\n"),
		"--populate", write("toxiproxy.json", `[{"name": "plain", "listen": "127.0.0.1:0", "upstream": "`+address+`", "enabled": true}]`))
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	var api string
	said := ""
	for api == "" && lines.Scan() {
		said += lines.Text() + "\n"
		if found := regexp.MustCompile(`API: http://(\S+)`).FindStringSubmatch(lines.Text()); found != nil {
			api = found[1]
		}
	}
	assert.Regexp(t, `clients-payments  127.0.0.1:\d+ -> `+address+"\nplain  127", said)

	c := toxiproxy.NewClient(api)
	p, err := c.Proxy("clients-payments")
	require.NoError(t, err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	call := func() error {
		resp, err := client.Post("http://"+p.Listen+"/charge", "text/plain", strings.NewReader("5"))
		if err == nil {
			_ = resp.Body.Close()
		}
		return err
	}
	require.NoError(t, call())
	const sentence = `replies from "clients-payments" to "clients" are lost after the work was done`
	_, err = p.AddToxic("lost", "fault", "downstream", 1, toxiproxy.Attributes{"sentence": sentence})
	require.NoError(t, err)
	require.Error(t, call())
	assert.Equal(t, int64(2), served.Load(), "the work was done")
	require.NoError(t, p.RemoveToxic("lost"))
	require.NoError(t, call())

	for sentence, says := range map[string]string{
		`replies from "payments" to "clients" get lost`:                         "this sentence is not known",
		`replies from "payments" to "clients" are lost after the work was done`: `there is no service "payments"`,
		sentence + " for 5s": "leave out for how long",
		`every acknowledged request is applied exactly once`:                                     "is not a fault that",
		sentence + "\n    When calls from \"clients\" to \"clients-payments\" are delayed by 1s": "a sentence has one line",
	} {
		_, err := p.AddToxic("", "fault", "downstream", 1, toxiproxy.Attributes{"sentence": sentence})
		require.ErrorContains(t, err, says, sentence)
	}

	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	require.NoError(t, cmd.Wait())
	require.Error(t, call(), "the link is closed")
}

// What Toxiproxy's API cannot say of a link is refused, not left out.
func TestLinksThatCannotBeOpenedAlone(t *testing.T) {
	t.Parallel()
	sys := system.System{Services: []system.Service{{Name: "payments", Address: "127.0.0.1:1"}}}
	_, err := proxyOf(sys, system.Link{From: "clients", To: "payments", Protocol: "lines"})
	require.NoError(t, err)
	for name, l := range map[string]system.Link{
		"a length":   {Protocol: "lengths", Framing: message.Framing{Width: 2}},
		"lockstep":   {Protocol: "lines", Framing: message.Framing{Lockstep: true}},
		"datagrams":  {Protocol: "udp", Row: &message.Protocol{Name: "udp", UDP: true}},
		"TLS":        {Protocol: "http", TLS: &system.TLS{}},
		"a port":     {Protocol: "http", Port: "admin"},
		"PROXY":      {Protocol: "http", ProxyProtocol: "v1"},
		"no address": {To: "ledger", Protocol: "http"},
	} {
		l.From, l.To = "clients", cmp.Or(l.To, "payments")
		_, err := proxyOf(sys, l)
		require.Error(t, err, name)
	}
}
