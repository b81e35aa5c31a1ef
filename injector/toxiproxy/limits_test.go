package toxiproxy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	client "github.com/Shopify/toxiproxy/v2/client"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/toxiproxy"
)

// Whatever would act is asked for, with how many other faults are live, and a refusal changes nothing.
func TestAdmission(t *testing.T) {
	var asked []string
	admit := func(p toxiproxy.Proxy, f injector.Fault, others int) error {
		portion := 1.
		if part, ok := f.(interface{ Portion() float64 }); ok {
			portion = part.Portion()
		}
		asked = append(asked, fmt.Sprintf("%s: %s on %v beside %d", p.Name, f.Kind().Name, portion, others))
		if portion > 0.5 {
			return fmt.Errorf("too much of %s", p.Name)
		}
		return nil
	}
	c, _ := start(t, toxiproxy.Config{Limits: toxiproxy.Limits{Admit: admit}})
	p, err := c.CreateProxy("echo", "127.0.0.1:0", echo(t))
	require.NoError(t, err)
	refused := func(err error) {
		t.Helper()
		var e *client.ApiError
		require.ErrorAs(t, err, &e)
		assert.Equal(t, client.ApiError{Status: 403, Message: "too much of echo"}, *e)
	}
	_, err = p.AddToxic("", "latency", "upstream", 1, client.Attributes{"latency": 100})
	refused(err)
	_, err = p.AddToxic("", "latency", "upstream", 1, nil)
	require.NoError(t, err, "it has no effect")
	_, err = p.UpdateToxic("latency_upstream", -1, client.Attributes{"latency": 100})
	refused(err)
	_, err = p.UpdateToxic("latency_upstream", 0.5, client.Attributes{"latency": 100})
	require.NoError(t, err)
	_, err = p.UpdateToxic("latency_upstream", 0.6, nil)
	refused(err)
	_, err = p.AddToxic("", "timeout", "downstream", 0.25, nil)
	require.NoError(t, err)
	refused(p.Disable())
	p, err = c.Proxy("echo")
	require.NoError(t, err)
	assert.True(t, p.Enabled)
	assert.Len(t, p.ActiveToxics, 2)
	assert.InDelta(t, 0.5, p.ActiveToxics[0].Toxicity, 0.001)
	assert.Equal(t, []string{
		"echo: toxic on 1 beside 0", "echo: toxic on 1 beside 0", "echo: toxic on 0.5 beside 0", "echo: toxic on 0.6 beside 0",
		"echo: toxic on 0.25 beside 1", "echo: refuse on 1 beside 2",
	}, asked)
}

// Toxics end when their time is over, whatever changed them meanwhile, and disabled proxies are enabled again.
func TestLongest(t *testing.T) {
	c, _ := start(t, toxiproxy.Config{Limits: toxiproxy.Limits{Longest: 100 * time.Millisecond}})
	p, err := c.CreateProxy("echo", "127.0.0.1:0", echo(t))
	require.NoError(t, err)
	none := func() bool { toxics, err := p.Toxics(); return err == nil && len(toxics) == 0 }
	_, err = p.AddToxic("", "limit_data", "downstream", 1, client.Attributes{"bytes": 2})
	require.NoError(t, err)
	require.Eventually(t, none, time.Minute, 5*time.Millisecond)
	answer, _, err := say(p.Listen)
	require.NoError(t, err)
	assert.Equal(t, "hello\n", answer, "it acts no more")
	_, err = p.AddToxic("", "latency", "downstream", 1, nil)
	require.NoError(t, err)
	_, err = p.UpdateToxic("latency_downstream", -1, client.Attributes{"latency": 1})
	require.NoError(t, err)
	require.Eventually(t, none, time.Minute, 5*time.Millisecond, "since it has an effect")

	require.NoError(t, p.Disable())
	require.Eventually(t, func() bool { p, err := c.Proxy("echo"); return err == nil && p.Enabled }, time.Minute, 5*time.Millisecond)
	_, _, err = say(p.Listen)
	require.NoError(t, err)
}

// Proxies that a client made can be deleted and redirected; those of the program are kept.
func TestKeep(t *testing.T) {
	s := toxiproxy.New(toxiproxy.Config{Limits: toxiproxy.Limits{Keep: true}})
	defer s.Close()
	upstream := echo(t)
	require.NoError(t, s.Add(toxiproxy.Proxy{Name: "kept", Upstream: upstream, Enabled: true}))
	require.NoError(t, s.Populate(strings.NewReader(`[{"name": "other", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"}]`)))
	for method, refused := range map[string]string{"DELETE": "", "PATCH": `{"upstream": "127.0.0.1:2"}`, "POST": `{"listen": "127.0.0.1:0", "enabled": false}`} {
		is := ask(t, s, request{method: method, path: "/proxies/kept", body: refused})
		assert.Equal(t, "403 Forbidden", is.status)
		assert.Contains(t, is.body, "forbid to delete or redirect it")
		is = ask(t, s, request{method: method, path: "/proxies/other", body: refused})
		assert.Regexp(t, "^20|^404", is.status)
	}
	is := ask(t, s, request{method: "POST", path: "/populate", body: `[{"name": "kept", "upstream": "127.0.0.1:2"}]`})
	assert.Equal(t, "403 Forbidden", is.status)
	proxies := s.Proxies()
	_, _, err := say(proxies[0].Listen)
	require.NoError(t, err)
}
