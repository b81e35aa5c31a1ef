package process

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain makes the test binary act as the processes that the tests start.
func TestMain(m *testing.M) {
	if role := os.Getenv("ROLE"); role != "" {
		runRole(role)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/firedrill-dev/firedrill/injector/process.init.func1.1"))
}

func runRole(role string) {
	switch role {
	case "server", "stubborn":
		if role == "stubborn" {
			signal.Ignore(syscall.SIGTERM)
		}
		fmt.Println("about to listen")
		late, _ := time.ParseDuration(os.Getenv("LATE"))
		time.Sleep(late)
		mux := http.NewServeMux()
		mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") })
		mux.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, strings.Join(os.Environ(), "\n")) })
		fmt.Println(http.ListenAndServe(os.Getenv("ADDR"), mux)) //nolint:gosec // a test's server
	case "parent": // starts a grandchild in its own group and prints its PID
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "ROLE=sleeper")
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Printf("grandchild %d\n", child.Process.Pid)
		time.Sleep(time.Hour)
	case "sleeper":
		time.Sleep(time.Hour)
	case "session", "daemon": // starts a server in a session of its own, without a mark in its environment
		child := exec.Command(os.Args[0])
		child.Env = []string{"ROLE=server", "ADDR=" + os.Getenv("ADDR"), "LATE=" + os.Getenv("LATE")}
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			panic(err)
		}
		fmt.Printf("server %d\n", child.Process.Pid)
		if role == "session" {
			time.Sleep(time.Hour)
		}
	case "login": // starts a daemon as "su -" does, and exits at once
		login()
	case "race", "racer": // each process starts its successor after a pause and exits, while a file exists
		if pause, err := time.ParseDuration(os.Getenv("PAUSE")); err == nil {
			time.Sleep(pause)
		}
		if _, err := os.Stat(os.Getenv("ADDR")); err == nil {
			child := exec.Command(os.Args[0])
			child.Env = []string{"ROLE=race", "ADDR=" + os.Getenv("ADDR"), "PAUSE=" + os.Getenv("PAUSE")}
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: role == "racer"}
			if err := child.Start(); err != nil {
				panic(err)
			}
		}
		if role == "racer" {
			time.Sleep(time.Hour)
		}
	case "supervisor": // starts a server in a session of its own, and another one whenever it exits
		for {
			child := exec.Command(os.Args[0])
			child.Env = []string{"ROLE=server", "ADDR=" + os.Getenv("ADDR")}
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			_ = child.Run()
		}
	case "shared": // allows another program to listen at the same address
		ln, err := reuse.Listen(context.Background(), "tcp", os.Getenv("ADDR"))
		if err != nil {
			panic(err)
		}
		fmt.Println(http.Serve(ln, http.NotFoundHandler())) //nolint:gosec // a test's server
	case "interruptible": // exits on SIGINT only, and prints the signal
		signal.Ignore(syscall.SIGTERM)
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, os.Interrupt)
		fmt.Println("waits")
		fmt.Println("got", <-stop)
	case "careless": // leaves exited children that it does not wait for
		for range 20 {
			_ = exec.Command("sh", "-c", "(sleep 0.01 &)").Run()
		}
		fmt.Println("left them")
		time.Sleep(time.Hour)
	case "becomes root": // if its file is root's and has the set-user-ID bit
		if err := syscall.Setreuid(0, 0); err != nil {
			panic(err)
		}
		fmt.Println("is root")
		time.Sleep(time.Hour)
	case "asks": // starts a service that becomes another user, asks whether it may be signalled, and waits for the end of its input
		s := spec("tmp/log", "becomes root", "")
		s.Args, s.Ready = []string{os.Getenv("PROGRAM")}, Ready{Line: regexp.MustCompile("is root"), Within: patience}
		service, err := Start(context.Background(), s)
		if err != nil {
			panic(err)
		}
		_, err = service.CanSignal()
		fmt.Printf("%d\n%v\n", service.PID(), err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = service.Stop(context.Background())
	case "broken":
		fmt.Println("cannot open the database")
		os.Exit(3)
	case "killed": // a runner that leaves everything it can when it is killed
		runLeaver()
	case "runner": // starts a service like a runner, and waits to be killed
		s, err := Start(context.Background(), spec(os.Getenv("LOG"), "server", os.Getenv("ADDR")))
		if err != nil {
			panic(err)
		}
		if os.Getenv("HANG") != "" {
			if err := s.Hang(); err != nil {
				panic(err)
			}
		}
		fmt.Printf("started %d\n", s.PID())
		time.Sleep(time.Hour)
	}
	os.Exit(0)
}

// runLeaver is a runner with a daemon, another one behind a login, a server in its own session, and a
// Unix socket.
func runLeaver() {
	dir := os.Getenv("DIR")
	if url := os.Getenv("RESOURCE"); url != "" {
		if _, err := Record(url); err != nil {
			panic(err)
		}
	}
	if _, err := Record(filepath.Join(dir, "front.sock")); err != nil {
		panic(err)
	}
	front, err := net.Listen("unix", filepath.Join(dir, "front.sock"))
	if err != nil {
		panic(err)
	}
	defer front.Close() // never: this keeps it from being collected
	forget, err := Record(filepath.Join(dir, "kept.sock"))
	if err != nil {
		panic(err)
	}
	if _, err := net.Listen("unix", filepath.Join(dir, "kept.sock")); err != nil {
		panic(err)
	}
	forget()
	addrs := strings.Fields(os.Getenv("ADDRS"))
	for i, role := range []string{"daemon", "login", "session"} {
		if _, err := Start(context.Background(), spec(filepath.Join(dir, role), role, addrs[i])); err != nil {
			panic(err)
		}
		fmt.Printf("serves at %s\n", addrs[i])
	}
	racer := spec(filepath.Join(dir, "race"), "racer", filepath.Join(dir, "kept.sock"))
	racer.Env = append(racer.Env, "PAUSE="+os.Getenv("PAUSE"))
	if _, err := Start(context.Background(), racer); err != nil {
		panic(err)
	}
	fmt.Println("waits")
	OnLeaseEnd(func(err error) { fmt.Println("told:", err) })
	for {
		time.Sleep(10 * time.Millisecond)
		if err := LeaseEnded(); err != nil {
			_, err := Start(context.Background(), spec(filepath.Join(dir, "late"), "sleeper", ""))
			fmt.Println("refused:", err)
			time.Sleep(time.Hour)
		}
	}
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
