// Package system describes the system under test: its services, the links between them, and how they are started.
// Read reads a description from a YAML file. System.Validate examines one that was put together otherwise.
package system

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// System is the system under test.
type System struct {
	File     string // as named in the feature; "" if described in sentences
	Dir      string // folder where relative paths start
	Services []Service
	Links    []Link
	Groups   []Group
	Effects  []EffectSource `json:",omitempty"` // sources of effects that features can name
	Fallback *source.Mark   // marks fallback answers; nil if they are not marked
	// FallbackIsSuccess makes fallbacks count as success in all scenarios, including those that do not mention
	// them.
	FallbackIsSuccess bool
	// Protections are the names that ${without} may contain; nil means any.
	Protections []string  `json:",omitempty"`
	Probes      []Probe   `json:",omitempty"` // asked during every run
	Commands    []Command `json:",omitempty"` // run by steps and probes that name them

	Quarantine []Quarantine `json:",omitempty"` // of scenarios that are tagged @quarantine
	Stop       []StopRule   `json:",omitempty"` // of every scenario
	Limits     Limits       `json:",omitzero"`
	Allow      []string     `json:",omitempty"` // hosts, or addresses, of other machines that services may run on
}

// Path returns the path of a file or folder that the system file names.
func (s System) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.Dir, name)
}

// ProgramDir returns the folder where a relative path of a service's program starts.
func (s System) ProgramDir(service Service) string { return s.Path(service.Dir) }

// Whole reports whether the scenario starts the whole system itself. Services that already run may have other
// users.
func (s System) Whole() bool {
	return !slices.ContainsFunc(s.Services, func(v Service) bool { return v.Address != "" })
}

// Service is a part of the system. Exactly one of Command, Address, StandIn and Handler is set.
type Service struct {
	Name    string
	Command []string          // program (see process.FindProgram) and arguments; may contain placeholders, see Expand
	Env     map[string]string // values may contain the same placeholders
	Dir     string            // working folder, relative to System.Dir; "" means ${dir}, a new folder of the run
	Files   []File            `json:",omitempty"` // written to ${dir} before it starts
	Port    int               // 0 means a free port
	Ready   Ready
	Stop    Stopping `json:",omitzero"`
	Data    Data     `json:",omitzero"`
	Address string   // host:port or unix:/path of a service that already runs
	StandIn *StandIn `json:",omitempty"` // answers of a service that Firedrill serves itself
	Login   string   `json:",omitempty"` // what the load needs besides the address if it is not HTTP: a URL without one, which may contain ${env:NAME}; "" means that of the kind of load
	Proto   string   `json:",omitempty"` // file that defines its gRPC methods, for the load; "" means that it answers by server reflection
	Handler any      // http.Handler of an in-process service, in Go only
	Serves  []string // path prefixes of client requests that it answers
	Needs   string   // a program that must be installed; the scenario is skipped if it is missing
	Install string   // the command that installs it
}

// Ready defines how to detect that a service is ready.
type Ready struct {
	TCP    bool          // its port accepts connections; this is the default
	HTTP   string        // a path that answers with 2xx
	Line   string        // regular expression for a line of its log
	Within time.Duration // 0 means 10 s
}

// Stopping defines the graceful shutdown of a service. A service that does not end in time is killed.
type Stopping struct {
	Signal string        // one of process.StopSignals; "" means SIGTERM
	Within time.Duration // 0 means 5 s
}

// Data is the folder in which a service keeps what has to survive a loss of power. A scenario with that fault mounts a
// file system there, which is empty at first.
type Data struct {
	Folder string // below the working folder; "" means that the service has none
	Size   int64  // of the file system in bytes; 0 means 256 MB
}

// Link is the connection of one service to a dependency, through a relay. From may be "clients", the load itself.
type Link struct {
	From, To string
	Port     string          `json:",omitempty"` // the further port of To, ${port:name} there, that the link leads to; "" means its own port
	Protocol string          // "tcp" or the name of a row of the table of protocols; "" means tcp
	Framing  message.Framing `json:",omitzero"` // for the protocols lines and lengths
	Listen   string          // fixed listen address, host:port or unix:/path, or SharedPort; "" means a free port
	TLS      *TLS            `json:",omitempty"` // nil means that TLS is not terminated
	Shared   []string        `json:",omitempty"` // further services that call through it, at the same address
	// ProxyProtocol is the version, "v1" or "v2", of the PROXY protocol header that tells the dependency the
	// address of the caller. If it is "", no header is sent.
	ProxyProtocol string     `json:",omitempty"`
	Toxiproxy     *Toxiproxy `json:",omitempty"` // the proxy of another server that it leads through; nil means that it leads to the dependency itself
	// Row is the row of Protocol; nil for tcp. It is set by the name when an experiment is read or built. For a
	// protocol of your own, set it instead of Protocol.
	Row *message.Protocol `json:"-"`
}

