package scenarios

import (
	"io/fs"

	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/scenarios/source"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// The description of the system under test; see package system.
type (
	System    = system.System
	Service   = system.Service
	Ready     = system.Ready
	Stopping  = system.Stopping
	Data      = system.Data
	Link      = system.Link
	TLS       = system.TLS
	Toxiproxy = system.Toxiproxy
	Group     = system.Group
	Probe     = system.Probe
	Command   = system.Command
	StopRule  = system.StopRule

	StandIn      = system.StandIn
	StandInRoute = system.StandInRoute

	DeclaredSource = system.EffectSource
)

// Values of sentences; see package source.
type (
	Header = source.Header
	Mark   = source.Mark
)

// Clients is the name of the load as the From of a link.
const Clients = system.Clients

// ReadSystem reads a system file, with the standard protocols. The error is of type Problems if the file could be read but is not valid.
func ReadSystem(fsys fs.FS, name string) (System, error) {
	return system.Read(fsys, name, nil, protocols.All())
}

// Expand replaces placeholders in the settings of a service; see system.Expand.
func Expand(s string, values func(name, arg string) (value string, ok bool)) (string, error) {
	return system.Expand(s, values)
}

// Errors in feature files and system files; see package source.
type (
	Problem  = source.Problem
	Problems = source.Problems
)

// Nearest returns the candidate most similar to words, or "" if none is similar.
func Nearest(words string, candidates []string) string { return source.Nearest(words, candidates) }
