package process

import (
	"os/exec"
	"path/filepath"
)

// FindProgram finds the program of a service whose working folder is dir ("" means the current one). A
// name without a slash is found by LookPath. A relative path with a slash starts at dir; the result is
// absolute then. Its error is that of exec.LookPath.
func FindProgram(dir, program string) (string, error) {
	if filepath.Base(program) == program {
		return LookPath(program)
	}
	if !filepath.IsAbs(program) {
		abs, err := filepath.Abs(filepath.Join(dir, program))
		if err != nil {
			return "", err
		}
		program = abs
	}
	return exec.LookPath(program)
}

// LookPath finds a program in PATH and then in directories of servers that are often not in PATH: the
// sbin directories and those of Debian's PostgreSQL versions. Its error is that of exec.LookPath.
func LookPath(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err == nil || filepath.Base(program) != program {
		return path, err
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	for _, dir := range append([]string{"/usr/sbin", "/usr/local/sbin", "/sbin"}, dirs...) {
		if path, other := exec.LookPath(filepath.Join(dir, program)); other == nil {
			return path, nil
		}
	}
	return "", err
}