// SharedPort as the Listen of links to the same dependency means one free port for all of them.
const SharedPort = "shared"

// Address returns the fixed address at which the link listens, or "" if it listens at a free port.
func (l Link) Address() string {
	if l.Listen == SharedPort {
		return ""
	}
	return l.Listen
}

// SharesAddress reports whether a link has the same address as another one because the system file says so.
func (l Link) SharesAddress(other Link) bool {
	return l.Listen == other.Listen && (l.Address() != "" || l.Listen == SharedPort && l.To == other.To)
}

// Name returns "orders -> payments".
func (l Link) Name() string { return l.From + " -> " + l.To }

// CalledBy reports whether a service calls through the link.
func (l Link) CalledBy(service string) bool {
	return l.From == service || slices.Contains(l.Shared, service)
}

// Clients is the name of the load as the From of a link.
const Clients = "clients"

// Link returns the link between two services. Its From is another one if they share it.
func (s *System) Link(from, to string) (Link, bool) {
	i := slices.IndexFunc(s.Links, func(l Link) bool { return l.CalledBy(from) && l.To == to })
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
			return "", source.Mistakef(codes.BadPlaceholder, "write ${port}", "the placeholder in %q is not closed", "${"+rest)
		}
		name, arg, _ := strings.Cut(inside, ":")
		value, ok := values(name, arg)
		if !ok {
			return "", source.Mistakef(codes.BadPlaceholder, placeholderHelp, "%q stands for nothing", "${"+inside+"}")
		}
		b.WriteString(value)
		s = after
	}
}

const placeholderHelp = "the placeholders are ${self} ${port} ${port:name} ${dir} ${here} ${link:service} ${address:service} ${ca} ${without} ${seed} ${env:NAME}"

// Validate validates the whole system, whose links are resolved. table holds the known protocols. where returns the
// position of a service or a link, or of one of its keys. Services named in handlers need no command.
func (s *System) Validate(handlers []string, table protocols.Table, where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	for _, service := range s.Services {
		at := where(service.Name, "")
		switch {
		case !IsName(service.Name):
			addProblem(at, codes.BadName.Msgf("%q cannot be the name of a service", service.Name), "use letters, digits, - and _")
		case service.Name == Clients:
			addProblem(at, codes.BadName.Msgf(`"clients" is the load itself and cannot be a service`), "choose another name")
		case len(service.Command) == 0 && service.Address == "" && service.StandIn == nil && service.Handler == nil && !slices.Contains(handlers, service.Name):
			addProblem(at, codes.Missing.Msgf("%q has neither a command nor an address", service.Name), "say how to start it, or where it runs")
		case len(service.Command) > 0 && service.Address != "":
			addProblem(where(service.Name, "address"), codes.Contradiction.Msgf("%q has both a command and an address", service.Name), "leave one out: it is either started or runs already")
		}
		if s.readinessUnknown(service) {
			addProblem(at, codes.Unsupported.Msgf("%q is asked over UDP only, where nothing tells whether it is ready", service.Name), `say how to know: ready: {line: "listening"}, or {http: /livez}`)
		}
		if what, hint := service.validateStop(); !what.None() {
			addProblem(where(service.Name, "stop"), what, hint)
		}
		s.validateStandIn(service, where, addProblem)
		if what, hint := service.validateData(); !what.None() {
			addProblem(where(service.Name, "data"), what, hint)
		}
		s.placeholders(service, where, addProblem)
	}
	for _, l := range s.Links {
		at := where(l.Name(), "")
		for _, end := range []string{l.From, l.To} {
			if end != "" && !slices.Contains(s.Names(), end) && (end != l.From || end != Clients) {
				addProblem(at, codes.UnknownName.Msgf("there is no service %q", end), source.DidYouMean(end, s.Names(), "services"))
			}
		}
		l.validate(table, where, addProblem)
		i := slices.IndexFunc(s.Services, func(x Service) bool { return x.Name == l.To })
		if i >= 0 {
			l.validatePort(s.Services[i], where, addProblem)
		}
		if i >= 0 && l.UDP() && strings.HasPrefix(s.Services[i].Address, source.UnixPrefix) {
			addProblem(where(l.To, "address"), codes.Unsupported.Msgf("%q listens on a Unix socket, and %s goes over UDP", l.To, l.ProtocolName()), "give it host and port, or declare another protocol")
		}
		if i >= 0 && l.TLS != nil && s.Services[i].Ready.HTTP != "" {
			addProblem(where(l.To, "ready"), codes.Unsupported.Msgf("%q speaks TLS, and would not answer whoever asks over plain HTTP whether it is ready", l.To), "choose tcp or line")
		}
		row, ok := l.Relayed()
		if !ok {
			row.Name = l.ProtocolName()
		}
		if err := row.CheckFraming(l.Framing); err != nil {
			addProblem(where(l.Name(), "framing"), codes.BadValue.Message(err.Error()), "write {protocol: lengths, framing: {width: 4, lockstep: true}}; lines have lockstep only, and others nothing")
		}
		if l.From == l.To {
			addProblem(at, codes.Contradiction.Msgf("%q depends on itself", l.From), "leave the link out")
		}
	}
	s.validateGroups(where, addProblem)
	s.validateCommands(where, addProblem)
	s.validateProbes(where, addProblem)
	s.validateStopRules(where, addProblem)
	s.validateLimits(where, addProblem)
	s.validateEffects(where, addProblem)
	if _, err := s.Order(); err != nil && len(s.Links) > 0 && !slices.ContainsFunc(s.Links, func(l Link) bool { return l.From == l.To }) {
		what, hint := source.Parts(err)
		addProblem(where(s.Links[0].Name(), ""), what, hint)
	}
}

