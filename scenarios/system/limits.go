package system

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// Limits is what faults may do at most. The zero value sets no limit.
type Limits struct {
	Targets  []string      `json:",omitempty"` // services (their processes and the links to them) and links such as "orders -> payments"; nil means all
	Share    float64       `json:",omitempty"` // the share of calls, messages or connections that a fault on a link may act on; 0 means all
	AtOnce   int           `json:",omitempty"` // how many faults may be live at the same time; 0 means any number
	Duration time.Duration `json:",omitempty"` // how long a fault may be live; 0 means any time
}

var limitKeys = []string{"targets", "share", "at_once", "duration"}

// limits prefixes the positions of limits; see groups.
const limits = "limits/"

// limit reads a limit.
func (r *reader) limit(key string, v ast.Node, _ source.Pos) {
	l := &r.sys.Limits
	r.positions[limits+"/"+key] = r.At(v)
	switch key {
	case "targets":
		l.Targets = r.List(v, func(i int, v ast.Node) { r.positions[fmt.Sprintf("%s/%d", limits, i)] = r.At(v) })
		if _, isList := v.(*ast.SequenceNode); isList && len(l.Targets) == 0 {
			r.Out.Add(r.At(v), codes.Missing.Msgf("no target is listed, so that no fault could be injected"), `list services and links: ["payments", "orders -> payments"]`)
		}
	case "share":
		share, err := source.ParsePercent(r.Text(v))
		if err == nil && share == 0 {
			err = source.Mistakef(codes.BadValue, "write a share above 0%", "a share of 0%% allows no fault on a link")
		}
		if err != nil {
			r.AddProblem(v, err)
		}
		l.Share = share
	case "at_once":
		n, ok := v.(*ast.IntegerNode)
		value, whole := uint64(0), false
		if ok {
			value, whole = n.Value.(uint64)
		}
		if !whole || value < 1 || value > 1000 {
			r.Out.Add(r.At(v), codes.BadValue.Msgf("this has to be a number of faults"), "write 1 or more, without quotes")
			return
		}
		l.AtOnce = int(value)
	case "duration":
		l.Duration = r.duration(v)
	}
}

// validateLimits validates the targets of the limits; see Validate.
func (s *System) validateLimits(where func(name, key string) source.Pos, addProblem func(at source.Pos, what codes.Message, hint string)) {
	known := s.Names()
	for _, l := range s.Links {
		known = append(known, l.Name())
	}
	for i, target := range s.Limits.Targets {
		if target != "" && !slices.Contains(known, target) {
			addProblem(where(limits, fmt.Sprint(i)), codes.UnknownName.Msgf("there is no service or link %q", target), source.DidYouMean(target, known, "services and links"))
		}
	}
}

// Allows reports whether a fault may act on a target: a service, if from is "", or a link.
func (l Limits) Allows(from, to string) bool {
	return l.Targets == nil || slices.Contains(l.Targets, to) || from != "" && slices.Contains(l.Targets, Link{From: from, To: to}.Name())
}

// Outsider is a part of the system on another machine.
type Outsider struct {
	What    string // such as `"payments"`
	Service string // whose faults concern it
	Address string
}

// Outside returns what runs on another machine, as far as its address says, and is not allowed: services, and the Toxiproxy
// servers of links. A host is allowed by its name or its address as it is written, with the port or without.
func (s *System) Outside(allowed []string) []Outsider {
	var all []Outsider
	for _, service := range s.Services {
		all = append(all, Outsider{fmt.Sprintf("%q", service.Name), service.Name, service.Address})
	}
	for _, l := range s.Links {
		if l.Toxiproxy != nil {
			all = append(all, Outsider{fmt.Sprintf("the Toxiproxy server of the link %s", l.Name()), l.To, l.Toxiproxy.host()})
		}
	}
	return slices.DeleteFunc(all, func(o Outsider) bool {
		host, _, err := net.SplitHostPort(o.Address)
		if err != nil || strings.HasPrefix(o.Address, source.UnixPrefix) { // it has no address, or a Unix socket
			return true
		}
		ip := net.ParseIP(host)
		return host == "localhost" || ip != nil && ip.IsLoopback() || slices.Contains(allowed, host) || slices.Contains(allowed, o.Address)
	})
}

// String describes the limits, or returns "" if there is none.
func (l Limits) String() string {
	var all []string
	if l.Targets != nil {
		all = append(all, "only on "+strings.Join(l.Targets, ", "))
	}
	if l.Share > 0 {
		all = append(all, "at most "+percentOf(l.Share)+" of the traffic of a link")
	}
	if l.AtOnce > 0 {
		all = append(all, fmt.Sprintf("at most %d at the same time", l.AtOnce))
	}
	if l.Duration > 0 {
		all = append(all, "each at most for "+briefly(l.Duration))
	}
	return strings.Join(all, "; ")
}
