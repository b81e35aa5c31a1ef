package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/reports/grafana"
	"github.com/firedrill-dev/firedrill/reports/otlp"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/journal"
)

// printEvents returns a function that prints each event as a line of JSON, which is that of the journal.
func printEvents(out io.Writer) func(journal.Event) {
	return func(e journal.Event) {
		var line strings.Builder
		lines := json.NewEncoder(&line)
		lines.SetEscapeHTML(false)
		if lines.Encode(e) == nil {
			fmt.Fprint(out, journal.VisibleJSON(line.String()))
		}
	}
}

// annotateProblems returns annotations of the problems of features.
func annotateProblems(problems scenarios.Problems) (all []reports.Annotation) {
	for _, p := range problems {
		message := journal.RedactText(p.What)
		if p.Hint != "" {
			message += "\n" + journal.RedactText(p.Hint)
		}
		all = append(all, reports.Annotation{File: p.File, Line: p.Line, Title: "invalid feature", Message: message})
	}
	return all
}

// annotate prints annotations for GitHub. Their files are relative to root, the folder that the features are read from;
// GitHub expects them relative to the root of the repository.
func annotate(out io.Writer, root string, all []reports.Annotation) error {
	repository, err := filepath.Abs(os.Getenv("GITHUB_WORKSPACE"))
	if err != nil {
		return err
	}
	for i, a := range all {
		if a.File == "" {
			continue
		}
		file, err := filepath.Abs(filepath.Join(root, a.File))
		if err != nil {
			return err
		}
		if relative, err := filepath.Rel(repository, file); err == nil && filepath.IsLocal(relative) {
			all[i].File = filepath.ToSlash(relative)
		}
	}
	return reports.WriteGitHub(out, all)
}

// publish passes a run on: to the summary of a job of GitHub Actions and a collector of OpenTelemetry, if the environment
// names them, and to the Grafana at an address, unless it is "". No error changes the outcome of the run.
func publish(ctx context.Context, b *journal.Book, grafanaAddress string) (errs []error) {
	add := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	add(writeJobSummary(b))
	if otlp.Asked() {
		add(otlp.Send(ctx, b))
	}
	if grafanaAddress != "" {
		add(grafana.Annotate(ctx, grafanaAddress, os.Getenv("GRAFANA_TOKEN"), b))
	}
	return errs
}

// writeJobSummary appends a run to the summary of a job of GitHub Actions, if this is one.
func writeJobSummary(b *journal.Book) error {
	name := os.Getenv("GITHUB_STEP_SUMMARY")
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644) //nolint:gosec // the runner of the job chose it
	if err != nil {
		return fmt.Errorf("write the summary of the job ($GITHUB_STEP_SUMMARY): %w", err)
	}
	if err := errors.Join(reports.Formats().WriteTo(f, "summary", b), f.Close()); err != nil {
		return fmt.Errorf("write the summary of the job ($GITHUB_STEP_SUMMARY): %w", err)
	}
	return nil
}
