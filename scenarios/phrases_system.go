package scenarios

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/check"
)

func systemPhrases() []Phrase {
	return []Phrase{
		{Name: "system file", Pattern: `the system described in {text}`, Means: "services and links, from a file beside the feature; firedrill schema tells its form",
			Examples: []string{`the system described in "system.yaml"`},
			build:    func(d *draft, a args) { d.readSystem(a) }},
		{Name: "service", Pattern: `the service {name} at {text}`, Means: "one that runs already",
			Examples: []string{`the service "orders" at "http://127.0.0.1:8080"`},
			build: func(d *draft, a args) {
				d.describe(a.at)
				address, err := parseAddress(a.quoted(1))
				if err != nil {
					a.blame(1, err)
				}
				d.service(a.place(0), Service{Name: a.name(0), Address: address})
			}},
		{Name: "dependency", Pattern: `{name} depends on {name}( at {text})( over {protocol})`, Means: "a link; faults act on links",
			Examples: []string{`"orders" depends on "payments" at "127.0.0.1:9090" over http`, `"orders" depends on "payments" over http`},
			build:    dependency},
		{Name: "terminated TLS", Pattern: `TLS from {name} to {name} is terminated(, trusting the CA in {text})(, trusting any certificate)`,
			Means:    "so that faults on calls act inside; clients have to trust the file that ${ca} stands for",
			Examples: []string{`TLS from "orders" to "payments" is terminated, trusting the CA in "certs/ca.pem"`, `TLS from "orders" to "payments" is terminated, trusting any certificate`},
			build:    terminated},
		{Name: "services", Pattern: `these services and dependencies:`, Means: "a table: service | address | depends on | protocol", table: true,
			Examples: []string{`these services and dependencies:`}, build: services},
		{Name: "started service", Pattern: `the service {name} is started with:`, Means: "a doc string: program and arguments, separated by white space; no shell reads them", doc: true,
			Examples: []string{`the service "orders" is started with:`}, build: started},
		{Name: "ready", Pattern: `{name} is ready within {duration}`, Means: "how long its port may take to accept; 10s when not said",
			Examples: []string{`"orders" is ready within 10s`},
			build: func(d *draft, a args) {
				d.describe(a.at)
				name, within := a.name(0), a.duration(1)
				d.after(func() {
					if i := d.serviceNamed(a.place(0), name); i >= 0 {
						d.System.Services[i].Ready.Within = within
					}
				})
			}},
		{Name: "blast radius", Pattern: `the blast radius is limited to {text}`, Means: "faults may touch these services only",
			Examples: []string{`the blast radius is limited to "payments, inventory"`},
			build:    func(d *draft, a args) { d.radius(a.place(0), split(a.quoted(0))) }},
		{Name: "stop rule", Pattern: `the run stops at once if fewer than {percent} of requests succeed for {duration}`, Means: "everything is healed; exit code 4",
			Examples: []string{`the run stops at once if fewer than 50% of requests succeed for 10s`},
			build:    func(d *draft, a args) { d.stopBelow(a.at, StopRule{Ratio: a.ratio(0), For: a.duration(1)}) }},
		{Name: "steady state", Pattern: `the steady state is:`, Means: "a table: measure (success, p95 latency) | condition (at least 99%, below 400ms)", table: true,
			Examples: []string{`the steady state is:`}, build: steady},
	}
}

// parseAddress reads "http://127.0.0.1:8080" and "127.0.0.1:8080" as host and port; "unix:/run/db.sock" stays as it is. With an error it returns s as it is.
func parseAddress(s string) (string, error) {
	if at, ok, err := parseUnix(s); ok {
		return at, err
	}
	bad := wrong("write host and port, as in \"127.0.0.1:8080\"", "%q is no address", s)
	if strings.Contains(s, "://") {
		u, err := url.Parse(s)
		if err != nil || !slices.Contains([]string{"http", "tcp", "udp"}, u.Scheme) || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
			return s, bad
		}
		s = u.Host
	}
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, " \t/") {
		return s, bad
	}
	return s, nil
}

func dependency(d *draft, a args) {
	d.describe(a.at)
	to := a.name(1)
	if a.has(2) {
		address, err := parseAddress(a.quoted(2))
		if err != nil {
			a.blame(2, err)
		}
		d.service(a.place(1), Service{Name: to, Address: address})
	}
	d.link(a.place(0), Link{From: a.name(0), To: to, Protocol: a.value(3)})
}

func services(d *draft, a args) {
	d.describe(a.at)
	for _, row := range a.columns([]string{"service"}, []string{"address", "depends on", "protocol"}) {
		s := Service{Name: row.cell("service")}
		if address := row.cell("address"); address != "" {
			var err error
			if s.Address, err = parseAddress(address); err != nil {
				a.blameAt(row.at("address"), err)
			}
			d.service(row.at("service"), s)
		}
		for _, to := range split(row.cell("depends on")) {
			d.link(row.at("depends on"), Link{From: s.Name, To: to, Protocol: row.cell("protocol")})
		}
	}
}

