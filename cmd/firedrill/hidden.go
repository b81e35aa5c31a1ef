package main

import (
	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/features/services"
	"github.com/firedrill-dev/firedrill/features/shop"
)

// shopCommand serves one part of the demo shop. The shop's system.yaml starts it.
func shopCommand() *cobra.Command {
	return hidden("shop PART", "Serve one part of the demo shop", shop.Main)
}

// serviceCommand serves a service under test of the features in real/.
func serviceCommand() *cobra.Command {
	return hidden("service NAME", "Serve a service of the features in real/", services.Main)
}

func hidden(use, short string, serve func(args []string) int) *cobra.Command {
	return &cobra.Command{
		Use:                use,
		Short:              short,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			if code := serve(args); code != 0 {
				return exit(code)
			}
			return nil
		},
	}
}
