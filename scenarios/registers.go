package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/codes"
	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// AddRegister declares a register.
func (r *Resolver) AddRegister(at source.Pos, register Register) {
	r.Describe(at)
	r.registersAt = append(r.registersAt, at)
	r.Registers = append(r.Registers, register)
}

// RegisterOf returns the register, queue or set that a route of the load uses; nil if there is none.
func (e *Experiment) RegisterOf(route string) *Register {
	for i, one := range e.Registers {
		if slices.Contains(one.routes(), route) {
			return &e.Registers[i]
		}
	}
	return nil
}

// finishRegisters validates the registers.
func (r *Resolver) finishRegisters() {
	routes := map[string]Route{}
	for _, l := range r.Loads() {
		for _, rt := range l.Mix {
			routes[rt.Name()] = rt
		}
	}
	names, used := map[string]bool{}, map[string]bool{}
	for i, one := range r.Registers {
		at := r.registersAt[i]
		switch {
		case strings.TrimSpace(one.Name) == "":
			r.AddProblem(at, codes.BadName.Msgf("the name of a %s is empty", one.kind()), "write a name between the quotes")
		case names[one.Name]:
			r.AddProblem(at, codes.Duplicate.Msgf("%q is declared twice", one.Name), "give each register, queue and set a name of its own")
			continue
		}
		names[one.Name] = true
		for _, name := range one.routes() {
			if used[name] {
				r.AddProblem(at, codes.Duplicate.Msgf("%q writes or reads a register, a queue or a set already", name), "use one route to write, and another to read, for each register, queue and set")
				continue
			}
			used[name] = true
			rt, ok := routes[name]
			if one.Remove != "" {
				if !r.validateSetRoute(at, name, rt, ok) {
					break // the other routes are likely to have the same mistake
				}
				continue
			}
			r.validateRegisterRoute(at, name, rt, ok, name == one.Write, one.kind())
		}
	}
}

// validateRegisterRoute validates a route of a register; found reports whether the load has it.
func (r *Resolver) validateRegisterRoute(at source.Pos, name string, rt Route, found, writes bool, kind string) {
	switch {
	case !found:
		r.addMissing(at, codes.UnknownName.Msgf("no load runs on %q", name), hasRoutes)
	case strings.Contains(rt.Path, "{{"):
		r.AddProblem(at, codes.Unsupported.Msgf("%q has another path for each request, and a %s has one", name, kind), "write a path without {{n}} and {{key}}")
	case writes && !rt.varies():
		r.addMissing(at, codes.CannotFail.Msgf("every %q request writes the same value, so an older value cannot be told from the last", name), `let the body hold {{n}}, the request's number: {"value": {{n}}}`)
	}
}

const hasRoutes = "let the load have all of these routes: a steady load of 100 requests per second with this mix:"

// validateSetRoute validates a route of a set, and reports whether it is valid; found reports whether the load has it.
func (r *Resolver) validateSetRoute(at source.Pos, name string, rt Route, found bool) bool {
	path, body, _ := rt.Templates(nil) // their mistakes are reported elsewhere
	switch parts, _ := Element(path, body); {
	case !found:
		r.addMissing(at, codes.UnknownName.Msgf("no load runs on %q", name), hasRoutes)
	case len(rt.Then) > 0:
		r.AddProblem(at, codes.Unsupported.Msgf("%q is a chain of requests, and one request uses a set", name), "use a load of single requests")
	case len(parts) == 0:
		r.AddProblem(at, codes.Missing.Msgf("every %q request has the same path and body, so it is not known which element it is about", name),
			`write a placeholder for the element: "PUT /members/{{row.id}}", or the body {"element": {{random 1 20}}}`)
	case slices.ContainsFunc(parts, func(p Part) bool { return p.Kind == NumberPart || p.Kind == KeyPart }):
		r.AddProblem(at, codes.CannotFail.Msgf("each %q request is about another element, so that none is looked for that was added", name),
			"let requests share elements: {{random 1 20}} in the body, or {{row.id}} of a file with few rows")
	default:
		return true
	}
	return false
}

// Element returns the placeholders of a request that stand for the element of a set: those of its path or, without any,
// those of its body.
func Element(path, body Template) (parts Template, inPath bool) {
	placeholders := func(t Template) (all Template) {
		for _, p := range t {
			if p.Kind != LiteralPart && p.Kind != SeedPart && p.Kind != EnvPart {
				all = append(all, p)
			}
		}
		return all
	}
	if parts = placeholders(path); len(parts) > 0 {
		return parts, true
	}
	return placeholders(body), false
}

// requireSet reports that a set is not declared.
func (r *Resolver) requireSet(at source.Pos, name string) {
	if !slices.ContainsFunc(r.Registers, func(one Register) bool { return one.Name == name && one.Remove != "" }) {
		r.addMissing(at, codes.Missing.Msgf("it is not known what adds to, removes from and looks into the set %q", name),
			fmt.Sprintf(`add: "PUT /%s/{{row.id}}" adds to, "DELETE /%s/{{row.id}}" removes from and "GET /%s/{{row.id}}" looks into the set %q`, name, name, name, name))
	}
}

// requireRegister reports that a register is not declared.
func (r *Resolver) requireRegister(at source.Pos, name string) {
	if !slices.ContainsFunc(r.Registers, func(one Register) bool { return one.Name == name && one.kind() == "register" }) {
		r.addMissing(at, codes.Missing.Msgf("it is not known what writes and reads %q", name), fmt.Sprintf(`add: "PUT /%s" writes and "GET /%s" reads the register %q`, name, name, name))
	}
}

// requireQueue reports that a queue is not declared.
func (r *Resolver) requireQueue(at source.Pos, name string) {
	if !slices.ContainsFunc(r.Registers, func(one Register) bool { return one.Name == name && one.Queue }) {
		r.addMissing(at, codes.Missing.Msgf("it is not known what puts into and takes from %q", name), fmt.Sprintf(`add: "POST /%s" puts into and "POST /%s/take" takes from the queue %q`, name, name, name))
	}
}
