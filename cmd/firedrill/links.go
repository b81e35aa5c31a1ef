package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/firedrill-dev/firedrill/injector"
	"github.com/firedrill-dev/firedrill/injector/evidence"
	"github.com/firedrill-dev/firedrill/injector/message"
	"github.com/firedrill-dev/firedrill/injector/protocols"
	"github.com/firedrill-dev/firedrill/injector/toxiproxy"
	"github.com/firedrill-dev/firedrill/runner/control"
	"github.com/firedrill-dev/firedrill/scenarios"
	"github.com/firedrill-dev/firedrill/scenarios/language"
	"github.com/firedrill-dev/firedrill/scenarios/system"
)

// toxiproxyVersion is the version of Toxiproxy whose API is served. Clients may compare it with what they need.
const toxiproxyVersion = "2.12.0"

// linksDir is the default parent of the folders of links without a run, each of which holds a control socket.
var linksDir = filepath.Join(".firedrill", "links")

func linksCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "links", Short: "Open links without a run, and control them through Toxiproxy's HTTP API"}
	cmd.AddCommand(linksUpCommand())
	return cmd
}

func linksUpCommand() *cobra.Command {
	var populate string
	api, dir := "127.0.0.1:8474", linksDir
	var seed uint64
	cmd := &cobra.Command{
		Use:   "up [SYSTEM.yaml]",
		Short: "Open links and serve Toxiproxy's HTTP API to control them",
		Long: `Opens the links of a system file whose services run already (those with an address), and serves Toxiproxy's HTTP API, so
that its clients, its command line and its configuration files work with these links unchanged. The link from "orders" to
"payments" is the proxy "orders-payments". "firedrill inject" injects faults into them, from another terminal of the same
user. Ctrl-C and "firedrill abort" heal everything and close all links. A file is refused if it has links over UDP, through a
Toxiproxy server, to further ports, with a framing of lengths, or that terminate TLS or send a PROXY header.

A proxy may have a "protocol" beside what Toxiproxy knows: ` + strings.Join(toxiproxy.Protocols(), ", ") + `.
It then has a further type of toxic, "fault", whose attribute "sentence" is one of "firedrill steps", about the traffic
between "clients" and the proxy's name.

The limits of the system file apply to clients of the API, too: toxics beyond them, and disabling a proxy, are refused with
status 403. With a limit on the duration, a toxic is removed when its time is over, and a disabled proxy enabled again.
Links of a file with limits cannot be deleted or redirected.`,
		Example: `  firedrill links up features/system.yaml
  firedrill links up --populate toxiproxy.json
  toxiproxy-cli toxic add -t latency -a latency=800 orders-payments
  curl -d '{"type": "fault", "attributes": {"sentence": "30% of replies from \"redis\" to \"clients\" are lost after the work was done"}}' localhost:8474/proxies/redis/toxics`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ln, err := listenHere("links up --api", api)
			if err != nil {
				return err
			}
			u := &upLinks{}
			if err := u.describe(args); err != nil {
				return errors.Join(err, closeListener(ln))
			}
			u.api = toxiproxy.New(toxiproxy.Config{Version: toxiproxyVersion, Seed: seed, Fault: readFault, Limits: u.limits()})
			err = u.open(populate)
			if err == nil {
				err = u.serve(cmd.Context(), cmd.OutOrStdout(), ln, dir)
			}
			return errors.Join(err, closeListener(ln), u.api.Close())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&api, "api", api, "loopback address of the HTTP API; port 0 means any free one")
	flags.StringVar(&dir, "dir", dir, "parent of the folder with the socket for firedrill inject and abort")
	flags.StringVar(&populate, "populate", "", "a configuration file of Toxiproxy, with proxies to create")
	flags.Uint64Var(&seed, "seed", 1, "seed of random choices, such as those of a toxicity below 1")
	return cmd
}

// upLinks are links without a run.
type upLinks struct {
	api    *toxiproxy.Server
	file   string        // the system file; "" if there is none
	system system.System // that it describes
	hands  control.Hands

	mu   sync.Mutex                    // held while a fault is injected by hand
	live map[string][]scenarios.Placed // the faults that were, by ID
}

// describe reads the system file, if one is named.
func (u *upLinks) describe(systems []string) error {
	for _, file := range systems {
		sys, err := system.Read(os.DirFS(filepath.Dir(file)), filepath.Base(file), nil, protocols.All())
		if err != nil {
			return err
		}
		for _, o := range sys.Outside(sys.Allow) {
			return fmt.Errorf("%s: %s runs at %s, which is not this machine: if faults may reach it, add to the file: allow: [%q]", file, o.What, o.Address, o.Address)
		}
		u.system, u.file = sys, file
	}
	return nil
}

