package system

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Probe is something that is asked at an interval during the whole run. Exactly one of HTTP, TCP, Command and Metric
// is set. HTTP, TCP and Command answer yes or no; Metric answers with a number.
type Probe struct {
	Name     string
	HTTP     string        // service, method and path, as ParseAsk reads them: "orders GET /health"
	TCP      string        // a service: yes if its port accepts a connection
	Command  string        // the name of a command of the system: yes if it exits with status 0
	Metric   string        // as HTTP; the answer is in the text format of Prometheus or, with JSON, a document
	Status   int           // of HTTP: the status that means yes; 0 means any 2xx
	JSON     string        // path into a JSON document, such as "data.result.0.value.1"; of Metric, the number there
	Is       string        // of HTTP with JSON: the value that means yes
	Series   string        // of Metric: the name of a series, with labels if needed; series that match are added up
	Contains string        // of HTTP: a text that the body has to contain
	Every    time.Duration // 0 means 1s
	Within   time.Duration // how long an answer may take; 0 means 1 s, and 10 s for a command
}

// defaultEvery is how often a probe is asked if its declaration does not say so.
const defaultEvery = time.Second

// Interval returns how often the probe is asked.
func (p Probe) Interval() time.Duration { return cmp.Or(p.Every, defaultEvery) }

// Patience returns how long an answer may take.
func (p Probe) Patience() time.Duration {
	if p.Within == 0 && p.Command != "" {
		return 10 * time.Second
	}
	return cmp.Or(p.Within, time.Second)
}

// Number reports whether the probe answers with a number instead of yes or no.
func (p Probe) Number() bool { return p.Metric != "" }

// String describes the probe: `outbox (metric outbox_messages of orders GET /metrics)`.
func (p Probe) String() string {
	what := "http " + p.HTTP
	switch {
	case p.TCP != "":
		what = "tcp " + p.TCP
	case p.Command != "":
		what = "command " + p.Command
	case p.Metric != "":
		what = "metric " + cmp.Or(p.Series, p.JSON) + " of " + p.Metric
	}
	return p.Name + " (" + what + ")"
}

// ParseAsk reads a service and a request to it: "orders GET /health".
func ParseAsk(s string) (service, method, path string, err error) {
	service, route, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok {
		return "", "", "", source.Mistakef(codes.BadValue, `write the service, the method and the path: "orders GET /health"`, "%q names no request", s)
	}
	method, path, err = source.ParseRoute(strings.TrimSpace(route))
	return service, method, path, err
}

var probeKeys = []string{"http", "tcp", "command", "metric", "status", "contains", "json", "is", "name", "every", "within"}

// probes prefixes the positions of probes; see groups.
const probes = "probes/"

// probe reads a probe.
func (r *reader) probe(name string, v ast.Node, at source.Pos) {
	p := Probe{Name: name}
	texts := map[string]*string{"http": &p.HTTP, "tcp": &p.TCP, "command": &p.Command, "metric": &p.Metric, "contains": &p.Contains, "json": &p.JSON, "is": &p.Is, "name": &p.Series}
	r.positions[probes+"/"+name] = at
	before := len(r.Out.All)
	r.Mapping(v, fmt.Sprintf("the probe %q", name), probeKeys, func(key string, v ast.Node, _ source.Pos) {
		r.positions[probes+"/"+name+" "+key] = r.At(v)
		switch key {
		case "status":
			p.Status = r.status(v)
		case "every":
			p.Every = r.duration(v)
		case "within":
			p.Within = r.duration(v)
		default:
			*texts[key] = r.Text(v)
		}
	})
	if len(r.Out.All) == before { // report a mistake only once
		r.sys.Probes = append(r.sys.Probes, p)
	}
}

func (r *reader) status(v ast.Node) int {
	n, err := strconv.Atoi(fmt.Sprint(v))
	if err != nil || n < 100 || n > 599 {
		r.Out.Add(r.At(v), codes.BadValue.Msgf("%v is not a status of HTTP", v), "write one from 100 to 599, without quotes")
	}
	return n
}

// Bounds of the interval of a probe.
const (
	shortestEvery = 50 * time.Millisecond
	longestEvery  = time.Minute
)

