package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestScripts runs the command lines in testdata/script. $REPO is the root of this repository, and
// $PAST, $SOON and $FAR are days.
func TestScripts(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	programs := filepath.Dir(built(t))
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			e.Setenv("REPO", root)
			for name, days := range map[string]int{"PAST": -2, "SOON": 3, "FAR": 30} {
				e.Setenv(name, time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly))
			}
			e.Setenv("PATH", programs+string(os.PathListSeparator)+e.Getenv("PATH"))
			return nil
		},
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "samefaults": sameFaults, "validates": validates, "nightsago": nightsAgo},
		RequireExplicitExec: true,
	})
}

// nightsAgo replaces the latest run by runs that began so many days ago: nightsago DAYS... It names them $NIGHT_DAYS, and
// makes the last one the latest.
func nightsAgo(ts *testscript.TestScript, _ bool, args []string) {
	runs := ts.MkAbs(filepath.Join(".firedrill", "runs"))
	latest, err := filepath.EvalSymlinks(filepath.Join(runs, "latest"))
	ts.Check(err)
	raw, err := os.ReadFile(filepath.Join(latest, "journal.ndjson"))
	ts.Check(err)
	ts.Check(os.RemoveAll(latest))
	ts.Check(os.Remove(filepath.Join(runs, "latest")))
	first, rest, _ := bytes.Cut(raw, []byte("\n"))
	for _, days := range args {
		n, err := strconv.Atoi(days)
		ts.Check(err)
		var e journal.Event
		ts.Check(json.Unmarshal(first, &e))
		e.Run.Began = e.Run.Began.AddDate(0, 0, -n)
		e.Run.ID = e.Run.Began.Format("20060102T150405Z") + "-night" + days
		line, err := json.Marshal(e)
		ts.Check(err)
		dir := filepath.Join(runs, e.Run.ID)
		ts.Check(os.MkdirAll(dir, 0o700))
		ts.Check(os.WriteFile(filepath.Join(dir, "journal.ndjson"), slices.Concat(line, []byte("\n"), rest), 0o600))
		_ = os.Remove(filepath.Join(runs, "latest"))
		ts.Check(os.Symlink(e.Run.ID, filepath.Join(runs, "latest")))
		ts.Setenv("NIGHT_"+days, e.Run.ID)
	}
}

// sameFaults compares which requests met faults in two runs: samefaults JOURNAL JOURNAL
func sameFaults(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: samefaults JOURNAL JOURNAL")
	}
	var met [2][]string
	for i, name := range args {
		book, err := readBook(ts.MkAbs(name))
		ts.Check(err)
		for _, m := range book.Scenarios[0].Messages {
			met[i] = append(met[i], fmt.Sprintf("%s on %s: %s of request %s", m.Stage, m.Link, m.Op, m.Request))
		}
		slices.Sort(met[i])
	}
	if len(met[0]) == 0 || slices.Equal(met[0], met[1]) == neg {
		ts.Fatalf("%d and %d faults on messages: %q\n%q", len(met[0]), len(met[1]), met[0], met[1])
	}
}

// validates validates a JSON file against a schema: validates SCHEMA FILE
func validates(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: validates SCHEMA FILE")
	}
	s, err := jsonschema.NewCompiler().Compile(ts.MkAbs(args[0]))
	ts.Check(err)
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(ts.ReadFile(args[1])))
	ts.Check(err)
	if err := s.Validate(doc); (err != nil) != neg {
		ts.Fatalf("%s: %v", args[1], err)
	}
}

// exits runs a program that must exit with a code: exits CODE PROGRAM [ARGUMENT...]
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	err = ts.Exec(args[1], args[2:]...)
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		code = exited.ExitCode()
	} else {
		ts.Check(err)
	}
	if code != want {
		ts.Fatalf("exit code %d instead of %d", code, want)
	}
}
