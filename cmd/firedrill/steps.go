package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

func stepsCommand() *cobra.Command {
	format := "text"
	cmd := &cobra.Command{
		Use:   "steps [word]",
		Short: "Print the sentences of feature files",
		Long: `Prints the sentences of feature files, or those that contain a word. --format json is for programs. --format go and
--format vscode are for editors with support for Cucumber: "firedrill init" writes both, and they have to be written
again when Firedrill is updated.`,
		Example: `  firedrill steps delay
  firedrill steps --format go > features/` + stubFile + `
  firedrill steps --format vscode > .vscode/settings.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, word := language.Standard(), strings.Join(args, "")
			var text []byte
			var err error
			switch {
			case format == "text":
				return v.PrintSteps(cmd.OutOrStdout(), word)
			case format == "json":
				text, err = v.JSON(word)
			case word != "":
				err = fmt.Errorf("steps %s --format %s: editors need all sentences: leave %q out", word, format, word)
			case format == "go":
				text = v.EditorStub()
			case format == "vscode":
				text, err = editorSettings("features")
			default:
				err = fmt.Errorf("steps --format %s: unknown format: use text, json, go or vscode", format)
			}
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", format, "text, json, go or vscode")
	return cmd
}

// stubFile is the name of the file from which editors learn the sentences. It ends in _test.go so that no tool takes
// it for a part of a program, whatever its build tag.
const stubFile = "firedrill_sentences_test.go"

// editorSettings returns the settings of VS Code for features in a folder: it completes and verifies system files
// (with redhat.vscode-yaml) and sentences (with cucumberopen.cucumber-official).
func editorSettings(dir string) ([]byte, error) {
	text, err := json.MarshalIndent(struct {
		Schemas    map[string]string          `json:"yaml.schemas"`
		Features   []string                   `json:"cucumber.features"`
		Glue       []string                   `json:"cucumber.glue"`
		Parameters []language.EditorParameter `json:"cucumber.parameterTypes"`
	}{
		map[string]string{dir + "/system.schema.json": dir + "/**/system.yaml"},
		[]string{dir + "/**/*.feature"}, []string{dir + "/" + stubFile}, language.Standard().EditorParameters(),
	}, "", "  ")
	return append(text, '\n'), err
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:       "schema [system|report]",
		Short:     "Print the JSON Schema of system.yaml, for editors, or that of report.json, for programs",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"system", "report"},
		RunE: func(cmd *cobra.Command, args []string) error {
			schema := language.Standard().Schema
			if len(args) == 1 && args[0] == "report" {
				schema = reports.Schema
			}
			_, err := cmd.OutOrStdout().Write(schema())
			return err
		},
	}
}
