package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/scenarios/language"
)

func stepsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "steps [word]",
		Short: "Print the sentences of feature files",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return language.Standard().PrintSteps(cmd.OutOrStdout(), strings.Join(args, ""))
		},
	}
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of system.yaml, for editors",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(language.Standard().Schema())
			return err
		},
	}
}
