package system

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Declaration is something that a system file declares.
type Declaration struct {
	What  string   // such as `the probe "lag"`
	Names []string // by which sentences can refer to it
	At    source.Pos
}

// Unreferenced reads a system file and returns what it declares for the steps of features to name, and does not name
// itself: probes, sources of effects, commands, groups and services. Only a feature can use them. Left out is what acts
// although it is not named: services that are started, or awaited, or answer requests, and groups whose members nothing
// else connects.
func Unreferenced(fsys fs.FS, name string, table protocols.Table) ([]Declaration, error) {
	r, err := readFile(fsys, name, nil, table)
	if err == nil {
		err = r.Out.Err()
	}
	if err != nil {
		return nil, err
	}
	texts := r.texts()
	var all []Declaration
	add := func(kind, key string, names ...string) {
		at := r.where(key, "")
		mentions := 0
		for _, text := range texts {
			if Mentions(text, names[0]) {
				mentions++
			}
		}
		if mentions <= 1 { // the declaration
			all = append(all, Declaration{What: fmt.Sprintf("the %s %q", kind, names[0]), Names: names, At: at})
		}
	}
	for _, p := range r.sys.Probes {
		add("probe", probes+"/"+p.Name, p.Name, p.Series)
	}
	for _, e := range r.sys.Effects {
		add("source of effects", effects+e.Name, e.Name)
	}
	for _, c := range r.sys.Commands {
		add("command", commands+"/"+c.Name, c.Name)
	}
	for _, g := range r.sys.Groups {
		if r.sys.sameWithout(g) {
			add("group", groups+"/"+g.Name, g.Name)
		}
	}
	for _, s := range r.sys.Services {
		if r.sys.idle(s) {
			add("service", s.Name, s.Name)
		}
	}
	return all, nil
}

// texts returns all keys and values of the file, and the templates that it names.
func (r *reader) texts() (all []string) {
	for _, t := range lexer.Tokenize(strings.Join(r.Lines, "\n")) {
		if t.Type != token.CommentType {
			all = append(all, t.Value)
		}
	}
	for _, s := range r.sys.Services {
		for _, f := range s.Files {
			all = append(all, f.Template)
		}
	}
	return all
}

// sameWithout reports whether the other declarations mean the same without the group.
func (s *System) sameWithout(g Group) bool {
	without := *s
	without.Groups = slices.DeleteFunc(slices.Clone(s.Groups), func(o Group) bool { return o.Name == g.Name })
	if _, err := without.Order(); err != nil || len(g.Members) == 0 {
		return false
	}
	connected := without.connected(g.Members[0])
	return !slices.ContainsFunc(g.Members, func(m string) bool { return !connected[m] })
}

// idle reports whether a service does nothing unless something refers to it.
func (s *System) idle(service Service) bool {
	linked := slices.ContainsFunc(s.Links, func(l Link) bool { return l.To == service.Name || l.CalledBy(service.Name) })
	others := slices.ContainsFunc(s.Services, func(o Service) bool { // that answer requests that no service declares
		return o.Name != service.Name && !slices.ContainsFunc(s.Links, func(l Link) bool { return l.To == o.Name && l.From != Clients })
	})
	return others && !linked && service.Address != "" && len(service.Command) == 0 && service.StandIn == nil && service.Ready == Ready{} && len(service.Serves) == 0 && service.Needs == ""
}

// Mentions reports whether a text contains a name as a word of its own. A part of a path or a file name, such as
// "/orders", is none.
func Mentions(text, name string) bool {
	inWord := func(c byte) bool {
		return c == '_' || c == '-' || c == '.' || c == '/' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
	}
	for from := 0; name != ""; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		begin, end := from+i, from+i+len(name)
		if (begin == 0 || !inWord(text[begin-1])) && (end == len(text) || !inWord(text[end])) {
			return true
		}
		from = begin + 1
	}
	return false
}
