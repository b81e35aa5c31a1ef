package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/language"
)

func planCommand() *cobra.Command {
	var tags, name string
	cmd := &cobra.Command{
		Use:   "plan [paths]",
		Short: "Print timeline, targets, undo and estimated duration; touches nothing",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := inputOf(args, tags)
			if err != nil {
				return err
			}
			es, err := language.Parse(language.Source{FS: in.fsys, Root: in.root, Paths: in.paths, Tags: in.tags, Name: name, Find: process.FindProgram, LookupEnv: os.LookupEnv})
			if err != nil {
				return printProblems(cmd, err)
			}
			return scenarios.Plan(cmd.OutOrStdout(), es)
		},
	}
	cmd.Flags().StringVar(&tags, "tags", "", "tag expression")
	cmd.Flags().StringVar(&name, "name", "", "regular expression on scenario names")
	return cmd
}

// printProblems prints the problems of features to standard error and returns an exit code. It returns other
// errors unchanged.
func printProblems(cmd *cobra.Command, err error) error {
	var problems scenarios.Problems
	if !errors.As(err, &problems) {
		return err
	}
	fmt.Fprint(cmd.ErrOrStderr(), problems.Error())
	return exit(usage)
}
