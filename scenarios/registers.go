package scenarios

import (
	"fmt"
	"slices"
	"strings"

	"github.com/firedrill-dev/firedrill/scenarios/source"
)

// AddRegister declares a register.
func (r *Resolver) AddRegister(at source.Pos, register Register) {
	r.Describe(at)
	r.registersAt = append(r.registersAt, at)
	r.Registers = append(r.Registers, register)
}

// RegisterOf returns the register that a route of the load writes or reads; nil if there is none.
func (e *Experiment) RegisterOf(route string) *Register {
	for i, one := range e.Registers {
		if route == one.Write || route == one.Read {
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
			r.AddProblem(at, fmt.Sprintf("the name of a %s is empty", one.kind()), "write a name between the quotes")
		case names[one.Name]:
			r.AddProblem(at, fmt.Sprintf("%q is declared twice", one.Name), "give each register and each queue a name of its own")
			continue
		}
		names[one.Name] = true
		for _, name := range []string{one.Write, one.Read} {
			if used[name] {
				r.AddProblem(at, fmt.Sprintf("%q writes or reads a register or a queue already", name), "use one route to write, and another to read, for each register and queue")
				continue
			}
			used[name] = true
			rt, ok := routes[name]
			r.validateRegisterRoute(at, name, rt, ok, name == one.Write, one.kind())
		}
	}
}

// validateRegisterRoute validates a route of a register; found reports whether the load has it.
func (r *Resolver) validateRegisterRoute(at source.Pos, name string, rt Route, found, writes bool, kind string) {
	switch {
	case !found:
		r.addMissing(at, fmt.Sprintf("no load runs on %q", name), "let the load have both routes: a steady load of 100 requests per second with this mix:")
	case strings.Contains(rt.Path, "{{"):
		r.AddProblem(at, fmt.Sprintf("%q has another path for each request, and a %s has one", name, kind), "write a path without {{n}} and {{key}}")
	case writes && !rt.Varies():
		r.addMissing(at, fmt.Sprintf("every %q request writes the same value, so an older value cannot be told from the last", name), `let the body hold {{n}}, the request's number: {"value": {{n}}}`)
	}
}

// requireRegister reports that a register is not declared.
func (r *Resolver) requireRegister(at source.Pos, name string) {
	if !slices.ContainsFunc(r.Registers, func(one Register) bool { return one.Name == name && !one.Queue }) {
		r.addMissing(at, fmt.Sprintf("it is not known what writes and reads %q", name), fmt.Sprintf(`add: "PUT /%s" writes and "GET /%s" reads the register %q`, name, name, name))
	}
}

// requireQueue reports that a queue is not declared.
func (r *Resolver) requireQueue(at source.Pos, name string) {
	if !slices.ContainsFunc(r.Registers, func(one Register) bool { return one.Name == name && one.Queue }) {
		r.addMissing(at, fmt.Sprintf("it is not known what puts into and takes from %q", name), fmt.Sprintf(`add: "POST /%s" puts into and "POST /%s/take" takes from the queue %q`, name, name, name))
	}
}
