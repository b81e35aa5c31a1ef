package language

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/feature"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"

	tags "github.com/cucumber/tag-expressions/go/v6"
)

// Source defines which scenarios to read.
type Source struct {
	FS       fs.FS    // contains features and system files
	Root     string   // folder that FS shows, where relative paths in system files start; "" means the working directory
	Paths    []string // files, folders (read recursively), or file.feature:line; at least one
	Tags     string   // tag expression, such as "@nightly and not @real"; "" means all
	Name     string   // regular expression for scenario names; "" means all
	Own      []string // regular expressions of user-defined steps
	Handlers []string // names of services that run in this process

	Vocabulary *Vocabulary // nil means the standard one

	AllowTargets []string // hosts, or addresses, of other machines that services may run on, besides those that system files allow

	// Find finds the program of a service whose working folder is dir, as process.FindProgram does. If it is nil,
	// programs are not looked for.
	Find func(dir, program string) (path string, err error)

	// LookupEnv returns the environment variables that requests contain, as os.LookupEnv does. If it is nil, they are
	// not looked up.
	LookupEnv func(name string) (value string, ok bool)
}

// Parse reads and validates scenarios. The error is of type Problems and contains the problems of all files. If
// there are any, no experiment is returned.
func Parse(s Source) ([]*scenarios.Experiment, error) {
	if s.Vocabulary == nil {
		s.Vocabulary = standard()
	}
	p := &parse{Source: s, systems: map[string]systemFile{}}
	wanted := p.wanted()
	if len(p.out.All) > 0 {
		return nil, p.problems()
	}
	var es []*scenarios.Experiment
	selected := 0
	var others []string // tags of scenarios that are not selected
	for _, f := range p.files() {
		all := feature.Read(p.FS, f.name, p.Vocabulary.knows, &p.out)
		ids := idsIn(all)
		for i, sc := range all {
			if !f.selects(sc) || !wanted(sc) {
				others = append(others, sc.Tags...)
				continue
			}
			selected++
			es = append(es, p.experiment(sc, ids[i]))
		}
	}
	if selected == 0 && len(p.out.All) == 0 {
		p.nothingSelected(others)
	}
	if err := p.problems(); err != nil {
		return nil, err
	}
	unique(es)
	return es, nil
}

// Place returns the name by which a user knows a file of FS. Files outside of the working directory are read from the root of
// the file system, and have no leading slash in FS.
func (s Source) Place(file string) string {
	if file == "" || filepath.IsAbs(file) || s.Root == "" || filepath.Dir(s.Root) != s.Root || !filepath.IsAbs(s.Root) {
		return file
	}
	return filepath.Join(s.Root, file)
}

// problems returns the problems that were found, or nil.
func (p *parse) problems() error {
	for i := range p.out.All {
		p.out.All[i].File = p.Place(p.out.All[i].File)
	}
	return p.out.Err()
}

// nothingSelected reports that no scenario is selected. others are the tags of the scenarios that are not.
func (p *parse) nothingSelected(others []string) {
	paths := make([]string, len(p.Paths))
	for i, path := range p.Paths {
		paths[i] = p.Place(path)
	}
	what := "no scenario is selected by " + source.Quote(paths)
	if p.Tags != "" {
		what += fmt.Sprintf(" with the tags %q", p.Tags)
	}
	if p.Name != "" {
		what += fmt.Sprintf(" and a name that matches %q", p.Name)
	}
	slices.Sort(others)
	others = slices.Compact(others)
	hint := "check paths, tags and name"
	for _, tag := range wordOfExpression.FindAllString(p.Tags, -1) {
		if !slices.Contains(others, tag) && !slices.Contains([]string{"and", "or", "not"}, tag) {
			hint = fmt.Sprintf("no scenario has the tag %s; %s", tag, source.DidYouMean(tag, others, "tags"))
		}
	}
	p.out.Add(source.Pos{}, codes.NothingSelected.Message(what), hint)
}

var wordOfExpression = regexp.MustCompile(`[^\s()]+`)

// parse is the state of one call of Parse.
type parse struct {
	Source
	out     source.List
	own     []*regexp.Regexp
	systems map[string]systemFile
}

type systemFile struct {
	system.System
	err error
}

// open reads a system file, once.
func (p *parse) open(name string) (system.System, error) {
	if !fs.ValidPath(name) {
		return system.System{}, fmt.Errorf("%s lies outside of the folder that features are read from", name)
	}
	s, ok := p.systems[name]
	if !ok {
		s.System, s.err = system.Read(p.FS, name, p.Handlers, p.Vocabulary.protocols)
		s.Dir = filepath.Join(p.Root, filepath.FromSlash(s.Dir))
		p.systems[name] = s
	}
	return s.System, s.err
}

