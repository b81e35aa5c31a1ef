package runner

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// redactLogs replaces the values of environment variables that requests contain in the logs of a scenario. A service
// writes its log itself, so this is possible only when all services have been stopped.
func (r *runState) redactLogs(dir string) error {
	if len(r.secrets) == 0 {
		return nil
	}
	err := filepath.WalkDir(filepath.Join(dir, "logs"), func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		text := string(raw)
		if redacted := r.journal.Hidden().Redact(text); redacted != text {
			return os.WriteFile(name, []byte(redacted), 0o600)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("redact the logs of services: %w", err)
	}
	return nil
}
