package sources

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// grpcRow returns a kind of load for messages with a text.
func grpcRow(proto string) loadRow { return loadRow{kind: "grpc", proto: proto} }

func create(text string) scenarios.Route {
	return scenarios.Route{Path: "shop.Orders/Create", Body: text}
}

// The table of what each code means, over a real server. It follows the codes of google.golang.org/grpc/codes.
func TestCodesOfGRPC(t *testing.T) {
	addr, file := grpcServer(t, &orders{}, false), protoFile(t)
	want := map[int]load.Outcome{
		1: load.Ambiguous, 2: load.Ambiguous, 3: load.Refused, 4: load.Ambiguous, 5: load.Refused, 6: load.Ambiguous, 7: load.Refused, 8: load.Refused,
		9: load.Refused, 10: load.Ambiguous, 11: load.Refused, 12: load.Refused, 13: load.Ambiguous, 14: load.Ambiguous, 15: load.Ambiguous, 16: load.Refused,
	}
	require.Len(t, grpcNames, len(want)+1)
	for code, outcome := range want {
		c := grpcRow(file).client(t, t.Context(), create(`{"quantity": `+strconv.Itoa(-code)+`}`), addr, nil, nil)
		e, a := c.send(0)
		assert.Equal(t, outcome, e.Outcome, grpcNames[code])
		assert.Equal(t, "error "+grpcNames[code], a.Kind)
		assert.Equal(t, grpcNames[code]+" 100% wrong", a.Answer.Body)
		assert.Equal(t, outcome == load.Ambiguous || code == grpcExhausted, load.ShouldRetry(a), grpcNames[code])
	}
}

// What is known of a method comes from a file, or from the server itself, and a call carries what clients send.
func TestCallsOfGRPC(t *testing.T) {
	for name, file := range map[string]string{"by the file": protoFile(t), "by server reflection": ""} {
		t.Run(name, func(t *testing.T) {
			o := &orders{}
			addr := grpcServer(t, o, file == "")
			c := grpcRow(file).client(t, t.Context(), create(`{"quantity": 2, "item": {"name": "a"}, "at": "2026-01-02T03:04:05Z"}`), addr, nil, func(cfg *load.Config) {
				cfg.Load.GiveUp, cfg.Load.Key = 5*time.Second, scenarios.HeaderKey("Order-Key")
				cfg.Load.Headers = []scenarios.Header{{Name: "Tenant", Value: "acme {{n}}"}}
			})
			for n := range uint64(2) {
				e, a := c.send(n)
				require.Equal(t, load.Acknowledged, e.Outcome, "%+v", a)
				assert.JSONEq(t, `{"id": "o-`+e.Key+`"}`, a.Answer.Body)
			}
			assert.Equal(t, []string{"acme 1"}, o.sent[1].Get("tenant"))
			assert.Regexp(t, `^00-[0-9a-f]{16}0{15}1-`, o.sent[1].Get("traceparent")[0])
			assert.Equal(t, 2, appliedAt(t, addr))
		})
	}
}

// The server knows for how long the client waits.
func TestDeadlineOfGRPC(t *testing.T) {
	assert.Equal(t, "1u", grpcTimeout(-time.Second))
	assert.Equal(t, "1500000u", grpcTimeout(1500*time.Millisecond))
	assert.Equal(t, "20000m", grpcTimeout(20*time.Second))
	assert.Equal(t, "99999999m", grpcTimeout(100*time.Hour))
}

// What the generator cannot send is its own error, and says what to do.
func TestCallsThatCannotBeMade(t *testing.T) {
	file := protoFile(t)
	for name, c := range map[string]struct {
		proto string
		route scenarios.Route
		want  string
	}{
		"an unknown method":         {file, scenarios.Route{Path: "shop.Orders/Delete", Body: "{}"}, `knows no method "shop.Orders/Delete"`},
		"an unknown service":        {file, scenarios.Route{Path: "shop.Order/Create", Body: "{}"}, `knows no method "shop.Order/Create"`},
		"a stream":                  {file, scenarios.Route{Path: "shop.Orders/Watch", Body: "{}"}, `the method "shop.Orders/Watch" is a stream`},
		"another field":             {file, create(`{"amount": 1}`), "a message is no shop.Order in JSON"},
		"no reflection":             {"", create(`{}`), "the service has no server reflection"},
		"a file that is not there":  {filepath.Join(t.TempDir(), "orders.proto"), create(`{}`), "cannot be compiled"},
		"a method of another name":  {file, scenarios.Route{Path: "shop.Orders/create", Body: "{}"}, "knows no method"},
		"a message instead of type": {file, scenarios.Route{Path: "shop.Order/key", Body: "{}"}, "knows no method"},
	} {
		t.Run(name, func(t *testing.T) {
			e, a := grpcRow(c.proto).client(t, t.Context(), c.route, grpcServer(t, &orders{}, false), nil, nil).send(0)
			assert.True(t, e.Unsent)
			assert.Contains(t, a.Kind, c.want)
		})
	}
	_, a := grpcRow("").client(t, t.Context(), scenarios.Route{Path: "shop.Orders/Delete"}, grpcServer(t, &orders{}, true), nil, nil).send(0)
	assert.Contains(t, a.Kind, `server reflection knows no method "shop.Orders/Delete"`)
	_, a = grpcRow("").client(t, t.Context(), scenarios.Route{Path: "shop.Basket/Add"}, grpcServer(t, &orders{}, true), nil, nil).send(0)
	assert.Contains(t, a.Kind, `server reflection knows no method "shop.Basket/Add"`)
}