// wanted returns a function that reports whether tags and name select a scenario.
func (p *parse) wanted() func(*feature.Scenario) bool {
	var expr tags.Evaluatable
	if strings.TrimSpace(p.Tags) != "" {
		var err error
		if expr, err = tagExpression(p.Tags); err != nil {
			p.out.Add(source.Pos{}, codes.BadValue.Msgf("%q is not a tag expression: %s", p.Tags, firstLine(err.Error())), `write "@nightly and not @real"`)
		}
	}
	name, err := regexp.Compile(p.Name)
	if err != nil {
		p.out.Add(source.Pos{}, codes.BadValue.Msgf("%q is not a regular expression for names: %v", p.Name, err), "write a part of the name, such as crash")
	}
	for _, own := range p.Own {
		re, err := regexp.Compile(own)
		if err != nil {
			p.out.Add(source.Pos{}, codes.BadValue.Msgf("%q is not a regular expression for a step: %v", own, err), "mend the pattern of your own step")
			continue
		}
		p.own = append(p.own, re)
	}
	return func(s *feature.Scenario) bool {
		return (expr == nil || expr.Evaluate(s.Tags)) && name.MatchString(s.Name)
	}
}

// SelectTags returns a function that reports whether a tag expression, such as "@nightly and not @real", selects a
// scenario with these tags. The empty expression selects all.
func SelectTags(expression string) (func(tags []string) bool, error) {
	if strings.TrimSpace(expression) == "" {
		return func([]string) bool { return true }, nil
	}
	expr, err := tagExpression(expression)
	if err != nil {
		return nil, fmt.Errorf(`%q is not a tag expression: %s: write "@nightly and not @real"`, expression, firstLine(err.Error()))
	}
	return expr.Evaluate, nil
}

// tagExpression parses a tag expression. It recovers from the panic of the library on a truncated expression.
func tagExpression(s string) (expr tags.Evaluatable, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it ends too early")
		}
	}()
	return tags.Parse(s)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// file is a feature file to read, with the lines that select scenarios in it. Without lines, all are selected.
type file struct {
	name  string
	lines []int
}

func (f file) selects(s *feature.Scenario) bool {
	return len(f.lines) == 0 || slices.ContainsFunc(f.lines, s.Covers)
}

// files returns the files that the paths name, without duplicates.
func (p *parse) files() []file {
	var all []file
	add := func(name string, line int) {
		i := slices.IndexFunc(all, func(f file) bool { return f.name == name })
		switch {
		case i < 0 && line > 0:
			all = append(all, file{name, []int{line}})
		case i < 0:
			all = append(all, file{name: name})
		case line == 0:
			all[i].lines = nil
		case len(all[i].lines) > 0:
			all[i].lines = append(all[i].lines, line)
		}
	}
	for _, given := range p.Paths {
		name, line := given, 0
		if before, after, ok := strings.Cut(given, ".feature:"); ok {
			n, err := strconv.Atoi(after)
			if err != nil || n < 1 {
				p.out.Add(source.Pos{}, codes.BadValue.Msgf("%q names no line", given), "write orders.feature:12")
				continue
			}
			name, line = before+".feature", n
		}
		p.walk(path.Clean(strings.ReplaceAll(name, `\`, "/")), line, add)
	}
	return all
}

func (p *parse) walk(name string, line int, add func(string, int)) {
	if !fs.ValidPath(name) {
		p.out.Add(source.Pos{}, codes.UnreadableFile.Msgf("%q lies outside of the folder that features are read from", name), "run firedrill from a folder that holds it")
		return
	}
	info, err := fs.Stat(p.FS, name)
	switch {
	case err != nil:
		p.out.Add(source.Pos{}, codes.UnreadableFile.Msgf("%q cannot be read: %v", p.Place(name), withoutPath(err)), "name a feature file, or a folder that holds some")
	case !info.IsDir() && !strings.HasSuffix(name, ".feature"):
		p.out.Add(source.Pos{}, codes.UnreadableFile.Msgf("%q is not a feature file", p.Place(name)), "its name has to end in .feature")
	case !info.IsDir():
		add(name, line)
	default:
		err := fs.WalkDir(p.FS, name, func(sub string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && strings.HasSuffix(sub, ".feature") {
				add(sub, 0)
			}
			return err
		})
		if err != nil {
			p.out.Add(source.Pos{}, codes.UnreadableFile.Msgf("%q cannot be read: %v", p.Place(name), err), "check that the folder may be read")
		}
	}
}

// withoutPath returns the reason of an error that repeats the path of a file.
func withoutPath(err error) error {
	var failed *fs.PathError
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// idsIn returns the ids of the scenarios in a file. Scenarios with equal names get a number, counted over the whole
// file regardless of the selection.
func idsIn(all []*feature.Scenario) []string {
	var ids []string
	seen := map[string]int{}
	for _, s := range all {
		id := scenarios.ID(s.Feature, s.Name, s.Cells)
		if seen[id]++; seen[id] > 1 {
			id = fmt.Sprintf("%s-%d", id, seen[id])
		}
		ids = append(ids, id)
	}
	return ids
}

// unique makes equal ids of different files unique.
func unique(es []*scenarios.Experiment) {
	seen := map[string]bool{}
	for _, e := range es {
		id := e.ID
		for n := 2; seen[e.ID]; n++ {
			e.ID = fmt.Sprintf("%s-%d", id, n)
		}
		seen[e.ID] = true
	}
}