// limits returns what clients of the API may do: what the system file says. Without one, nothing limits them.
func (u *upLinks) limits() toxiproxy.Limits {
	if u.file == "" {
		return toxiproxy.Limits{}
	}
	limited := u.system.Limits.String() != ""
	return toxiproxy.Limits{Longest: u.system.Limits.Duration, Keep: limited, Admit: func(p toxiproxy.Proxy, f injector.Fault, others int) error {
		sys := u.system
		for _, l := range sys.Links {
			if proxyName(l.From, l.To) == p.Name {
				return scenarios.CheckLimits(sys, scenarios.Placed{From: l.From, To: l.To, Fault: f}, others)
			}
		}
		sys.Services = append(slices.Clone(sys.Services), system.Service{Name: p.Name, Address: p.Upstream})
		return scenarios.CheckLimits(sys, scenarios.Placed{From: system.Clients, To: p.Name, Fault: f}, others)
	}}
}

// open creates the proxies of the system file, and of a configuration file, if one is named.
func (u *upLinks) open(populate string) error {
	for _, l := range u.system.Links {
		p, err := proxyOf(u.system, l)
		if err == nil {
			err = u.api.Add(p)
		}
		if err != nil {
			return fmt.Errorf("%s: link %s: %w", u.file, l.Name(), err)
		}
	}
	if populate == "" {
		return nil
	}
	f, err := os.Open(populate)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := u.api.Populate(f); err != nil {
		return fmt.Errorf("%s: %w", populate, err)
	}
	return nil
}

// proxyOf returns the proxy of a link.
func proxyOf(sys system.System, l system.Link) (toxiproxy.Proxy, error) {
	i := slices.IndexFunc(sys.Services, func(s system.Service) bool { return s.Name == l.To })
	switch {
	case i < 0 || sys.Services[i].Address == "":
		return toxiproxy.Proxy{}, fmt.Errorf("%q has no address: only links to services that run already can be opened without a run", l.To)
	case l.Toxiproxy != nil:
		return toxiproxy.Proxy{}, fmt.Errorf("it leads through %s already, whose API its clients can use", l.Toxiproxy)
	case l.UDP() || l.TLS != nil || l.Port != "" || l.ProxyProtocol != "" || l.Framing != (message.Framing{}):
		return toxiproxy.Proxy{}, errors.New("links over UDP, links that terminate TLS or send a PROXY header, links to further ports, and those with a framing cannot be opened without a run")
	}
	protocol := l.ProtocolName()
	if protocol == "tcp" {
		protocol = ""
	}
	return toxiproxy.Proxy{Name: proxyName(l.From, l.To), Listen: l.Address(), Upstream: sys.Services[i].Address, Enabled: true, Protocol: protocol}, nil
}

// proxyName returns the name of the proxy of a link.
func proxyName(from, to string) string { return from + "-" + to }

// serve serves the API and the control socket until the context ends or the links are closed.
func (u *upLinks) serve(ctx context.Context, out io.Writer, ln net.Listener, dir string) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	_, _ = control.RemoveStale(ctx, dir) // a stale socket that stays does no harm
	folder := filepath.Join(dir, fmt.Sprintf("%s-%d", time.Now().UTC().Format("20060102T150405Z"), os.Getpid()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("links up: make the folder of the control socket: %w: --dir names another place", err)
	}
	defer func() { err = errors.Join(err, os.Remove(folder)) }()
	u.hands.Inject = u.inject
	socket, err := control.Listen(folder, u.answer(stop))
	if err != nil {
		return fmt.Errorf("links up: %w", err)
	}
	defer func() { err = errors.Join(err, socket.Close()) }() // heals what was injected by hand
	for _, p := range u.api.Proxies() {
		fmt.Fprintf(out, "%s  %s -> %s\n", p.Name, p.Listen, p.Upstream)
	}
	fmt.Fprintf(out, "Toxiproxy's API: http://%s  (Ctrl-C closes all links)\n", ln.Addr())
	fmt.Fprintf(out, "firedrill inject, from another terminal, injects faults; the control socket is in %s\n", folder)
	return serveUntil(ctx, ln, u.api)
}

// answer returns the handler of the control socket. stop ends the program in an orderly way.
func (u *upLinks) answer(stop func()) control.Handler {
	return func(ctx context.Context, r control.Request, tell func(control.Reply)) control.Reply {
		if reply, ok := u.hands.Answer(ctx, r, tell); ok {
			return reply
		}
		switch r.Do {
		case "status":
			names := []string{}
			for _, p := range u.api.Proxies() {
				names = append(names, p.Name)
			}
			return control.Reply{Lines: []string{"links up: " + strings.Join(names, ", ")}}
		case "abort":
			defer stop()
			if err := u.api.Close(); err != nil {
				return control.Reply{Error: "close the links: " + err.Error()}
			}
			return control.Reply{Lines: []string{"all links are closed, and no fault acts on them any more"}}
		}
		return control.Reply{Error: fmt.Sprintf("links cannot be asked to %q", r.Do)}
	}
}

