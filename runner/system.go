package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/disk"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/injector/remote"
	"github.com/firedrill-dev/firedrill/runner/internal/load"
	"github.com/firedrill-dev/firedrill/runner/internal/standin"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// system is a running system: its links and its services.
type system struct {
	o         *Options
	e         *scenarios.Experiment
	seed      uint64
	dir       string // for logs and working directories
	addresses map[string]string
	ports     map[string]map[string]int // by service and name ("" for the service's own port)
	reserved  map[string][]io.Closer    // by service, until it starts
	claims    []io.Closer               // of the ports that were chosen
	links     map[string]*link.Link     // by name, such as "orders -> payments"
	datagrams map[string]*datagram.Link
	relays    map[string]*message.Relay
	proxies   map[string]*remote.Proxy // of Toxiproxy servers, by the link that leads through it
	mu        sync.Mutex               // guards ports, reserved and services while services start
	trust     load.Trust
	caFile    string // CA certificate for clients of links that terminate TLS; "" if no link does
	services  map[string]*process.Service
	disks     map[string]*disk.Disk // by service; of those that a fault makes lose power
	unrecord  []func()              // remove the records that let a later run clean up if this program is killed
	written   []string              // configuration files of services
	servers   []*http.Server
	standIns  map[string]*standin.StandIn // by service
	serving   sync.WaitGroup
}

// hooks are called for events of the system.
type hooks struct {
	process  func(service string, e process.Event)
	message  evidence.Sink
	call     func(link string, c message.Call)
	trace    message.Trace
	unparsed func(link, why string) // called for connections that a link could not parse
	// told is called with what the server of a link tells its client about where servers are, and the addresses of all services
	told func(l scenarios.Link, addresses map[string]string, text []byte, unread string)

	authority func() (*link.CA, string, error) // returns the run's CA and the file with its certificate
}

// missingProgram is the error for a program that is not installed.
type missingProgram struct{ service, program, install string }

func (m missingProgram) Error() string {
	return fmt.Sprintf("service %q needs %q, which is not installed: %s", m.service, m.program, m.install)
}

// startSystem opens the links first, so that their addresses are known, and then starts the services.
// On error it stops everything again.
func startSystem(ctx context.Context, o *Options, e *scenarios.Experiment, seed uint64, dir string, h hooks) (_ *system, err error) {
	s := &system{
		o: o, e: e, seed: seed, dir: dir, addresses: map[string]string{}, ports: map[string]map[string]int{}, reserved: map[string][]io.Closer{},
		links: map[string]*link.Link{}, datagrams: map[string]*datagram.Link{}, relays: map[string]*message.Relay{}, proxies: map[string]*remote.Proxy{}, trust: load.Trust{}, services: map[string]*process.Service{}, standIns: map[string]*standin.StandIn{}, disks: map[string]*disk.Disk{},
	}
	defer func() {
		if err != nil {
			_ = s.stop(context.WithoutCancel(ctx))
		}
	}()
	for _, svc := range e.System.Services {
		if svc.Needs != "" {
			if _, err := process.FindProgram(e.System.ProgramDir(svc), svc.Needs); err != nil {
				return nil, missingProgram{svc.Name, svc.Needs, svc.Install}
			}
		}
	}
	for _, svc := range e.System.Services {
		if err := s.assignAddress(svc); err != nil {
			return nil, err
		}
	}
	for _, l := range e.System.Links {
		if err := s.open(ctx, l, h); err != nil {
			return nil, err
		}
	}
	return s, s.startAll(ctx, h)
}

// assignAddress determines the address of a service, and serves it if it is a handler in this process.
func (s *system) assignAddress(svc scenarios.Service) error {
	handler, _ := svc.Handler.(http.Handler)
	if h := s.o.Handlers[svc.Name]; h != nil {
		handler = h
	}
	switch {
	case handler != nil:
		return s.serve(svc.Name, 0, handler)
	case svc.StandIn != nil:
		key := scenarios.Key{}
		for _, l := range s.e.Loads() {
			if _, other := l.OtherKind(); !other && key == (scenarios.Key{}) {
				key = l.Key
			}
		}
		s.standIns[svc.Name] = standin.New(svc, key)
		return s.serve(svc.Name, svc.Port, s.standIns[svc.Name])
	case svc.Address != "":
		s.addresses[svc.Name] = svc.Address
		return nil
	}
	port, err := s.port(svc.Name, "", svc.Port)
	if err != nil {
		return err
	}
	s.addresses[svc.Name] = "127.0.0.1:" + strconv.Itoa(port)
	return nil
}

