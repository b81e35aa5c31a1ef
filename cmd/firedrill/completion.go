package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/reports"
)

// flagValues holds how the value of a flag is completed, by the name of the flag. Without a row, shells offer the names
// of files.
var flagValues = map[string]cobra.CompletionFunc{
	"dir":    completeFolders,
	"format": completeFormats,
	"tags":   completeTags,

	// free text, numbers and addresses
	"allow-target": cobra.NoFileCompletions, "as": cobra.NoFileCompletions, "api": cobra.NoFileCompletions, "entry": cobra.NoFileCompletions, "finding": cobra.NoFileCompletions, "gap": cobra.NoFileCompletions, "grafana": cobra.NoFileCompletions, "last": cobra.NoFileCompletions,
	"listen": cobra.NoFileCompletions, "max-duration": cobra.NoFileCompletions, "metrics": cobra.NoFileCompletions, "name": cobra.NoFileCompletions,
	"parallel": cobra.NoFileCompletions, "repeat": cobra.NoFileCompletions, "request": cobra.NoFileCompletions, "retries": cobra.NoFileCompletions,
	"runs": cobra.NoFileCompletions, "scenario": cobra.NoFileCompletions, "scenario-timeout": cobra.NoFileCompletions, "seed": cobra.NoFileCompletions, "service": cobra.NoFileCompletions, "web": cobra.NoFileCompletions, "without": cobra.NoFileCompletions,
}

// completeFlags makes shells complete the values of flags of a command and its subcommands, unless the command does so.
func completeFlags(cmd *cobra.Command) {
	for name, complete := range flagValues {
		if _, known := cmd.GetFlagCompletionFunc(name); known || cmd.Flags().Lookup(name) == nil {
			continue
		}
		if err := cmd.RegisterFlagCompletionFunc(name, complete); err != nil {
			panic(err) // the flag exists and has no completion yet
		}
	}
	for _, sub := range cmd.Commands() {
		completeFlags(sub)
	}
}

func completeFolders(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeFormats returns the values of --format, which TestFormatsAreCompleted compares with the help of each command.
func completeFormats(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch cmd.Name() {
	case "report":
		return reports.Formats().Names(), cobra.ShellCompDirectiveNoFileComp
	case "steps":
		return []cobra.Completion{"text", "json", "go", "vscode"}, cobra.ShellCompDirectiveNoFileComp
	}
	return []cobra.Completion{"text", "json"}, cobra.ShellCompDirectiveNoFileComp
}

// completeShells makes shells complete the paths of features, for a command that reads them.
func completeShells(cmd *cobra.Command) *cobra.Command {
	cmd.ValidArgsFunction = completePaths
	return cmd
}

// completePaths returns the feature files and folders whose paths begin with text.
func completePaths(_ *cobra.Command, _ []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	dir, begin := filepath.Split(unquote(text))
	entries, err := os.ReadDir(filepath.Join(".", dir))
	if filepath.IsAbs(dir) {
		entries, err = os.ReadDir(dir)
	}
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	directive := cobra.ShellCompDirectiveNoFileComp
	var all []cobra.Completion
	for _, e := range entries {
		switch name := e.Name(); {
		case !strings.HasPrefix(name, begin) || strings.HasPrefix(name, ".") && begin == "":
		case e.IsDir():
			all = append(all, dir+name+"/")
			directive |= cobra.ShellCompDirectiveNoSpace // the path may go on
		case strings.HasSuffix(name, ".feature"):
			all = append(all, dir+name)
		}
	}
	return all, directive
}

// unquote returns a word without its quoting: fish passes the word that it completes as it was typed, so that a quote may
// be open. Other shells have removed it.
func unquote(typed string) string {
	return strings.ReplaceAll(strings.TrimLeft(typed, `"'`), `\ `, " ")
}

var tagInLine = regexp.MustCompile(`@[^\s@]+`)

// completeTags returns the expression so far with each tag that its last word may become. The tags are those of the
// features that the arguments name.
func completeTags(_ *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	in, err := inputOf(slices.Clone(args), "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	text = unquote(text)
	last := strings.LastIndexAny(text, " (") + 1
	var all []cobra.Completion
	for _, tag := range tagsIn(in) {
		if strings.HasPrefix(tag, text[last:]) {
			all = append(all, text[:last]+tag)
		}
	}
	return all, cobra.ShellCompDirectiveNoFileComp
}

// tagsIn returns the tags of features, sorted. It leaves out what cannot be read.
func tagsIn(in input) []string {
	var all []string
	for _, root := range in.paths {
		if file, _, ok := strings.Cut(root, ".feature:"); ok {
			root = file + ".feature"
		}
		_ = fs.WalkDir(in.fsys, path.Clean(root), func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".feature") {
				return nil
			}
			raw, _ := fs.ReadFile(in.fsys, name)
			for line := range strings.Lines(string(raw)) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "@") {
					tags, _, _ := strings.Cut(line, " #")
					all = append(all, tagInLine.FindAllString(tags, -1)...)
				}
			}
			return nil
		})
	}
	slices.Sort(all)
	return slices.Compact(all)
}
