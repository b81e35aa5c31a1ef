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
)

// completeShells makes shells complete the paths of features and the tags in them, for a command that reads features.
func completeShells(cmd *cobra.Command) *cobra.Command {
	cmd.ValidArgsFunction = completePaths
	if err := cmd.RegisterFlagCompletionFunc("tags", completeTags); err != nil {
		panic(err) // the command has no such flag
	}
	return cmd
}

// completePaths returns the feature files and folders whose paths begin with text.
func completePaths(_ *cobra.Command, _ []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	dir, begin := filepath.Split(text)
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

var tagInLine = regexp.MustCompile(`@[^\s@]+`)

// completeTags returns the expression so far with each tag that its last word may become. The tags are those of the
// features that the arguments name.
func completeTags(_ *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	in, err := inputOf(slices.Clone(args), "")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
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
