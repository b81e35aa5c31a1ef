package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/firedrill-dev/firedrill/features"
)

// source returns the file system that features are read from, the folder that it shows ("" means the working
// directory), and the paths in it. Without arguments the path is ./features, or the built-in drill if that folder has
// no features. Paths outside the working folder are read from the root of the file system.
func source(args []string) (fsys fs.FS, root string, paths []string, err error) {
	if len(args) == 0 {
		if hasFeatures("features") {
			return os.DirFS("."), "", []string{"features"}, nil
		}
		return features.FS, "", []string{"."}, nil
	}
	local := true
	for _, a := range args {
		local = local && filepath.IsLocal(a)
	}
	if local {
		return os.DirFS("."), "", slashed(args), nil
	}
	for i, a := range args {
		abs, err := filepath.Abs(a)
		if err != nil {
			return nil, "", nil, fmt.Errorf("find %q: %w", a, err)
		}
		root = filepath.VolumeName(abs) + string(filepath.Separator)
		args[i] = strings.TrimPrefix(abs, root)
	}
	return os.DirFS(root), root, slashed(args), nil
}

// findings is the tag of scenarios that are known to fail. They run only if they are selected by file, folder or
// tag.
const findings = "@finding"

// tagsOrDefault returns the tag expression of a run: the given one, or one that excludes findings if there are
// neither tags nor paths.
func tagsOrDefault(tags string, args []string) string {
	if tags == "" && len(args) == 0 {
		return "not " + findings
	}
	return tags
}

func hasFeatures(dir string) bool {
	found := false
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasSuffix(path, ".feature") {
			found = true
			return fs.SkipAll
		}
		return nil
	})
	return found
}

func slashed(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = strings.TrimSuffix(filepath.ToSlash(filepath.Clean(p)), "/")
	}
	return out
}
