package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/injector/protocols"
)

// Clients is the name of the load as the From of a link.
const Clients = "clients"

// link returns the link between two services.
func (s *System) link(from, to string) (Link, bool) {
	i := slices.IndexFunc(s.Links, func(l Link) bool { return l.From == from && l.To == to })
	if i < 0 {
		return Link{}, false
	}
	return s.Links[i], true
}

// Expand replaces the placeholders ${name} and ${name:arg} by values. If values returns false, the placeholder is
// an error. A $ without a brace is kept.
func Expand(s string, values func(name, arg string) (value string, ok bool)) (string, error) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "${")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		inside, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", mistakef("write ${port}", "the placeholder in %q is not closed", "${"+rest)
		}
		name, arg, _ := strings.Cut(inside, ":")
		value, ok := values(name, arg)
		if !ok {
			return "", mistakef(placeholderHelp, "%q stands for nothing", "${"+inside+"}")
		}
		b.WriteString(value)
		s = after
	}
}

const placeholderHelp = "the placeholders are ${self} ${port} ${port:name} ${dir} ${link:service} ${address:service} ${ca} ${without} ${seed}"

// protocolNames returns the protocols that a link may have.
func protocolNames() []string {
	all := []string{"tcp"}
	for _, p := range protocols.All() {
		all = append(all, p.Name)
	}
	return all
}

// validate validates the whole system. where returns the position of a service or a link, or of one of its keys.
// Services named in handlers need no command.
func (s *System) validate(handlers []string, where func(name, key string) pos, addProblem func(at pos, what, hint string)) {
	for _, service := range s.Services {
		at := where(service.Name, "")
		switch {
		case !validName(service.Name):
			addProblem(at, fmt.Sprintf("%q cannot be the name of a service", service.Name), "use letters, digits, - and _")
		case service.Name == Clients:
			addProblem(at, `"clients" is the load itself and cannot be a service`, "choose another name")
		case len(service.Command) == 0 && service.Address == "" && service.Handler == nil && !slices.Contains(handlers, service.Name):
			addProblem(at, fmt.Sprintf("%q has neither a command nor an address", service.Name), "say how to start it, or where it runs")
		case len(service.Command) > 0 && service.Address != "":
			addProblem(where(service.Name, "address"), fmt.Sprintf("%q has both a command and an address", service.Name), "leave one out: it is either started or runs already")
		}
		if s.readinessUnknown(service) {
			addProblem(at, fmt.Sprintf("%q is asked over UDP only, where nothing tells whether it is ready", service.Name), `say how to know: ready: {line: "listening"}, or {http: /livez}`)
		}
		if what, hint := service.validateStop(); what != "" {
			addProblem(where(service.Name, "stop"), what, hint)
		}
		s.placeholders(service, where, addProblem)
	}
	for _, l := range s.Links {
		at := where(l.Name(), "")
		for _, end := range []string{l.From, l.To} {
			if end != "" && !slices.Contains(s.names(), end) && (end != l.From || end != Clients) {
				addProblem(at, fmt.Sprintf("there is no service %q", end), didYouMean(end, s.names(), "services"))
			}
		}
		l.validate(where, addProblem)
		i := slices.IndexFunc(s.Services, func(x Service) bool { return x.Name == l.To })
		if i >= 0 && l.udp() && strings.HasPrefix(s.Services[i].Address, unixPrefix) {
			addProblem(where(l.To, "address"), fmt.Sprintf("%q listens on a Unix socket, and %s goes over UDP", l.To, l.protocol()), "give it host and port, or declare another protocol")
		}
		if i >= 0 && l.TLS != nil && s.Services[i].Ready.HTTP != "" {
			addProblem(where(l.To, "ready"), fmt.Sprintf("%q speaks TLS, and would not answer whoever asks over plain HTTP whether it is ready", l.To), "choose tcp or line")
		}
		row, ok := protocols.Find(l.protocol())
		if !ok {
			row.Name = l.protocol()
		}
		if err := row.CheckFraming(l.Framing); err != nil {
			addProblem(where(l.Name(), "framing"), err.Error(), "write {protocol: lengths, framing: {width: 4, lockstep: true}}; lines have lockstep only, and others nothing")
		}
		if l.From == l.To {
			addProblem(at, fmt.Sprintf("%q depends on itself", l.From), "leave the link out")
		}
	}
	s.validateGroups(where, addProblem)
	if _, err := s.Order(); err != nil && len(s.Links) > 0 && !slices.ContainsFunc(s.Links, func(l Link) bool { return l.From == l.To }) {
		what, hint := parts(err)
		addProblem(where(s.Links[0].Name(), ""), what, hint)
	}
}

// placeholders validates the placeholders of a service.
func (s *System) placeholders(service Service, where func(name, key string) pos, addProblem func(at pos, what, hint string)) {
	judge := func(key, text string) {
		_, err := Expand(text, func(name, arg string) (string, bool) {
			switch {
			case name == "link" && arg != "":
				if _, ok := s.link(service.Name, arg); !ok {
					addProblem(where(service.Name, key), fmt.Sprintf("${link:%s} needs a link that is not there: %q does not depend on %q", arg, service.Name, arg), s.linksOf(service.Name, arg))
				}
				return "", true
			case name == "address" && arg != "":
				if !slices.Contains(s.names(), arg) {
					addProblem(where(service.Name, key), fmt.Sprintf("${address:%s} is of no service", arg), didYouMean(arg, s.names(), "services"))
				}
				return "", true
			case name == "port":
				return "", true
			case name == "ca" && arg == "":
				if !s.terminates() {
					addProblem(where(service.Name, key), "${ca} stands for what vouches for links that terminate TLS, and no link does", "add `tls: terminate` to a link, or leave the placeholder out")
				}
				return "", true
			}
			return "", arg == "" && slices.Contains([]string{"self", "dir", "without", "seed"}, name)
		})
		if err != nil {
			what, hint := parts(err)
			addProblem(where(service.Name, key), what, hint)
		}
	}
	for i, arg := range service.Command {
		judge(fmt.Sprintf("command %d", i), arg)
	}
	for name, value := range service.Env {
		judge("env "+name, value)
	}
}

// linksOf returns a hint for a missing link.
func (s *System) linksOf(from, to string) string {
	var known []string
	for _, l := range s.Links {
		if l.From == from {
			known = append(known, l.To)
		}
	}
	if len(known) == 0 {
		if from == Clients {
			return fmt.Sprintf("add to the system file, beside `services`: clients: {depends: {%s: http}}; or write: \"clients\" depends on %q over http", to, to)
		}
		return fmt.Sprintf("%q depends on nothing: add to it in the system file: depends: {%s: http}", from, to)
	}
	return fmt.Sprintf("%q depends on %s", from, list(known))
}

func validName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}
