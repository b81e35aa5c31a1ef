package runner_test

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
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/runner"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// playRole makes this test binary act as a service, or as a runner that is killed.
func playRole(role string) {
	switch role {
	case "server", "front", "stubborn", "late", "chatty":
		if role == "stubborn" {
			signal.Ignore(syscall.SIGTERM)
		}
		if role == "late" { // all starts but the first take very long
			if _, err := os.Stat("lived"); err == nil {
				fmt.Println("takes its time")
				time.Sleep(time.Hour)
			}
			_ = os.WriteFile("lived", nil, 0o600)
		}
		if role == "chatty" { // logs as fast as it can
			go func() {
				for line := []byte(strings.Repeat("x", 1<<16) + "\n"); ; {
					_, _ = os.Stdout.Write(line)
				}
			}()
		}
		serve()
	case "session", "daemon": // the server is a child in its own session, without a mark in its environment
		child := exec.Command(os.Args[0], os.Args[1:]...)
		child.Env = []string{"ROLE=server", "ADDR=" + os.Getenv("ADDR")}
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			panic(err)
		}
		if role == "session" {
			time.Sleep(time.Hour)
		}
	case "checkout":
		c := &checkout{tax: os.Getenv("TAX"), forgets: os.Getenv("BUG") == "forget"}
		if err := http.ListenAndServe(os.Getenv("ADDR"), c); err != nil { //nolint:gosec // a test
			panic(err)
		}
	case "worker":
		go newWorker(os.Getenv).run()
		serve()
	case "killed":
		runKillable()
	case "own faults":
		runOwnFaults()
	case "hangs":
		runHanging()
	case "killed under toxics":
		runUnderToxics()
	}
	os.Exit(0)
}

// serve answers every request, and exits with status 7 on request.
func serve() {
	ln, err := net.Listen("tcp", os.Getenv("ADDR"))
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	_ = http.Serve(ln, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { //nolint:gosec // only a test server
		if r.URL.Path == "/end" {
			fmt.Println("the disk is full")
			os.Exit(7)
		}
		if back := os.Getenv("BACK"); back != "" {
			callBoth(back, os.Getenv("DB"))
		}
	}))
}

// callBoth calls both dependencies and ignores their answers.
func callBoth(back, db string) {
	client := http.Client{Timeout: 300 * time.Millisecond}
	if resp, err := client.Get("http://" + back); err == nil {
		_ = resp.Body.Close()
	}
	c, err := net.Dial("unix", db)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(300 * time.Millisecond))
	fmt.Fprint(c, "GET / HTTP/1.0\n\n")
	_, _ = io.Copy(io.Discard, c)
}

// roleService returns a service that plays a role.
func roleService(name, role string) scenarios.Service {
	return scenarios.Service{
		Name: name, Command: []string{"${self}", os.Getenv("MARK")}, Env: map[string]string{"ROLE": role, "ADDR": "127.0.0.1:${port}"},
		Ready: scenarios.Ready{Within: 30 * time.Second},
	}
}

// runKillable runs one fault of a given kind on a service in its own session or on a daemon, or on a
// link to one of them.
func runKillable() {
	dir := os.Getenv("DIR")
	e, err := underFault(os.Getenv("FAULT"), os.Getenv("ON"), filepath.Join(dir, "db.sock"))
	if err != nil {
		panic(err)
	}
	_, _ = runner.RunExperiments(context.Background(), runner.Options{Dir: filepath.Join(dir, "runs")}, e)
}

// runHanging runs two scenarios, of which the first waits under a fault and injects another one after that. Their checks
// fail if the service does not answer. It prints the outcome.
func runHanging() {
	var all []*scenarios.Experiment
	for _, name := range []string{"first", "second"} {
		e, err := webExperiment(name, roleService("web", "session"), "/a").
			Inject("", "web", injector.Hang{}).For(3*time.Second).
			Inject("", "web", injector.Crash{}).For(time.Second).
			Check(check.Success{Ratio: 0.99, Window: journal.After}).Build()
		if err != nil {
			panic(err)
		}
		all = append(all, e)
	}
	res, err := runner.RunExperiments(context.Background(), runner.Options{Dir: filepath.Join(os.Getenv("DIR"), "runs")}, all...)
	if err != nil {
		panic(err)
	}
	fmt.Println("outcome:", res.Outcome, "exit code:", res.ExitCode())
}

const (
	panicCode   = 2 // of a Go program
	refusedCode = 9 // nothing was started
	exitedCode  = 77
)

// runOwnFaults runs the feature in $DIR, and exits with the exit code of the run.
func runOwnFaults() {
	dir := os.Getenv("DIR")
	res, err := runner.Run(context.Background(), runner.Options{
		FS: os.DirFS(dir), Root: dir, Paths: []string{"a.feature"}, Dir: filepath.Join(dir, "runs"),
		Steps: []runner.Step{
			{Pattern: `^it panics$`, Do: func() error { panic("boom") }},
			{Pattern: `^it exits$`, Do: func() error { os.Exit(exitedCode); return nil }},
			{Pattern: `^a goroutine panics$`, Do: func() error { go panic("boom"); select {} }},
		},
	})
	if err != nil {
		fmt.Println(err)
	}
	if res == nil {
		os.Exit(refusedCode)
	}
	for _, h := range res.Book.Scenarios {
		fmt.Println(strings.Join(runner.Failures(h), "\n"))
	}
	os.Exit(res.ExitCode())
}

// underFault returns an experiment with a fault of the given kind on back or db. The link to db is a
// Unix socket.
func underFault(kind, on, socket string) (*scenarios.Experiment, error) {
	front, db := roleService("front", "front"), "unix:"+socket
	front.Serves = []string{"/"}
	front.Env["BACK"], front.Env["DB"] = "${link:back}", socket
	services := []scenarios.Service{front, roleService("back", "session"), roleService("db", "daemon")}
	for i := range services {
		if kind == "power loss" {
			services[i].Data = scenarios.Data{Folder: "data"}
		}
	}
	b := scenarios.New("killed").System(scenarios.System{
		Services: services,
		Links:    []scenarios.Link{{From: "front", To: "back", Protocol: "http"}, {From: "front", To: "db", Protocol: "lines", Framing: message.Framing{Lockstep: true}, Listen: db}},
	}).Load(scenarios.Load{Rate: 50, Mix: []scenarios.Route{{Method: "GET", Path: "/a", Share: 1}}}).Baseline(500 * time.Millisecond)
	i := slices.IndexFunc(injector.Kinds(), func(k injector.Kind) bool { return k.Name == kind })
	switch row := injector.Kinds()[i]; {
	case kind == "partition":
		b.Partition(injector.Partition{These: []string{"front"}, Those: []string{"back", "db"}})
	case row.On == "service":
		b.Inject("", on, row.Value)
	case row.On == "messages":
		b.Inject("front", "db", row.Value)
	case row.On == "calls":
		b.Inject("front", "back", row.Value)
	default:
		b.Inject("front", on, row.Value)
	}
	if kind == "ramp" || kind == "wave" { // these end by themselves
		return b.For(20 * time.Second).Build()
	}
	return b.For(4 * time.Second).Build()
}
