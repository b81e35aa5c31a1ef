package main

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/firedrill-dev/firedrill/features"
)

// input is where features are read from.
type input struct {
	fsys  fs.FS
	root  string // the folder that fsys shows; "" means the working directory
	paths []string
	tags  string
}

// inputOf returns what the arguments of a command name: by default ./features, or features in the working directory
// or, where there are no features at all, the built-in catalogue; without tags, each without what needs a real server.
// Paths outside the working directory are read from the root of the file system.
func inputOf(args []string, tags string) (input, error) {
	if len(args) == 0 {
		in := input{fsys: os.DirFS("."), paths: []string{"features"}, tags: cmp.Or(tags, "not @real")}
		if featureIn("features") != "" {
			return in, nil
		}
		in.paths = []string{"."}
		switch found := featureIn("."); {
		case found == "":
			in.fsys = features.FS
		case filepath.Dir(found) != ".":
			dir := filepath.ToSlash(filepath.Dir(found))
			return input{}, fmt.Errorf("there is no folder features here, but there are features in %s: name a path, such as %s", dir, dir)
		}
		return in, nil
	}
	local := true
	for _, a := range args {
		local = local && filepath.IsLocal(a)
	}
	if local {
		return input{fsys: os.DirFS("."), paths: slashed(args), tags: tags}, nil
	}
	in := input{tags: tags}
	for i, a := range args {
		abs, err := filepath.Abs(a)
		if err != nil {
			return input{}, fmt.Errorf("find %q: %w", a, err)
		}
		in.root = filepath.VolumeName(abs) + string(filepath.Separator)
		args[i] = strings.TrimPrefix(abs, in.root)
	}
	in.fsys, in.paths = os.DirFS(in.root), slashed(args)
	return in, nil
}

// depthOfSearch is how many folders below the working directory are searched for features.
const depthOfSearch = 6

// featureIn returns the path of a feature file in a folder, or "" if there is none. Hidden folders and those of libraries and of tests
// are left out.
func featureIn(dir string) (found string) {
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path != dir:
			return fs.SkipDir
		case err != nil:
			return err
		case d.IsDir() && path != dir && (foreignFolder(d.Name()) || d.Name() == "testdata" || strings.Count(path, string(filepath.Separator)) >= depthOfSearch):
			return fs.SkipDir
		case strings.HasSuffix(path, ".feature"):
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found
}

// foreignFolder reports whether a folder of this name is hidden or holds libraries.
func foreignFolder(name string) bool {
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "vendor"
}

func slashed(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = strings.TrimSuffix(filepath.ToSlash(filepath.Clean(p)), "/")
	}
	return out
}
