package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/firedrill-dev/firedrill/injector/datagram"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/link"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/process"
	"github.com/firedrill-dev/firedrill/scenarios"
)

// system is a running system: its links and its services.
type system struct {
	o         *Options
	e         *scenarios.Experiment
	seed      uint64
	dir       string // for logs and working folders
	addresses map[string]string
	ports     map[string]map[string]int // service -> name ("" its own) -> port
	held      map[string][]io.Closer    // by service, until it starts
	links     map[string]*link.Link     // by name, "orders -> payments"
	datagrams map[string]*datagram.Link
	relays    map[string]*message.Relay
	mu        sync.Mutex // guards ports, held and services while services start
	trust     trust
	caFile    string // what clients of links that terminate TLS have to trust; "" when none does
	services  map[string]*process.Service
	servers   []*http.Server
	serving   sync.WaitGroup
}

// hooks are told what happens in the system.
type hooks struct {
	process func(service string, e process.Event)
	fate    evidence.Sink
	call    func(link string, c message.Call)
	strange func(link, why string) // of connections that a link could not look into

	authority func() (*link.CA, string, error) // the run's, and the file of its certificate
}

// missing is the error of a program that is not installed.
type missing struct{ service, program, install string }

func (m missing) Error() string {
	return fmt.Sprintf("service %q needs %q, which is not installed: %s", m.service, m.program, m.install)
}

// startSystem opens the links first, so that their addresses are known, and then starts services. On error everything is ended again.
func startSystem(ctx context.Context, o *Options, e *scenarios.Experiment, seed uint64, dir string, h hooks) (_ *system, err error) {
	s := &system{
		o: o, e: e, seed: seed, dir: dir, addresses: map[string]string{}, ports: map[string]map[string]int{}, held: map[string][]io.Closer{},
		links: map[string]*link.Link{}, datagrams: map[string]*datagram.Link{}, relays: map[string]*message.Relay{}, trust: trust{}, services: map[string]*process.Service{},
	}
	defer func() {
		if err != nil {
			_ = s.stop(context.WithoutCancel(ctx))
		}
	}()
	for _, svc := range e.System.Services {
		if svc.Needs != "" {
			if _, err := process.LookPath(svc.Needs); err != nil {
				return nil, missing{svc.Name, svc.Needs, svc.Install}
			}
		}
	}
	for _, svc := range e.System.Services {
		if err := s.place(svc); err != nil {
			return nil, err
		}
	}
	for _, l := range e.System.Links {
		if err := s.open(l, h); err != nil {
			return nil, err
		}
	}
	return s, s.startAll(ctx, h)
}

// place decides where a service listens, and serves those that run in this process.
func (s *system) place(svc scenarios.Service) error {
	handler, _ := svc.Handler.(http.Handler)
	if h := s.o.Handlers[svc.Name]; h != nil {
		handler = h
	}
	switch {
	case handler != nil:
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("serve %q: %w", svc.Name, err)
		}
		s.addresses[svc.Name] = ln.Addr().String()
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		s.servers = append(s.servers, server)
		s.serving.Go(func() { _ = server.Serve(ln) })
		return nil
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

// Free ports are looked for below those that systems hand out for outgoing connections and for port 0 (from 32768 on Linux, 49152 on macOS), so
// that none of these takes one before its service listens, or while the service is down.
const firstPort, ports = 20000, 12000

// given are the free ports that scenarios of this process have: one seems free to others from when its service is started until that listens.
var given sync.Map

// port is a service's port of a name: the one asked for, or a free one, the same at every call. A free one is held until its service starts.
func (s *system) port(service, name string, fixed int) (int, error) {
	if s.ports[service] == nil {
		s.ports[service] = map[string]int{}
	}
	if p := s.ports[service][name]; p != 0 {
		return p, nil
	}
	for try := 0; fixed == 0; try++ {
		p := firstPort + rand.IntN(ports)
		if _, taken := given.LoadOrStore(p, service); taken {
			continue
		}
		held, err := s.hold(service, "127.0.0.1:"+strconv.Itoa(p))
		if err == nil {
			s.held[service] = append(s.held[service], held...)
			fixed = p
			continue
		}
		given.Delete(p)
		if try == 1000 {
			return 0, fmt.Errorf("find a free port for %q: %w", service, err)
		}
	}
	s.ports[service][name] = fixed
	return fixed, nil
}

// hold takes a port, for UDP too where a link of datagrams leads to the service.
func (s *system) hold(service, addr string) ([]io.Closer, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil || !slices.ContainsFunc(s.e.System.Links, func(l scenarios.Link) bool { return l.To == service && udp(l) }) {
		return []io.Closer{ln}, err
	}
	pc, err := net.ListenPacket("udp", addr)
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	return []io.Closer{ln, pc}, nil
}

// udp tells whether a link carries datagrams.
func udp(l scenarios.Link) bool {
	p, _ := message.ProtocolOf(l.Protocol)
	return p.UDP
}

// release gives a service's ports to it. A process that is being started at this moment has inherited the listeners and loses them only when it runs
// its program; no process is started while the lock is held.
func (s *system) release(service string) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	for _, ln := range s.held[service] {
		_ = ln.Close()
	}
	delete(s.held, service)
}

