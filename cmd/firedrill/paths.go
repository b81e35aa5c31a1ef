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
// built-in drill where that folder holds no feature. Paths outside the working folder make the file system's root their common folder.
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
	root, inside, err := common(args)
	if err != nil {
		return nil, nil, err
	}
	return os.DirFS(root), slashed(inside), nil
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

// common returns the deepest folder that holds all paths, one level above each (so that a system file beside a feature's folder is in
// reach), and the paths relative to it.
func common(paths []string) (root string, inside []string, err error) {
	for i, p := range paths {
		if paths[i], err = filepath.Abs(p); err != nil {
			return "", nil, fmt.Errorf("find %q: %w", p, err)
		}
		dir := filepath.Dir(filepath.Dir(paths[i]))
		if i == 0 {
			root = dir
		}
		for !within(root, dir) {
			root = filepath.Dir(root)
		}
	}
	for _, p := range paths {
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return "", nil, fmt.Errorf("find %q: %w", p, err)
		}
		inside = append(inside, rel)
	}
	return root, inside, nil
}

func within(root, dir string) bool {
	rel, err := filepath.Rel(root, dir)
	return err == nil && filepath.IsLocal(rel)
}

func slashed(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = strings.TrimSuffix(filepath.ToSlash(filepath.Clean(p)), "/")
	}
	return out
}
