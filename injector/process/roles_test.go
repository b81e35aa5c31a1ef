package process

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runLeaver is a runner with a daemon, another one behind a login, a server in its own session, a Unix
// socket and a directory.
func runLeaver() {
	dir := os.Getenv("DIR")
	Record(filepath.Join(dir, "front.sock"))
	if _, err := net.Listen("unix", filepath.Join(dir, "front.sock")); err != nil {
		panic(err)
	}
	Record(filepath.Join(dir, "firedrill-data"))
	if err := os.Mkdir(filepath.Join(dir, "firedrill-data"), 0o700); err != nil {
		panic(err)
	}
	forget := Record(filepath.Join(dir, "kept.sock"))
	if _, err := net.Listen("unix", filepath.Join(dir, "kept.sock")); err != nil {
		panic(err)
	}
	forget()
	for _, role := range []string{"daemon", "login", "session"} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			panic(err)
		}
		_ = ln.Close()
		if _, err := Start(context.Background(), spec(filepath.Join(dir, role), role, ln.Addr().String())); err != nil {
			panic(err)
		}
		fmt.Printf("serves at %s\n", ln.Addr())
	}
	if _, err := Start(context.Background(), spec(filepath.Join(dir, "race"), "racer", filepath.Join(dir, "kept.sock"))); err != nil {
		panic(err)
	}
	fmt.Println("waits")
	time.Sleep(time.Hour)
}

// login starts a daemon as "su -" does: in another session, with an environment and a limit without
// marks.
func login() {
	const rttime = 15 // RLIMIT_RTTIME, on Linux
	if err := syscall.Setrlimit(rttime, &syscall.Rlimit{Cur: 1<<64 - 1, Max: 1<<64 - 1}); err != nil {
		panic(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = []string{"ROLE=daemon", "ADDR=" + os.Getenv("ADDR"), "LATE=" + os.Getenv("LATE")}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := child.Start(); err != nil {
		panic(err)
	}
}

// reuse listens at an address that other programs may share.
var reuse = net.ListenConfig{Control: sharePort}

func sharePort(_, _ string, c syscall.RawConn) (err error) {
	other := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	if other != nil {
		return other
	}
	return err
}