// validateProbes validates the probes; see Validate.
func (s *System) validateProbes(where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	for i, p := range s.Probes {
		add := func(key string, what codes.Message, hint string) {
			addProblem(where(probes, strings.TrimSpace(p.Name+" "+key)), what, hint)
		}
		if p.Name == "" || strings.Contains(p.Name, `"`) {
			add("", codes.BadName.Msgf("%q cannot be the name of a probe", p.Name), "write words, without quotation marks")
		}
		if slices.IndexFunc(s.Probes, func(o Probe) bool { return o.Name == p.Name }) < i {
			add("", codes.Duplicate.Msgf("the probe %q stands there twice", p.Name), "leave one of them out")
		}
		asks := map[string]string{"http": p.HTTP, "tcp": p.TCP, "command": p.Command, "metric": p.Metric}
		var kinds []string
		for _, kind := range []string{"http", "tcp", "command", "metric"} {
			if asks[kind] != "" {
				kinds = append(kinds, kind)
			}
		}
		if len(kinds) != 1 {
			add("", codes.Contradiction.Msgf("the probe %q asks %d things", p.Name, len(kinds)), `write exactly one of http, tcp, command and metric: {http: "orders GET /health"}`)
			continue
		}
		s.validateTarget(kinds[0], asks[kinds[0]], add)
		p.validateSettings(kinds[0], add)
	}
}

// validateTarget validates what a probe asks.
func (s *System) validateTarget(kind, asks string, add func(key string, what codes.Message, hint string)) {
	service := asks
	switch kind {
	case "command":
		if _, ok := s.CommandNamed(asks); !ok {
			add(kind, codes.UnknownName.Msgf("there is no command %q", asks), source.DidYouMean(asks, s.CommandNames(), "commands"))
		}
		return
	case "http", "metric":
		var err error
		if service, _, _, err = ParseAsk(asks); err != nil {
			what, hint := source.Parts(err)
			add(kind, what, hint)
			return
		}
	}
	if !slices.Contains(s.Names(), service) {
		add(kind, codes.UnknownName.Msgf("there is no service %q", service), source.DidYouMean(service, s.Names(), "services"))
	}
}

// validateSettings validates the settings that go with a kind of probe.
func (p Probe) validateSettings(kind string, add func(key string, what codes.Message, hint string)) {
	for _, of := range []struct {
		key   string
		set   bool
		kinds []string
	}{
		{"status", p.Status != 0, []string{"http"}}, {"contains", p.Contains != "", []string{"http"}}, {"is", p.Is != "", []string{"http"}},
		{"json", p.JSON != "", []string{"http", "metric"}}, {"name", p.Series != "", []string{"metric"}},
	} {
		if of.set && !slices.Contains(of.kinds, kind) {
			add(of.key, codes.Unsupported.Msgf("`%s` belongs to a probe of %s", of.key, strings.Join(of.kinds, " or ")), "leave it out")
		}
	}
	switch {
	case kind == "metric" && (p.Series == "") == (p.JSON == ""):
		add(kind, codes.Missing.Msgf("it is not known which number of the answer the probe %q means", p.Name), "write either `name`, of a series of Prometheus, or `json`, the path into a document")
	case kind == "http" && p.JSON != "" && p.Is == "":
		add("json", codes.Missing.Msgf("it is not known which value means yes"), "add the value, in quotes: is: \"true\"")
	case kind == "http" && p.Is != "" && p.JSON == "":
		add("is", codes.BadValue.Msgf("`is` compares a value of a JSON document"), "add where it stands: json: \"data.ready\"")
	}
	if _, err := source.ParseJSONPath(p.JSON); p.JSON != "" && err != nil {
		add("json", codes.BadValue.Msgf("%q is not a path into a document", p.JSON), "write keys and positions, separated by points: data.result.0.value.1")
	}
	if p.Every != 0 && (p.Every < shortestEvery || p.Every > longestEvery) {
		add("every", codes.BadValue.Msgf("a probe cannot be asked every %s", p.Every), fmt.Sprintf("write a time from %s to %s", shortestEvery, longestEvery))
	}
	if p.Within < 0 || p.Within > math.MaxInt32*time.Second {
		add("within", codes.BadValue.Msgf("an answer cannot take %s", p.Within), "write a time above 0")
	}
}
