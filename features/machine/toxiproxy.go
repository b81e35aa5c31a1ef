package machine

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// toxiproxyVariable is the environment variable that makes a test binary a Toxiproxy server, which listens at its value.
const toxiproxyVariable = "FIREDRILL_TEST_TOXIPROXY"

// Packages are initialized before main and before tests, so that a server does nothing else.
var _ = serveToxiproxyIfAsked()

func serveToxiproxyIfAsked() bool {
	addr := os.Getenv(toxiproxyVariable)
	if addr == "" {
		return false
	}
	toxiproxy.Version = "2.12.0"
	err := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()).Listen(addr)
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
	return true
}

// Toxiproxy is Toxiproxy's own server, in a process of its own.
type Toxiproxy struct {
	URL  string // of its API
	addr string
	cmd  *exec.Cmd
}

// StartToxiproxy starts a server, which ends with the test.
func StartToxiproxy(t testing.TB) *Toxiproxy {
	t.Helper()
	s := &Toxiproxy{addr: FreeAddr(t)}
	s.URL = "http://" + s.addr
	s.Start(t)
	t.Cleanup(s.Kill)
	return s
}

// Start starts the server again after Kill. It has no proxies then.
func (s *Toxiproxy) Start(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(os.Args[0]) //nolint:gosec // this test binary
	s.cmd.Env = append(os.Environ(), toxiproxyVariable+"="+s.addr)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Since(began) > time.Minute {
			t.Fatal(err)
		}
	}
}

// Kill kills the server and waits for its end.
func (s *Toxiproxy) Kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	http.DefaultClient.CloseIdleConnections() // of clients of its API
}

// Signal sends a signal to the server.
func (s *Toxiproxy) Signal(signal os.Signal) error { return s.cmd.Process.Signal(signal) }
