package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/firedrill-dev/firedrill/features"
)

// source finds the file system that features are read from and the paths within it. Without arguments these are ./features, or the
// built-in drill where that folder holds no feature. Paths outside the working folder are
// read from the root.
func source(args []string) (fs.FS, []string, error) {
	if len(args) == 0 {
		if holdsFeatures("features") {
			return os.DirFS("."), []string{"features"}, nil
		}
		return features.FS, []string{"."}, nil
	}
	local := true
	for _, a := range args {
		local = local && filepath.IsLocal(a)
	}
	if local {
		return os.DirFS("."), slashed(args), nil
	}
	root := ""
	for i, a := range args {
		abs, err := filepath.Abs(a)
		if err != nil {
			return nil, nil, fmt.Errorf("find %q: %w", a, err)
		}
		root = filepath.VolumeName(abs) + string(filepath.Separator)
		args[i] = strings.TrimPrefix(abs, root)
	}
	return os.DirFS(root), slashed(args), nil
}

// findings is the tag of scenarios that are known to fail, and are run by those who ask for them: by file, by folder or by tag.
const findings = "@finding"

// asked is the tag expression of a run: what the user said, and where neither tags nor paths were said, all but findings.
func asked(tags string, args []string) string {
	if tags == "" && len(args) == 0 {
		return "not " + findings
	}
	return tags
}

func holdsFeatures(dir string) bool {
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
