package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// detached serves from a child process in its own session, as daemons do.
func detached(how string, args []string) int {
	args = without(args, "detach")
	child, err := startChild(args)
	if err != nil {
		fmt.Println("service:", err)
		return 1
	}
	switch how {
	case "leave":
		return 0
	case "supervise": // the child is a supervisor in a session of its own
		fmt.Println("supervising", child.Process.Pid)
	}
	for {
		_ = child.Wait()
		if how != "supervise" {
			return 0
		}
		time.Sleep(50 * time.Millisecond)
		if child, err = startChild(args); err != nil {
			return 1
		}
	}
}

func startChild(args []string) (*exec.Cmd, error) {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd, cmd.Start()
}