// inject makes the fault of a sentence live, on each link that it names.
func (u *upLinks) inject(_ context.Context, id string, r control.Request) (control.Live, error) {
	e := &scenarios.Experiment{System: u.described()}
	u.mu.Lock()
	defer u.mu.Unlock()
	in, err := language.Standard().ReadByHand(language.ByHand{Sentence: r.Sentence, UntilHeal: r.UntilHeal, Running: e, Live: u.placed()})
	if err != nil {
		return control.Live{}, err
	}
	var parts []part
	for i, p := range in.Faults {
		name := id
		if len(in.Faults) > 1 {
			name = fmt.Sprintf("%s.%d", id, i+1)
		}
		one, err := u.injectPart(name, e.System, p)
		if err != nil {
			return control.Live{}, errors.Join(fmt.Errorf("inject %s: %w", p.Fault.Say(p.From, p.To), err), healParts(parts))
		}
		parts = append(parts, one)
	}
	if u.live == nil {
		u.live = map[string][]scenarios.Placed{}
	}
	u.live[id] = in.Faults
	return control.Live{
		Sentence: in.Faults[0].Fault.Say(in.Faults[0].From, in.Faults[0].To), For: in.For, Ended: parts[0].removed,
		Met: func() (string, bool) {
			var all []evidence.Tally
			for _, p := range parts {
				all = append(all, p.count.Tally())
			}
			return evidence.Met(all...)
		},
		Heal: func(string) error {
			u.mu.Lock()
			delete(u.live, id)
			u.mu.Unlock()
			return healParts(parts)
		},
	}, nil
}

// part is a live fault on one link.
type part struct {
	count   *evidence.Counter
	removed <-chan struct{}
	heal    func() error
}

func healParts(parts []part) error {
	var all []error
	for _, p := range parts {
		all = append(all, p.heal())
	}
	return errors.Join(all...)
}

// injectPart makes a fault live on one link.
func (u *upLinks) injectPart(name string, sys system.System, p scenarios.Placed) (one part, err error) {
	l, ok := sys.Link(p.From, p.To)
	if !ok {
		return part{}, fmt.Errorf("%q is no link", p.On())
	}
	proxy := proxyName(p.From, p.To)
	if _, described := u.system.Link(p.From, p.To); !described {
		proxy = p.To
	}
	unit := p.Fault.Kind().On
	if row, relayed := l.Relayed(); relayed && unit == "calls" {
		unit = row.Unit // a fault on replies also applies to the replies of message protocols
	}
	one.count = evidence.NewCounter(unit)
	one.removed, one.heal, err = u.api.Inject(proxy, name, p.Fault.Say(p.From, p.To), p.Fault, one.count)
	return one, err
}

// placed returns the faults that were injected by hand and are live.
func (u *upLinks) placed() (all []scenarios.Placed) {
	for id, faults := range u.live {
		for _, p := range faults {
			p.ID = id
			all = append(all, p)
		}
	}
	return all
}

// described returns the system that the file describes, with a link from "clients" to each further proxy.
func (u *upLinks) described() system.System {
	sys := u.system
	sys.Services, sys.Links = slices.Clone(sys.Services), slices.Clone(sys.Links)
	known := map[string]bool{}
	for _, l := range sys.Links {
		known[proxyName(l.From, l.To)] = true
	}
	for _, p := range u.api.Proxies() {
		if known[p.Name] || slices.Contains(sys.Names(), p.Name) {
			continue
		}
		sys.Services = append(sys.Services, system.Service{Name: p.Name, Address: p.Upstream})
		sys.Links = append(sys.Links, proxyLink(p.Name, p.Protocol))
	}
	return sys
}

// proxyLink returns the link from "clients" to a proxy.
func proxyLink(proxy, protocol string) system.Link {
	return system.Link{From: system.Clients, To: proxy, Protocol: protocol, Row: protocols.All().Find(protocol)}
}

// readFault reads a sentence about the link from "clients" to a proxy.
func readFault(proxy, protocol, sentence string) (injector.Fault, error) {
	in, err := language.Standard().ReadByHand(language.ByHand{Sentence: sentence, UntilHeal: true, Running: &scenarios.Experiment{System: system.System{
		Services: []system.Service{{Name: proxy, Address: "127.0.0.1:1"}},
		Links:    []system.Link{proxyLink(proxy, protocol)},
	}}})
	switch {
	case err != nil:
		return nil, err
	case len(in.Faults) != 1:
		return nil, fmt.Errorf("%q is not one fault", sentence)
	}
	return in.Faults[0].Fault, nil
}
