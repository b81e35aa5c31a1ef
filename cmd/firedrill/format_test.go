package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// TestFormatIsOneRow: a format that is added to the table is in the help, in the output, in the files of a run and in
// the table of the README.
func TestFormatIsOneRow(t *testing.T) {
	// excerpt: format
	toy := reports.Format{
		Name: "toy", File: "toy.md", Means: "chat: one word",
		Write: func(w io.Writer, b *journal.Book) error { _, err := fmt.Fprintln(w, reports.Outcome(b)); return err },
	}
	// end of excerpt
	formats := append(reports.Formats(), toy)

	dir := t.TempDir()
	run, err := os.Create(filepath.Join(dir, "journal.ndjson"))
	require.NoError(t, err)
	journal.NewWriter(run, time.Time{}).Write(journal.Event{Run: &journal.Run{Schema: journal.Schema}})
	require.NoError(t, run.Close())

	var out bytes.Buffer
	report := func(args ...string) string {
		out.Reset()
		cmd := reportCommand(formats)
		cmd.SetArgs(args)
		cmd.SetOut(&out)
		require.NoError(t, cmd.Execute())
		return out.String()
	}
	require.Contains(t, report("--help"), "html, json, junit, messages, metrics, summary, text, vegeta, toy")
	require.Equal(t, "inconclusive\n", report(dir, "--format", "toy"))
	report(dir)
	content, err := os.ReadFile(filepath.Join(dir, "toy.md"))
	require.NoError(t, err)
	require.Equal(t, "inconclusive\n", string(content))
	require.Contains(t, formatTable(formats), "| toy | `toy.md` | chat: one word |\n")
}
