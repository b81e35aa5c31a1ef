package language

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// Unreferenced warns of what the system files of fsys declare and nothing uses: neither the file itself, nor a feature in
// users, nor a Go file beside one that uses Firedrill. It returns nothing if that is not certain: a file cannot be read,
// or there are too many. Folders for which skip returns true are left out.
func Unreferenced(fsys fs.FS, files []string, users fs.FS, skip func(folder string) bool) (all []source.Problem) {
	var candidates []system.Declaration
	for _, name := range files {
		declared, err := system.Unreferenced(fsys, name, standard().protocols)
		if err == nil {
			candidates = append(candidates, declared...)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	texts, err := textsOfUsers(users, skip)
	if err != nil {
		return nil
	}
	for _, d := range candidates {
		if slices.ContainsFunc(texts, func(text string) bool {
			return slices.ContainsFunc(d.Names, func(name string) bool { return system.Mentions(text, name) })
		}) {
			continue
		}
		all = append(all, source.Problem{File: d.At.File, Line: d.At.Line, Col: d.At.Col, Text: d.At.Text, Code: codes.Unreferenced.String(),
			What: codes.Unreferenced.Msgf("no step and no other declaration refers to %s", d.What).String()})
	}
	return all
}

// maxUsers is how many files and folders are searched for what uses a system file.
const maxUsers = 50_000

// goImport is in each Go file that uses Firedrill.
const goImport = "firedrill-dev/firedrill"

// textsOfUsers returns what may name a declaration of a system file: the steps of features, and Go files.
func textsOfUsers(users fs.FS, skip func(folder string) bool) (texts []string, err error) {
	goTexts := map[string][]string{} // by folder
	n := 0
	err = fs.WalkDir(users, ".", func(name string, d fs.DirEntry, err error) error {
		if n++; n > maxUsers {
			return errors.New("there are too many files")
		}
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && skip(d.Name()):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".feature") && !strings.HasSuffix(name, ".go"):
			return nil
		}
		raw, err := fs.ReadFile(users, name)
		if err != nil {
			return err
		}
		if strings.HasSuffix(name, ".go") {
			goTexts[path.Dir(name)] = append(goTexts[path.Dir(name)], string(raw))
			return nil
		}
		texts = append(texts, string(raw))
		texts = append(texts, stepTexts(users, name)...)
		return nil
	})
	for _, folder := range goTexts {
		if slices.ContainsFunc(folder, func(text string) bool { return strings.Contains(text, goImport) }) {
			texts = append(texts, folder...)
		}
	}
	return texts, err
}

// stepTexts returns the texts of the steps of a feature with their placeholders replaced, which may make up a name.
func stepTexts(fsys fs.FS, name string) (texts []string) {
	for _, sc := range feature.Read(fsys, name, standard().knows, &source.List{}) {
		for _, step := range sc.Steps {
			texts = append(texts, step.Text)
			if step.Doc != nil {
				texts = append(texts, *step.Doc)
			}
			for _, row := range step.Table {
				texts = append(texts, row.Cells...)
			}
		}
	}
	return texts
}