// started takes an argument list. What a shell would give a meaning is refused, because here it would have none.
func started(d *draft, a args) {
	d.describe(a.at)
	s := Service{Name: a.name(0), Command: strings.Fields(*a.doc)}
	if len(s.Command) == 0 {
		d.blame(a.at, "the command is empty", "write the program and its arguments between the triple quotes")
	}
	for _, arg := range s.Command {
		if strings.ContainsAny(arg, "\"'`|;<>&\\") {
			d.blame(a.at, fmt.Sprintf("no shell reads the command, so %s would reach the program as it is", arg), "for an argument with spaces or quotes, describe the service in a system file, whose commands are lists")
			break
		}
	}
	d.service(a.place(0), s)
}

func steady(d *draft, a args) {
	d.describe(a.at)
	for _, row := range a.columns([]string{"measure", "condition"}, nil) {
		s, err := parseSteady(row.cell("measure"), row.cell("condition"))
		if err != nil {
			a.blameAt(row.at("condition"), err)
			continue
		}
		d.Steady = append(d.Steady, s)
	}
}

func parseSteady(measure, condition string) (check.Steady, error) {
	s := check.Steady{Measure: measure}
	var err error
	if measure == "success" {
		share, ok := strings.CutPrefix(condition, "at least ")
		if !ok {
			return s, wrong("write at least 99%", "%q is no condition of success", condition)
		}
		s.Ratio, err = parsePercent(share)
		return s, err
	}
	p, ok := strings.CutSuffix(strings.TrimPrefix(measure, "p"), " latency")
	if n, perr := strconv.ParseFloat(p, 64); !ok || !strings.HasPrefix(measure, "p") || perr != nil || n <= 0 || n >= 100 {
		return s, wrong("write success or p95 latency", "%q is no measure of the steady state", measure)
	}
	limit, ok := strings.CutPrefix(condition, "below ")
	if !ok {
		return s, wrong("write below 400ms", "%q is no condition of a latency", condition)
	}
	s.Limit, err = parseDuration(limit)
	return s, err
}

// service adds one.
func (d *draft) service(at place, s Service) {
	if first, twice := d.told[s.Name]; twice {
		d.blame(at, fmt.Sprintf("the service %q was described before, at %s", s.Name, first), "describe it once")
		return
	}
	d.told[s.Name], d.spoken = at, true
	d.System.Services = append(d.System.Services, s)
}

// link adds one; its ends may be described later.
func (d *draft) link(at place, l Link) {
	if first, twice := d.told[l.Name()]; twice {
		d.blame(at, fmt.Sprintf("the link %s was described before, at %s", l.Name(), first), "describe it once")
		return
	}
	d.told[l.Name()], d.spoken = at, true
	d.System.Links = append(d.System.Links, l)
}

func (d *draft) radius(at place, names []string) {
	d.describe(at)
	d.once(&d.radiusAt, at, "the blast radius")
	if len(names) == 0 {
		d.blame(at, "the blast radius is empty, so no fault could be injected", "name the services that faults may touch")
	}
	d.BlastRadius = names
	d.after(func() {
		for _, n := range names {
			d.serviceNamed(at, n)
		}
	})
}

func (d *draft) stopBelow(at place, r StopRule) {
	d.describe(at)
	d.Stop = append(d.Stop, r)
	d.after(func() {
		if d.Load == nil {
			d.lacks(at, "a stop rule watches requests, and there is no load", `add: a steady load of 100 requests per second on "POST /orders"`)
		}
	})
}

// serviceNamed finds a service, and complains of a name that nobody has.
func (d *draft) serviceNamed(at place, name string) int {
	i := slices.IndexFunc(d.System.Services, func(s Service) bool { return s.Name == name })
	if i < 0 && name != "" && len(d.System.Services) > 0 {
		d.blame(at, fmt.Sprintf("there is no service %q", name), didYouMean(name, d.System.names(), "services"))
	}
	return i
}

// names of the services.
func (s *System) names() []string {
	var all []string
	for _, service := range s.Services {
		all = append(all, service.Name)
	}
	return all
}

// readSystem reads the file that sentence 1 names, relative to the feature.
func (d *draft) readSystem(a args) {
	d.describe(a.at)
	if !d.once(&d.systemAt, a.at, "the system's file") {
		return
	}
	name := a.quoted(0)
	sys, err := d.open(path.Join(path.Dir(d.File), name))
	var many Problems
	switch {
	case errors.As(err, &many):
		for _, p := range many {
			d.out.add(place{p.File, p.Line, p.Col, p.Text}, p.What, p.Hint)
		}
		d.broken = true
		return
	case err != nil:
		a.d.blame(a.place(0), fmt.Sprintf("the system's file cannot be read: %v", err), "its path is relative to the feature file; firedrill has to be run from a folder that holds both")
		d.broken = true
		return
	}
	d.described(a.at, name, sys)
}

// described takes over a whole system.
func (d *draft) described(at place, file string, sys System) {
	spoken := d.spoken
	d.System.File, d.System.Dir, d.System.Fallback, d.System.FallbackIsSuccess = file, sys.Dir, sys.Fallback, sys.FallbackIsSuccess
	d.System.Groups = sys.Groups
	for _, s := range sys.Services {
		d.service(at, s)
	}
	for _, l := range sys.Links {
		d.link(at, l)
	}
	d.spoken = spoken
}
