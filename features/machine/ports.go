package machine

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// FreeAddr returns an address of this machine where nothing listens, and which no other test gets before t has ended. Its port
// is below those that outgoing connections and port 0 take, and those that runs give to services.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for try := 0; ; try++ {
		port := 10_000 + rand.IntN(10_000) //nolint:gosec // any will do
		err := claim(t, port)
		if err == nil {
			return fmt.Sprint("127.0.0.1:", port)
		}
		if try == 1000 {
			t.Fatalf("find a free port: %v", err)
		}
	}
}

// FreePort returns the port of FreeAddr.
func FreePort(t testing.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(FreeAddr(t))
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// claimed holds the ports that tests of this process have.
var claimed sync.Map

// claim claims a port until t has ended, if nothing listens there and no other test has it. On Linux, the claim is an abstract
// Unix socket, which other processes see.
func claim(t testing.TB, port int) error {
	t.Helper()
	if _, taken := claimed.LoadOrStore(port, true); taken {
		return errors.New("another test has the port")
	}
	held := io.Closer(io.NopCloser(nil))
	release := func() { _ = held.Close(); claimed.Delete(port) }
	if runtime.GOOS == "linux" {
		name, err := net.Listen("unix", fmt.Sprint("@firedrill-test-port-", port))
		if err != nil {
			release()
			return err
		}
		held = name
	}
	ln, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
	if err != nil {
		release()
		return err
	}
	syscall.ForkLock.RLock() // a process that is being started meanwhile would hold the listener until it executes its program
	_ = ln.Close()
	syscall.ForkLock.RUnlock()
	t.Cleanup(release)
	return nil
}
