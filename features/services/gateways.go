package services

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/firedrill-dev/firedrill/injector/process"
)

// The gateways' configurations; {words} stand for what a run decides.
var (
	//go:embed nginx.conf
	nginxConf string
	//go:embed haproxy.cfg
	haproxyConf string
)

func runNginx(_ context.Context, c config) (service, error) {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // else its workers become somebody who cannot write to its folder
	}
	return c.become("nginx", nginxConf, user, "-p", c.dir, "-e", "stderr", "-c")
}

func runHAProxy(_ context.Context, c config) (service, error) {
	return c.become("haproxy", haproxyConf, "", "-db", "-f")
}

// become writes a configuration and turns this process into the program, whose last argument is the file.
func (c config) become(program, text, user string, args ...string) (service, error) {
	dir, err := filepath.Abs(c.dir)
	if err != nil {
		return service{}, err
	}
	file := filepath.Join(dir, program+".conf")
	text = strings.NewReplacer("{listen}", c.listen, "{a}", c.link, "{b}", c.second, "{dir}", dir, "{user}", user).Replace(text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return service{}, err
	}
	path, err := process.LookPath(program)
	if err != nil {
		return service{}, err
	}
	err = syscall.Exec(path, append(append([]string{program}, args...), file), os.Environ()) //nolint:gosec // a program of the system's, with our configuration
	return service{}, fmt.Errorf("become %s: %w", path, err)
}
