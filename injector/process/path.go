package process

import (
	"os/exec"
	"path/filepath"
)

// LookPath finds a program as the shell does, and then where servers are installed that users' PATH often lacks: the sbin folders, and those in which Debian
// keeps the versions of PostgreSQL. The error is that of exec.LookPath.
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
