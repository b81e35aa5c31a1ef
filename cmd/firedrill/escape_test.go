package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hostile has characters that a terminal would interpret: a title, a C1 control sequence, and reversed text.
const hostile = "\x1b]0;own\x07\u009b31m\u202eevil"

// TestTerminalOutputIsEscaped covers names, paths and arguments.
func TestTerminalOutputIsEscaped(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
	const given = "    Given the service \"a\" at \"127.0.0.1:1\"\n    When 1s passes\n"
	write("name.feature", "Feature: f "+hostile+"\n  Scenario: s "+hostile+"\n"+given)
	write("step.feature", "Feature: f\n  Scenario: s\n"+given+"    Then nothing "+hostile+"\n")
	write("file.feature", "Feature: f\n  Scenario: s\n    Given the system described in \"no"+hostile+".yaml\"\n")
	write("key.feature", "Feature: f\n  Scenario: s\n    Given the system described in \"key.yaml\"\n")
	write("key.yaml", "services:\n  front: {address: \"127.0.0.1:1\", \"bad\\e]0;own\\a\\u202e\": x}\n")
	write("x"+hostile+".feature", "Feature: f\n  Scenario: s\n"+given)
	write("broken"+hostile+".feature", "Feature: f\n  Scenario: s\n"+given+"    "+hostile+"\n")
	write("broken/journal.ndjson", `{"seq":1,"at":0,"run":{"schema":1,"id":"x"}}`+"\n"+
		`{"seq":2,"at":0,"scenario":"a","begin":{"id":"a","name":"n\u001b]0;own\u0007\u009b\u202e","file":"f\u001b[2J"}}`+"\n"+`{"bad`+hostile)
	for _, args := range [][]string{
		{"plan", "name.feature"},
		{"run", "step.feature"},
		{"run", "file.feature"},
		{"run", "key.feature"},
		{"plan", "x" + hostile + ".feature"},
		{"run", "none" + hostile},
		{"fmt", "none" + hostile},
		{"fmt", "--check", "x" + hostile + ".feature"},
		{"fmt", "broken" + hostile + ".feature"},
		{"run", "--name", "(" + hostile, "name.feature"},
		{"run", "--tags", "(" + hostile, "name.feature"},
		{"run", "--seed", hostile, "name.feature"},
		{"run", "--" + hostile},
		{hostile},
		{"steps", hostile},
		{"report", "none" + hostile},
		{"report", "--format", hostile, "broken"},
		{"report", "broken"},
		{"report", "--format", "json", "broken"},
		{"report", "--format", "html", "broken"},
		{"report", "--format", "junit", "broken"},
	} {
		var out, errOut bytes.Buffer
		Main(args, strings.NewReader(""), &out, &errOut)
		output := out.String() + errOut.String()
		require.NotEmpty(t, output, "%q", args)
		require.NotRegexp(t, "[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202e]", output, "%q", args)
	}
}
