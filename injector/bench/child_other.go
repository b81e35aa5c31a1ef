//go:build !linux

package main

import "os/exec"

// dieWithParent does nothing on this system: a child exits at the end of its standard input.
func dieWithParent(*exec.Cmd) {}

// pause is not supported on this system.
func (*target) pause(bool) {}
