package machine

import (
	"os"
	"testing"
)

// Need skips a test for which something is missing, such as a server or a permission, and fails it if all tests must run
// ($FIREDRILL_MUST_RUN). missing says what is missing, and is nil if nothing is. remedy is the command that installs it, or
// "".
func Need(t testing.TB, missing error, remedy string) {
	t.Helper()
	if missing == nil {
		return
	}
	text := missing.Error()
	if remedy != "" {
		text += ": " + remedy
	}
	if os.Getenv("FIREDRILL_MUST_RUN") != "" {
		t.Fatal(text)
	}
	t.Skip(text)
}