func (s *system) open(ctx context.Context, l scenarios.Link, h hooks) error {
	if _, ok := l.Relayed(); !ok && l.Protocol != "" && l.Protocol != "tcp" {
		return fmt.Errorf("link %q: its protocol %q is not resolved, so it would be relayed as bytes: call its method Resolve", l.Name(), l.Protocol)
	}
	upstream, err := s.upstream(l)
	if err == nil && l.Toxiproxy != nil {
		upstream, err = s.openProxy(ctx, l, upstream)
	}
	if err != nil {
		return err
	}
	if l.UDP() {
		open, err := datagram.Open(datagram.Config{Name: l.Name(), Protocol: l.Protocol, Listen: l.Address(), Upstream: upstream, Sink: h.message})
		if err != nil {
			return err
		}
		s.datagrams[l.Name()], s.relays[l.Name()] = open, open.Relay()
		return nil
	}
	if path, ok := strings.CutPrefix(l.Listen, "unix:"); ok {
		forget, err := process.Record(path)
		if err != nil {
			return fmt.Errorf("link %q: %w", l.Name(), err)
		}
		s.unrecord = append(s.unrecord, forget)
	}
	cfg := link.Config{Name: l.Name(), Listen: l.Address(), Upstream: upstream, ProxyProtocol: l.ProxyProtocol}
	if err := s.terminate(&cfg, l, h); err != nil {
		return err
	}
	if row, ok := l.Relayed(); ok {
		relay, err := message.New(row, message.Config{
			Link: l.Name(), Trace: h.trace, Framing: l.Framing, Sink: h.message,
			Calls: func(c message.Call) { h.call(l.Name(), c) },
			Told:  func(text []byte, unread string) { h.told(l, s.addresses, text, unread) },
		})
		if err != nil {
			return err
		}
		s.relays[l.Name()] = relay
		cfg.Serve = func(ctx context.Context, c link.Conn, dial func(context.Context) (net.Conn, error)) {
			relay.Serve(ctx, c, dial)
		}
	}
	open, err := link.Open(cfg)
	if err != nil {
		return err
	}
	s.links[l.Name()] = open
	s.trustLink(open, cfg.TLS)
	return nil
}

// upstream returns the address that a link leads to.
func (s *system) upstream(l scenarios.Link) (string, error) {
	if l.Port == "" {
		return s.addresses[l.To], nil
	}
	port, err := s.port(l.To, l.Port, 0)
	return "127.0.0.1:" + strconv.Itoa(port), err
}

// link returns the address on which a link listens.
func (s *system) link(name string) (addr string, ok bool) {
	if l := s.links[name]; l != nil {
		return l.Addr(), true
	}
	if l := s.datagrams[name]; l != nil {
		return l.Addr(), true
	}
	return "", false
}

// clientAddress returns the address at which clients reach a service: that of their link to it, if
// there is one.
func (s *system) clientAddress(service string) string {
	if addr, ok := s.link("clients -> " + service); ok {
		return addr
	}
	return s.addresses[service]
}

// stop stops services and closes links, within a time limit. It may be called twice.
func (s *system) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience()+10*time.Second)
	defer cancel()
	var errs []error
	ended := s.stopServices(ctx)
	for _, l := range s.links {
		errs = append(errs, l.Close())
	}
	for _, l := range s.datagrams {
		errs = append(errs, l.Close())
	}
	for _, p := range s.proxies {
		errs = append(errs, p.Close(ctx))
	}
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	errs = append(errs, ended())
	for _, d := range s.disks {
		errs = append(errs, d.Close())
	}
	s.serving.Wait()
	for _, unrecord := range s.unrecord {
		unrecord()
	}
	for service := range s.reserved {
		s.release(service)
	}
	for _, claim := range s.claims {
		_ = claim.Close()
	}
	s.claims = nil
	for _, name := range s.written {
		errs = append(errs, os.Remove(name))
	}
	for _, svc := range s.e.System.Services {
		_ = os.Remove(s.folder(svc)) // fails unless empty
	}
	_ = os.Remove(filepath.Join(s.dir, "services"))
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}
