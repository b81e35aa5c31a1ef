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

// allowTarget describes a flag.
const allowTarget = "a host, or an address such as 10.0.0.5:5432, of another machine that services may run on, besides those that system files allow"

func planCommand() *cobra.Command {
	var tags, name string
	var allowed []string
	var asJSON jsonFormat
	cmd := &cobra.Command{
		Use:   "plan [paths]",
		Short: "Print timeline, targets, undo and estimated duration; touches nothing",
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := inputOf(args, tags)
			if err != nil {
				return err
			}
			es, err := language.Parse(language.Source{FS: in.fsys, Root: in.root, Paths: in.paths, Tags: in.tags, Name: name, Find: process.FindProgram, LookupEnv: os.LookupEnv, AllowTargets: allowed})
			var problems scenarios.Problems
			switch {
			case err != nil && bool(asJSON) && errors.As(err, &problems):
				if err := problems.WriteJSON(cmd.OutOrStdout()); err != nil {
					return err
				}
				return exit(usage)
			case err != nil:
				return printProblems(cmd, err)
			case bool(asJSON):
				return scenarios.PlanJSON(cmd.OutOrStdout(), es)
			}
			return scenarios.Plan(cmd.OutOrStdout(), es)
		},
	}
	cmd.Flags().StringVar(&tags, "tags", "", "tag expression")
	cmd.Flags().Var(&asJSON, "format", "text, or json, which is each scenario or else each problem, one a line")
	cmd.Flags().StringSliceVar(&allowed, "allow-target", nil, allowTarget)
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
