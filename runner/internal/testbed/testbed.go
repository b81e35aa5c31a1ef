// Package testbed starts the system of a scenario: it opens the links, and starts the services behind them in the order
// that they depend on each other. Stop ends everything, and removes what was made for it.
package testbed

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

// Config describes the system to start.
type Config struct {
	Experiment *scenarios.Experiment
	Seed       uint64
	Dir        string                  // for logs and the folders of services
	Self       string                  // the program that ${self} stands for
	Without    []string                // what ${without} stands for
	Handlers   map[string]http.Handler // services that this process serves, by name
	Hooks      Hooks
}

// Hooks are called for events of the system.
type Hooks struct {
	Process  func(service string, e process.Event)
	Message  evidence.Sink
	Call     func(link string, c message.Call)
	Stream   func(link string, c message.Call) // see message.Config.Streams
	Trace    message.Trace
	Unparsed func(link, why string) // called for connections that a link could not parse
	// Told is called with what the server of a link tells its client about where servers are, and the addresses of all services
	Told func(l scenarios.Link, addresses map[string]string, text []byte, unread string)

	Authority func() (*link.CA, string, error) // returns the run's CA and the file with its certificate
}

// System is a running system: its links and its services. Its exported fields must not be changed.
type System struct {
	Addresses map[string]string     // by service
	Links     map[string]*link.Link // by name, such as "orders -> payments"
	Datagrams map[string]*datagram.Link
	Relays    map[string]*message.Relay
	Proxies   map[string]*remote.Proxy // of Toxiproxy servers, by the link that leads through it
	Services  map[string]*process.Service
	Disks     map[string]*disk.Disk       // by service; of those that a fault makes lose power
	StandIns  map[string]*standin.StandIn // by service
	Trust     load.Trust
	CAFile    string // CA certificate for clients of links that terminate TLS; "" if no link does

	cfg      Config
	e        *scenarios.Experiment
	mu       sync.Mutex                // guards ports, reserved, Services and Disks while services start
	ports    map[string]map[string]int // by service and name ("" for the service's own port)
	reserved map[string][]io.Closer    // by service, until it starts
	claims   []io.Closer               // of the ports that were chosen
	unrecord []func()                  // remove the records that let a later run clean up if this program is killed
	written  []string                  // configuration files of services
	servers  []*http.Server
	serving  sync.WaitGroup
}

// MissingProgram is the error for a program that is not installed.
type MissingProgram struct{ service, program, install string }

func (m MissingProgram) Error() string {
	return fmt.Sprintf("service %q needs %q, which is not installed: %s", m.service, m.program, m.install)
}

// newSystem returns a system of which nothing has started.
func newSystem(cfg Config) *System {
	return &System{
		Addresses: map[string]string{}, Links: map[string]*link.Link{}, Datagrams: map[string]*datagram.Link{}, Relays: map[string]*message.Relay{},
		Proxies: map[string]*remote.Proxy{}, Services: map[string]*process.Service{}, Disks: map[string]*disk.Disk{}, StandIns: map[string]*standin.StandIn{},
		Trust: load.Trust{}, cfg: cfg, e: cfg.Experiment, ports: map[string]map[string]int{}, reserved: map[string][]io.Closer{},
	}
}

// Start opens the links first, so that their addresses are known, and then starts the services.
// On error it stops everything again. The caller ends it with Stop.
func Start(ctx context.Context, cfg Config) (_ *System, err error) {
	s, e := newSystem(cfg), cfg.Experiment
	defer func() {
		if err != nil {
			_ = s.Stop(context.WithoutCancel(ctx))
		}
	}()
	for _, svc := range e.System.Services {
		if svc.Needs != "" {
			if _, err := process.FindProgram(e.System.ProgramDir(svc), svc.Needs); err != nil {
				return nil, MissingProgram{svc.Name, svc.Needs, svc.Install}
			}
		}
	}
	for _, svc := range e.System.Services {
		if err := s.assignAddress(svc); err != nil {
			return nil, err
		}
	}
	for _, l := range e.System.Links {
		if err := s.open(ctx, l); err != nil {
			return nil, err
		}
	}
	return s, s.startAll(ctx)
}

// assignAddress determines the address of a service, and serves it if it is a handler in this process.
func (s *System) assignAddress(svc scenarios.Service) error {
	handler, _ := svc.Handler.(http.Handler)
	if h := s.cfg.Handlers[svc.Name]; h != nil {
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
		s.StandIns[svc.Name] = standin.New(svc, key)
		return s.serve(svc.Name, svc.Port, s.StandIns[svc.Name])
	case svc.Address != "":
		s.Addresses[svc.Name] = svc.Address
		return nil
	}
	port, err := s.port(svc.Name, "", svc.Port)
	if err != nil {
		return err
	}
	s.Addresses[svc.Name] = "127.0.0.1:" + strconv.Itoa(port)
	return nil
}

