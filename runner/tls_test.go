package runner_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// newTLSServer starts a net/http server that speaks TLS, and returns the file with its certificate.
func newTLSServer(t *testing.T, h http.Handler, h2 bool) (address, ca string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = h2
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // discard errors of aborted TLS connections, which the faults cause
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca = filepath.Join(t.TempDir(), "orders.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	return srv.Listener.Addr().String(), ca
}

// drillOverTLS is like drill with orders at an address, behind a link that terminates TLS.
func drillOverTLS(name, address string, by scenarios.TLS, l scenarios.Load) *scenarios.Builder {
	l.Rate, l.GiveUp = 50, 30*time.Second
	l.Mix = []scenarios.Route{{Method: "POST", Path: "/orders", Body: `{"n":{{n}}}`, Share: 1}}
	return scenarios.New(name).
		System(scenarios.System{
			Services: []scenarios.Service{{Name: "orders", Address: address, Serves: []string{"/"}}},
			Links:    []scenarios.Link{{From: "clients", To: "orders", Protocol: "http", TLS: &by}},
		}).
		Load(l).
		Baseline(time.Second)
}

func TestLostRepliesInsideTLS(t *testing.T) {
	t.Parallel()
	for name, forgets := range map[string]bool{"keys are remembered": false, "keys are forgotten": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o *orders
			res := runner.Steadily(t, func() (*runner.Result, error) {
				o = &orders{forgets: forgets}
				address, ca := newTLSServer(t, o, false)
				return runner.RunExperiments(t.Context(), runner.Options{Dir: t.TempDir()}, build(t, drillOverTLS(name, address, scenarios.TLS{CA: ca}, keyedLoad()).
					EffectsFrom("GET /ledger").EffectsSettle(time.Second).
					Inject("clients", "orders", injector.LoseReplies{Pick: pickShare(0.2)}).For(2*time.Second).
					Check(check.ExactlyOnce{})))
			})
			h := res.Book.Scenarios[0]
			require.NotEmpty(t, h.Faults)
			assert.Positive(t, h.Faults[0].Affected)
			assert.Positive(t, h.Load.Retries, "lost replies are asked for again")
			assert.Equal(t, h.Load.Attempts, h.Load.Wire)
			assert.Empty(t, h.Notes)
			arrived, _ := o.counts()
			assert.Equal(t, h.Load.Wire, arrived, "all of it came inside TLS")
			want := "passed"
			if forgets {
				want = "failed"
			}
			assert.Equal(t, want, verdict(t, h, check.ExactlyOnce{}).Outcome)
			assert.Equal(t, want, res.Outcome)
			raw, err := os.ReadFile(filepath.Join(res.Dir, "ca.pem"))
			require.NoError(t, err)
			require.True(t, x509.NewCertPool().AppendCertsFromPEM(raw))
			assert.NotContains(t, string(raw), "KEY")
		})
	}
}

// runOverTLS runs a scenario whose front calls orders at an address over TLS while replies are lost.
// how describes the link in the system file.
func runOverTLS(t *testing.T, address, how string) (*runner.Result, *journal.History) {
	t.Helper()
	return runAsking(t, address, how, "calls", func(_ context.Context, address string, trust *tls.Config) error {
		tr := &http.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr, Timeout: 5 * time.Second}).Get("https://" + address)
		if err == nil {
			resp.Body.Close()
		}
		return err
	})
}

// runAsking is runOverTLS with another way to ask: at the address of the link, and trusting its CA, if it has one.
func runAsking(t *testing.T, address, how, unit string, askAt func(ctx context.Context, address string, trust *tls.Config) error) (*runner.Result, *journal.History) {
	t.Helper()
	files := fstest.MapFS{
		"system.yaml": {Data: []byte(fmt.Sprintf("services:\n  front:\n    depends:\n      orders: %s\n  orders: {address: %q}\n", how, address))},
		"a.feature": {Data: []byte(`Feature: Orders
  Scenario: replies are lost
    Given the system described in "system.yaml"
    When replies from "orders" to "front" are lost after the work was done
    And the front asks
    Then at least 1 ` + unit + ` from "front" to "orders" were affected by the fault
`)},
	}
	ask := func(ctx context.Context) error {
		system := runner.FromContext(ctx)
		roots := x509.NewCertPool()
		if file := system.CA(); file != "" {
			raw, err := os.ReadFile(file)
			if err != nil || !roots.AppendCertsFromPEM(raw) {
				return fmt.Errorf("read the run's CA: %w", err)
			}
		}
		trust := &tls.Config{RootCAs: roots, InsecureSkipVerify: system.CA() == "", ServerName: "127.0.0.1"}
		err := askAt(ctx, system.Link("front", "orders"), trust)
		t.Log("asked:", err)
		return nil // the drill is about missing answers
	}
	res, err := runner.Run(t.Context(), runner.Options{
		FS: files, Paths: []string{"a.feature"}, Dir: t.TempDir(), Handlers: map[string]http.Handler{"front": http.NotFoundHandler()},
		Steps: []runner.Step{{Pattern: `^the front asks$`, Do: ask}},
	})
	require.NoError(t, err)
	h := res.Book.Scenarios[0]
	t.Logf("%s: %s", res.Outcome, strings.Join(runner.Failures(h), "\n"))
	return res, h
}