// Replies of gRPC are lost on the link: a service that repeats an order applies it twice, and one that remembers the key does not.
func TestDrillOfCalls(t *testing.T) {
	for name, once := range map[string]bool{"applied twice": false, "keyed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &orders{once: once, file: filepath.Join(t.TempDir(), "orders.log")}
			addr := grpcServer(t, o, false)
			h := drillLoad(t, strings.NewReplacer("{addr}", addr, "{file}", o.file, "{proto}", protoFile(t)).Replace(`services:
  store: {address: "{addr}", proto: "{proto}"}
clients: {depends: {store: grpc}}
effects:
  orders: {file: "{file}", format: json}
`), `100 calls of "shop.Orders/Create" are sent to "store", 5 at a time:`, `{"key": "{{key}}", "quantity": 1}`)
			assert.Equal(t, map[bool]string{false: "failed", true: "passed"}[once], verdict(t, h, twice).Outcome)
			assert.Equal(t, "passed", verdict(t, h, lost).Outcome)
			assert.Equal(t, "passed", verdict(t, h, served).Outcome)
			for _, a := range h.Accounts {
				if a.ToServer {
					assert.EqualValues(t, h.Load.Wire, a.Received, "each attempt is one call on the link")
				}
			}
		})
	}
}

// A server refuses streams, such as while it drains its connections: nothing was applied, and nothing is sent again
// unless the policy of clients says so.
func TestRefusedStreamOfGRPC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var calls atomic.Int32
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				f := http2.NewFramer(conn, conn)
				_ = f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					if h, ok := frame.(*http2.HeadersFrame); ok {
						calls.Add(1)
						_ = f.WriteRSTStream(h.StreamID, http2.ErrCodeRefusedStream)
					}
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	for retries, want := range []int{1, 2} {
		calls.Store(0)
		c := grpcRow(protoFile(t)).client(t, t.Context(), create(`{"key": "{{key}}"}`), ln.Addr().String(), nil, func(cfg *load.Config) { cfg.Load.Retries = retries })
		e, a := c.send(0)
		assert.Equal(t, load.Refused, e.Outcome)
		assert.Equal(t, "error UNAVAILABLE", a.Kind)
		assert.Equal(t, want, e.Wire)
		assert.EqualValues(t, want, calls.Load())
		c.Close()
	}
}

// A service that speaks TLS is called over TLS, and one whose certificate is not trusted is not.
func TestGRPCOverTLS(t *testing.T) {
	https := httptest.NewUnstartedServer(nil)
	https.StartTLS()
	defer https.Close()
	addr := grpcServer(t, &orders{}, true, grpc.Creds(credentials.NewServerTLSFromCert(&https.TLS.Certificates[0])))
	trusted := x509.NewCertPool()
	trusted.AddCert(https.Certificate())
	for kind, roots := range map[string]*x509.CertPool{"": trusted, "TLS failure": x509.NewCertPool()} {
		c := grpcRow("").client(t, t.Context(), create(`{"key": "{{key}}"}`), addr, nil, func(cfg *load.Config) {
			cfg.Trust = load.Trust{addr: &tls.Config{RootCAs: roots, ServerName: "example.com"}} //nolint:gosec // a test's
		})
		e, a := c.send(0)
		assert.Equal(t, kind, a.Kind)
		assert.Equal(t, map[bool]load.Outcome{true: load.Acknowledged, false: load.Refused}[kind == ""], e.Outcome)
	}
}

// FuzzAnswerOfGRPC reads any answer without a panic.
func FuzzAnswerOfGRPC(f *testing.F) {
	f.Add("0", "", 200, []byte{0, 0, 0, 0, 1, 'x'})
	f.Add("3", "100%25 wrong", 200, []byte{})
	f.Add("", "", 503, []byte("busy"))
	f.Fuzz(func(t *testing.T, status, message string, code int, body []byte) {
		resp := &http.Response{StatusCode: code, Header: http.Header{}, Trailer: http.Header{"Grpc-Status": {status}, "Grpc-Message": {message}}}
		got, answer, err := grpcAnswer(resp, body)
		if err == nil {
			assert.NotEmpty(t, grpcNames[got.code])
			assert.LessOrEqual(t, len(answer), len(body))
		}
	})
}

// FuzzAnswerOfReflection reads any answer of server reflection without a panic.
func FuzzAnswerOfReflection(f *testing.F) {
	f.Add([]byte{0x22, 3, 0x0a, 1, 'x'})
	f.Add([]byte{0x3a, 2, 8, 5})
	f.Fuzz(func(t *testing.T, raw []byte) {
		n := 0
		_ = eachField(raw, func(_ protowire.Number, value []byte) error {
			n += len(value)
			return nil
		})
		assert.LessOrEqual(t, n, len(raw))
	})
}