func (s *system) open(l scenarios.Link, h hooks) error {
	if udp(l) {
		open, err := datagram.Open(datagram.Config{Name: l.Name(), Protocol: l.Protocol, Listen: l.Listen, Upstream: s.addresses[l.To], Sink: h.fate})
		if err != nil {
			return err
		}
		s.datagrams[l.Name()], s.relays[l.Name()] = open, open.Relay()
		return nil
	}
	cfg := link.Config{Name: l.Name(), Listen: l.Listen, Upstream: s.addresses[l.To], ProxyProtocol: l.ProxyProtocol}
	if err := s.terminate(&cfg, l, h); err != nil {
		return err
	}
	if l.Protocol != "" && l.Protocol != "tcp" {
		relay, err := message.New(l.Protocol, message.Config{Link: l.Name(), Framing: l.Framing, Sink: h.fate, Calls: func(c message.Call) { h.call(l.Name(), c) }})
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

// spec says how a service is started, and gives it its ports.
func (s *system) spec(svc scenarios.Service, h hooks) (process.Spec, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	expand := func(text string) (string, error) { return scenarios.Expand(text, s.values(svc)) }
	spec := process.Spec{Name: svc.Name, Log: filepath.Join(s.dir, "logs", svc.Name+".log"), Dir: s.workDir(svc), Event: func(e process.Event) { h.process(svc.Name, e) }}
	for _, arg := range svc.Command {
		text, err := expand(arg)
		if err != nil {
			return spec, fmt.Errorf("start service %q: argument %q: %w", svc.Name, arg, err)
		}
		spec.Args = append(spec.Args, text)
	}
	names := make([]string, 0, len(svc.Env))
	for name := range svc.Env {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		text, err := expand(svc.Env[name])
		if err != nil {
			return spec, fmt.Errorf("start service %q: environment %q: %w", svc.Name, name, err)
		}
		spec.Env = append(spec.Env, name+"="+text)
	}
	var err error
	spec.Ready, err = readiness(svc, s.addresses[svc.Name])
	s.release(svc.Name)
	return spec, err
}

func (s *system) workDir(svc scenarios.Service) string {
	if svc.Dir == "" {
		return filepath.Join(s.dir, "services", svc.Name)
	}
	return filepath.Join(s.e.System.Dir, svc.Dir)
}

func readiness(svc scenarios.Service, address string) (process.Ready, error) {
	r := process.Ready{Within: svc.Ready.Within}
	switch {
	case svc.Ready.HTTP != "":
		r.HTTP = "http://" + address + svc.Ready.HTTP
	case svc.Ready.Line != "":
		line, err := regexp.Compile(svc.Ready.Line)
		if err != nil {
			return r, fmt.Errorf("await service %q: %w", svc.Name, err)
		}
		r.Line = line
	default:
		r.TCP = address
	}
	return r, nil
}

// values gives a service's placeholders their values.
func (s *system) values(svc scenarios.Service) func(name, arg string) (string, bool) {
	return func(name, arg string) (string, bool) {
		switch name {
		case "self":
			return s.o.Self, true
		case "port":
			fixed := 0
			if arg == "" {
				fixed = svc.Port
			}
			p, err := s.port(svc.Name, arg, fixed)
			return strconv.Itoa(p), err == nil
		case "dir":
			abs, err := filepath.Abs(s.workDir(svc))
			return abs, err == nil
		case "link":
			return s.link(svc.Name + " -> " + arg)
		case "address":
			a, ok := s.addresses[arg]
			return a, ok
		case "ca":
			return s.caFile, s.caFile != ""
		case "without":
			return strings.Join(s.o.Without, ","), true
		case "seed":
			return strconv.FormatUint(s.seed, 10), true
		}
		return "", false
	}
}

// link is where a link listens.
func (s *system) link(name string) (addr string, ok bool) {
	if l := s.links[name]; l != nil {
		return l.Addr(), true
	}
	if l := s.datagrams[name]; l != nil {
		return l.Addr(), true
	}
	return "", false
}

// front is where clients reach a service: through their link to it, where there is one.
func (s *system) front(service string) string {
	if addr, ok := s.link("clients -> " + service); ok {
		return addr
	}
	return s.addresses[service]
}

// stop ends links and services, those started last first, within a bound. It may be called twice.
func (s *system) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	var errs []error
	var all sync.WaitGroup
	for _, svc := range s.services {
		all.Go(func() { _ = svc.Stop(ctx) })
	}
	for _, l := range s.links {
		errs = append(errs, l.Close())
	}
	for _, l := range s.datagrams {
		errs = append(errs, l.Close())
	}
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	all.Wait()
	s.serving.Wait()
	for service := range s.held {
		s.release(service)
	}
	for _, ports := range s.ports {
		for _, p := range ports {
			given.Delete(p)
		}
	}
	_ = os.Remove(filepath.Join(s.dir, "services")) // when empty
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}
