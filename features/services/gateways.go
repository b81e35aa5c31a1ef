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

// The gateways' configurations, with placeholders in braces for values of the run.
var (
	//go:embed nginx.conf
	nginxConf string
	//go:embed haproxy.cfg
	haproxyConf string
)

func runNginx(_ context.Context, c config) (service, error) {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // otherwise its workers could not write to the directory
	}
	return c.exec("nginx", nginxConf, user, "-p", c.dir, "-e", "stderr", "-c")
}

func runHAProxy(_ context.Context, c config) (service, error) {
	return c.exec("haproxy", haproxyConf, "", "-db", "-f")
}

// exec writes a configuration file and replaces this process with the program, whose last argument is the file.
func (c config) exec(program, text, user string, args ...string) (service, error) {
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
	err = syscall.Exec(path, append(append([]string{program}, args...), file), os.Environ()) //nolint:gosec // an installed program
	return service{}, fmt.Errorf("exec %s: %w", path, err)
}
