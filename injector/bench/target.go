package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// target is a proxy to be measured, or a direct connection.
type target struct {
	name     string
	addrs    map[string]string // the address that leads to each server
	pids     []int
	children []*child // one for each server; none for programs of other projects
	faults   bool     // its last child supports faults
}

// child is a process of this program that acts as a server or proxy.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	addr string
}

func startChild(kind string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, append([]string{"serve", kind}, args...)...)} //nolint:gosec // this program
	dieWithParent(c.cmd)
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewScanner(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	if !c.out.Scan() {
		return nil, fmt.Errorf("start %s: it printed no address", kind)
	}
	c.addr = c.out.Text()
	return c, nil
}

// ask sends a line and returns the answer.
func (c *child) ask(line string) (string, error) {
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		return "", err
	}
	if !c.out.Scan() {
		return "", errors.New("the child has ended")
	}
	return c.out.Text(), nil
}

// command injects or heals a fault, and returns how long that took in the child.
func (c *child) command(line string) (time.Duration, error) {
	answer, err := c.ask(line)
	if err != nil {
		return 0, err
	}
	ns, ok := strings.CutPrefix(answer, "ok ")
	if !ok {
		return 0, errors.New(answer)
	}
	n, err := strconv.ParseInt(ns, 10, 64)
	return time.Duration(n), err
}

func (c *child) end() {
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

// startLinks starts the servers and targets of the link suite.
func startLinks(b *bench) (err error) {
	for _, kind := range []string{"echo", "sink"} {
		if _, err := b.startServer(kind); err != nil {
			return err
		}
	}
	if b.timing, err = newTimingServer(); err != nil {
		return err
	}
	b.servers = append(b.servers, server{"timing", b.timing.addr})
	b.addDirect()
	for _, kind := range []string{"copy loop", "io.Copy", "firedrill", "toxiproxy"} {
		t := &target{name: kind, faults: kind == "firedrill" || kind == "toxiproxy"}
		if err := b.addChildren(t, func(server) []string { return []string{kind} }); err != nil {
			return err
		}
	}
	b.startExternal(b.toxiproxyServer, b.haproxy, b.nginx, b.socat)
	return nil
}

// addDirect adds a target that consists of the servers themselves.
func (b *bench) addDirect() {
	t := &target{name: direct, addrs: map[string]string{}}
	for _, s := range b.servers {
		t.addrs[s.name] = s.addr
	}
	b.addTarget(t)
}

// addChildren adds a target and starts its processes, one for each server. kind returns the kind of child for a server
// and its arguments after the server's address, or nil for no child.
func (b *bench) addChildren(t *target, kind func(server) []string) error {
	if !b.wanted(t.name) {
		return nil
	}
	t.addrs = map[string]string{}
	for _, s := range b.servers {
		args := kind(s)
		if args == nil {
			continue
		}
		c, err := startChild(args[0], append([]string{s.addr}, args[1:]...)...)
		if err != nil {
			return err
		}
		b.children = append(b.children, c)
		t.addrs[s.name] = c.addr
		t.pids, t.children = append(t.pids, c.cmd.Process.Pid), append(t.children, c)
	}
	b.addTarget(t)
	return nil
}

// startExternal starts targets of other projects, and records those that are not installed in skipped.
func (b *bench) startExternal(starts ...func() error) {
	for _, start := range starts {
		if err := start(); err != nil {
			b.skipped = append(b.skipped, err.Error())
		}
	}
}

func (b *bench) wanted(name string) bool { return strings.Contains(name, b.o.targets) }

func (b *bench) addTarget(t *target) { b.targets = append(b.targets, t) }