func (s *System) open(ctx context.Context, l scenarios.Link) error {
	if _, ok := l.Relayed(); !ok && l.Protocol != "" && l.Protocol != "tcp" {
		return fmt.Errorf("link %q: its protocol %q is not resolved, so it would be relayed as bytes: call its method Resolve", l.Name(), l.Protocol)
	}
	upstream, err := s.Upstream(l)
	if err == nil && l.Toxiproxy != nil {
		upstream, err = s.openProxy(ctx, l, upstream)
	}
	if err != nil {
		return err
	}
	if l.UDP() {
		open, err := datagram.Open(datagram.Config{Name: l.Name(), Protocol: l.Protocol, Listen: l.Address(), Upstream: upstream, Sink: s.cfg.Hooks.Message})
		if err != nil {
			return err
		}
		s.Datagrams[l.Name()], s.Relays[l.Name()] = open, open.Relay()
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
	if err := s.terminate(&cfg, l); err != nil {
		return err
	}
	if row, ok := l.Relayed(); ok {
		relay, err := message.New(row, message.Config{
			Link: l.Name(), Trace: s.cfg.Hooks.Trace, Framing: l.Framing, Sink: s.cfg.Hooks.Message,
			Calls:   func(c message.Call) { s.cfg.Hooks.Call(l.Name(), c) },
			Streams: func(c message.Call) { s.cfg.Hooks.Stream(l.Name(), c) },
			Told:    func(text []byte, unread string) { s.cfg.Hooks.Told(l, s.Addresses, text, unread) },
		})
		if err != nil {
			return err
		}
		s.Relays[l.Name()] = relay
		cfg.Serve = func(ctx context.Context, c link.Conn, dial func(context.Context) (net.Conn, error)) {
			relay.Serve(ctx, c, dial)
		}
	}
	open, err := link.Open(cfg)
	if err != nil {
		return err
	}
	s.Links[l.Name()] = open
	s.trustLink(open, cfg.TLS)
	return nil
}

// Upstream returns the address that a link leads to.
func (s *System) Upstream(l scenarios.Link) (string, error) {
	if l.Port == "" {
		return s.Addresses[l.To], nil
	}
	port, err := s.port(l.To, l.Port, 0)
	return "127.0.0.1:" + strconv.Itoa(port), err
}

// Link returns the address on which a link listens.
func (s *System) Link(name string) (addr string, ok bool) {
	if l := s.Links[name]; l != nil {
		return l.Addr(), true
	}
	if l := s.Datagrams[name]; l != nil {
		return l.Addr(), true
	}
	return "", false
}

// Between returns the address at which from reaches to through their link, which it may share with other callers.
func (s *System) Between(from, to string) (addr string, ok bool) {
	l, ok := s.e.System.Link(from, to)
	if !ok {
		return "", false
	}
	return s.Link(l.Name())
}

// ClientAddress returns the address at which clients reach a service: that of their link to it, if
// there is one.
func (s *System) ClientAddress(service string) string {
	if addr, ok := s.Link("clients -> " + service); ok {
		return addr
	}
	return s.Addresses[service]
}

// Stop stops services and closes links, within a time limit. It may be called twice.
func (s *System) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience()+10*time.Second)
	defer cancel()
	var errs []error
	ended := s.stopServices(ctx)
	for _, l := range s.Links {
		errs = append(errs, l.Close())
	}
	for _, l := range s.Datagrams {
		errs = append(errs, l.Close())
	}
	for _, p := range s.Proxies {
		errs = append(errs, p.Close(ctx))
	}
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	errs = append(errs, ended())
	for _, d := range s.Disks {
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
	s.written = nil
	for _, svc := range s.e.System.Services {
		_ = os.Remove(s.folder(svc)) // fails unless empty
	}
	_ = os.Remove(filepath.Join(s.cfg.Dir, "services"))
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// serve serves a handler in this process, on a port that may be 0 for a free one.
func (s *System) serve(service string, port int, handler http.Handler) error {
	ln, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return fmt.Errorf("serve %q: %w", service, err)
	}
	s.Addresses[service] = ln.Addr().String()
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	s.servers = append(s.servers, server)
	s.serving.Go(func() { _ = server.Serve(ln) })
	return nil
}

// Twin returns a System with one link, which has the settings of l and listens elsewhere. Of its hooks, only Authority is
// called. The caller closes it with CloseLinks.
func (s *System) Twin(ctx context.Context, l scenarios.Link) (*System, error) {
	cfg := s.cfg
	cfg.Hooks = Hooks{
		Authority: s.cfg.Hooks.Authority, Unparsed: func(string, string) {}, Call: func(string, message.Call) {}, Stream: func(string, message.Call) {},
		Told: func(scenarios.Link, map[string]string, []byte, string) {},
	}
	t := newSystem(cfg)
	t.Addresses, t.ports = s.Addresses, s.ports
	l.Listen = ""
	return t, t.open(ctx, l)
}

// CloseLinks closes all links.
func (s *System) CloseLinks() error {
	var errs []error
	for _, l := range s.Links {
		errs = append(errs, l.Close())
	}
	for _, l := range s.Datagrams {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}
