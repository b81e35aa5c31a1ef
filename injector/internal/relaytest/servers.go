package relaytest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/features/machine"
	"github.com/firedrill-dev/firedrill/injector/process"
)

// FindProgram finds the program of a real server. If it is missing, the test is skipped, or fails where all tests
// must run.
func FindProgram(t testing.TB, name, debian string) string {
	t.Helper()
	path, err := process.LookPath(name)
	machine.Need(t, err, "apt-get install "+debian)
	return path
}

// StartServer starts a real server on a free port, in a directory of its own. Its arguments may contain {port} and
// {dir}.
func StartServer(t testing.TB, args ...string) (addr string) {
	t.Helper()
	addr = machine.FreeAddr(t)
	_, port, _ := net.SplitHostPort(addr)
	dir := t.TempDir()
	for i, arg := range args {
		args[i] = strings.NewReplacer("{port}", port, "{dir}", dir).Replace(arg)
	}
	svc, err := process.Start(t.Context(), process.Spec{
		Name: filepath.Base(args[0]), Args: args, Dir: dir, Log: filepath.Join(dir, "log"), Ready: process.Ready{TCP: addr, Within: 30 * time.Second}, Grace: 5 * time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, svc.Stop(context.Background())) })
	return addr
}

func RedisServer(t testing.TB) string {
	return StartServer(t, FindProgram(t, "redis-server", "redis-server"), "--port", "{port}", "--bind", "127.0.0.1", "--dir", "{dir}", "--save", "", "--appendonly", "no")
}

// identity is a certificate for 127.0.0.1 and the CA that issued it.
type identity struct {
	own  tls.Certificate
	Pool *x509.CertPool
}

// NewIdentity returns a certificate that is its own CA.
func NewIdentity(t testing.TB) identity {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.StartTLS()
	srv.Close()
	id := identity{srv.TLS.Certificates[0], x509.NewCertPool()}
	id.Pool.AddCert(srv.Certificate())
	return id
}

func (id identity) Server() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{id.own}} }

func (id identity) Client() *tls.Config {
	return &tls.Config{RootCAs: id.Pool, ServerName: "127.0.0.1"}
}

// files writes the certificate and its key as PEM files.
func (id identity) files(t testing.TB) (cert, key string) {
	t.Helper()
	raw, err := x509.MarshalPKCS8PrivateKey(id.own.PrivateKey)
	require.NoError(t, err)
	cert, key = filepath.Join(t.TempDir(), "cert"), filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.own.Certificate[0]}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return cert, key
}

// RedisServerTLS starts redis-server with only a TLS port.
func RedisServerTLS(t testing.TB) string {
	cert, key := NewIdentity(t).files(t)
	return StartServer(t, FindProgram(t, "redis-server", "redis-server"), "--port", "0", "--tls-port", "{port}", "--bind", "127.0.0.1", "--dir", "{dir}", "--save", "", "--appendonly", "no",
		"--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
}

// PostgresServer starts PostgreSQL without authentication.
func PostgresServer(t testing.TB) (addr string) {
	return startPostgres(t, func(string) []string { return nil })
}

// PostgresServerTLS starts PostgreSQL without authentication. It accepts only TLS.
func PostgresServerTLS(t testing.TB) (addr string) {
	return startPostgres(t, func(data string) []string {
		cert, key := NewIdentity(t).files(t)
		own := func(name, file string) string { // PostgreSQL reads the key only if it is its own
			raw, err := os.ReadFile(file)
			require.NoError(t, err)
			path := filepath.Join(data, name)
			require.NoError(t, os.WriteFile(path, raw, 0o600))
			if info, err := os.Stat(data); os.Geteuid() == 0 {
				require.NoError(t, err)
				owner := info.Sys().(*syscall.Stat_t)
				require.NoError(t, os.Chown(path, int(owner.Uid), int(owner.Gid)))
			}
			return path
		}
		require.NoError(t, os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte("hostssl all all 127.0.0.1/32 trust\n"), 0o600))
		return []string{"-c", "ssl=on", "-c", "ssl_cert_file=" + own("server.crt", cert), "-c", "ssl_key_file=" + own("server.key", key)}
	})
}

// startPostgres starts PostgreSQL with the settings that prepare returns for its data directory. PostgreSQL refuses to
// run as root, so it uses the user of Debian's package.
func startPostgres(t testing.TB, prepare func(data string) []string) (addr string) {
	initdb, postgres := FindProgram(t, "initdb", "postgresql"), FindProgram(t, "postgres", "postgresql")
	var as []string
	if os.Geteuid() == 0 {
		as = []string{FindProgram(t, "setpriv", "util-linux"), "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"}
	}
	dir, err := os.MkdirTemp("", "postgres") // only root may read t.TempDir
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o777)) //nolint:gosec // that user's files are its own
	data := filepath.Join(dir, "data")
	args := slices.Concat(as, []string{initdb, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C", "--encoding=UTF8"})
	init := exec.CommandContext(t.Context(), args[0], args[1:]...) //nolint:gosec // a test's
	init.Dir = dir
	out, err := init.CombinedOutput()
	require.NoError(t, err, "%s", out)
	as = append(as, postgres, "-D", data, "-p", "{port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off")
	addr = StartServer(t, append(as, prepare(data)...)...)
	WaitUntil(t, "it has started up", func() bool { // it accepts connections earlier
		c, err := PGDial(t.Context(), addr)
		if err == nil {
			_ = c.Close(t.Context())
		}
		return err == nil
	})
	return addr
}
