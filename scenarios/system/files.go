package system

import (
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// File is a configuration file of a service: a template, whose placeholders are replaced before the service starts.
type File struct {
	Name     string // where it is written: a path below ${dir}
	Template string `json:"-"` // its text
	From     string // path of the template, relative to System.Dir
}

// maxTemplate is the largest size of a template in bytes.
const maxTemplate = 1 << 20

// files reads the configuration files of a service: a mapping from their names to those of their templates.
func (r *reader) files(service string, v ast.Node) (all []File) {
	r.Mapping(v, "files", nil, func(name string, v ast.Node, at source.Pos) {
		r.positions[service+"/file "+name] = r.At(v)
		f := File{Name: name, From: r.Text(v)}
		if !filepath.IsLocal(name) || filepath.Clean(name) == "." {
			r.Out.Add(at, codes.BadValue.Msgf("%q is not a path below the service's folder", name), "write where in ${dir} the file shall be: nginx.conf")
		}
		raw, err := source.ReadFile(r.fsys, path.Join(path.Dir(r.File), f.From), maxTemplate)
		if err != nil {
			r.Out.Add(r.At(v), codes.UnreadableFile.Msgf("the template of %q cannot be read: %v", name, err), "its path is relative to the system file, and below the folder that firedrill runs in")
		}
		f.Template = string(raw)
		all = append(all, f)
	})
	return all
}

// inTemplate matches the placeholders of templates. Configuration files have variables of their own that look alike, so
// nothing else is replaced.
var inTemplate = regexp.MustCompile(`\$\{(self|port|dir|here|link|address|ca|without|seed|env)(:[A-Za-z0-9_.-]*)?\}`)

// Expand returns the text of the file; see Expand.
func (f File) Expand(values func(name, arg string) (value string, ok bool)) (string, error) {
	var failed error
	text := inTemplate.ReplaceAllStringFunc(f.Template, func(placeholder string) string {
		value, err := Expand(placeholder, values)
		if err != nil && failed == nil {
			failed = err
		}
		return value
	})
	return text, failed
}

// Placeholders returns what follows the colon of each placeholder with a name, such as "address", in the settings of a
// service: "" for one without a colon.
func (s Service) Placeholders(name string) (args []string) {
	texts := slices.Concat(s.Command, slices.Collect(maps.Values(s.Env)))
	for _, f := range s.Files {
		texts = append(texts, f.Template)
	}
	for _, text := range texts {
		for _, found := range inTemplate.FindAllStringSubmatch(text, -1) {
			if found[1] == name {
				args = append(args, strings.TrimPrefix(found[2], ":"))
			}
		}
	}
	slices.Sort(args)
	return slices.Compact(args)
}