func TestTLSOfASystemFile(t *testing.T) {
	t.Parallel()
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &orders{}
			address, ca := newTLSServer(t, o, h2)
			res, h := runOverTLS(t, address, fmt.Sprintf("{protocol: http, tls: terminate, upstream_ca: %q}", ca))
			assert.Equal(t, "passed", res.Outcome)
			require.NotEmpty(t, h.Faults)
			assert.EqualValues(t, 1, h.Faults[0].Affected)
			arrived, _ := o.counts()
			assert.Equal(t, 1, arrived, "the work was done")
			assert.Empty(t, h.Notes)
		})
	}
}

// TestPostgresInsideTLS verifies that clients of PostgreSQL, which request TLS in plain text, can use a link that
// terminates it.
func TestPostgresInsideTLS(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler()) // for its certificate
	srv.StartTLS()
	srv.Close()
	ca := filepath.Join(t.TempDir(), "db.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	var queries atomic.Int64
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go servePostgres(c, srv.TLS, &queries)
		}
	}()
	res, h := runAsking(t, ln.Addr().String(), fmt.Sprintf("{protocol: postgres, tls: terminate, upstream_ca: %q}", ca), "messages",
		func(ctx context.Context, address string, trust *tls.Config) error {
			cfg, err := pgconn.ParseConfig("postgres://postgres@" + address + "/postgres?sslmode=require")
			require.NoError(t, err)
			cfg.TLSConfig, cfg.Fallbacks = trust, nil
			c, err := pgconn.ConnectConfig(ctx, cfg)
			if err != nil {
				return err
			}
			defer c.Close(context.Background())
			return c.Exec(ctx, "SELECT 1").Close()
		})
	assert.Equal(t, "passed", res.Outcome)
	require.NotEmpty(t, h.Faults)
	assert.EqualValues(t, 1, h.Faults[0].Affected)
	assert.EqualValues(t, 1, queries.Load(), "the work was done")
	assert.Empty(t, h.Notes)
}

// servePostgres is a PostgreSQL that accepts TLS only, and answers each query with nothing.
func servePostgres(c net.Conn, cfg *tls.Config, queries *atomic.Int64) {
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 8)); err != nil { // SSLRequest
		return
	}
	_, _ = io.WriteString(c, "S")
	s := tls.Server(c, cfg)
	b := pgproto3.NewBackend(s, s)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	for {
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		if b.Flush() != nil {
			return
		}
		if m, err := b.Receive(); err != nil {
			return
		} else if _, ok := m.(*pgproto3.Query); !ok {
			return
		}
		queries.Add(1)
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 0")})
	}
}

func TestUnparsedTLSIsInconclusive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ how, told string }{
		"an unknown CA signed the certificate": {"{protocol: http, tls: terminate}", "certificate signed by unknown authority"},
		"it passes through":                    {"http", "it is TLS, which the link does not end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, _ := newTLSServer(t, &orders{}, true)
			res, h := runOverTLS(t, address, c.how)
			assert.Equal(t, "inconclusive", res.Outcome)
			require.Len(t, h.Notes, 1, "each reason once")
			assert.Contains(t, h.Notes[0].Text, c.told)
			assert.Contains(t, h.Notes[0].Text, `link "front -> orders"`)
		})
	}
}

func TestUnreadableCA(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.pem")
	require.NoError(t, os.WriteFile(empty, []byte("nothing"), 0o600))
	for file, told := range map[string]string{"certs/none.pem": "certs/none.pem", empty: "no certificate in PEM format"} {
		res, h := runOverTLS(t, "127.0.0.1:1", fmt.Sprintf("{protocol: http, tls: terminate, upstream_ca: %q}", file))
		assert.Equal(t, "inconclusive", res.Outcome)
		assert.Contains(t, h.End.Reason, told)
		assert.Contains(t, h.End.Reason, `link "front -> orders"`)
	}
}

// TestServicesGetTheCA starts a service that reads the file given by ${ca}.
func TestServicesGetTheCA(t *testing.T) {
	t.Parallel()
	e := build(t, scenarios.New("given").System(scenarios.System{
		Services: []scenarios.Service{
			{Name: "orders", Command: []string{"sh", "-c", `cat "$CA" && exec sleep 60`}, Env: map[string]string{"CA": "${ca}"}, Ready: scenarios.Ready{Line: "END CERTIFICATE"}},
			{Name: "payments", Address: "127.0.0.1:1"},
		},
		Links: []scenarios.Link{{From: "orders", To: "payments", Protocol: "http", TLS: &scenarios.TLS{}}},
	}).Wait(time.Millisecond))
	res, h := run(t, runner.Options{}, e)
	require.NotContains(t, h.End.Reason, "orders", "the service came up")
	output, err := os.ReadFile(filepath.Join(res.Dir, "scenarios", "given", "logs", "orders.log"))
	require.NoError(t, err)
	ca, err := os.ReadFile(filepath.Join(res.Dir, "ca.pem"))
	require.NoError(t, err)
	assert.Contains(t, string(output), string(ca))
}

// No certificate is written to the folder of a run that needs none.
func TestRunWithoutTLSHasNoCA(t *testing.T) {
	t.Parallel()
	res, _ := run(t, runner.Options{}, build(t, drill("plain", &orders{}, scenarios.Load{}).
		Inject("clients", "orders", injector.SlowCalls{By: time.Millisecond}).For(time.Second).
		Check(check.Success{Ratio: 0.9})))
	assert.NoFileExists(t, filepath.Join(res.Dir, "ca.pem"))
}
