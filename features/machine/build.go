package machine

import (
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
)

// Build builds a main package of this module into a folder and returns the path of the program. It is built without
// the race detector, as users build it: with it, services and relays need several times the CPU time. flags are those
// of go build.
func Build(dir, pkg string, flags ...string) (string, error) {
	program := filepath.Join(dir, path.Base(pkg))
	out, err := exec.Command("go", append(append([]string{"build"}, flags...), "-o", program, "github.com/firedrill-dev/firedrill/"+pkg)...).CombinedOutput() //nolint:gosec // our own programs
	if err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return program, nil
}
