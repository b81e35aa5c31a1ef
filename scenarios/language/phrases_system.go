package language

import (
	"strconv"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/check"
	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

func systemPhrases() []Phrase {
	return []Phrase{
		{Name: "system file", Pattern: `the system described in {text}`, Means: "services and links, from a file beside the feature; firedrill schema prints its JSON Schema",
			Examples: []string{`the system described in "system.yaml"`},
			build:    func(r *reading, a args) { r.ReadSystem(a.at, a.pos(0), a.Text(0), r.open) }},
		{Name: "service", Pattern: `the service {name} at {text}`, Means: "one that runs already",
			Examples: []string{`the service "orders" at "http://127.0.0.1:8080"`},
			build: func(r *reading, a args) {
				r.Describe(a.at)
				address, err := source.ParseAddress(a.Text(1))
				if err != nil {
					a.addProblem(1, err)
				}
				r.AddService(a.pos(0), system.Service{Name: a.Name(0), Address: address})
			}},
		{Name: "dependency", Pattern: `{name} depends on {name}( at {text})( over {protocol})`, Means: "a link; faults act on links",
			Examples: []string{`"orders" depends on "payments" at "127.0.0.1:9090" over http`, `"orders" depends on "payments" over http`},
			build:    dependency},
		{Name: "terminated TLS", Pattern: `TLS from {name} to {name} is terminated(, trusting the CA in {text})(, trusting any certificate)`,
			Means:    "so that faults on calls act inside; clients have to trust the file that ${ca} stands for",
			Examples: []string{`TLS from "orders" to "payments" is terminated, trusting the CA in "certs/ca.pem"`, `TLS from "orders" to "payments" is terminated, trusting any certificate`},
			build:    terminateTLS},
		{Name: "services", Pattern: `these services and dependencies:`, Means: "a table: service | address | depends on | protocol", table: true,
			Examples: []string{`these services and dependencies:`}, build: services},
		{Name: "started service", Pattern: `the service {name} is started with:`, Means: "a doc string: program and arguments, separated by white space; no shell reads them", doc: true,
			Examples: []string{`the service "orders" is started with:`}, build: started},
		{Name: "ready", Pattern: `{name} is ready within {duration}`, Means: "how long its port may take to accept; 10s by default",
			Examples: []string{`"orders" is ready within 10s`},
			build: func(r *reading, a args) {
				r.Describe(a.at)
				r.SetReady(a.pos(0), a.Name(0), a.Duration(1))
			}},
		{Name: "blast radius", Pattern: `the blast radius is limited to {text}`, Means: "faults may touch these services only",
			Examples: []string{`the blast radius is limited to "payments, inventory"`},
			build:    func(r *reading, a args) { r.LimitRadius(a.pos(0), source.Split(a.Text(0))) }},
		{Name: "timeout", Pattern: `the scenario takes at most {duration}`, Means: "it is stopped then, everything is healed, and it is inconclusive; those after it still run; in a Background, each scenario may take as long",
			Examples: []string{`the scenario takes at most 2m`},
			build:    func(r *reading, a args) { r.SetTimeout(a.at, a.Duration(0)) }},
		{Name: "stop rule", Pattern: `the run stops at once if fewer than {percent} of requests succeed for {duration}`, Means: "the scenario ends at once and everything is healed; those after it still run; exit code 4",
			Examples: []string{`the run stops at once if fewer than 50% of requests succeed for 10s`},
			build: func(r *reading, a args) {
				ratio, _ := a.ratio(0)
				rule := scenarios.StopRule{Ratio: ratio, For: a.Duration(1)}
				if rule.Ratio == 0 {
					r.AddProblem(a.pos(0), codes.CannotFail.Message("fewer than 0% never succeed, so this rule could stop nothing"), "write the share below which the run shall stop, such as 50%")
				}
				r.AddStopRule(a.at, rule)
			}},
		{Name: "stop rule on latency", Pattern: `the run stops at once if the {percentile} latency is above {duration} for {duration}`, Means: "the same; requests that wait for an answer count with the time that they have waited",
			Examples: []string{`the run stops at once if the p99 latency is above 2s for 10s`},
			build: func(r *reading, a args) {
				r.AddStopRule(a.at, scenarios.StopRule{Percentile: a.Percentile(0), Limit: a.Duration(1), For: a.Duration(2)})
			}},
		{Name: "stop rule on a probe", Pattern: `the run stops at once if the probe {text} fails for {duration}`, Means: "the same, for a probe of the system file that answers no, or not at all",
			Examples: []string{`the run stops at once if the probe "ready" fails for 5s`},
			build: func(r *reading, a args) {
				r.AddStopRule(a.at, scenarios.StopRule{Probe: a.Text(0), For: a.Duration(1)})
			}},
		{Name: "stop rule on a file", Pattern: `the run stops at once if the file {text} appears`, Means: "the same, as soon as the file exists; its path is relative to the system file",
			Examples: []string{`the run stops at once if the file "stop-the-drill" appears`},
			build: func(r *reading, a args) {
				r.AddStopRule(a.at, scenarios.StopRule{File: a.Text(0)})
			}},
		{Name: "stop rule on an answer", Pattern: `the run stops at once if {route} of {name} answers with status {number}`, Means: "the same, as soon as the service, which is asked twice a second, answers so",
			Examples: []string{`the run stops at once if "GET /stop" of "orders" answers with status 409`},
			build: func(r *reading, a args) {
				r.AddStopRule(a.at, scenarios.StopRule{HTTP: a.Name(1) + " " + a.Route(0), Status: a.Status(2)})
			}},
		{Name: "steady state", Pattern: `the steady state is:`, Means: "a table: measure (success, p95 latency) | condition (at least 99%, below 400ms)", table: true,
			Examples: []string{`the steady state is:`}, build: steady},
	}
}

func dependency(r *reading, a args) {
	r.Describe(a.at)
	to := a.Name(1)
	if a.Has(2) {
		address, err := source.ParseAddress(a.Text(2))
		if err != nil {
			a.addProblem(2, err)
		}
		r.AddService(a.pos(1), system.Service{Name: to, Address: address})
	}
	r.AddLink(a.pos(0), system.Link{From: a.Name(0), To: to, Protocol: a.Value(3)})
}

func services(r *reading, a args) {
	r.Describe(a.at)
	for _, row := range a.columns([]string{"service"}, []string{"address", "depends on", "protocol"}) {
		s := system.Service{Name: row.cell("service")}
		if address := row.cell("address"); address != "" {
			var err error
			if s.Address, err = source.ParseAddress(address); err != nil {
				a.addProblemAt(row.at("address"), err)
			}
			r.AddService(row.at("service"), s)
		}
		for _, to := range source.Split(row.cell("depends on")) {
			r.AddLink(row.at("depends on"), system.Link{From: s.Name, To: to, Protocol: row.cell("protocol")})
		}
	}
}

// started adds a service with a list of arguments. Characters with a meaning to a shell are reported, since no
// shell interprets them.
func started(r *reading, a args) {
	r.Describe(a.at)
	s := system.Service{Name: a.Name(0), Command: strings.Fields(*a.doc)}
	if len(s.Command) == 0 {
		r.AddProblem(a.at, codes.BadValue.Msgf("the command is empty"), "write the program and its arguments between the triple quotes")
	}
	for _, arg := range s.Command {
		if strings.ContainsAny(arg, "\"'`|;<>&\\") {
			r.AddProblem(a.at, codes.BadValue.Msgf("no shell reads the command, so %s would reach the program as it is", arg), "for an argument with spaces or quotes, describe the service in a system file, whose commands are lists")
			break
		}
	}
	r.AddService(a.pos(0), s)
}

func steady(r *reading, a args) {
	r.Describe(a.at)
	var all []check.Steady
	for _, row := range a.columns([]string{"measure", "condition"}, nil) {
		s, err := parseSteady(row.cell("measure"), row.cell("condition"))
		if err != nil {
			a.addProblemAt(row.at("condition"), err)
			continue
		}
		all = append(all, s)
	}
	r.AddSteady(all...)
}

func parseSteady(measure, condition string) (check.Steady, error) {
	s := check.Steady{Measure: measure}
	var err error
	if measure == "success" {
		share, ok := strings.CutPrefix(condition, "at least ")
		if !ok {
			return s, source.Mistakef(codes.BadValue, "write at least 99%", "%q is not a condition of success", condition)
		}
		s.Ratio, err = source.ParsePercent(share)
		if err == nil && s.Ratio == 0 {
			err = source.Mistakef(codes.CannotFail, "write at least 99%", "success of at least 0%% is a steady state that nothing can leave")
		}
		return s, err
	}
	p, ok := strings.CutSuffix(strings.TrimPrefix(measure, "p"), " latency")
	if n, perr := strconv.ParseFloat(p, 64); !ok || !strings.HasPrefix(measure, "p") || perr != nil || n <= 0 || n >= 100 {
		return s, source.Mistakef(codes.BadValue, "write success or p95 latency", "%q is not a measure of the steady state", measure)
	}
	limit, ok := strings.CutPrefix(condition, "below ")
	if !ok {
		return s, source.Mistakef(codes.BadValue, "write below 400ms", "%q is not a condition of a latency", condition)
	}
	s.Limit, err = source.ParseDuration(limit)
	return s, err
}

func terminateTLS(r *reading, a args) {
	r.Describe(a.at)
	tls := system.TLS{CA: a.Text(2), Insecure: strings.HasSuffix(a.text, ", trusting any certificate")}
	if a.Has(2) && tls.Insecure {
		a.r.AddProblem(a.pos(2), codes.Contradiction.Msgf("both a CA and trust in any certificate are requested"), "leave one out")
	}
	if a.Has(2) && tls.CA == "" {
		a.r.AddProblem(a.pos(2), codes.BadValue.Msgf("the file's name is empty"), "write the path of a file of certificates")
	}
	r.TerminateTLS(a.pos(0), a.Name(0), a.Name(1), tls)
}
