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

// target is what traffic goes through.
type target struct {
	name   string
	at     map[string]string // where its way to each server begins
	pids   []int
	stats  []*child // that tell their own, one a way
	faults bool     // it can be disturbed, on its last way
}

// child is a process of ours that serves.
type child struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	addr string
}

func spawn(kind string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.Command(self, append([]string{"serve", kind}, args...)...)} //nolint:gosec // ourselves
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
		return nil, fmt.Errorf("start %s: it says no address", kind)
	}
	c.addr = c.out.Text()
	return c, nil
}

// ask says a line and returns the answer.
func (c *child) ask(line string) (string, error) {
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		return "", err
	}
	if !c.out.Scan() {
		return "", errors.New("the child is gone")
	}
	return c.out.Text(), nil
}

// command is ask for a fault, and tells how long it took within.
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

// startLinks starts the suite of links. Targets that are not to be had are told in skipped.
func startLinks(b *bench) (err error) {
	for _, kind := range []string{"echo", "sink"} {
		if _, err := b.server(kind); err != nil {
			return err
		}
	}
	if b.play, err = newPlayground(); err != nil {
		return err
	}
	b.servers = append(b.servers, server{"play", b.play.addr})
	b.direct()
	for _, kind := range []string{"copy loop", "io.Copy", "firedrill", "toxiproxy"} {
		t := &target{name: kind, faults: kind == "firedrill" || kind == "toxiproxy"}
		if err := b.child(t, func(server) []string { return []string{kind} }); err != nil {
			return err
		}
	}
	b.external(b.toxiproxyServer, b.haproxy, b.nginx, b.socat)
	return nil
}

// direct is the way to the servers without anything between.
func (b *bench) direct() {
	t := &target{name: direct, at: map[string]string{}}
	for _, s := range b.servers {
		t.at[s.name] = s.addr
	}
	b.add(t)
}

// child starts a target's processes, one for each server that kind has words for: what spawn takes before the server's address.
func (b *bench) child(t *target, kind func(server) []string) error {
	if !b.wanted(t.name) {
		return nil
	}
	t.at = map[string]string{}
	for _, s := range b.servers {
		words := kind(s)
		if words == nil {
			continue
		}
		c, err := spawn(words[0], append([]string{s.addr}, words[1:]...)...)
		if err != nil {
			return err
		}
		b.children = append(b.children, c)
		t.at[s.name] = c.addr
		t.pids, t.stats = append(t.pids, c.cmd.Process.Pid), append(t.stats, c)
	}
	b.add(t)
	return nil
}

// external starts targets that are not ours; those that are not to be had are told in skipped.
func (b *bench) external(starts ...func() error) {
	for _, start := range starts {
		if err := start(); err != nil {
			b.skipped = append(b.skipped, err.Error())
		}
	}
}

func (b *bench) wanted(name string) bool { return strings.Contains(name, b.o.wants) }

func (b *bench) add(t *target) { b.targets = append(b.targets, t) }
