package reports

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the tests once with -update")
	require.Equal(t, string(want), string(got), "run the tests with -update if the change is meant")
}

func render(t testing.TB, write func(io.Writer, *journal.Book) error, b *journal.Book) []byte {
	var out bytes.Buffer
	require.NoError(t, write(&out, b))
	return out.Bytes()
}

func lacks(f Format, b *journal.Book) string { return Table{f}.Lacks(f.Name, b) }

// TestFormats is the conformance test of the table: every report matches its golden file, is deterministic, and
// can render a truncated or empty journal.
func TestFormats(t *testing.T) {
	last := ""
	for _, f := range Formats() {
		assert.Less(t, last, f.Name, "sorted by name")
		last = f.Name
		t.Run(f.Name, func(t *testing.T) {
			assert.NotEmpty(t, f.Means)
			again := samples(t)
			for name, b := range samples(t) {
				got := render(t, f.Write, b)
				golden(t, name+"."+cmp.Or(f.File, f.Name), got)
				assert.Equal(t, string(got), string(render(t, f.Write, again[name])), "deterministic")
				assert.Equal(t, name == "truncated", strings.Contains(string(got)+lacks(f, b), "killed, or is not over"), name)
			}
			assert.NotEmpty(t, string(render(t, f.Write, &journal.Book{}))+lacks(f, &journal.Book{}))
		})
	}
}

// TestTruncatedJournalsRender truncates a journal at every line.
func TestTruncatedJournalsRender(t *testing.T) {
	tp := newRecording()
	tp.scenario(sampleRun{name: "failed", outcome: "failed"})
	tp.end("failed")
	lines := bytes.SplitAfter(tp.out.Bytes(), []byte("\n"))
	for n := 1; n < len(lines)-1; n += 7 { // the last line is empty
		b, err := journal.Fold(bytes.NewReader(bytes.Join(lines[:n], nil)))
		require.NoError(t, err)
		for _, f := range Formats() {
			assert.Contains(t, string(render(t, f.Write, b))+lacks(f, b), "killed, or is not over", "%s after %d lines", f.Name, n)
		}
		assert.NotEqual(t, "passed", Outcome(b))
	}
}

// TestFiguresOfAbortedRun: figures of complete windows are shown even if others are missing.
func TestFiguresOfAbortedRun(t *testing.T) {
	h := &journal.History{Begin: journal.Begin{ID: "s", Name: "s"}, Samples: []journal.Sample{{Window: journal.Before, Route: "GET /", Sent: 4, OK: 3, Latency: []journal.Bucket{{Up: 20 * time.Millisecond, N: 4}}}}}
	page := string(render(t, writeHTML, &journal.Book{Scenarios: []*journal.History{h}}))
	assert.Contains(t, page, "20 ms / – / –")
	assert.Contains(t, page, "75.0% / – / –")
}

func TestRerunCommandHasTheSeed(t *testing.T) {
	assert.Equal(t, "firedrill run 'features/orders feature' --seed 42", rerun(samples(t)["passed"]))
	assert.Empty(t, rerun(&journal.Book{}))
	test := &journal.Book{Run: journal.Run{Seed: 42, Command: []string{"/tmp/go-build1/b001/shop.test", "-test.testlogfile=/tmp/go-build1/b001/testlog.txt", "-test.paniconexit0", "-test.timeout=10m0s", "-test.run=TestFeatures/orders|TestShop"}}}
	assert.Equal(t, "FIREDRILL_SEED=42 go test -count=1 -run 'TestFeatures/orders|TestShop'", rerun(test))
	test.Run.Command = test.Run.Command[:4]
	assert.Equal(t, "FIREDRILL_SEED=42 go test -count=1", rerun(test))
}

func TestRerunScenarioIsShown(t *testing.T) {
	b := samples(t)["parted"]
	const why = "one request in a hundred was sent 310ms late"
	for _, name := range []string{"html", "json", "text"} {
		var out bytes.Buffer
		require.NoError(t, Formats().WriteTo(&out, name, b))
		assert.Contains(t, out.String(), why, name)
	}
	for _, name := range []string{"html", "text"} {
		var out bytes.Buffer
		require.NoError(t, Formats().WriteTo(&out, name, samples(t)["passed"]))
		assert.NotContains(t, out.String(), "run again alone", name)
	}
}

func TestWriteDir(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, Formats().WriteDir(dir, samples(t)["failed"]))
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, files, len(Formats())-1, "no part is left, and the format without a file is written on request only")
	assert.ErrorContains(t, Formats().WriteDir(filepath.Join(dir, "none"), &journal.Book{}), "write report.html")

	blocked := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(blocked, "report.html", "no file"), 0o700))
	err = Formats().WriteDir(blocked, samples(t)["failed"])
	require.ErrorContains(t, err, "write report.html: rename "+filepath.Join(blocked, "report.html.part"))
	assert.NotContains(t, err.Error(), "junit.xml")
	assert.FileExists(t, filepath.Join(blocked, "junit.xml"), "the others are written")
	assert.NoFileExists(t, filepath.Join(blocked, "report.html.part"))
	assert.ErrorContains(t, Formats().WriteTo(io.Discard, "pdf", &journal.Book{}), `"pdf": unknown format: use one of html, json, junit, messages, metrics, summary, text, vegeta`)
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteErrorsAreReturned(t *testing.T) {
	for _, f := range Formats() {
		assert.ErrorContains(t, f.Write(broken{}, samples(t)["failed"]), "disk full", f.Name)
	}
}

func TestColourIsOptional(t *testing.T) {
	b := samples(t)["failed"]
	assert.NotContains(t, string(render(t, writeText, b)), "\x1b")
	var out bytes.Buffer
	require.NoError(t, Text(&out, b, true))
	assert.Contains(t, out.String(), "\x1b[31m✗ FAILED\x1b[0m")
}