func expandText(text string) func(values func(name, arg string) (string, bool)) (string, error) {
	return func(values func(name, arg string) (string, bool)) (string, error) { return Expand(text, values) }
}

// placeholders validates the placeholders of a service.
func (s *System) placeholders(service Service, where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	judge := func(key string, expand func(values func(name, arg string) (string, bool)) (string, error)) {
		_, err := expand(func(name, arg string) (string, bool) {
			switch {
			case name == "link" && arg != "":
				if _, ok := s.Link(service.Name, arg); !ok {
					addProblem(where(service.Name, key), codes.BadPlaceholder.Msgf("${link:%s} needs a link that is not there: %q does not depend on %q", arg, service.Name, arg), s.LinksOf(service.Name, arg))
				}
				return "", true
			case name == "address" && arg != "":
				if !slices.Contains(s.Names(), arg) {
					addProblem(where(service.Name, key), codes.BadPlaceholder.Msgf("${address:%s} is of no service", arg), source.DidYouMean(arg, s.Names(), "services"))
				}
				return "", true
			case name == "port":
				return "", true
			case name == "ca" && arg == "":
				if !s.terminates() {
					addProblem(where(service.Name, key), codes.BadPlaceholder.Msgf("${ca} is the CA of links that terminate TLS, and no link does"), "add `tls: terminate` to a link, or leave the placeholder out")
				}
				return "", true
			}
			return "", name == "env" && arg != "" || arg == "" && slices.Contains([]string{"self", "dir", "here", "without", "seed"}, name)
		})
		if err != nil {
			what, hint := source.Parts(err)
			addProblem(where(service.Name, key), what, hint)
		}
	}
	for i, arg := range service.Command {
		judge(fmt.Sprintf("command %d", i), expandText(arg))
	}
	for name, value := range service.Env {
		judge("env "+name, expandText(value))
	}
	for _, f := range service.Files {
		judge("file "+f.Name, f.Expand)
	}
}

// LinksOf returns a hint for a missing link.
func (s *System) LinksOf(from, to string) string {
	var known []string
	for _, l := range s.Links {
		if l.CalledBy(from) {
			known = append(known, l.To)
		}
	}
	if len(known) == 0 {
		if from == Clients {
			return fmt.Sprintf("add to the system file, beside `services`: clients: {depends: {%s: http}}; or write: \"clients\" depends on %q over http", to, to)
		}
		return fmt.Sprintf("%q depends on nothing: add to it in the system file: depends: {%s: http}", from, to)
	}
	return fmt.Sprintf("%q depends on %s", from, source.Quote(known))
}

func IsName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.", r)
	})
}

// Names returns the names of the services.
func (s *System) Names() []string {
	var all []string
	for _, service := range s.Services {
		all = append(all, service.Name)
	}
	return all
}

// readinessUnknown reports whether a service would be considered ready when it accepts TCP connections, although
// all links to it use UDP.
func (s *System) readinessUnknown(service Service) bool {
	if len(service.Command) == 0 || service.Ready.HTTP != "" || service.Ready.Line != "" || service.Ready.TCP {
		return false
	}
	udp := false
	for _, l := range s.Links {
		if l.To == service.Name && !l.UDP() {
			return false
		}
		udp = udp || l.To == service.Name
	}
	return udp
}

func (s *System) LinkNames() string {
	var all []string
	for _, l := range s.Links {
		all = append(all, l.Name())
	}
	return source.Quote(all)
}
