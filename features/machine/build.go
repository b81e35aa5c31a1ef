package machine

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// Build builds a main package of this module into a folder and returns the path of the program. It is built without
// the race detector, as users build it: with it, services and relays need several times the CPU time. flags are those
// of go build.
func Build(dir, pkg string, flags ...string) (string, error) {
	program := filepath.Join(dir, path.Base(pkg))
	pkg = "github.com/firedrill-dev/firedrill/" + pkg
	out, err := exec.Command("go", append(append([]string{"build"}, flags...), "-o", program, pkg)...).CombinedOutput() //nolint:gosec // our own programs
	if err == nil {
		err = openSources(pkg)
	}
	if err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	return program, nil
}

// openSources opens the files of this module that a program is made of. go test repeats a cached result only if the
// files that the test opened are unchanged, and what the test does not import it would not know of.
func openSources(pkg string) error {
	const files = `{{with .Module}}{{if .Main}}{{range $.GoFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{range $.EmbedFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	out, err := exec.Command("go", "list", "-deps", "-f", files, pkg).Output()
	if err != nil {
		return fmt.Errorf("list its files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSpace(string(out)), "\n") {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		_ = f.Close()
	}
	return nil
}
